"""Whether rows fit a table: its columns and types, or a sentence that says what to type."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl

from slipway.errors import InvalidInput, near
from slipway.ids import check_name
from slipway.schema.types import field_type

__all__ = ["check_columns_named", "check_declared", "conformed", "is_wider"]

_OWN = "slipway "
_WHOLE = (pl.Int8, pl.Int16, pl.Int32, pl.Int64)
_UNSIGNED = (pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)


def check_declared(table: str, schema: pl.Schema, key: tuple[str, ...], time: str) -> None:
    """Check that a table may be named so, and that its key and time are columns that can be that.

    Raises:
        InvalidInput: The name does not fit, there are no columns, one is missing, or the time is no instant.
    """
    check_name(table, "table")
    check_columns_named(table, schema)
    for role, name in [*(("key", name) for name in key), *([("time", time)] if time else [])]:
        if name not in schema:
            raise InvalidInput(
                f"The {role} column {name!r} is not in the table {table!r}.",
                why=near(name, schema, what="columns"),
                field=name,
            )
    dtype = schema[time] if time else None
    if dtype is not None and not (isinstance(dtype, pl.Datetime) and dtype.time_zone):
        raise InvalidInput(
            f"The time column {time!r} of the table {table!r} has the type {dtype}.",
            why="Event time is an instant: a datetime with a time zone.",
            fix=f"Say which zone: pl.col({time!r}).dt.replace_time_zone('America/New_York').dt.convert_time_zone('UTC').",
            field=time,
        )


def check_columns_named(table: str, names: Collection[str]) -> None:
    """Check that a table's columns can be told apart by their names, wherever Polars is given one.

    Raises:
        InvalidInput: There are none, one has no name, Polars takes one for a pattern, or it is kept for Slipway's own use.
    """
    if not names:
        raise InvalidInput(
            f"The frame for the table {table!r} has no columns.", fix="Return a frame with at least one column."
        )
    for name in names:
        why = ""
        if not name:
            why = "Every column needs a name."
        elif name == "*" or (name.startswith("^") and name.endswith("$")):
            why = "Polars takes such a name for a pattern of columns."
        elif name.startswith(_OWN):
            why = f"Names that begin with {_OWN!r} are used while rows are checked."
        if why:
            raise InvalidInput(
                f"A column of the table {table!r} cannot be called {name!r}.",
                why=why,
                fix=f'Rename it: frame.rename({{{name!r}: "another_name"}}).',
                field=name,
            )


def conformed(table: str, frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Rows with a table's columns in its order and of its types. A value is cast only where nothing of it is lost.

    Args:
        table: The table's name, for errors.
        frame: The rows that came; their columns may stand in any order.
        schema: The table's columns.

    Raises:
        InvalidInput: A column is missing or unknown, or a value does not fit; the fix names the command.
    """
    if frame.schema == schema and frame.columns == schema.names():
        return frame
    _check_names(table, frame.columns, schema)
    for name, dtype in schema.items():
        if _has_zone(frame.schema[name]) is not None and _has_zone(frame.schema[name]) != _has_zone(dtype):
            raise _misfit(table, name, frame.schema[name], dtype, "which instant it is depends on a time zone")
    try:
        fitting = frame.select(pl.col(name).cast(dtype, strict=True) for name, dtype in schema.items())
    except pl.exceptions.PolarsError as problem:
        name = next(n for n, dtype in schema.items() if not _fits(frame[n], dtype))
        raise _misfit(table, name, frame.schema[name], schema[name], str(problem).splitlines()[0]) from problem
    for name, dtype in schema.items():
        if _may_lose(frame.schema[name], dtype) and not _is_kept(frame[name], fitting[name]):
            raise _misfit(table, name, frame.schema[name], dtype, "a value would not be the same afterwards")
    return fitting


