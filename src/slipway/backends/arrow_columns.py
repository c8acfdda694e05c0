"""Columns of Arrow against the fields of a contract: what fits as a whole needs no look at its values one by one.

A column that fits gives the very values that the same rows in JSON give after they were validated. One that does not, or
may not, is left to whoever validates JSON, so that there is one set of rules and one set of sentences.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from slipway.records.schema import Field

__all__ = ["Take", "bytes_of_text", "fitting"]

Take = Callable[[Any, str, int], list[Any]]
"""Some rows of a column, its name and the place of their first row, to values."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_US, _LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # the years 1 to 9999
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896
_MOST_INT = 2**63 - 1


def fitting(column: Any, field: Field) -> tuple[Any, Take] | None:
    """A column as it is taken out part by part where all of it fits a field, None where that is not known.

    Args:
        column: An array of one chunk.
        field: The contract's.
    """
    if column.null_count and not field.nullable:
        return None
    kind = column.type
    if types.is_null(kind):
        return column, _plain
    try:
        return _BY_TYPE[field.type](column, field) if field.type in _BY_TYPE else None
    except (pa.ArrowException, ValueError, OverflowError, KeyError):  # the last of pytz, for a zone that nobody knows
        return None


def bytes_of_text(column: Any) -> int:
    """How many bytes a column's texts have, those that rows share counted for each of them."""
    kind = column.type
    if types.is_dictionary(kind):
        if not _is_text(kind.value_type):
            return 0
        return pc.sum(pc.take(_lengths(column.dictionary), column.indices)).as_py() or 0
    return (pc.sum(_lengths(column)).as_py() or 0) if _is_text(kind) else 0


def _lengths(column: Any) -> Any:
    if not types.is_string_view(column.type):
        return pc.cast(pc.binary_length(column), pa.int64())
    # A view is 16 bytes, of which the first four are the length; those of nulls may be anything.
    views = memoryview(column.buffers()[1]).cast("B").cast("i")
    found = views[4 * column.offset : 4 * (column.offset + len(column)) : 4].tolist()
    return pc.if_else(column.is_valid(), pa.array(found, pa.int64()), 0)


def _is_text(kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _plain(column: Any, name: str, first: int) -> list[Any]:
    values: list[Any] = column.to_pylist()
    return values


def _values(column: Any, name: str, first: int) -> list[Any]:
    """The same by way of NumPy, which makes no object of Arrow for each value: for booleans, numbers and large strings."""
    if not column.null_count or types.is_large_string(column.type):
        values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return values
    values = pc.fill_null(column, pa.scalar(0).cast(column.type)).to_numpy(zero_copy_only=False).tolist()
    for place in column.is_null().to_numpy(zero_copy_only=False).nonzero()[0].tolist():
        values[place] = None
    return values


def _bools(column: Any, field: Field) -> tuple[Any, Take] | None:
    return (column, _values) if types.is_boolean(column.type) else None


def _ints(column: Any, field: Field) -> tuple[Any, Take] | None:
    if not types.is_integer(column.type):
        return None
    if types.is_uint64(column.type) and (pc.max(column).as_py() or 0) > _MOST_INT:
        return None
    return column, _values


def _floats(column: Any, field: Field) -> tuple[Any, Take] | None:
    if not (types.is_integer(column.type) or types.is_floating(column.type)):
        return None
    column = pc.cast(column, pa.float64(), safe=False)
    if pc.any(pc.is_inf(column)).as_py():
        return None
    is_nan = pc.is_nan(column)
    if pc.any(is_nan).as_py():  # the null of floating numbers
        if not field.nullable:
            return None
        column = pc.if_else(is_nan, pa.scalar(None, pa.float64()), column)
    return column, _values


def _texts(column: Any, field: Field) -> tuple[Any, Take] | None:
    kind = column.type
    if _is_text(kind):
        return pc.cast(column, pa.large_string()), _values
    if not types.is_dictionary(kind) or not _is_text(kind.value_type):
        return None
    if column.dictionary.null_count and not field.nullable:
        return None
    texts = column.dictionary.to_pylist()  # made once, and shared by the rows

    def shared(codes: Any, name: str, first: int) -> list[Any]:
        return [None if code is None else texts[code] for code in _values(codes, name, first)]

    return column.indices, shared


def _instants(column: Any, field: Field) -> tuple[Any, Take] | None:
    kind = column.type
    if not types.is_timestamp(kind) or kind.tz is None:
        return None
    pa.lib.string_to_tzinfo(kind.tz)  # no zone that is known: nobody knows what its callers mean
    column = pc.cast(pc.cast(column, pa.timestamp("us", "UTC")), pa.int64())
    return (column, _since_epoch) if _is_within(column, _FIRST_US, _LAST_US) else None


def _since_epoch(column: Any, name: str, first: int) -> list[Any]:
    return [None if at is None else _EPOCH + timedelta(microseconds=at) for at in _values(column, name, first)]


def _dates(column: Any, field: Field) -> tuple[Any, Take] | None:
    if not types.is_date32(column.type):
        return None
    return (column, _plain) if _is_within(pc.cast(column, pa.int32()), _FIRST_DAY, _LAST_DAY) else None


def _is_within(column: Any, least: int, most: int) -> bool:
    found = pc.min_max(column).as_py()
    return found["min"] is None or (found["min"] >= least and found["max"] <= most)


_BY_TYPE: dict[str, Callable[[Any, Field], tuple[Any, Take] | None]] = {
    "bool": _bools,
    "int": _ints,
    "float": _floats,
    "string": _texts,
    "category": _texts,
    "datetime": _instants,
    "date": _dates,
}
