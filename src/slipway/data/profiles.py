"""Profiles of frames: one pass over the columns, in blocks that fit into a processor's cache."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.errors import NotFound
from slipway.ports.workspace import Workspace
from slipway.records.tables import TableVersion
from slipway.stats import column_profiles as stats
from slipway.stats.column_profiles import ColumnProfile, Kind, TableProfile

__all__ = ["hashing", "key_of", "profile_of", "stored"]

_BLOCK = 1 << 17
_LONG = 64
_GLANCE = 2_048
_SIGN = np.uint64(1 << 63)


def profile_of(rows: pl.DataFrame | pl.LazyFrame) -> TableProfile:
    """The profile of rows; a LazyFrame is read in batches, in whatever order they come.

    Args:
        rows: A frame.
    """
    schema = rows.collect_schema()
    kinds = {name: kind_of(dtype) for name, dtype in schema.items()}
    found = {name: ColumnProfile(name=name, kind=kind) for name, kind in kinds.items()}
    total = 0
    for batch in _batches(rows):
        total += batch.height
        for name, kind in kinds.items():
            found[name] = _added(found[name], batch.get_column(name), kind)
    return TableProfile(rows=total, columns=tuple(found.values()), hashing=hashing())


def stored(workspace: Workspace, version: TableVersion) -> TableProfile | None:
    """The profile kept with a version, None where there is none (any more)."""
    if not version.profile:
        return None
    try:
        return stats.from_bytes(workspace.blobs.get(version.profile))
    except NotFound:
        return None


def hashing() -> str:
    """Names the hash function of this machine's Polars: it may change with a release or a processor."""
    told = [pl.Series([1, 2**40]).cast(pl.UInt64), pl.Series(["", "slipway"])]
    return "polars " + "".join(f"{value:016x}" for series in told for value in series.hash().to_list())[:32]


def kind_of(dtype: pl.DataType) -> Kind:
    """What the values of a type are to a profile."""
    if isinstance(dtype, pl.Boolean):
        return "boolean"
    if dtype.is_integer() and not isinstance(dtype, pl.UInt64 | pl.Int128 | pl.UInt128):
        return "integer"
    if dtype.is_numeric():
        return "number"
    if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
        return "text"
    if isinstance(dtype, pl.Datetime):
        return "instant"
    if isinstance(dtype, pl.Date):
        return "date"
    return "duration" if isinstance(dtype, pl.Duration) else "other"


def key_of(value: float, kind: Kind) -> int:
    """The key of a value: keys are ordered as the values are."""
    if kind == "number":
        return int(_float_keys(np.array([value + 0.0], dtype=np.float64))[0])  # -0.0 is 0.0
    return int(value) + (1 << 63)


def _batches(rows: pl.DataFrame | pl.LazyFrame) -> Iterable[pl.DataFrame]:
    if isinstance(rows, pl.DataFrame):
        yield from rows.iter_slices(_BLOCK)
        return
    for frame in rows.collect_batches(chunk_size=_BLOCK, maintain_order=False, lazy=True, engine="streaming"):
        yield from frame.iter_slices(_BLOCK)


def _added(found: ColumnProfile, column: pl.Series, kind: Kind) -> ColumnProfile:
    nulls = column.null_count()
    there = column.drop_nulls() if nulls else column
    counted = ColumnProfile(name=found.name, kind=kind, rows=len(column), nulls=nulls)
    if len(there):
        made = _text if kind == "text" else _boolean if kind == "boolean" else _other if kind == "other" else _numbers
        counted = made(counted, there, found)
    return stats.merge_columns(found, counted)


