"""Watermarks: how far a source has been read, exactly, as a value and as the record keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from slipway.errors import InvalidInput, near
from slipway.records.sources import Mark
from slipway.schema.types import in_utc

__all__ = ["Reach", "mark_of", "reach_of", "value_of"]

Value = int | str | date | datetime

_AHEAD = timedelta(hours=14)
"""A wall time may be that much ahead of UTC and yet not in the future."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What the watermarks of some rows say.

    Args:
        rows: How many rows there are.
        reached: The greatest watermark that is not in the future, None where there is none.
        nulls: Rows without a watermark.
        future: Rows whose watermark is in the future.
    """

    rows: int
    reached: Value | None
    nulls: int
    future: int


def mark_of(value: Value) -> Mark:
    """A watermark as the record keeps it."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return Mark("wall time", value.isoformat())
        return Mark("datetime", value.astimezone(UTC).isoformat())
    if isinstance(value, date):
        return Mark("date", value.isoformat())
    return Mark("int" if isinstance(value, int) else "string", str(value))


def value_of(mark: Mark) -> Value:
    """The watermark that the record keeps."""
    if mark.type in ("datetime", "wall time"):
        return datetime.fromisoformat(mark.text)
    if mark.type == "date":
        return date.fromisoformat(mark.text)
    return int(mark.text) if mark.type == "int" else mark.text


def reach_of(rows: pl.LazyFrame, column: str, now: datetime, *, table: str) -> Reach:
    """How far rows reach. A watermark in the future does not count: it would hide all that comes until then.

    Raises:
        InvalidInput: The column is not there, or nothing can be greater than another in it.
    """
    schema = rows.collect_schema()
    if column not in schema:
        raise InvalidInput(
            f"The watermark {column!r} of the table {table!r} is no column of its source.",
            why=near(column, schema, what="columns"),
            field=column,
        )
    dtype = schema[column]
    if not (dtype.is_integer() or isinstance(dtype, pl.String | pl.Date | pl.Datetime | pl.Null)):
        raise InvalidInput(
            f"The watermark {column!r} of the table {table!r} is {dtype} in its source.",
            why="A watermark is a time, a date, an integer or text that sorts as it grows.",
            fix="Name another column.",
            field=column,
        )
    mark = in_utc(column, dtype)
    limit = _limit(dtype, now)
    is_future = pl.lit(False) if limit is None else mark > pl.lit(limit)
    found = rows.select(
        pl.len().alias("rows"),
        _exact(mark.filter(is_future.not_()), dtype).max().alias("reached"),
        mark.null_count().alias("nulls"),
        is_future.sum().alias("future"),
    )
    got: dict[str, Any] = found.collect(engine="streaming").row(0, named=True)
    return Reach(rows=got["rows"], reached=got["reached"], nulls=got["nulls"], future=int(got["future"] or 0))


def _exact(mark: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    # Python knows microseconds; a bound that is cut off there is lower, so that nothing is passed over.
    return mark.dt.cast_time_unit("us") if isinstance(dtype, pl.Datetime) else mark


def _limit(dtype: pl.DataType, now: datetime) -> Value | None:
    if isinstance(dtype, pl.Datetime):
        return now if dtype.time_zone else now.astimezone(UTC).replace(tzinfo=None) + _AHEAD
    return (now + _AHEAD).date() if isinstance(dtype, pl.Date) else None
