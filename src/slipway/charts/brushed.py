"""Pictures of many runs that are marked together: parallel axes, two values against each other, and curves.

Each line and dot says in `data-run` which of the runs it is, so that a page can mark the same ones everywhere; without
that the drawings are whole as well.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from slipway.charts.scales import LogScale, Scale, bottom_axis, left_axis, room_for, spanning
from slipway.charts.svg import (
    SERIES,
    WIDTH,
    Svg,
    coordinate,
    document,
    element,
    heading,
    label,
    line,
    nothing_to_show,
    text,
)
from slipway.charts.text import finite, number, shortened

__all__ = ["Axis", "Course", "courses", "parallel", "scatter"]

Value = float | str | bool | None

_HEIGHT, _SCATTER_HEIGHT, _COURSES_HEIGHT = 220.0, 240.0, 180.0
_MISSING = 20.0
_FEW = len(SERIES)
_MOST_LABELS = 12
_FAINT = "0.5"


class Axis(NamedTuple):
    """What is measured along an axis: a title, and a value a run; None and NaN where a run has none."""

    title: str
    values: Sequence[Value]


class Course(NamedTuple):
    """A run's curve: which run, what it is called, and its points in order."""

    run: int
    name: str
    points: Sequence[tuple[float, float]]


class _Placed(NamedTuple):
    """The places of an axis's values, and its marks; `missing` is where a run without a value lies."""

    places: list[float | None]
    ticks: list[tuple[float, str]]
    missing: float
    is_log: bool


def parallel(names: Sequence[str], axes: Sequence[Axis], *, best: int | None = None) -> str:
    """A line a run through its values on axes beside each other.

    Args:
        names: What the runs are called.
        axes: At least two with values; runs without one lie on a mark of their own below the axis.
        best: The run that stands out, None for none.

    Returns:
        An SVG element.
    """
    if len(axes) < 2:
        return nothing_to_show("parallel", "Parallel axes", "fewer than two values differ")
    gap = max(112.0, min(190.0, 1120.0 / (len(axes) - 1)))
    left, top = 60.0, 34.0
    bottom = top + _HEIGHT
    width = left + gap * (len(axes) - 1) + 76
    placed = [_placed(axis, bottom, top, bottom + _MISSING) for axis in axes]
    xs = [left + gap * place for place in range(len(axes))]
    lines = []
    for run, name in enumerate(names):
        at = [(x, one.places[run], one.missing) for x, one in zip(xs, placed, strict=True)]
        points = [(x, missing if y is None else y) for x, y, missing in at]
        lines.append((run, _path(run, name, points, len(names), run == best)))
    lines.sort(key=lambda pair: pair[0] == best)
    drawn = [
        _axis(axis, one, x, top, bottom, place)
        for place, (axis, one, x) in enumerate(zip(axes, placed, xs, strict=True))
    ]
    return document(
        "parallel",
        f"{len(names)} runs along {len(axes)} axes",
        bottom + _MISSING + 12,
        *(drawing for _, drawing in lines),
        *drawn,
        width=width,
        description="A line is a run. Axes: " + ", ".join(axis.title for axis in axes),
        is_fixed=True,
    )


def scatter(names: Sequence[str], across: Axis, upright: Axis, *, best: int | None = None) -> str:
    """A dot a run at two of its values; runs that lack one of them are counted below.

    Args:
        names: What the runs are called.
        across: Along the bottom.
        upright: Along the left.
        best: The run that stands out, None for none.

    Returns:
        An SVG element.
    """
    head, top = heading(f"{upright.title} by {across.title}")
    top += 8
    bottom = top + _SCATTER_HEIGHT
    high = _placed(upright, bottom - 8, top, bottom)
    left = room_for((name for _, name in high.ticks), most=90) + 8
    wide = _placed(across, left + 10, WIDTH - 10, left)
    there = [
        (run, x, y)
        for run, (x, y) in enumerate(zip(wide.places, high.places, strict=True))
        if x is not None and y is not None
    ]
    if not there:
        return nothing_to_show("scatter", f"{upright.title} by {across.title}", "no run has both values")
    dots = [
        element(
            "circle",
            element("title", text(f"{names[run]}: {_told(across.values[run])}, {_told(upright.values[run])}")),
            cx=x,
            cy=y,
            r=5.5 if run == best else 4,
            fill=_colour(run, len(names), run == best),
            fill_opacity=None if run == best else "0.75",
            data_run=str(run),
        )
        for run, x, y in sorted(there, key=lambda place: place[0] == best)
    ]
    without = len(names) - len(there)
    notes = [across.title + (" (log scale)" if wide.is_log else "")]
    notes += [f"{upright.title} on a log scale"] if high.is_log else []
    notes += [f"{without} without both"] if without else []
    return document(
        "scatter",
        f"{upright.title} by {across.title}",
        bottom + 38,
        head,
        *(_level(name, left, y) for y, name in high.ticks),
        bottom_axis(sorted(wide.ticks), bottom, 0, WIDTH),
        element(
            "rect", class_="hit", x=left, y=top - 4, width=WIDTH - left, height=bottom - top + 4, fill="transparent"
        ),
        *dots,
        label(" · ".join(notes), WIDTH, bottom + 32, room=WIDTH, anchor="end", quiet=True),
        description=f"{len(there)} runs, a dot each",
    )


