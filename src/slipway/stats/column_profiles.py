"""Profiles of whole columns that merge exactly: the profile of two sets of rows is the sum of their profiles, bit for bit.

Nothing in a profile depends on the order of the rows or on where they were cut. Counts are integers; sums are integers
on stated grids; the histogram is a function of the rows alone (its bins are halved in number until few enough are
occupied); distinct values are counted from the smallest hashes; values are listed only while they are few.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from slipway.errors import Corrupt, InvalidInput

__all__ = [
    "BINS",
    "HASHES",
    "VALUES",
    "ColumnProfile",
    "Histogram",
    "Keys",
    "Kind",
    "TableProfile",
    "coarsened",
    "distinct_count",
    "from_bytes",
    "histogram",
    "mean",
    "merge",
    "merge_columns",
    "smallest",
    "sums_of",
    "to_bytes",
]

BINS = 256
HASHES = 512
VALUES = 512
_DENSE_BITS = 16
_STEP_BITS = 8
_TIER_SHIFT, _TIER_BITS = 11, 5
_LOWEST = 2
_HASH_SPACE = 2.0**64

Kind = Literal["number", "integer", "instant", "date", "duration", "boolean", "text", "other"]
Keys = NDArray[np.uint64]


class Histogram(Struct, frozen=True):
    """Counts over bins of keys: 64-bit integers in the order of the values.

    Args:
        shift: A bin holds the keys that agree without their last `shift` bits: the least shift at which at most `BINS`
            bins are occupied.
        bins: The occupied bins, ascending: `key >> shift`.
        counts: Rows a bin.
    """

    shift: int = 0
    bins: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()


class ColumnProfile(Struct, frozen=True, kw_only=True):
    """One column.

    Args:
        name: Its name.
        kind: What its values are; "other" is counted only.
        rows: How many.
        nulls: Without a value.
        nans: Not a number.
        infinite: Plus or minus infinity.
        low: The smallest value, NaN left out; instants and durations in microseconds, dates in days, since 1970.
        high: The greatest value.
        sums: Of the finite numbers: by tier, the sum of the values in units of the tier's grid, as decimal digits.
        histogram: Of all values but NaN; of texts empty.
        hashes: The smallest hashes of the values, ascending, 8 bytes each, at most `HASHES`.
        values: Of texts and booleans: each value and its rows, by value; None where there are more than `VALUES`
            different ones, or long ones.
    """

    name: str
    kind: Kind
    rows: int = 0
    nulls: int = 0
    nans: int = 0
    infinite: int = 0
    low: Any = None
    high: Any = None
    sums: tuple[tuple[int, str], ...] = ()
    histogram: Histogram = Histogram()
    hashes: bytes = b""
    values: tuple[tuple[str, int], ...] | None = ()


class TableProfile(Struct, frozen=True, kw_only=True):
    """The columns of a table.

    Args:
        rows: How many.
        columns: In order.
        hashing: Which hash function counted distinct values: profiles of two functions do not merge.
    """

    rows: int
    columns: tuple[ColumnProfile, ...]
    hashing: str = ""


def merge(one: TableProfile, other: TableProfile) -> TableProfile:
    """The profile of both profiles' rows: exact, in any order.

    Raises:
        InvalidInput: Their columns or hash functions differ.
    """
    if _shape(one) != _shape(other):
        raise InvalidInput(
            "Two profiles of different columns cannot be merged.", fix="Profile all rows together instead."
        )
    columns = tuple(map(merge_columns, one.columns, other.columns))
    return TableProfile(rows=one.rows + other.rows, columns=columns, hashing=one.hashing)


def merge_columns(one: ColumnProfile, other: ColumnProfile) -> ColumnProfile:
    """The profile of both columns' rows."""
    return ColumnProfile(
        name=one.name,
        kind=one.kind,
        rows=one.rows + other.rows,
        nulls=one.nulls + other.nulls,
        nans=one.nans + other.nans,
        infinite=one.infinite + other.infinite,
        low=min((v for v in (one.low, other.low) if v is not None), default=None),
        high=max((v for v in (one.high, other.high) if v is not None), default=None),
        sums=_add_sums(dict(one.sums), other.sums),
        histogram=_add_histograms(one.histogram, other.histogram),
        hashes=smallest(np.concatenate([_hashes(one), _hashes(other)])),
        values=_add_values(one.values, other.values),
    )


def histogram(keys: Keys) -> Histogram:
    """The histogram of keys, a function of the keys alone."""
    if not keys.size:
        return Histogram()
    low, high = int(keys.min()), int(keys.max())
    shift = max(0, (high - low).bit_length() - _DENSE_BITS)
    base = low >> shift
    places = ((keys >> np.uint64(shift)) - np.uint64(base)).astype(np.intp)
    counts = np.bincount(places)
    occupied = np.flatnonzero(counts)
    bins, counts = occupied.astype(np.uint64) + np.uint64(base), counts[occupied]
    while shift and bins.size <= BINS:
        step = min(_STEP_BITS, shift)
        shift -= step
        compact = np.empty(int(occupied[-1]) + 1, dtype=np.intp)
        compact[occupied] = np.arange(occupied.size) << step
        within = (keys >> np.uint64(shift)) & np.uint64((1 << step) - 1)
        places = compact[places] + within.astype(np.intp)
        counts = np.bincount(places)
        occupied = np.flatnonzero(counts)
        counts = counts[occupied]
        mask = np.uint64((1 << step) - 1)
        bins = (bins[occupied >> step] << np.uint64(step)) | (occupied.astype(np.uint64) & mask)
    return _few(shift, bins, counts)


