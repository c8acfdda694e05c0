"""Logical fingerprints: equal when type, shape, names, order and values are equal, however they are stored.

A frame is read in blocks of 65,536 rows. Each block is hashed column by column from a canonical form: a mark for
validity and its bits, then fixed-width little-endian numbers with nulls zeroed and one NaN, or lengths and UTF-8 bytes.
Chunks, Parquet files, category codes and the version of Polars leave no trace in it. Because blocks do not depend on
what follows them, appending rows to a table hashes the new rows and at most one old block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import blake3
import msgspec
import numpy as np
import polars as pl

from slipway.errors import InvalidInput
from slipway.hashing import canonical, combine, fingerprint
from slipway.schema.types import frame_of

__all__ = ["BLOCK_ROWS", "block_digests", "of_blocks", "of_frame", "of_value"]

BLOCK_ROWS = 65_536
_STRING_BYTES = 1 << 28

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


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A part of a value that has its own fingerprint, in the place of that part."""

    kind: str
    content: Any


def of_frame(frame: pl.DataFrame | pl.LazyFrame) -> str:
    """The logical fingerprint of a frame: 64 hex digits. A LazyFrame is collected.

    Raises:
        InvalidInput: A column's type has no canonical form.
    """
    data = frame.collect() if isinstance(frame, pl.LazyFrame) else frame
    return of_blocks(data.schema, data.height, block_digests(data))


def block_digests(frame: pl.DataFrame) -> tuple[str, ...]:
    """The digests of a frame's blocks of `BLOCK_ROWS` rows, the last one possibly shorter.

    Raises:
        InvalidInput: A column's type has no canonical form.
    """
    for name, dtype in frame.schema.items():
        _type_of(dtype, name)
    digests = []
    for start in range(0, frame.height, BLOCK_ROWS):
        hasher = blake3.blake3()
        for column in frame.slice(start, BLOCK_ROWS).iter_columns():
            _add(hasher, column)
        digests.append(hasher.hexdigest())
    return tuple(digests)


def of_blocks(schema: Mapping[str, pl.DataType], rows: int, blocks: Iterable[str]) -> str:
    """The fingerprint of a frame whose block digests are known.

    Args:
        schema: Names and types in order.
        rows: How many rows the blocks hold together.
        blocks: Their digests; all but the last are full.
    """
    columns = tuple((name, _type_of(dtype, name)) for name, dtype in schema.items())
    return combine("frame", fingerprint(columns), str(rows), *blocks)


def of_value(value: object) -> str:
    """The logical fingerprint of a value: 64 hex digits.

    Args:
        value: A Polars or pandas frame or series, a numpy array or scalar, an object with a method
            `slipway_fingerprint() -> str`, whatever `hashing.canonical` takes, or lists, tuples, mappings, sets,
            dataclasses and msgspec structs of these.

    Raises:
        InvalidInput: Something in it has no fingerprint.
    """
    return fingerprint(_plain(value, set()))


def _type_of(dtype: pl.DataType, name: str) -> tuple[Any, ...]:
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
        return ("list", _type_of(_instance(dtype.inner), name))
    if isinstance(dtype, pl.Array):
        return ("array", dtype.size, _type_of(_instance(dtype.inner), name))
    if isinstance(dtype, pl.Struct):
        return ("struct", *((field.name, _type_of(_instance(field.dtype), name)) for field in dtype.fields))
    raise InvalidInput(
        f"Column {name!r} has the type {dtype}, which has no fingerprint.",
        fix="Cast it to a plain type first.",
        field=name,
    )


def _instance(dtype: Any) -> pl.DataType:
    made: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return made


def _add(hasher: blake3.blake3, column: pl.Series) -> None:
    """Feed a column's canonical form. It delimits itself, given type and length."""
    valid = column.is_not_null().to_numpy()
    if valid.all():
        hasher.update(b"\x00")
    else:
        hasher.update(b"\x01" + np.packbits(valid).tobytes())
    dtype = column.dtype
    if isinstance(dtype, pl.Null):
        return
    if isinstance(dtype, pl.Boolean):
        hasher.update(np.packbits(column.fill_null(False).to_numpy()).tobytes())
    elif isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Decimal | pl.Int128 | pl.UInt128):
        _add_strings(hasher, column.cast(pl.String).fill_null(""))
    elif isinstance(dtype, pl.Binary):
        _add_bytes(hasher, column.fill_null(b"").to_list())
    elif isinstance(dtype, pl.List):
        _add_lists(hasher, column)
    elif isinstance(dtype, pl.Array):
        _add_lists(hasher, column.arr.to_list())
    elif isinstance(dtype, pl.Struct):
        for part in column.struct.unnest().iter_columns():
            _add(hasher, part)
    elif isinstance(dtype, pl.Object):
        _add_bytes(hasher, [canonical(item) for item in column.to_list()])
    else:
        _add_numbers(hasher, column.to_physical().fill_null(0).to_numpy())


