"""Amounts as bars: one a label, or one a range of values."""

from collections.abc import Sequence
from itertools import pairwise

from slipway.charts.scales import Scale, bottom_axis, left_axis, room_for, spanning
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
from slipway.errors import InvalidInput

__all__ = ["bar_chart", "histogram"]

_ROW = 22.0


def bar_chart(bars: Sequence[tuple[str, float | None]], *, title: str = "", value_label: str = "") -> str:
    """Bars that lie, one below the other, from zero; negative ones to the left.

    Args:
        bars: Label and value, in the order in which they stand. A value that is None, NaN or infinite shows a dash.
        title: Stands above the chart, and names it.
        value_label: What the values are, with their unit.

    Returns:
        An SVG element.
    """
    plain = [(clean(name), finite(value)) for name, value in bars]
    known = [value for _, value in plain if value is not None]
    if not known:
        return nothing_to_show("bars", title, "no value is a number" if plain else "no values")
    head, top = heading(title)
    caption = label(value_label, 0, top + 9, room=WIDTH, quiet=True) if value_label else Svg("")
    top += 18 if value_label else 0
    names = room_for((name for name, _ in plain), most=140)
    figures = room_for((number(value) for value in known), most=90) + 6
    left = names + 10 + (figures if min(known) < 0 else 0)
    across = spanning(known, left, WIDTH - figures, zero=True)
    rows = [_bar(name, value, across, top + index * _ROW, names) for index, (name, value) in enumerate(plain)]
    bottom = top + len(plain) * _ROW
    zero = line((across.at(0), top), (across.at(0), bottom), opacity="0.4")
    told = f"{len(known)} of {len(plain)} bars have a value, {number(min(known))} to {number(max(known))}"
    return document("bars", title or value_label, bottom + 4, head, caption, *rows, zero, description=told)


def _bar(name: str, value: float | None, across: Scale, top: float, room: float) -> Svg:
    base, zero = top + _ROW / 2 + 4, across.at(0)
    end = zero if value is None else across.at(value)
    beside = (end - 5, "end") if end < zero else (end + 5, "start")
    parts = [
        element("title", text(f"{name}: {number(value)}")),
        label(name, room, base, room=room + 0.1, anchor="end"),
        label(number(value), beside[0], base, room=90, anchor=beside[1], quiet=True),
    ]
    if value:
        parts.append(
            element(
                "rect",
                x=min(zero, end),
                y=top + 4,
                width=max(0.5, abs(end - zero)),
                height=_ROW - 8,
                rx=2,
                fill=ACCENT,
            )
        )
    return element("g", *parts)


def histogram(
    edges: Sequence[float],
    counts: Sequence[float | None],
    *,
    reference: Sequence[float | None] | None = None,
    title: str = "",
    x_label: str = "",
) -> str:
    """How values are spread: the share of the rows in each range, with the outline of a reference over it.

    Every range is equally wide on paper, so that ranges with equal shares (deciles, say) can be read too; the labels
    say where each ends.

    Args:
        edges: Ascending: one more than there are counts, or one fewer where the first and the last range are open.
        counts: Rows a range, 0 or more. What is not a number counts as 0, and its tool tip says so.
        reference: Rows a range of what it is compared with, taken as shares of its own sum.
        title: Stands above the chart, and names it.
        x_label: What the values are, with their unit.

    Raises:
        InvalidInput: When edges, counts and reference do not fit each other.

    Returns:
        An SVG element.
    """
    names = _ranges(edges, counts, reference)
    shares, compared = _shares(counts), _shares(reference or ())
    if not any(shares) and not any(compared):
        return nothing_to_show("histogram", title, "no rows counted" if counts else "no values")
    head, top = heading(title)
    said = "share of rows; the outline is the reference" if any(compared) else "share of rows"
    top += 22
    bottom = top + 130
    upright = spanning([*shares, *compared], bottom, top, zero=True)
    left = room_for((name for _, name in upright.ticks()), most=90) + 8
    across = Scale(0, len(counts), left, WIDTH - 6)
    first = 0 if len(edges) > len(counts) else 1
    columns = [
        _column(at, share, f"{name}: {number(count)} rows, {share:.1%}", across, upright)
        for at, (share, name, count) in enumerate(zip(shares, names, counts, strict=True))
    ]
    return document(
        "histogram",
        title or x_label,
        bottom + (38 if x_label else 24),
        head,
        label(said, 0, top - 13, room=WIDTH, quiet=True),
        left_axis(upright, left, WIDTH),
        *columns,
        _outline(compared, across, upright) if any(compared) else Svg(""),
        bottom_axis([(across.at(at), number(edge)) for at, edge in enumerate(edges, first)], bottom, 0, WIDTH),
        label(x_label, (left + WIDTH) / 2, bottom + 33, room=WIDTH - left, anchor="middle", quiet=True),
        description=f"{len(counts)} ranges; the fullest is {names[shares.index(max(shares))]}, {max(shares):.1%} of the rows",
    )


def _ranges(
    edges: Sequence[float], counts: Sequence[float | None], reference: Sequence[float | None] | None
) -> list[str]:
    """What each range is called, once all of them fit."""
    ends = [finite(edge) for edge in edges]
    known = [end for end in ends if end is not None]
    if len(known) < len(ends) or known != sorted(set(known)):
        raise InvalidInput(
            "The edges of a histogram are not ascending numbers.",
            why="Each range reaches from one edge to a greater one.",
            fix="Give finite edges, each greater than the one before; leave open ends out.",
        )
    fitting = {len(counts) + 1, max(0, len(counts) - 1)}
    if len(known) not in fitting or (reference is not None and len(reference) != len(counts)):
        also = "" if reference is None else f" and {len(reference)} of a reference"
        raise InvalidInput(
            f"A histogram was given {len(known)} edges for {len(counts)} counts{also}.",
            why="Ranges lie between the edges, or also below the first and above the last.",
            fix=f"Give {len(counts) + 1} edges, or {max(0, len(counts) - 1)} where both ends are open.",
        )
    between = [f"{number(low)} to {number(high)}" for low, high in pairwise(known)]
    if len(known) > len(counts) or not counts:
        return between
    return [f"up to {number(known[0])}", *between, f"over {number(known[-1])}"] if known else ["all"]


def _shares(counts: Sequence[float | None]) -> list[float]:
    plain = [max(0.0, finite(count) or 0.0) for count in counts]
    # Over the greatest first: a sum of floats may be more than a float can hold.
    most = max(plain, default=0.0) or 1.0
    whole = sum(count / most for count in plain) or 1.0
    return [count / most / whole for count in plain]


def _column(at: int, share: float, told: str, across: Scale, upright: Scale) -> Svg:
    x, y = across.at(at), upright.at(share)
    return element(
        "rect",
        element("title", text(told)),
        x=x + 0.5,
        y=y,
        width=max(0.5, across.at(at + 1) - x - 1),
        height=upright.start - y,
        fill=ACCENT,
        fill_opacity="0.8",
    )


def _outline(shares: list[float], across: Scale, upright: Scale) -> Svg:
    steps = [f"M{coordinate(across.start)} {coordinate(upright.start)}"]
    for at, share in enumerate(shares, 1):
        steps.append(f"V{coordinate(upright.at(share))}H{coordinate(across.at(at))}")
    steps.append(f"V{coordinate(upright.start)}")
    return element("path", d="".join(steps), fill="none", stroke="currentColor", stroke_width=1.5)
