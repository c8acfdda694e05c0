"""Shares of rows beside what they were before: a bar for now, a mark for each thing that it is compared with."""

from collections.abc import Sequence

from slipway.charts.scales import Scale, bottom_axis, grid, room_for, spanning
from slipway.charts.svg import (
    ACCENT,
    SERIES,
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
from slipway.charts.text import clean, finite, width_of

__all__ = ["share_chart"]

_ROW = 22.0
_SECOND = SERIES[1]
_Row = tuple[str, float, float | None, float | None]


def share_chart(
    rows: Sequence[tuple[str, float | None, float | None, float | None]],
    *,
    title: str = "",
    names: tuple[str, str, str] = ("now", "usual", "training"),
) -> str:
    """One row a range or category: a bar for its share now, an unbroken mark for the usual one, a dashed one for training.

    Args:
        rows: Label, share now, usual share, share at training, each from 0 to 1. One that is not a number is left out; a
            row without a share now counts as 0.
        title: Stands above the chart, and names it.
        names: What the three are called.

    Returns:
        An SVG element.
    """
    plain: list[_Row] = [
        (clean(name), min(1.0, max(0.0, finite(now) or 0.0)), finite(usual), finite(before))
        for name, now, usual, before in rows
    ]
    if not plain:
        return nothing_to_show("shares", title, "no values")
    head, top = heading(title)
    told, top = _legend(names, top, has_usual=any(usual is not None for _, _, usual, _ in plain))
    room = room_for((name for name, *_ in plain), most=130)
    most = [share for _, *shares in plain for share in shares if share is not None]
    across = spanning([*most, 0.01], room + 12, WIDTH - 52, zero=True)
    bottom = top + len(plain) * _ROW + 2
    last = [(across.at(value), f"{value:.0%}") for value, _ in across.ticks(4)]
    return document(
        "shares",
        title or "Shares of rows",
        bottom + 24,
        head,
        told,
        grid(across, top, bottom),
        *(_row(row, across, top + index * _ROW, room, names) for index, row in enumerate(plain)),
        bottom_axis(last, bottom, room, WIDTH),
        description=f"{len(plain)} ranges or categories by their share of the rows: {', '.join(map(clean, names))}",
    )


def _legend(names: tuple[str, str, str], top: float, *, has_usual: bool) -> tuple[Svg, float]:
    now, usual, before = map(clean, names)
    y, x, parts = top + 6, 0.0, []
    marks = [(element("rect", x=0, y=y - 5, width=16, height=10, rx=2, fill=ACCENT, fill_opacity="0.75"), now)]
    if has_usual:
        marks.append((line((8, y - 7), (8, y + 7), width=2.4), usual))
    marks.append((line((8, y - 7), (8, y + 7), stroke=_SECOND, width=2.4, dash="3 2"), before))
    for mark, name in marks:
        wide = min(width_of(name, 11.0), 110.0)
        parts.append(element("g", mark, label(name, 22, y + 4, room=111), transform=f"translate({x:.0f} 0)"))
        x += wide + 42
    return Svg("".join(parts)), top + 22


def _row(row: _Row, across: Scale, top: float, room: float, names: tuple[str, str, str]) -> Svg:
    name, now, usual, before = row
    shares = zip(names, (now, usual, before), strict=True)
    said = ", ".join(f"{clean(which)} {share:.1%}" for which, share in shares if share is not None)
    middle = top + _ROW / 2
    parts = [
        element("title", text(f"{name}: {said}")),
        label(name, room, middle + 4, room=room + 0.1, anchor="end"),
        element(
            "rect",
            x=across.at(0),
            y=top + 5,
            width=max(0.5, across.at(now) - across.at(0)),
            height=_ROW - 10,
            rx=2,
            fill=ACCENT,
            fill_opacity="0.75",
        ),
        label(f"{now:.1%}", WIDTH, middle + 4, room=50, anchor="end", quiet=True),
    ]
    if before is not None:
        x = across.at(before)
        parts.append(line((x, top + 2), (x, top + _ROW - 2), stroke=_SECOND, width=2.4, dash="3 2"))
    if usual is not None:
        x = across.at(usual)
        parts.append(line((x, top + 2), (x, top + _ROW - 2), width=2.4))
    return element("g", *parts)
