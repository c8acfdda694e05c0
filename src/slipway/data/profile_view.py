"""Profiles as people read them: quantiles and bars out of histograms, keys as values again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from slipway.operations.table_checks import ColumnSummary, Value
from slipway.stats.column_profiles import ColumnProfile, distinct_count, mean

__all__ = ["summary_of"]

_BARS = 20
Floats = NDArray[np.float64]
_TOP = 5
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OFFSET = 1 << 63
_ORDERED = ("number", "integer", "instant", "date", "duration")


def summary_of(column: ColumnProfile, *, personal: bool, may_see: bool) -> ColumnSummary:
    """A column in figures.

    Args:
        column: Its profile.
        personal: Whether it tells something of a person.
        may_see: Whether values of such a column may be shown.
    """
    distinct, exact = distinct_count(column)
    summary = ColumnSummary(
        name=column.name,
        kind=column.kind,
        rows=column.rows,
        nulls=column.nulls,
        nans=column.nans,
        distinct=distinct,
        distinct_is_exact=exact,
        personal=personal,
    )
    if (personal and not may_see) or column.rows == column.nulls or column.kind == "other":
        return summary
    return _with_values(column, summary)


def _with_values(column: ColumnProfile, summary: ColumnSummary) -> ColumnSummary:
    centre = mean(column)
    if column.kind not in _ORDERED:
        top = sorted(column.values or (), key=lambda pair: (-pair[1], pair[0]))
        low, high = (None, None) if column.kind == "boolean" else (column.low, column.high)
        return replace(
            summary,
            low=low,
            high=high,
            mean=centre,
            top=tuple(top[:_TOP]),
            bars=tuple(count for _, count in top[:_BARS]),
        )
    if column.low is None:
        return summary
    edges, counts = _edges(column)
    bars, start, end = _bars(column, edges, counts)
    few = column.histogram.shift == 0
    pairs = sorted(zip(counts, column.histogram.bins, strict=True), key=lambda pair: (-pair[0], pair[1]))[:_TOP]
    return replace(
        summary,
        low=_shown(column, column.low),
        high=_shown(column, column.high),
        mean=None if centre is None else _shown(column, centre),
        quantiles=tuple(_shown(column, _quantile(column, edges, counts, share)) for share in _QUANTILES),
        top=tuple((str(_shown(column, _value(column, key))), count) for count, key in pairs) if few else (),
        bars=bars,
        bars_from=_shown(column, start),
        bars_to=_shown(column, end),
    )


def _edges(column: ColumnProfile) -> tuple[list[tuple[float, float]], Sequence[int]]:
    """The occupied bins as stretches of values, within the range of the column, and their rows."""
    low, high, shift = float(column.low), float(column.high), column.histogram.shift
    stretches = []
    for place in column.histogram.bins:
        start = _value(column, place << shift)
        end = start if shift == 0 else _value(column, min((place + 1) << shift, 2**64 - 1))
        stretches.append((min(max(start, low), high), max(min(end, high), low)))
    return stretches, column.histogram.counts


def _value(column: ColumnProfile, key: int) -> float:
    """The value of a key; see `profiles.key_of`."""
    if column.kind != "number":
        return key - _OFFSET
    bits = key - _OFFSET if key >= _OFFSET else key ^ (2**64 - 1)
    found = float(np.array([bits], dtype=np.uint64).view(np.float64)[0])
    return found if found == found else float("inf")  # beyond infinity lie the bits of NaN


def _quantile(
    column: ColumnProfile, edges: Sequence[tuple[float, float]], counts: Sequence[int], share: float
) -> float:
    wanted, seen = share * sum(counts), 0
    for (start, end), count in zip(edges, counts, strict=True):
        if seen + count >= wanted:
            return start + (end - start) * (wanted - seen) / count if start != end else start
        seen += count
    return float(column.high)


def _bars(
    column: ColumnProfile, edges: Sequence[tuple[float, float]], counts: Sequence[int]
) -> tuple[tuple[int, ...], float, float]:
    """Rows in stretches of equal length; a few far values are counted in the first and last one."""
    start, end = float(column.low), float(column.high)
    near, far = (_quantile(column, edges, counts, share) for share in (0.01, 0.99))
    if not np.isfinite([start, end]).all() or end - start > 4 * (far - near) > 0:
        start, end = near, far
    if not np.isfinite(end - start):
        return (), start, end
    if start == end:
        return (sum(counts),), start, end
    cuts = np.linspace(start, end, _BARS + 1)
    ends = np.array([edge for _, edge in edges])
    starts = np.array([edge for edge, _ in edges])
    total = np.concatenate([[0], np.cumsum(counts)])
    below = [float(_below(cut, starts, ends, counts, total)) for cut in cuts[1:-1]]
    through = [0.0, *below, float(total[-1])]
    return tuple(round(b) - round(a) for a, b in pairwise(through)), start, end


def _below(cut: float, starts: Floats, ends: Floats, counts: Sequence[int], total: NDArray[np.int64]) -> float:
    """How many rows lie below a cut, where those of a bin lie evenly in it."""
    place = int(np.searchsorted(ends, cut, side="left"))
    if place == len(counts):
        return float(total[-1])
    length = ends[place] - starts[place]
    inside = min(max((cut - starts[place]) / length, 0.0), 1.0) if length > 0 else float(starts[place] < cut)
    return float(total[place]) + inside * counts[place]


def _shown(column: ColumnProfile, value: float) -> Value:
    if column.kind == "integer":
        return int(value) if float(value).is_integer() else float(value)
    if column.kind == "duration":
        return value / 1e6
    if column.kind in ("instant", "date"):
        unit = timedelta(microseconds=1) if column.kind == "instant" else timedelta(days=1)
        try:
            at = _EPOCH + round(value) * unit
        except OverflowError:
            return None
        return at.isoformat(timespec="seconds") if column.kind == "instant" else at.date().isoformat()
    return value
