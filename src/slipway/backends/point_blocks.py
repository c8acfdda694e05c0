"""Points of a metric as blocks of bytes: columns of steps, times and values, the first two as differences, compressed.

Standard library only, and in loops that run in C: a block of a thousand points is packed in well under a millisecond.
"""

import math
import sys
import zlib
from array import array
from collections.abc import Iterable
from itertools import accumulate
from operator import sub

from slipway.errors import Corrupt
from slipway.records.runs import MetricPoint

__all__ = ["Row", "pack", "point_of", "row_of", "rows_of", "unpack"]

Row = tuple[int, int, bool, float]
"""(step, at_us, whether it is a number, the value or 0.0): as tuples compare, so points are ordered."""

_FORMAT = 1
_PLAIN_STEPS, _PLAIN_TIMES = 16, 32
"""Added to the format where differences do not fit into 64 bits and the column is kept as it is."""


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
    if not all(are_numbers):
        values = tuple(value if is_number else math.nan for _, _, is_number, value in rows)
    columns = (step_bytes, time_bytes, _little(array("d", values)))
    # Bytes of equal weight side by side: those of neighbours are alike.
    planes = b"".join(column[weight::8] for column in columns for weight in range(8))
    return bytes([_FORMAT + _PLAIN_STEPS * is_plain + _PLAIN_TIMES * is_time_plain]) + zlib.compress(planes, 1)


def unpack(body: bytes) -> list[Row]:
    """The rows that were packed.

    Raises:
        Corrupt: These are not such bytes.
    """
    try:
        planes = zlib.decompress(body[1:])
    except zlib.error as problem:
        raise Corrupt(f"A block of metric points cannot be read: {problem}.") from problem
    size = len(planes) // 3
    if body[0] & 15 != _FORMAT or size * 3 != len(planes) or size % 8:
        raise Corrupt(
            f"A block of metric points has the unknown form {body[0]}.", fix="Upgrade Slipway, or restore a backup."
        )
    steps, times, values = (_column(planes[start : start + size]) for start in (0, size, 2 * size))
    found = array("d", values)
    if sys.byteorder == "big":
        found.byteswap()
    return [
        (step, at, True, value) if value == value else (step, at, False, 0.0)
        for step, at, value in zip(
            _numbers(steps, bool(body[0] & _PLAIN_STEPS)),
            _numbers(times, bool(body[0] & _PLAIN_TIMES)),
            found,
            strict=True,
        )
    ]


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


def _numbers(column: bytes, is_plain: bool) -> Iterable[int]:
    numbers = array("q", column)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers if is_plain else accumulate(numbers)
