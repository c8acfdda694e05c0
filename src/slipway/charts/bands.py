"""An estimate as it settles: its value and its bounds along a line."""

from collections.abc import Mapping, Sequence

from slipway.charts.scales import bottom_axis, left_axis, room_for, spanning
from slipway.charts.svg import (
    ACCENT,
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
from slipway.charts.text import clean, finite, number

__all__ = ["band_chart"]

_Point = tuple[str, float | None, float | None, float | None]
_Known = tuple[float, str, float, float, float]


def band_chart(
    points: Sequence[_Point], *, title: str = "", y_label: str = "", levels: Mapping[str, float] | None = None
) -> str:
    """A line with a band of uncertainty around it, side by side in the order given.

    Args:
        points: Label, value, low and high end of its interval. A point of which one is None, NaN or infinite is left out.
        title: Stands above the chart, and names it.
        y_label: What the values are, with their unit.
        levels: Level lines by name: what the bounds are compared with.

    Returns:
        An SVG element.
    """
    known: list[_Known] = []
    for place, (name, *figures) in enumerate(points):
        value, low, high = (finite(one) for one in figures)
        if value is not None and low is not None and high is not None:
            known.append((float(place), clean(name), value, low, high))
    if not known:
        return nothing_to_show("band", title, "no point has bounds" if points else "no points")
    marked = {clean(name): level for name, given in (levels or {}).items() if (level := finite(given)) is not None}
    head, top = heading(title)
    caption = label(y_label, 0, top + 9, room=WIDTH, quiet=True) if y_label else Svg("")
    top += 22 if y_label else 8
    bottom = top + 120
    upright = spanning([*(y for point in known for y in point[2:]), *marked.values()], bottom, top)
    left = room_for((name for _, name in upright.ticks()), most=90) + 8
    across = spanning([point[0] for point in known], left + 8, WIDTH - 10)
    lines = [
        Svg(
            line((left, upright.at(level)), (WIDTH, upright.at(level)), opacity="0.55", dash="4 3" if level else None)
            + label(name, WIDTH, upright.at(level) - 4, room=WIDTH - left, anchor="end", quiet=True)
        )
        for name, level in marked.items()
    ]
    places = [(across.at(x), upright.at(low), upright.at(high), upright.at(value)) for x, _, value, low, high in known]
    stride = max(1, -(-len(known) * int(room_for((point[1] for point in known), most=110) + 12) // int(WIDTH - left)))
    return document(
        "band",
        title or y_label,
        bottom + 24,
        head,
        caption,
        left_axis(upright, left, WIDTH),
        *lines,
        _band(places),
        *(_dot(point, across.at(point[0]), upright.at(point[2])) for point in known),
        bottom_axis([(across.at(x), name) for x, name, *_ in known[::stride]], bottom, 0, WIDTH),
        description=_told(known),
    )


def _band(places: Sequence[tuple[float, float, float, float]]) -> Svg:
    """The area between the bounds, whiskers where it has no width, and the line of the values."""
    if len(places) == 1:
        x, low, high, _ = places[0]
        return line((x, low), (x, high), stroke=ACCENT, width=3, opacity="0.35")
    there = "L".join(f"{coordinate(x)} {coordinate(high)}" for x, _, high, _ in places)
    back = "L".join(f"{coordinate(x)} {coordinate(low)}" for x, low, _, _ in reversed(places))
    middle = "L".join(f"{coordinate(x)} {coordinate(y)}" for x, _, _, y in places)
    return Svg(
        element("path", d=f"M{there}L{back}Z", fill=ACCENT, fill_opacity="0.2")
        + element("path", d=f"M{middle}", fill="none", stroke=ACCENT, stroke_width=1.8, stroke_linejoin="round")
    )


def _dot(point: _Known, x: float, y: float) -> Svg:
    _, name, value, low, high = point
    told = f"{name}: {number(value)}, {number(low)} to {number(high)}".removeprefix(": ")
    return element("circle", element("title", text(told)), cx=x, cy=y, r=2.6, fill=ACCENT)


def _told(known: Sequence[_Known]) -> str:
    _, name, value, low, high = known[-1]
    return (
        f"{len(known)} looks; the last{f', {name}' if name else ''}: {number(value)}, {number(low)} to {number(high)}"
    )
