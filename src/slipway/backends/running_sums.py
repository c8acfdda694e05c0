"""The exact running sums that every online store keeps with the events of a key: folded, and told apart, in one place.

With each event go the sums of its key up to and including it: how many rows, then for each column how many values, their
sum and the sum of their squares. A window is the difference of two of them. What is beyond 64 bits is kept as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, repeat
from operator import itemgetter
from typing import Any

from slipway.errors import InvalidInput
from slipway.ports.online_store import precedence
from slipway.records.features import ColumnState, EventRow

__all__ = ["HIGHEST", "LOWEST", "NOTHING", "columns_between", "is_news", "once", "place_of", "summed", "zeros"]

LOWEST, HIGHEST = -(2**63), 2**63 - 1
NOTHING: ColumnState = (0, 0, 0, None, None, None, ())
"""A column of a window that holds nothing."""

place_of = itemgetter(1, 2)
"""The place of an event among those of its key: its time and its id."""

_whole_place = itemgetter(0, 1, 2)


def zeros(width: int) -> tuple[int, ...]:
    """The sums before the first event, of a stream with so many columns."""
    return (0,) * (1 + 3 * width)


def is_news(row: EventRow, known: EventRow | None) -> bool:
    """Whether an event changes what is known under its place: of two contents the greater stays."""
    return known is None or precedence(row.values) > precedence(known.values)


def once(rows: Iterable[EventRow]) -> list[EventRow]:
    """Sorted rows, each place once with its greatest values."""
    kept: list[EventRow] = []
    for row in rows:
        if not kept or _whole_place(kept[-1]) != _whole_place(row):
            kept.append(row)
        elif is_news(row, kept[-1]):
            kept[-1] = row
    return kept


def summed(name: str, rows: Sequence[EventRow], squares: Sequence[bool], start: Sequence[Any]) -> list[Iterable[Any]]:
    """The running sums of one key's sorted rows, as columns beside the rows.

    Args:
        name: The stream's, for errors.
        rows: The rows.
        squares: For each column, whether its squares are summed too.
        start: The sums before the first row, as they are kept.

    Raises:
        InvalidInput: A row has not one value a column.
    """
    width = len(squares)
    if given := {len(row[3]) for row in rows} - {width}:
        raise InvalidInput(
            f"An event of {name!r} has {given.pop()} values.",
            why=f"The stream has {width} columns.",
            fix="Give one value for each, null where there is none.",
        )
    begin, count = [int(part) for part in start], len(rows)
    sums: list[Iterable[Any]] = [range(begin[0] + 1, begin[0] + 1 + count)]
    for index, column in enumerate(zip(*[row[3] for row in rows], strict=True)):
        n, s, q = begin[1 + 3 * index : 4 + 3 * index]
        values: Sequence[int] = column
        if None in column:
            sums.append(_running((value is not None for value in column), n))
            values = [value or 0 for value in column]
        else:
            sums.append(range(n + 1, n + 1 + count))
        sums.append(_running(values, s))
        sums.append(_running([value * value for value in values], q) if squares[index] else repeat(0, count))
    return sums


def _running(values: Iterable[int], start: int) -> Sequence[int | str]:
    sums = list(accumulate(values, initial=start))
    del sums[0]
    if sums and min(sums) >= LOWEST and max(sums) <= HIGHEST:
        return sums
    return [value if LOWEST <= value <= HIGHEST else str(value) for value in sums]


def columns_between(upper: Sequence[Any], lower: Sequence[Any]) -> tuple[ColumnState, ...]:
    """The columns of a window, out of the sums at its end and those before it; what needs a look inside is None."""
    try:
        return tuple(
            [
                (upper[i] - lower[i], upper[i + 1] - lower[i + 1], upper[i + 2] - lower[i + 2], None, None, None, ())
                for i in range(1, len(upper), 3)
            ]
        )
    except TypeError:  # some sum is beyond 64 bits, and kept as text
        return columns_between([int(part) for part in upper], [int(part) for part in lower])