def _add_numbers(hasher: blake3.blake3, values: np.ndarray[Any, Any]) -> None:
    if values.dtype.kind == "f":
        unknown = np.isnan(values)
        if unknown.any():
            values = np.where(unknown, values.dtype.type("nan"), values)
    hasher.update(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes())


def _add_strings(hasher: blake3.blake3, column: pl.Series) -> None:
    lengths = column.str.len_bytes().cast(pl.UInt64).to_numpy()
    _add_numbers(hasher, lengths)
    _add_text(hasher, column, lengths)


def _add_text(hasher: blake3.blake3, column: pl.Series, lengths: np.ndarray[Any, Any]) -> None:
    # One string of Polars may hold at most 4 GiB: very long texts are joined in halves.
    if int(lengths.sum()) > _STRING_BYTES and len(column) > 1:
        half = len(column) // 2
        _add_text(hasher, column.slice(0, half), lengths[:half])
        _add_text(hasher, column.slice(half), lengths[half:])
    elif len(column):
        hasher.update(column.str.join("")[0].encode())


def _add_bytes(hasher: blake3.blake3, items: list[bytes]) -> None:
    _add_numbers(hasher, np.array([len(item) for item in items], dtype=np.uint64))
    hasher.update(b"".join(items))


def _add_lists(hasher: blake3.blake3, column: pl.Series) -> None:
    lengths = column.list.len().fill_null(0).cast(pl.UInt64)
    _add_numbers(hasher, lengths.to_numpy())
    filled = column.filter(lengths > 0)
    if len(filled):
        _add(hasher, filled.explode())


def _plain(value: Any, inside: set[int]) -> Any:
    """The value with frames, arrays and fingerprinted objects replaced by leaves."""
    leaf = _leaf(value)
    if leaf is not None:
        return leaf
    if not isinstance(value, list | tuple | set | frozenset | Mapping | msgspec.Struct) and not is_dataclass(value):
        return value
    if isinstance(value, type) or id(value) in inside:
        return value  # `canonical` has the sentence for both
    inside.add(id(value))
    try:
        return _plain_container(value, inside)
    finally:
        inside.discard(id(value))


def _plain_container(value: Any, inside: set[int]) -> Any:
    if isinstance(value, list):
        return [_plain(item, inside) for item in value]
    if isinstance(value, tuple):
        return tuple(_plain(item, inside) for item in value)
    if isinstance(value, set | frozenset):
        return frozenset(_leaf(item) or item for item in value)
    if isinstance(value, Mapping):
        return {_leaf(key) or key: _plain(item, inside) for key, item in value.items()}
    names = value.__struct_fields__ if isinstance(value, msgspec.Struct) else [f.name for f in fields(value)]
    return _Leaf(type(value).__qualname__, {name: _plain(getattr(value, name), inside) for name in names})


def _leaf(value: Any) -> _Leaf | None:
    own = getattr(value, "slipway_fingerprint", None)
    if callable(own) and not isinstance(value, type):
        return _Leaf(type(value).__qualname__, own())
    if isinstance(value, pl.DataFrame | pl.LazyFrame):
        return _Leaf(type(value).__name__, of_frame(value))
    if isinstance(value, pl.Series):
        return _Leaf("Series", of_frame(value.to_frame()))
    if isinstance(value, np.ndarray | np.generic):
        return _array_leaf(np.asarray(value), type(value).__name__ if isinstance(value, np.generic) else "ndarray")
    if type(value).__module__.partition(".")[0] == "pandas":
        return _pandas_leaf(value)
    return None


def _array_leaf(array: np.ndarray[Any, Any], kind: str) -> _Leaf:
    if array.dtype.hasobject or array.dtype.names:
        return _Leaf(kind, (str(array.dtype), array.shape, [_plain(item, set()) for item in array.ravel().tolist()]))
    hasher = blake3.blake3()
    _add_numbers(hasher, array.ravel())
    return _Leaf(kind, (array.dtype.newbyteorder("<").str, array.shape, hasher.hexdigest()))


def _pandas_leaf(value: Any) -> _Leaf:
    kind = type(value).__name__
    if kind not in ("DataFrame", "Series"):
        return _Leaf(f"pandas.{kind}", value.item() if hasattr(value, "item") else str(value))
    frame = value if kind == "DataFrame" else value.to_frame(name="" if value.name is None else str(value.name))
    index = frame.index.to_frame(index=False)
    names = tuple(repr(name) for name in frame.columns)
    types = tuple(str(dtype) for dtype in frame.dtypes)
    content = frame.set_axis([str(position) for position in range(frame.shape[1])], axis=1).reset_index(drop=True)
    index = index.set_axis([str(position) for position in range(index.shape[1])], axis=1)
    return _Leaf(f"pandas.{kind}", (names, types, of_frame(frame_of(content)), of_frame(frame_of(index))))