def coarsened(found: Histogram, shift: int) -> tuple[Keys, NDArray[np.int64]]:
    """The occupied bins and counts of a histogram at a greater shift."""
    bins = np.array(found.bins, dtype=np.uint64) >> np.uint64(shift - found.shift)
    return _grouped(bins, np.array(found.counts, dtype=np.int64))


def smallest(hashes: Keys) -> bytes:
    """The smallest different hashes, ascending, as bytes; at most `HASHES` of them."""
    return np.unique(hashes)[:HASHES].astype("<u8").tobytes()


def distinct_count(column: ColumnProfile) -> tuple[int, bool]:
    """How many different values there are, and whether that is exact.

    Otherwise the standard error is about 4.4 %.

    Source: Z. Bar-Yossef et al., RANDOM 2002: the k-th smallest of uniform hashes tells how many there are.
    """
    if column.values:
        return len(column.values), True
    found = _hashes(column)
    if found.size < HASHES:
        return int(found.size), True
    estimate = round((HASHES - 1) / ((int(found[-1]) + 1) / _HASH_SPACE))
    return min(estimate, column.rows - column.nulls), False


def sums_of(numbers: NDArray[np.float64]) -> dict[int, int]:
    """The exact sums of finite numbers, by tier: each tier takes 32 binary orders of magnitude.

    A number counts with a relative error of at most 2^-31 (its tier's grid); numbers below 2^-950 count as zero.
    """
    exponents = (numbers.view(np.uint64) >> np.uint64(52)) & np.uint64(0x7FF)
    tiers = (exponents + np.uint64(_TIER_SHIFT)) >> np.uint64(_TIER_BITS)
    present = [int(tier) for tier in np.flatnonzero(np.bincount(tiers.astype(np.intp))) if tier > _LOWEST]
    # What is below the tiers that count, zeros mostly, adds nothing in a grid far above it.
    alone = len(present) == 1 and present[0] > _LOWEST + 2
    return {tier: _summed(numbers if alone else numbers[tiers == np.uint64(tier)], _exponent(tier)) for tier in present}


def mean(column: ColumnProfile) -> float | None:
    """The mean of a column's numbers, correctly rounded from the exact sums; None where there is none."""
    present = column.rows - column.nulls - column.nans
    if not present or column.infinite or column.kind in ("text", "other"):
        return None
    if column.kind == "boolean":
        return dict(column.values or ()).get("true", 0) / present
    total = sum(
        (Fraction(int(digits)) / Fraction(2) ** _unit(column.kind, tier) for tier, digits in column.sums), Fraction()
    )
    try:
        return float(total / present)
    except OverflowError:
        return None


def to_bytes(found: TableProfile) -> bytes:
    """The profile as bytes, the same for equal profiles."""
    return msgspec.msgpack.encode(found)


def from_bytes(data: bytes) -> TableProfile:
    """A profile from `to_bytes`.

    Raises:
        Corrupt: The bytes are none.
    """
    try:
        return msgspec.msgpack.decode(data, type=TableProfile)
    except msgspec.DecodeError as problem:
        raise Corrupt(f"A stored profile cannot be read: {problem}.", fix="Make it again from its rows.") from problem


def _shape(found: TableProfile) -> tuple[Any, ...]:
    return found.hashing, [(column.name, column.kind) for column in found.columns]


def _exponent(tier: int) -> int:
    """The power of two by which a tier's numbers are multiplied: they then lie below 2^62."""
    return 62 + 1023 - ((tier << _TIER_BITS) - _TIER_SHIFT + (1 << _TIER_BITS))


def _unit(kind: Kind, tier: int) -> int:
    return _exponent(tier) if kind == "number" else 0


def _summed(numbers: NDArray[np.float64], exponent: int) -> int:
    whole = np.rint(numbers * 2.0**exponent).astype(np.int64)
    return (int((whole >> 32).sum()) << 32) + int((whole & 0xFFFFFFFF).sum())


def _add_sums(one: Mapping[int, str], other: tuple[tuple[int, str], ...]) -> tuple[tuple[int, str], ...]:
    total = {tier: int(digits) for tier, digits in one.items()}
    for tier, digits in other:
        total[tier] = total.get(tier, 0) + int(digits)
    return tuple((tier, str(total[tier])) for tier in sorted(total))


def _hashes(column: ColumnProfile) -> Keys:
    return np.frombuffer(column.hashes, dtype="<u8").astype(np.uint64)


def _add_values(
    one: tuple[tuple[str, int], ...] | None, other: tuple[tuple[str, int], ...] | None
) -> tuple[tuple[str, int], ...] | None:
    if one is None or other is None:
        return None
    total = dict(one)
    for value, count in other:
        total[value] = total.get(value, 0) + count
    return tuple(sorted(total.items())) if len(total) <= VALUES else None


def _add_histograms(one: Histogram, other: Histogram) -> Histogram:
    shift = max(one.shift, other.shift)
    (bins, counts), (more, their) = coarsened(one, shift), coarsened(other, shift)
    order = np.argsort(joined := np.concatenate([bins, more]), kind="stable")
    return _few(shift, *_grouped(joined[order], np.concatenate([counts, their])[order]))


def _few(shift: int, bins: Keys, counts: NDArray[Any]) -> Histogram:
    """Bins of the least shift at which few enough are occupied."""
    while bins.size > BINS:
        shift += 1
        bins, counts = _grouped(bins >> np.uint64(1), counts)
    return Histogram(shift, tuple(bins.tolist()), tuple(counts.tolist()))


def _grouped(bins: Keys, counts: NDArray[Any]) -> tuple[Keys, NDArray[Any]]:
    """Equal neighbours as one, with the sum of their counts."""
    if not bins.size:
        return bins, counts
    starts = np.flatnonzero(np.concatenate([[True], bins[1:] != bins[:-1]]))
    return bins[starts], np.add.reduceat(counts, starts)
