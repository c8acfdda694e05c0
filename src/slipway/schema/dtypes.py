"""Polars types as plain values, so that manifests and fingerprints can name them, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from slipway.errors import InvalidInput

__all__ = ["dtype_of", "plain_dtype"]

_NAMES: dict[type[pl.DataType], str] = {
    pl.Boolean: "bool",
    pl.Int8: "int8",
    pl.Int16: "int16",
    pl.Int32: "int32",
    pl.Int64: "int64",
    pl.Int128: "int128",
    pl.UInt8: "uint8",
    pl.UInt16: "uint16",
    pl.UInt32: "uint32",
    pl.UInt64: "uint64",
    pl.UInt128: "uint128",
    pl.Float16: "float16",
    pl.Float32: "float32",
    pl.Float64: "float64",
    pl.String: "string",
    pl.Binary: "binary",
    pl.Date: "date",
    pl.Time: "time",
    pl.Categorical: "categorical",
    pl.Null: "null",
    pl.Object: "object",
}
_TYPES = {name: kind for kind, name in _NAMES.items()}


def plain_dtype(dtype: pl.DataType, name: str) -> tuple[Any, ...]:
    """A Polars type as plain values, nested for lists, arrays and structs.

    Args:
        dtype: The type.
        name: The column, for the error.

    Raises:
        InvalidInput: It is a type that has no canonical form.
    """
    if type(dtype) in _NAMES:
        return (_NAMES[type(dtype)],)
    if isinstance(dtype, pl.Datetime):
        return ("datetime", dtype.time_unit, dtype.time_zone or "")
    if isinstance(dtype, pl.Duration):
        return ("duration", dtype.time_unit)
    if isinstance(dtype, pl.Decimal):
        return ("decimal", dtype.precision, dtype.scale)
    if isinstance(dtype, pl.Enum):
        return ("enum", *dtype.categories)
    if isinstance(dtype, pl.List):
        return ("list", plain_dtype(_instance(dtype.inner), name))
    if isinstance(dtype, pl.Array):
        return ("array", dtype.size, plain_dtype(_instance(dtype.inner), name))
    if isinstance(dtype, pl.Struct):
        return ("struct", *((field.name, plain_dtype(_instance(field.dtype), name)) for field in dtype.fields))
    raise InvalidInput(
        f"Column {name!r} has the type {dtype}, which has no fingerprint.",
        fix="Cast it to a plain type first.",
        field=name,
    )


def _instance(dtype: Any) -> pl.DataType:
    made: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return made


def dtype_of(plain: Sequence[Any]) -> pl.DataType:
    """The Polars type that plain values name: the way back from `plain_dtype`."""
    kind, *rest = plain
    if kind in _TYPES:
        return _TYPES[kind]()
    if kind == "datetime":
        return pl.Datetime(rest[0], rest[1] or None)
    if kind == "duration":
        return pl.Duration(rest[0])
    if kind == "decimal":
        return pl.Decimal(*rest)
    if kind == "enum":
        return pl.Enum(rest)
    if kind == "list":
        return pl.List(dtype_of(rest[0]))
    if kind == "array":
        return pl.Array(dtype_of(rest[1]), rest[0])
    return pl.Struct([pl.Field(name, dtype_of(inner)) for name, inner in rest])
