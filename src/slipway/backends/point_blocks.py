"""Points of a metric as blocks of bytes: columns of steps, times and values, the first two as differences, compressed.

Standard library only, and in loops that run in C: a block of a thousand points is packed in well under a millisecond.
"""

import math
import sys
import zlib
from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, repeat
from operator import sub
from typing import NamedTuple

from slipway.errors import Corrupt
from slipway.records.runs import MetricPoint

__all__ = ["Columns", "Row", "pack", "point_of", "row_of", "rows_of"]

Row = tuple[int, int, bool, float]
"""(step, at_us, whether it is a number, the value or 0.0): as tuples compare, so points are ordered."""

_FORMAT = 1
_PLAIN_STEPS, _PLAIN_TIMES, _HAS_NAN = 16, 32, 64
"""Added to the format: a column is kept as it is, because its differences do not fit into 64 bits; a value is NaN."""


def row_of(point: MetricPoint) -> Row:
    """A point as a row."""
    value = point.value
    return (point.step, point.at_us, True, value) if value == value else (point.step, point.at_us, False, 0.0)


def point_of(key: str, row: Row) -> MetricPoint:
    """A row as a point of a metric."""
    return MetricPoint(key, row[3] if row[2] else math.nan, row[0], row[1])


def rows_of(rows: Iterable[Row]) -> list[Row]:
    """Rows in order, identical ones once."""
    return list(dict.fromkeys(sorted(rows)))


def pack(rows: list[Row]) -> bytes:
    """Rows as bytes: one of the format, then the columns byte plane by byte plane, compressed."""
    steps, times, are_numbers, values = zip(*rows, strict=True)
    step_bytes, is_plain = _differences(steps)
    time_bytes, is_time_plain = _differences(times)
    has_nan = not all(are_numbers)
    if has_nan:
        values = tuple(value if is_number else math.nan for _, _, is_number, value in rows)
    columns = (step_bytes, time_bytes, _little(array("d", values)))
    # Bytes of equal weight side by side: those of neighbours are alike.
    planes = b"".join(column[weight::8] for column in columns for weight in range(8))
    form = _FORMAT + _PLAIN_STEPS * is_plain + _PLAIN_TIMES * is_time_plain + _HAS_NAN * has_nan
    return bytes([form]) + zlib.compress(planes, 1)


class Columns(NamedTuple):
    """A block's points as columns, in order."""

    steps: Sequence[int]
    times: Sequence[int]
    values: "array[float]"
    has_nan: bool

    @classmethod
    def of(cls, body: bytes) -> "Columns":
        """The columns that were packed.

        Raises:
            Corrupt: These are not such bytes.
        """
        try:
            planes = zlib.decompress(body[1:])
        except zlib.error as problem:
            raise Corrupt(f"A block of metric points cannot be read: {problem}.") from problem
        form, size = body[0], len(planes) // 3
        if form & 15 != _FORMAT or size * 3 != len(planes) or size % 8:
            raise Corrupt(
                f"A block of metric points has the unknown form {form}.", fix="Upgrade Slipway, or restore a backup."
            )
        steps, times, values = (_column(planes[start : start + size]) for start in (0, size, 2 * size))
        found = array("d", values)
        if sys.byteorder == "big":
            found.byteswap()
        return cls(
            _numbers(steps, bool(form & _PLAIN_STEPS)),
            _numbers(times, bool(form & _PLAIN_TIMES)),
            found,
            bool(form & _HAS_NAN),
        )

    def rows(self) -> list[Row]:
        """All points."""
        if not self.has_nan:
            return list(zip(self.steps, self.times, repeat(True), self.values))  # one goes on for ever
        return [self.row(place) for place in range(len(self.values))]

    def row(self, place: int) -> Row:
        """One point."""
        value = self.values[place]
        is_number = value == value
        return self.steps[place], self.times[place], is_number, value if is_number else 0.0

    def bounds(self, begin: int, until: int) -> tuple[float | None, float | None]:
        """The least and the greatest value of a stretch, None where it has no number."""
        part: Iterable[float] = self.values[begin:until]
        if self.has_nan:
            part = [value for value in part if value == value]
            if not part:
                return None, None
        return min(part), max(part)


def _differences(numbers: tuple[int, ...]) -> tuple[bytes, bool]:
    try:
        return _little(array("q", [numbers[0], *map(sub, numbers[1:], numbers)])), False
    except OverflowError:
        return _little(array("q", numbers)), True


def _column(planes: bytes) -> bytes:
    count = len(planes) // 8
    column = bytearray(len(planes))
    for weight in range(8):
        column[weight::8] = planes[weight * count : (weight + 1) * count]
    return bytes(column)


def _little(numbers: "array[int] | array[float]") -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _numbers(column: bytes, is_plain: bool) -> Sequence[int]:
    numbers = array("q", column)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers if is_plain else list(accumulate(numbers))
