"""Values along a line: sparklines for table cells, and line charts."""

import math
from collections.abc import Mapping, Sequence

from slipway.charts.scales import Scale, bottom_axis, left_axis, room_for, spanning
from slipway.charts.strokes import legend, path, style_of
from slipway.charts.svg import (
    ACCENT,
    WIDTH,
    Svg,
    document,
    element,
    heading,
    label,
    line,
    nothing_to_show,
    text,
)
from slipway.charts.text import clean, finite, number

__all__ = ["line_chart", "sparkline"]

_MOST_DOTS = 60
_Point = tuple[float | str, float | None]


def sparkline(values: Sequence[float | None], *, title: str = "") -> str:
    """A small line for a table cell, 120 by 28 pixels, with a dot on the last value.

    Args:
        values: In their order. None, NaN and infinities leave a gap.
        title: What the values are, for those who hear the page; "" says only how they run.

    Returns:
        An SVG element.
    """
    width, height, edge = 120.0, 28.0, 5.0
    plain = [finite(value) for value in values]
    known = [value for value in plain if value is not None]
    if not known:
        note = label("nothing to show", 0, height / 2 + 4, room=width, quiet=True)
        return document("sparkline", title or "Nothing to show", height, note, width=width, is_fixed=True)
    upright = spanning(known, height - edge, edge)
    step = (width - 2 * edge) / max(1, len(plain) - 1)
    places = [None if value is None else (edge + at * step, upright.at(value)) for at, value in enumerate(plain)]
    last = next(place for place in reversed(places) if place is not None)
    count = f"{len(known)} values" if len(known) == len(plain) else f"{len(known)} of {len(plain)} values"
    said = f"{count}, {number(min(known))} to {number(max(known))}, last {number(known[-1])}"
    if len(plain) == 1:
        said = f"1 value, {number(known[0])}"
    return document(
        "sparkline",
        f"{title}: {said}" if title else said,
        height,
        path(places, ACCENT, width=1.5),
        element("circle", cx=last[0], cy=last[1], r=2.5, fill=ACCENT),
        width=width,
        is_fixed=True,
    )


def line_chart(
    series: Mapping[str, Sequence[_Point]],
    *,
    title: str = "",
    y_label: str = "",
    emphasis: str = "",
    reference: float | None = None,
) -> str:
    """Lines over a common x axis, told apart by colour and, beyond six, by dashes.

    Args:
        series: By name: points `(x, y)`. Where every x is a number they lie at their values, in ascending order; else
            every x is a label, and labels stand side by side in the order in which they first appear. A y that is
            None, NaN or infinite leaves a gap; a point without such an x is left out.
        title: Stands above the chart, and names it.
        y_label: What y is, with its unit.
        emphasis: The name of the line that matters: it is drawn unbroken and wider, the others dashed, so that they are
            told apart without their colours.
        reference: Where a level line stands, zero say; None for no line.

    Returns:
        An SVG element.
    """
    named = {name: _points(points) for name, points in series.items()}
    ys = [y for points in named.values() for _, y in points if y is not None]
    if not ys:
        return nothing_to_show("lines", title, "no value is a number" if any(series.values()) else "no values")
    head, top = heading(title)
    styles = {name: style_of(index, name, emphasis) for index, name in enumerate(named)}
    names, top = legend(styles, top)
    caption = label(y_label, 0, top + 9, room=WIDTH, quiet=True) if y_label else Svg("")
    top += 22 if y_label else 8
    bottom = top + 160
    level = finite(reference)
    upright = spanning(ys if level is None else [*ys, level], bottom, top)
    left = room_for((name for _, name in upright.ticks()), most=90) + 8
    across, marks, value_of = _across(named, left + 4, WIDTH - 8)
    lines = []
    if level is not None:
        lines.append(line((left, upright.at(level)), (WIDTH, upright.at(level)), opacity="0.55"))
    for name in sorted(named, key=lambda name: name == emphasis):  # what matters lies on top
        points, (colour, width, dash) = named[name], styles[name]
        places = [None if y is None else (across.at(value_of[x]), upright.at(y)) for x, y in points]
        lines.append(path(places, colour, width=width, dash=dash))
        if len(points) <= _MOST_DOTS:
            lines.append(_dots(name, points, places, colour))
    return document(
        "lines",
        title or y_label,
        bottom + 24,
        head,
        names,
        caption,
        left_axis(upright, left, WIDTH),
        bottom_axis(marks, bottom, 0, WIDTH),
        *lines,
        description=_told(named),
    )


def _points(points: Sequence[_Point]) -> list[_Point]:
    """The points with an x that can be drawn."""
    kept: list[_Point] = []
    for x, y in points:
        place = clean(x) if isinstance(x, str) else finite(x)
        if place is not None:
            kept.append((place, finite(y)))
    return kept


def _across(
    named: dict[str, list[_Point]], left: float, right: float
) -> tuple[Scale, list[tuple[float, str]], dict[float | str, float]]:
    """The scale along the bottom, its marks (place, label), and the value on the scale that each x has."""
    xs = list(dict.fromkeys(x for points in named.values() for x, _ in points))
    numbers = [x for x in xs if not isinstance(x, str)]
    if len(numbers) == len(xs):
        for points in named.values():
            points.sort(key=lambda point: point[0])
        scale = spanning(numbers, left, right)
        return scale, [(scale.at(value), name) for value, name in scale.ticks()], {x: x for x in numbers}
    scale = spanning([0.0, float(len(xs) - 1)], left, right)
    names = [x if isinstance(x, str) else number(x) for x in xs]
    stride = math.ceil(len(names) * (room_for(names, most=110) + 10) / (right - left))
    marks = [(scale.at(at), name) for at, name in enumerate(names) if at % stride == 0]
    return scale, marks, {x: float(at) for at, x in enumerate(xs)}


def _dots(name: str, points: list[_Point], places: Sequence[tuple[float, float] | None], colour: str) -> Svg:
    """A dot on each point, so that it can be pointed at and tells its figures."""
    dots = []
    for (x, y), place in zip(points, places, strict=True):
        if place is not None:
            told = f"{name}, {x if isinstance(x, str) else number(x)}: {number(y)}".removeprefix(", ")
            dots.append(element("circle", element("title", text(told)), cx=place[0], cy=place[1], r=2.5))
    return element("g", *dots, fill=colour)


def _told(named: dict[str, list[_Point]]) -> str:
    """The lines in words."""
    told = []
    for name, points in named.items():
        ys = [y for _, y in points if y is not None]
        runs = f"{len(ys)} points, {number(min(ys))} to {number(max(ys))}, last {number(ys[-1])}" if ys else "no values"
        told.append(f"{name or 'values'}: {runs}")
    return ". ".join(told)
