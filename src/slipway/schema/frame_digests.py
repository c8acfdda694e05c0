"""Digests of frames: equal when types, order and values are equal, however the rows came and are stored.

A frame is read in leaves of 4,096 rows, sixteen of which make a block. A leaf is hashed column by column from a canonical
form: a mark for validity and its bits, then fixed-width little-endian numbers with nulls zeroed and one NaN, or lengths
and UTF-8 bytes. Chunks, Parquet files, category codes and the version of Polars leave no trace in it. What is full does
not depend on what follows: appending rows hashes the new rows and at most one leaf of the old ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import blake3
import numpy as np
import polars as pl

from slipway.hashing import canonical, combine, fingerprint
from slipway.schema.dtypes import plain_dtype

__all__ = ["BLOCK_ROWS", "LEAF_ROWS", "FrameDigests", "add_numbers", "block_digests", "of_blocks", "of_frame"]

LEAF_ROWS = 4096
BLOCK_ROWS = 16 * LEAF_ROWS
_STRING_BYTES = 1 << 28


class FrameDigests:
    """The digests of a frame that comes in pieces, in order.

    Args:
        blocks: Those of the full blocks that were there before.
        leaves: Those of the full leaves after these.
        rest: The rows after these, fewer than a leaf.
    """

    def __init__(
        self, blocks: Iterable[str] = (), leaves: Iterable[str] = (), rest: pl.DataFrame | None = None
    ) -> None:
        self._blocks = list(blocks)
        self._leaves = list(leaves)
        self._rest = rest

    def add(self, frame: pl.DataFrame) -> None:
        """Take the next rows.

        Raises:
            InvalidInput: A column's type has no canonical form.
        """
        for name, dtype in frame.schema.items():
            plain_dtype(dtype, name)
        if self._rest is not None and self._rest.height:
            frame = pl.concat([self._rest, frame])
        full = frame.height // LEAF_ROWS * LEAF_ROWS
        for start in range(0, full, BLOCK_ROWS):
            self._leaves += _leaf_digests(frame.slice(start, min(BLOCK_ROWS, full - start)))
        self._rest = frame.slice(full)
        a_block = BLOCK_ROWS // LEAF_ROWS
        while len(self._leaves) >= a_block:
            self._blocks.append(combine(*self._leaves[:a_block]))
            self._leaves = self._leaves[a_block:]

    @property
    def blocks(self) -> tuple[str, ...]:
        """The digests of all blocks; the last one may not be full."""
        last = self._leaves + ([] if self._rest is None else _leaf_digests(self._rest))
        return (*self._blocks, combine(*last)) if last else tuple(self._blocks)

    @property
    def leaves(self) -> tuple[str, ...]:
        """The digests of the full leaves in the block that is not full, for going on later."""
        return tuple(self._leaves)

    @property
    def rest(self) -> pl.DataFrame | None:
        """The rows after the full leaves, None when no row came."""
        return self._rest


def of_frame(frame: pl.DataFrame | pl.LazyFrame) -> str:
    """The fingerprint of a frame: 64 hex digits. A LazyFrame is collected.

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
    digests = FrameDigests()
    digests.add(frame)
    return digests.blocks


def of_blocks(schema: Mapping[str, pl.DataType], rows: int, blocks: Iterable[str]) -> str:
    """The fingerprint of a frame whose block digests are known.

    Args:
        schema: Names and types in order.
        rows: How many rows the blocks hold together.
        blocks: Their digests; all but the last are full.
    """
    columns = tuple((name, plain_dtype(dtype, name)) for name, dtype in schema.items())
    return combine("frame", fingerprint(columns), str(rows), *blocks)


def _leaf_digests(frame: pl.DataFrame) -> list[str]:
    hashers = [blake3.blake3() for _ in range(0, frame.height, LEAF_ROWS)]
    for column in frame.iter_columns():
        if column.null_count() or not _is_plain(column.dtype):
            for number, hasher in enumerate(hashers):
                _add(hasher, column.slice(number * LEAF_ROWS, LEAF_ROWS))
        else:
            numbers = column.to_physical() if column.dtype.is_temporal() else column
            values = _plain_numbers(numbers.to_numpy())
            size = column.len() and LEAF_ROWS * len(values) // column.len()
            for number, hasher in enumerate(hashers):
                hasher.update(b"\x00")
                hasher.update(values[number * size : (number + 1) * size])
    return [hasher.hexdigest() for hasher in hashers]


def _is_plain(dtype: pl.DataType) -> bool:
    """Whether a column without nulls is hashed as the numbers that it holds: what `_add` says last."""
    return dtype.is_temporal() or (dtype.is_numeric() and not isinstance(dtype, pl.Decimal | pl.Int128 | pl.UInt128))


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
        add_numbers(hasher, column.to_physical().fill_null(0).to_numpy())


def add_numbers(hasher: blake3.blake3, values: np.ndarray[Any, Any]) -> None:
    """Feed numbers in their canonical form: fixed width, little-endian, one NaN."""
    hasher.update(_plain_numbers(values))


def _plain_numbers(values: np.ndarray[Any, Any]) -> memoryview:
    """As bytes."""
    if values.dtype.kind == "f":
        unknown = np.isnan(values)
        if unknown.any():
            values = np.where(unknown, values.dtype.type("nan"), values)
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).view(np.uint8).data


def _add_strings(hasher: blake3.blake3, column: pl.Series) -> None:
    lengths = column.str.len_bytes().cast(pl.UInt64).to_numpy()
    add_numbers(hasher, lengths)
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
    add_numbers(hasher, np.array([len(item) for item in items], dtype=np.uint64))
    hasher.update(b"".join(items))


def _add_lists(hasher: blake3.blake3, column: pl.Series) -> None:
    lengths = column.list.len().fill_null(0).cast(pl.UInt64)
    add_numbers(hasher, lengths.to_numpy())
    filled = column.filter(lengths > 0)
    if len(filled):
        _add(hasher, filled.explode())