def courses(key: str, lines: Sequence[Course], runs: int, *, x_label: str = "step", best: int | None = None) -> str:
    """The curves of one metric, a line a run.

    Args:
        key: The metric.
        lines: One a run that has the metric.
        runs: How many runs there are in all.
        x_label: What runs along the bottom, with its unit.
        best: The run that stands out, None for none.

    Returns:
        An SVG element.
    """
    ys = [y for one in lines for _, y in one.points if finite(y) is not None]
    if not ys:
        return nothing_to_show("courses", key, "no value is a number" if lines else "no run has it")
    head, top = heading(key)
    top += 8
    bottom = top + _COURSES_HEIGHT
    upright = _scale(ys, bottom, top)
    left = room_for((name for _, name in upright.ticks()), most=90) + 8
    xs = [x for one in lines for x, _ in one.points]
    across = spanning(xs, left + 4, WIDTH - 8)
    are_whole = all(float(x).is_integer() for x in xs)
    ticks = [(across.at(x), number(x)) for x, _ in across.ticks() if float(x).is_integer() or not are_whole]
    drawn = []
    for one in sorted(lines, key=lambda one: one.run == best):
        places = [None if finite(y) is None else (across.at(x), upright.at(y)) for x, y in one.points]
        drawn.append(_path(one.run, one.name, places, runs, one.run == best))
    return document(
        "courses",
        key,
        bottom + 36,
        head,
        left_axis(upright, left, WIDTH),
        bottom_axis(ticks, bottom, 0, WIDTH),
        label(
            x_label + (" · log scale" if isinstance(upright, LogScale) else ""),
            WIDTH,
            bottom + 31,
            room=WIDTH,
            anchor="end",
            quiet=True,
        ),
        *drawn,
        description=f"{len(lines)} runs, from {number(min(ys))} to {number(max(ys))}",
    )


def _placed(axis: Axis, start: float, end: float, missing: float) -> _Placed:
    """Numbers on a scale; with a text among them, each value on a place of its own, in order."""
    values = [
        None if value is None or value != value or value in (math.inf, -math.inf) else value for value in axis.values
    ]
    there = [value for value in values if value is not None]
    if there and all(isinstance(value, int | float) and not isinstance(value, bool) for value in there):
        numbers = [finite(value) if value is not None else None for value in values]  # type: ignore[arg-type]
        scale = _scale([one for one in numbers if one is not None] or [0.0], start, end)
        return _Placed(
            [None if one is None else scale.at(one) for one in numbers],
            [(scale.at(value), name) for value, name in scale.ticks()],
            missing,
            isinstance(scale, LogScale),
        )
    distinct = sorted({str(value) for value in there})
    between = (end - start) / max(1, len(distinct) - 1)
    at = {
        one: start + between * place if len(distinct) > 1 else (start + end) / 2 for place, one in enumerate(distinct)
    }
    every = -(-len(distinct) // _MOST_LABELS) or 1
    ticks = [(at[one], shortened(one, 66, 11)) for one in distinct[::every]]
    return _Placed([None if value is None else at[str(value)] for value in values], ticks, missing, False)


def _level(name: str, left: float, y: float) -> Svg:
    words = label(name, left - 6, y + 4, room=left - 6, anchor="end", quiet=True)
    return Svg(line((left, y), (WIDTH, y), opacity="0.16") + words)


def _scale(values: Sequence[float], start: float, end: float) -> Scale:
    low, high = min(values), max(values)
    if low > 0 and high / 100 >= low:
        return LogScale(low, high, start, end)
    return spanning(values, start, end)


def _axis(axis: Axis, placed: _Placed, x: float, top: float, bottom: float, place: int) -> Svg:
    title = axis.title + (" (log)" if placed.is_log else "")
    parts = [label(title, x, 14, room=106, anchor="middle", weight="600"), line((x, top), (x, bottom), opacity=_FAINT)]
    free = math.inf
    for y, name in sorted(placed.ticks, reverse=True):
        parts.append(line((x - 4, y), (x, y), opacity=_FAINT))
        if y <= free:
            parts.append(label(name, x + 5, y + 4, room=70, quiet=True))
            free = y - 12
    if any(one is None for one in placed.places):
        parts.append(label("none", x + 5, placed.missing + 4, room=70, quiet=True))
        parts.append(line((x - 4, placed.missing), (x + 4, placed.missing), opacity=_FAINT))
    parts.append(
        element(
            "rect",
            class_="hit",
            data_axis=str(place),
            x=x - 14,
            y=top - 8,
            width=28,
            height=bottom - top + 36,
            fill="transparent",
        )
    )
    return element("g", *parts)


def _path(run: int, name: str, places: Sequence[tuple[float, float] | None], runs: int, is_best: bool) -> Svg:
    """A run's line, broken where a place is missing; one place alone is a dot."""
    stretches: list[list[str]] = [[]]
    for place in places:
        if place is None:
            stretches.append([])
        else:
            stretches[-1].append(f"{coordinate(place[0])} {coordinate(place[1])}")
    return element(
        "path",
        element("title", text(name)),
        d="".join("M" + "L".join(one * 2 if len(one) == 1 else one) for one in stretches if one),
        fill="none",
        stroke=_colour(run, runs, is_best),
        stroke_width=2.4 if is_best or runs <= _FEW else 1.2,
        stroke_opacity=None if is_best or runs <= _FEW else "0.55",
        stroke_linecap="round",
        data_run=str(run),
    )


def _colour(run: int, runs: int, is_best: bool) -> str:
    """A colour a run where they are few; else one for all, and another for the best."""
    if runs <= _FEW:
        return SERIES[run % _FEW]
    return SERIES[1] if is_best else SERIES[0]


def _told(value: Value) -> str:
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
