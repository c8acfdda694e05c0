"""Estimates with how sure they are: metrics by slice, and how far predictions can be taken at their word."""

from collections.abc import Sequence

from slipway.charts.scales import Scale, bottom_axis, grid, left_axis, room_for, spanning
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

__all__ = ["interval_chart", "reliability_chart"]

_ROW = 24.0
_Row = tuple[str, float | None, float | None, float | None]


def interval_chart(
    rows: Sequence[tuple[str, float | None, float | None, float | None]],
    *,
    title: str = "",
    value_label: str = "",
    reference: float | None = None,
) -> str:
    """Values as dots with whiskers, one below the other on one scale: a metric by slice, say.

    Args:
        rows: Label, value, low and high end of its interval, in the order in which they stand. A value that is None,
            NaN or infinite shows a dash; without both ends there is no whisker.
        title: Stands above the chart, and names it.
        value_label: What the values are, with their unit.
        reference: Where an upright line stands, the value over all rows say; None for no line.

    Returns:
        An SVG element.
    """
    plain = [(clean(name), finite(value), finite(low), finite(high)) for name, value, low, high in rows]
    if all(value is None for _, value, _, _ in plain):
        return nothing_to_show("intervals", title, "no value is a number" if plain else "no values")
    whole = finite(reference)
    known = [mark for row in plain if row[1] is not None for mark in row[1:] if mark is not None]
    values = [value for _, value, _, _ in plain if value is not None]
    head, top = heading(title)
    names = room_for((name for name, *_ in plain), most=130)
    figures = room_for((number(value) for value in values), most=80)
    across = spanning([*known, *([] if whole is None else [whole])], names + 18, WIDTH - figures - 16)
    bottom = top + len(plain) * _ROW + 4
    upright = Svg("")
    if whole is not None:
        hint = element("title", text(f"reference: {number(whole)}"))
        x = across.at(whole)
        upright = line((x, top), (x, bottom), hint, width=1.5, opacity="0.6", dash="3 3")
    told = f"{len(values)} of {len(plain)} values, from {number(min(values))} to {number(max(values))}"
    return document(
        "intervals",
        title or value_label,
        bottom + (38 if value_label else 24),
        head,
        grid(across, top, bottom),
        upright,
        *(_interval(row, across, top + index * _ROW + _ROW / 2, names) for index, row in enumerate(plain)),
        bottom_axis([(across.at(value), name) for value, name in across.ticks()], bottom, names, WIDTH),
        _caption(value_label, (across.start + across.end) / 2, bottom + 33),
        description=told + ("" if whole is None else f"; the upright line is at {number(whole)}"),
    )


def _caption(content: str, x: float, y: float) -> Svg:
    return label(content, x, y, room=WIDTH - x, anchor="middle", quiet=True) if content else Svg("")


def _interval(row: _Row, across: Scale, y: float, room: float) -> Svg:
    name, value, low, high = row
    known = low is not None and high is not None
    parts = [
        element("title", text(f"{name}: {number(value)}" + (f", {number(low)} to {number(high)}" if known else ""))),
        label(name, room, y + 4, room=room + 0.1, anchor="end"),
        label(number(value), WIDTH, y + 4, room=80, anchor="end", quiet=True),
    ]
    if value is not None:
        if low is not None and high is not None:
            parts.append(line((across.at(low), y), (across.at(high), y), stroke=ACCENT, width=3, opacity="0.45"))
        parts.append(element("circle", cx=across.at(value), cy=y, r=4, fill=ACCENT))
    return element("g", *parts)


def reliability_chart(
    points: Sequence[tuple[float | None, float | None, float | None, float | None, int]], *, title: str = ""
) -> str:
    """How often what was predicted came true, with the diagonal on which both agree.

    Args:
        points: Mean prediction, share observed, low and high end of its interval (all between 0 and 1; without both
            ends there is no whisker) and the number of rows, which the area of the dot follows. Points without a
            prediction or an observation between 0 and 1 are left out, and the chart says so.
        title: Stands above the chart, and names it.

    Returns:
        An SVG element.
    """
    plain = [(finite(x), finite(y), finite(low), finite(high), n) for x, y, low, high, n in points]
    known = [
        (x, y, low, high, n)
        for x, y, low, high, n in plain
        if x is not None and y is not None and 0 <= x <= 1 and 0 <= y <= 1
    ]
    if not known:
        return nothing_to_show("reliability", title, "no point has both shares" if plain else "no points")
    head, top = heading(title)
    caption = label("observed", 0, top + 9, room=WIDTH, quiet=True)
    top += 22
    left, side = 34.0, 240.0
    right, bottom = left + side, top + side
    across, upright = Scale(0, 1, left, right), Scale(0, 1, bottom, top)
    most = max(1, *(n for *_, n in known))
    lost = len(plain) - len(known)
    lost_told = f"{lost} of {len(plain)} points cannot be shown" if lost else ""
    return document(
        "reliability",
        title or "Reliability",
        bottom + (56 if lost else 38),
        head,
        caption,
        left_axis(upright, left, right),
        grid(across, top, bottom),
        line((left, bottom), (right, top), opacity="0.5", dash="4 4"),
        *(_point(point, across, upright, max(0, point[-1]) / most) for point in known),
        bottom_axis([(across.at(value), name) for value, name in across.ticks()], bottom, 0, WIDTH),
        label("predicted", (left + right) / 2, bottom + 33, room=WIDTH, anchor="middle", quiet=True),
        label(lost_told, left, bottom + 51, room=WIDTH - left, quiet=True) if lost else Svg(""),
        description=f"{lost_told or f'{len(known)} points'}. On the dashed line, what was predicted came true as often as "
        "predicted; below it, less often.",
    )


def _point(
    point: tuple[float, float, float | None, float | None, int], across: Scale, upright: Scale, share: float
) -> Svg:
    predicted, observed, low, high, n = point
    x, y = across.at(predicted), upright.at(observed)
    told = f"predicted {number(predicted)}, observed {number(observed)}"
    parts = []
    if low is not None and high is not None:
        told += f" ({number(low)} to {number(high)})"
        ends = (x, upright.at(low)), (x, upright.at(high))
        parts.append(line(*ends, stroke=ACCENT, width=2, opacity="0.5"))
    parts.append(element("circle", cx=x, cy=y, r=2.5 + 4 * share**0.5, fill=ACCENT, fill_opacity="0.85"))
    return element("g", element("title", text(f"{told}, {n:,} rows")), *parts)