def is_wider(narrow: pl.DataType, wide: pl.DataType) -> bool:
    """Whether a type holds every value of another."""
    if isinstance(narrow, pl.Null):
        return True
    kind, wider = type(narrow), type(wide)
    for family in (_WHOLE, _UNSIGNED):
        if kind in family and wider in family:
            return family.index(wider) >= family.index(kind)
    if kind in _UNSIGNED and wider in _WHOLE:
        return _WHOLE.index(wider) > _UNSIGNED.index(kind)
    exact = {pl.Float64: (pl.Float32, *_WHOLE[:3], *_UNSIGNED[:3]), pl.Float32: (*_WHOLE[:2], *_UNSIGNED[:2])}
    if wider in exact:
        return kind in exact[wider]
    if wider is pl.String:
        return isinstance(narrow, pl.Categorical | pl.Enum)
    return kind is pl.Date and wider is pl.Datetime


def _check_names(table: str, names: Sequence[str], schema: pl.Schema) -> None:
    unknown = [name for name in names if name not in schema]
    missing = [name for name in schema if name not in names]
    if unknown:
        raise InvalidInput(
            f"The rows do not have the columns of the table {table!r}: {unknown[0]!r} is not one of them.",
            why=near(unknown[0], schema, what="columns"),
            fix=f"Rename or drop it, or give the table this column: `slipway data alter {table} --add {unknown[0]}:TYPE`.",
            field=unknown[0],
        )
    if missing:
        raise InvalidInput(
            f"The rows do not have the columns of the table {table!r}: {missing[0]!r} is missing.",
            why=near(missing[0], names, what="columns"),
            fix=f"Add it (null where it is unknown), or drop it from the table: "
            f"`slipway data alter {table} --drop {missing[0]}`.",
            field=missing[0],
        )


def _misfit(table: str, name: str, given: pl.DataType, wanted: pl.DataType, detail: str) -> InvalidInput:
    if _has_zone(given) is False and _has_zone(wanted):
        cast = f"Say in which zone they are: pl.col({name!r}).dt.replace_time_zone('UTC')"
        return InvalidInput(
            _differ(table, name, given, wanted), why=f"Casting it fails: {detail}.", fix=f"{cast}.", field=name
        )
    wider = {pl.Int64: "int64", pl.Float64: "float64", pl.Datetime: "datetime"}.get(type(given))
    if not is_wider(wanted, given):
        wider = None
    widen = f", or widen the table's column: `slipway data alter {table} --widen {name}:{wider}`" if wider else ""
    return InvalidInput(
        _differ(table, name, given, wanted),
        why=f"Casting it fails: {detail}.",
        fix=f"Cast the column{widen}, or overwrite the table to change its types.",
        field=name,
    )


def _differ(table: str, name: str, given: pl.DataType, wanted: pl.DataType) -> str:
    return f"The rows do not fit the types of the table {table!r}: {name!r} comes as {given}, and the table keeps {wanted}."


def _has_zone(dtype: pl.DataType) -> bool | None:
    return bool(dtype.time_zone) if isinstance(dtype, pl.Datetime) else None


def _fits(column: pl.Series, dtype: pl.DataType) -> bool:
    try:
        column.cast(dtype, strict=True)
    except pl.exceptions.PolarsError:
        return False
    return True


def _may_lose(given: pl.DataType, wanted: pl.DataType) -> bool:
    """Whether a cast that does not fail may still change what a value says."""
    if given == wanted or isinstance(given, pl.Null):
        return False
    if given.is_float() and wanted.is_integer():
        return True
    if given.is_numeric() and wanted.is_float():
        return given != pl.Float32 or wanted != pl.Float64
    if isinstance(wanted, pl.Decimal) or given.is_nested():  # Polars rounds to the scale, and cuts inside lists
        return True
    if isinstance(given, pl.Datetime) and isinstance(wanted, pl.Date):
        return True
    if isinstance(given, pl.Datetime | pl.Duration) and isinstance(wanted, type(given)):
        return given.time_unit != wanted.time_unit
    return field_type(given) != field_type(wanted)


def _is_kept(given: pl.Series, fitting: pl.Series) -> bool:
    """Whether the values come back as they went."""
    try:
        return fitting.cast(given.dtype, strict=True).equals(given, null_equal=True)
    except pl.exceptions.PolarsError:
        return False
