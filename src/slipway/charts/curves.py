"""Curves of many points, given as stretches: a line, and behind it the band from the least value to the greatest."""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from slipway.charts.scales import LogScale, Scale, bottom_axis, left_axis, room_for, spanning
from slipway.charts.strokes import Style, legend, path, style_of
from slipway.charts.svg import (
    WIDTH,
    Svg,
    coordinate,
    document,
    element,
    heading,
    label,
    nothing_to_show,
    text,
)
from slipway.charts.text import finite, number

__all__ = ["Mark", "curve_chart"]

_HEIGHT = 150.0
_MOST_DOTS = 60
_HIDDEN_FRACTION = 0.05
_Place = tuple[float, float]


class Mark(NamedTuple):
    """A stretch of a curve: its first and last point and its bounds. One point is a stretch too.

    Args:
        x: Where it begins, finite.
        first: The value there; NaN and infinities leave a gap in the line.
        until: Where it ends, finite.
        last: The value there.
        low: The least value between; NaN where there is none.
        high: The greatest.
    """

    x: float
    first: float
    until: float
    last: float
    low: float
    high: float


def curve_chart(
    curves: Mapping[str, Sequence[Mark]], *, title: str = "", x_label: str = "", zooms: bool = False
) -> str:
    """Curves over a common x axis, each with its band where its marks stand for more than a point.

    The upright axis is logarithmic where all values are above zero, over two decades and more, and a level one would
    press more than half of them into its lowest twentieth; the chart then says so.

    Args:
        curves: Marks in ascending order, by the curve's name; a single curve may be called "".
        title: Stands above the chart, and names it: what is measured.
        x_label: What x is, with its unit.
        zooms: Whether a script may find out to which x a place in the picture belongs.

    Returns:
        An SVG element.
    """
    marks = [mark for curve in curves.values() for mark in curve]
    ys = [y for mark in marks for each in mark[1::2] + mark[4:] if (y := finite(each)) is not None]
    if not ys:
        return nothing_to_show("curves", title, "no value is a number" if marks else "no values")
    head, top = heading(title)
    styles = {name: style_of(index) for index, name in enumerate(curves)}
    names, top = legend(styles, top)
    top += 8
    bottom = top + _HEIGHT
    upright = _upright(marks, ys, bottom, top)
    left = room_for((name for _, name in upright.ticks()), most=90) + 8
    xs = [x for mark in marks for x in (mark.x, mark.until)]
    across = spanning(xs, left + 4, WIDTH - 8)
    are_whole = all(float(x).is_integer() for x in xs)
    ticks = [
        (across.at(value), number(value)) for value, _ in across.ticks() if float(value).is_integer() or not are_whole
    ]
    below = " · ".join(part for part in (x_label, "log scale" if isinstance(upright, LogScale) else "") if part)
    return document(
        "curves",
        title or x_label,
        bottom + (36 if below else 24),
        head,
        names,
        left_axis(upright, left, WIDTH),
        bottom_axis(ticks, bottom, 0, WIDTH),
        label(below, WIDTH, bottom + 31, room=WIDTH, anchor="end", quiet=True) if below else Svg(""),
        *(_band(curve, styles[name], across, upright, len(curves)) for name, curve in curves.items()),
        _plot(across, top, bottom) if zooms else Svg(""),
        *(_line(name, curve, styles[name], across, upright) for name, curve in curves.items()),
        description=_told(curves),
    )


def _plot(across: Scale, top: float, bottom: float) -> Svg:
    """A pane over the picture, which nobody sees: the values at its left and right edge are written on it."""
    return element(
        "rect", class_="plot", x=across.start, y=top, width=across.end - across.start, height=bottom - top,
        fill="none", pointer_events="all", data_low=repr(across.low), data_high=repr(across.high),
    )  # fmt: skip


def _upright(marks: Sequence[Mark], ys: Sequence[float], bottom: float, top: float) -> Scale:
    level = spanning(ys, bottom, top)
    is_hidden = median(ys) < level.low + _HIDDEN_FRACTION * (level.high - level.low)
    is_wide = min(ys) > 0 and max(ys) / 100 >= min(ys)
    if is_hidden and is_wide and not any(mark.low == -math.inf for mark in marks):
        return LogScale(min(ys), max(ys), bottom, top)
    return level


def _band(curve: Sequence[Mark], style: Style, across: Scale, upright: Scale, curves: int) -> Svg:
    """The areas between the bounds, one for each run of marks that have some."""
    areas: list[str] = []
    there: list[_Place] = []
    back: list[_Place] = []
    for mark in (*curve, None):
        if mark is not None and mark.low <= mark.high:
            ends = across.at(mark.x), across.at(mark.until)
            there += [(x, upright.at(mark.high)) for x in ends]
            back += [(x, upright.at(mark.low)) for x in ends]
        elif there:
            around = (*there, *reversed(back))
            areas.append("M" + "L".join(f"{coordinate(x)} {coordinate(y)}" for x, y in dict.fromkeys(around)) + "Z")
            there, back = [], []
    if all(mark.x == mark.until and not mark.low < mark.high for mark in curve):
        return Svg("")  # a point each: the line is everything
    return element("path", d="".join(areas), fill=style[0], fill_opacity="0.2" if curves == 1 else "0.12")


def _line(name: str, curve: Sequence[Mark], style: Style, across: Scale, upright: Scale) -> Svg:
    """The line from mark to mark, with dots that tell their figures where they are few."""
    points = [
        point
        for mark in curve
        for point in dict.fromkeys([(mark.x, finite(mark.first)), (mark.until, finite(mark.last))])
    ]
    places = [None if y is None else (across.at(x), upright.at(y)) for x, y in points]
    colour, _, dash = style
    drawn = path(places, colour, width=1.6, dash=dash)
    if len(points) > _MOST_DOTS:
        return drawn
    dots = []
    for (x, y), place in zip(points, places, strict=True):
        if place is not None:
            told = f"{name}, {number(x)}: {number(y)}".removeprefix(", ")
            dots.append(element("circle", element("title", text(told)), cx=place[0], cy=place[1], r=2.2))
    return Svg(drawn + element("g", *dots, fill=colour))


def _told(curves: Mapping[str, Sequence[Mark]]) -> str:
    """The curves in words."""
    told = []
    for name, curve in curves.items():
        lows = [low for mark in curve if (low := finite(mark.low)) is not None]
        highs = [high for mark in curve if (high := finite(mark.high)) is not None]
        runs = "no values"
        if lows and highs:
            runs = f"{number(min(lows))} to {number(max(highs))}, last {number(curve[-1].last)}"
        told.append(f"{name or 'values'}: {runs}")
    return ". ".join(told)
