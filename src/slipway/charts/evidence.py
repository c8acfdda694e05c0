"""Evidence as it comes in: at each look how much worse something may be, beside how much worse it is allowed to be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from slipway.charts.scales import Scale, bottom_axis, left_axis, room_for, spanning
from slipway.charts.svg import WIDTH, Svg, document, element, heading, label, line, nothing_to_show, text
from slipway.charts.text import clean, finite, number

__all__ = ["SeenAt", "evidence_chart"]

Verdict = Literal["worse", "not worse", "undecided"]

_COLOURS: Mapping[Verdict, str] = {
    "worse": "var(--bad, #a1352c)",
    "not worse": "var(--good, #2b6b45)",
    "undecided": "var(--warn, #7a5a12)",
}
_MARKS: Mapping[Verdict, str] = {"worse": "✕", "not worse": "✓", "undecided": "?"}
_HEIGHT, _ROOM = 150, 34


@dataclass(frozen=True)
class SeenAt:
    """One look.

    Args:
        at: When, in short.
        high: How much worse it is at most.
        verdict: What was said of it.
        value: How much worse it seems, None where only the bound is known.
        low: How much worse it is at least, None likewise.
        step: What began with this look: "10 %"; "" for nothing.
    """

    at: str
    high: float
    verdict: Verdict
    value: float | None = None
    low: float | None = None
    step: str = ""


def evidence_chart(looks: Sequence[SeenAt], *, margin: float, title: str = "", y_label: str = "") -> str:
    """Looks side by side in their order, over the area in which the challenger is as good as it must be.

    Args:
        looks: Oldest first. One whose bound is no number is left out.
        margin: How much worse it is allowed to be: bounds below it show that it is not worse.
        title: Stands above the chart, and names it.
        y_label: What the values are, with their unit.

    Returns:
        An SVG element.
    """
    known = [look for look in looks if finite(look.high) is not None]
    if not known or finite(margin) is None:
        return nothing_to_show("evidence", title, "no look has a bound" if looks else "no looks")
    head, top = heading(title)
    caption = label(y_label, 0, top + 9, room=WIDTH, quiet=True) if y_label else Svg("")
    top += (22 if y_label else 8) + _ROOM
    bottom = top + _HEIGHT
    ends = [
        end
        for look in known
        for end in (look.low, look.value, look.high)
        if end is not None and finite(end) is not None
    ]
    upright = spanning([*ends, margin, 0.0], bottom, top)
    left = room_for((name for _, name in upright.ticks()), most=90) + 8
    across = spanning([float(place) for place in range(len(known))], left + 14, WIDTH - 14)
    stride = max(1, -(-len(known) * int(room_for((look.at for look in known), most=110) + 12) // int(WIDTH - left)))
    return document(
        "evidence",
        title or y_label,
        bottom + 24,
        head,
        caption,
        *_areas(upright, margin, left, top, bottom),
        left_axis(upright, left, WIDTH),
        *_steps(known, across, top, bottom),
        *(_look(look, across.at(float(place)), upright) for place, look in enumerate(known)),
        bottom_axis(
            [(across.at(float(n)), clean(known[n].at)) for n in range(0, len(known), stride)], bottom, 0, WIDTH
        ),
        description=_told(known, margin),
    )


def _areas(upright: Scale, margin: float, left: float, top: float, bottom: float) -> list[Svg]:
    edge = min(max(upright.at(margin), top), bottom)

    def area(y: float, height: float, verdict: Verdict) -> Svg:
        return element("rect", x=left, y=y, width=WIDTH - left, height=height, fill=_COLOURS[verdict], opacity="0.08")

    return [
        area(top, edge - top, "worse"),
        area(edge, bottom - edge, "not worse"),
        line((left, edge), (WIDTH, edge), opacity="0.8", dash="4 3"),
        label("more than is allowed", WIDTH - 4, edge - 4, room=WIDTH - left, anchor="end", quiet=True),
        label("within what is allowed", WIDTH - 4, edge + 12, room=WIDTH - left, anchor="end", quiet=True),
    ]


def _steps(known: Sequence[SeenAt], across: Scale, top: float, bottom: float) -> list[Svg]:
    """An upright line where a step began, named above it."""
    drawn: list[Svg] = []
    free = -1.0
    for place, look in enumerate(known):
        if not look.step:
            continue
        x = across.at(float(place)) - (6 if place else 0)
        drawn.append(line((x, top - 16), (x, bottom), opacity="0.45"))
        if x >= free:
            drawn.append(label(look.step, x + 4, top - 18, room=70, quiet=True))
            free = x + 48
    return drawn


def _look(look: SeenAt, x: float, upright: Scale) -> Svg:
    colour = _COLOURS[look.verdict]
    high = upright.at(look.high)
    parts = [line((x - 4, high), (x + 4, high), stroke=colour, width=2)]
    if look.low is not None and finite(look.low) is not None:
        low = upright.at(look.low)
        parts.append(line((x, high), (x, low), stroke=colour, width=2))
        parts.append(line((x - 4, low), (x + 4, low), stroke=colour, width=2))
    if look.value is not None and finite(look.value) is not None:
        parts.append(element("circle", cx=x, cy=upright.at(look.value), r=3.5, fill=colour))
    said = f"{look.at}: {look.verdict}, at most {number(look.high)}"
    mark = element("text", text(_MARKS[look.verdict]), x=x, y=high - 6, fill=colour, font_size=11, text_anchor="middle")
    return element("g", element("title", text(said)), *parts, mark)


def _told(known: Sequence[SeenAt], margin: float) -> str:
    last = known[-1]
    words = f"{len(known)} looks; the last, {last.at}: {last.verdict}, at most {number(last.high)} worse"
    return f"{words}, where {number(margin)} is allowed"