def _numbers(counted: ColumnProfile, there: pl.Series, found: ColumnProfile) -> ColumnProfile:
    if counted.kind == "number":
        return _floats(counted, there, found)
    if counted.kind in ("instant", "duration"):
        there = there.dt.cast_time_unit("us")
    whole = there.to_physical().cast(pl.Int64).to_numpy()
    keys = whole.view(np.uint64) ^ _SIGN
    return msgspec.structs.replace(
        counted,
        low=int(whole.min()),
        high=int(whole.max()),
        sums=((0, str(_sum(whole))),),
        histogram=stats.histogram(keys),
        hashes=_small_hashes(keys, found),
    )


def _floats(counted: ColumnProfile, there: pl.Series, found: ColumnProfile) -> ColumnProfile:
    numbers = there.cast(pl.Float64).to_numpy() + 0.0  # no negative zero
    strange = ~np.isfinite(numbers)
    if not strange.any():
        finite, nans, infinite = numbers, 0, 0
    else:
        unknown = np.isnan(numbers)
        nans, infinite = int(unknown.sum()), int(strange.sum() - unknown.sum())
        finite, numbers = numbers[~strange], numbers[~unknown]
    keys = _float_keys(numbers)
    return msgspec.structs.replace(
        counted,
        nans=nans,
        infinite=infinite,
        low=float(numbers.min()) if numbers.size else None,
        high=float(numbers.max()) if numbers.size else None,
        sums=tuple((tier, str(total)) for tier, total in sorted(stats.sums_of(finite).items())),
        histogram=stats.histogram(keys),
        hashes=_small_hashes(keys, found),
    )


def _text(counted: ColumnProfile, there: pl.Series, found: ColumnProfile) -> ColumnProfile:
    values: tuple[tuple[str, int], ...] | None = None
    if found.values is not None and there.head(_GLANCE).n_unique() <= stats.VALUES:
        tally = there.alias("value").value_counts(name="count")
        names = tally.get_column("value").cast(pl.String)
        if len(names) <= stats.VALUES and not (names.str.len_bytes() > _LONG).any():
            values = tuple(sorted(zip(names.to_list(), tally.get_column("count").to_list(), strict=True)))
        there = names
    elif there.dtype != pl.String:
        there = there.unique().cast(pl.String)
    return msgspec.structs.replace(
        counted, low=there.min(), high=there.max(), hashes=_small(there.hash().to_numpy(), found), values=values
    )


def _boolean(counted: ColumnProfile, there: pl.Series, found: ColumnProfile) -> ColumnProfile:
    true = int(there.sum())
    pairs = (("false", len(there) - true), ("true", true))
    values = tuple((name, count) for name, count in pairs if count)
    return msgspec.structs.replace(counted, low=bool(there.min()), high=bool(there.max()), values=values)


def _other(counted: ColumnProfile, there: pl.Series, found: ColumnProfile) -> ColumnProfile:
    return counted


def _sum(whole: NDArray[np.int64]) -> int:
    return (int((whole >> 32).sum()) << 32) + int((whole & 0xFFFFFFFF).sum())


def _float_keys(numbers: NDArray[np.float64]) -> NDArray[np.uint64]:
    """The bits of floats, turned so that they are ordered as the floats are."""
    bits = numbers.view(np.uint64)
    negative = (bits.view(np.int64) >> 63).view(np.uint64)
    return bits ^ (negative | _SIGN)


def _small_hashes(keys: NDArray[np.uint64], found: ColumnProfile) -> bytes:
    return _small(pl.Series(keys).hash().to_numpy(), found)


def _small(hashes: NDArray[np.uint64], found: ColumnProfile) -> bytes:
    """The smallest hashes, of which those can be left out that would fall out on merging."""
    if len(found.hashes) == stats.HASHES * 8:
        greatest = np.frombuffer(found.hashes[-8:], dtype="<u8")[0]
        hashes = hashes[hashes < greatest]
    else:
        hashes = pl.Series(hashes).unique().to_numpy()
        if hashes.size > stats.HASHES:
            hashes = np.partition(hashes, stats.HASHES)[: stats.HASHES]
    return stats.smallest(hashes)
