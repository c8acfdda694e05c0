"""Columns of frames as fields, and back."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from slipway.errors import InvalidInput
from slipway.plugins import load
from slipway.records.schema import Field, FieldType

__all__ = ["field_type", "fields_of", "frame_of", "in_utc", "polars_schema"]

_TYPES: dict[FieldType, pl.DataType] = {
    "bool": pl.Boolean(),
    "int": pl.Int64(),
    "float": pl.Float64(),
    "string": pl.String(),
    "category": pl.String(),
    "datetime": pl.Datetime("us", "UTC"),
    "date": pl.Date(),
    "duration": pl.Duration("us"),
    "object": pl.Object(),
}


def field_type(dtype: pl.DataType) -> FieldType:
    """The plain type of a Polars type.

    A datetime without a time zone is a wall time, not an instant: it is an "object", passed through untouched, like
    times of day, lists, structs and bytes.
    """
    if isinstance(dtype, pl.Boolean):
        return "bool"
    if dtype.is_integer():
        return "int"
    if dtype.is_numeric():
        return "float"
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return "category"
    if isinstance(dtype, pl.Datetime):
        return "datetime" if dtype.time_zone else "object"
    others: dict[type[pl.DataType], FieldType] = {pl.String: "string", pl.Date: "date", pl.Duration: "duration"}
    return others.get(type(dtype), "object")


def in_utc(column: str, dtype: pl.DataType) -> pl.Expr:
    """A column, its instants in UTC: Polars compares no two time zones with each other."""
    is_instant = isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
    return pl.col(column).dt.convert_time_zone("UTC") if is_instant else pl.col(column)


def fields_of(frame: pl.DataFrame | pl.LazyFrame) -> tuple[Field, ...]:
    """The columns of a frame as fields, in order.

    A column of a DataFrame is nullable when it holds a null or has no rows; every column of a LazyFrame is. Categories
    are those of an Enum in its own order, and the values present, sorted, of a Categorical (the codes of a Categorical
    depend on what else the process has read).
    """
    schema = frame.collect_schema()
    known = _present_categories(frame, schema)
    return tuple(
        Field(name, field_type(dtype), _nullable(frame, name), known.get(name, ())) for name, dtype in schema.items()
    )


def polars_schema(fields: tuple[Field, ...]) -> pl.Schema:
    """The Polars types that carry fields: 64-bit numbers, microseconds in UTC, Enum where categories are known."""
    return pl.Schema(
        {f.name: pl.Enum(f.categories) if f.type == "category" and f.categories else _TYPES[f.type] for f in fields}
    )


def frame_of(value: Any, what: str = "The value") -> pl.DataFrame:
    """A frame that a person handed in, as a Polars DataFrame.

    Args:
        value: A Polars DataFrame or LazyFrame (it is collected), or a pandas DataFrame (its index is left out; NaN in
            it becomes null, as pandas means it).
        what: Names the value in the error: "What flights() returned".

    Raises:
        InvalidInput: It is no frame, or a pandas column mixes types or has another's name.
    """
    if isinstance(value, pl.DataFrame):
        return value
    if isinstance(value, pl.LazyFrame):
        return value.collect()
    if type(value).__module__.partition(".")[0] == "pandas" and type(value).__name__ == "DataFrame":
        if not value.columns.is_unique:
            twice = str(value.columns[value.columns.duplicated()][0])
            raise InvalidInput(
                f"{what} is a pandas DataFrame with two columns {twice!r}.",
                fix="Rename or drop one: frame.columns lists them in their order.",
            )
        if mixed := _mixture(value):
            raise _unreadable(what, mixed)
        try:
            return _from_pandas(value)
        except (TypeError, ValueError, OverflowError, NotImplementedError, pl.exceptions.PolarsError) as problem:
            raise _unreadable(what, problem) from problem
    raise InvalidInput(
        f"{what} is a {type(value).__module__}.{type(value).__qualname__}.",
        why="A Polars LazyFrame or DataFrame, or a pandas DataFrame, is expected.",
    )


def _unreadable(what: str, problem: object) -> InvalidInput:
    return InvalidInput(
        f"{what} is a pandas DataFrame that cannot be read as columns of one type each: {problem}.",
        fix="Convert columns that mix types, or whose type no table has, first: for example `frame['code'].astype(str)`, "
        "or `pd.to_datetime(frame['at'], utc=True)`.",
    )


def _mixture(frame: Any) -> str:
    """A column that mixes what Arrow takes for the kind of the first value, changing the others without a word; "" for none.

    Among dates it cuts the time of day off datetimes, among instants it takes wall times for UTC, among durations it takes
    numbers for microseconds.
    """
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, place]
        if column.dtype != object or not any(issubclass(kind, _TAKEN_FOR_ITS_FIRST) for kind in set(map(type, column))):
            continue
        kinds = sorted(set(map(_kind, column.dropna())))
        if len(kinds) > 1:
            return f"the column {str(name)!r} holds {' and '.join(kinds)}"
    return ""


_TAKEN_FOR_ITS_FIRST = (date, timedelta, bytes)


def _kind(value: Any) -> str:
    if isinstance(value, datetime):
        return "datetimes without a time zone" if value.tzinfo is None else "datetimes with a time zone"
    kinds = {date: "dates", timedelta: "durations", bytes: "bytes"}
    return next(
        (words for kind, words in kinds.items() if isinstance(value, kind)), f"values of {type(value).__name__}"
    )


def _from_pandas(frame: Any) -> pl.DataFrame:
    try:
        return pl.from_pandas(frame)
    except ImportError:  # there is no pyarrow, by which Polars takes what is not plain numbers
        taken: pl.DataFrame = load("sample", "to_polars")(frame)
        return taken


def _nullable(frame: pl.DataFrame | pl.LazyFrame, name: str) -> bool:
    return isinstance(frame, pl.LazyFrame) or frame.height == 0 or frame.get_column(name).null_count() > 0


def _present_categories(frame: pl.DataFrame | pl.LazyFrame, schema: pl.Schema) -> dict[str, tuple[str, ...]]:
    known = {name: tuple(dtype.categories) for name, dtype in schema.items() if isinstance(dtype, pl.Enum)}
    open_ended = [name for name, dtype in schema.items() if isinstance(dtype, pl.Categorical)]
    if open_ended:
        present = frame.lazy().select(pl.col(n).drop_nulls().unique().cast(pl.String).implode() for n in open_ended)
        known |= {name: tuple(sorted(values.to_list()[0])) for name, values in present.collect().to_dict().items()}
    return known
