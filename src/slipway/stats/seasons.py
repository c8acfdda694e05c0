"""Like for like: how far a window lies from what windows of its weekday and hour usually show, and how far those lie apart.

What is usual is the median share of each cell over the like windows before. How much windows differ without any change is
not taken from the number of rows, because rows of one user, one hour or one storm are alike: each window of the weeks
before is compared with its own like windows, and the spread of these distances is what chance, clusters and rhythm make
of them together. Distances are put on one scale by the root of the rows, so that nights and days tell of each other.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slipway.stats.drift_dependence import raked
from slipway.stats.flat_profiles import Counts, Flat

__all__ = ["LIKE", "LIKE_AT_LEAST", "MIN_ROWS", "Asked", "Distance", "Layout", "Measured", "Noise", "distance", "like", "measure", "noise"]  # fmt: skip

Floats = NDArray[np.float64]
Question = Literal["shape", "missing", "unseen", "tails", "dependence"]

LIKE, LIKE_AT_LEAST = 8, 4
MIN_ROWS = 100
"""A window with fewer rows of a column is not compared: it says next to nothing."""
_FEW_WINDOWS = 12
_MEDIAN = math.pi / 2
"""How many times the variance of a mean a median of normal values has."""
_NORMAL_MAD, _NORMAL_95, _NORMAL_975 = 1.4826, 1.645, 1.96
_MAD_EFFICIENCY = 0.37


class Asked(NamedTuple):
    """A question about a column, by its position in the reference; of dependence with that of the other column."""

    column: int
    question: Question
    other: int = -1


class Layout:
    """Where in rows of counts the cells of each column are, and what is asked of it.

    Args:
        flat: The layout of the profiles.
    """

    def __init__(self, flat: Flat) -> None:
        cells: list[int] = []
        starts: list[int] = []
        self.names = tuple(column.name for column in flat.reference.columns)
        self.asked: list[Asked] = []
        shapes, others = [], []
        columns = flat.reference.columns
        for position, column in enumerate(columns):
            fields = ("counts",) if column.is_numeric else ("counts", "other", "unseen")
            starts.append(len(cells))
            for field in fields:
                cells += flat.places[position, field]
            shapes.append(Asked(position, "shape"))
            others.append((Asked(position, "missing"), tuple(flat.places[position, "missing"]), True))
            if column.is_numeric:
                outside = (*flat.places[position, "below"], *flat.places[position, "above"])
                others.append((Asked(position, "tails"), outside, False))
            elif not column.is_open:
                others.append((Asked(position, "unseen"), tuple(flat.places[position, "unseen"]), False))
        known = {name: position for position, name in enumerate(self.names)}
        pairs = [Asked(known[pair.first], "dependence", known[pair.second]) for pair in flat.reference.pairs]
        self.asked = [*shapes, *(asked for asked, _, _ in others), *pairs]
        self.cells = np.asarray(cells, dtype=np.intp)
        self.starts = np.asarray(starts, dtype=np.intp)
        self.missing = np.asarray([flat.places[p, "missing"][0] for p in range(len(self.names))], dtype=np.intp)
        self.parts = [(asked.column, places, of_all) for asked, places, of_all in others]
        self.pairs = [
            (pair, list(places), (columns[asked.column].is_numeric, columns[asked.other].is_numeric))
            for pair, places, asked in zip(flat.reference.pairs, flat.pairs, pairs, strict=True)
        ]


class Measured(NamedTuple):
    """Shares of windows.

    Args:
        cells: Of each cell among the column's rows with a value, shape `(n_windows, n_cells)`; NaN where too few rows.
        parts: Of what else is asked, shape `(n_windows, n_asked - n_columns)`; of dependence the correlation.
        sizes: Rows behind them, shape `(n_windows, n_asked)`; of shares that were put together out of strata, as many as
            would tell as much.
        variances: Of the correlations, times the rows, shape `(n_windows, n_pairs)`.
    """

    cells: Floats
    parts: Floats
    sizes: Floats
    variances: Floats


class Noise(NamedTuple):
    """How far like windows lie apart, on the scale of one row.

    Args:
        centre: The usual distance, shape `(n_asked,)`.
        spread: Its standard deviation.
        freedom: With how many degrees of freedom that is known.
    """

    centre: Floats
    spread: Floats
    freedom: Floats


class Distance(NamedTuple):
    """How far a window lies from what is usual, by question, each of shape `(n_asked,)`; NaN where that cannot be told.

    Args:
        effects: What the usual distance does not explain.
        deviations: Standard deviations of the effects.
        freedom: With how many degrees of freedom they are known.
        now: The window's share; of a shape the part of the rows that lies elsewhere, of dependence the correlation.
        before: The usual share; 0 of a shape.
        sizes: Rows of the window.
        effective: How many independent rows would show as much.
    """

    effects: Floats
    deviations: Floats
    freedom: Floats
    now: Floats
    before: Floats
    sizes: Floats
    effective: Floats


def measure(layout: Layout, counts: Counts, weights: Floats | None = None) -> Measured:
    """The shares of windows.

    Args:
        layout: Of the counts.
        counts: Shape `(n_windows, n_strata, width)`.
        weights: The share that each stratum is to have, shape `(n_strata,)`, so that a window of another mix is compared
            as if it had this one; None takes rows as they are.

    Source: standardisation by strata, J. Yerushalmy, Public Health Reports 66, 1951.
    """
    if weights is None:
        counts, weights = counts.sum(axis=1, keepdims=True), np.ones(1)
    cells = counts[..., layout.cells].astype(np.float64)
    present = np.add.reduceat(cells, layout.starts, axis=-1)
    rows = present + counts[..., layout.missing]
    widths = np.diff(np.append(layout.starts, layout.cells.size))
    shares, sizes = _put_together(cells, np.repeat(present, widths, axis=-1), weights)
    part_counts = np.stack([counts[..., list(p)].sum(axis=-1) for _, p, _ in layout.parts], axis=-1).astype(np.float64)
    totals = np.stack([(rows if of_all else present)[..., column] for column, _, of_all in layout.parts], axis=-1)
    parts, part_sizes = _put_together(part_counts, totals, weights)
    correlations, pair_sizes, variances = _of_pairs(layout, counts, weights)
    return Measured(
        shares,
        np.concatenate([parts, correlations], axis=1),
        np.concatenate([sizes[:, layout.starts], part_sizes, pair_sizes], axis=1),
        variances,
    )


def like(starts: NDArray[np.int64], place: int, period: int, among: NDArray[np.bool_], *, before: bool) -> list[int]:
    """The windows of the same weekday and hour as one: the nearest ones, at most `LIKE`.

    Args:
        starts: When windows begin, in units of which a week has `period`, ascending.
        place: Which window.
        period: A week.
        among: Which windows may be taken.
        before: Only earlier ones.
    """
    same = np.flatnonzero((starts - starts[place]) % period == 0)
    found = [int(i) for i in same if i != place and among[i] and (not before or i < place)]
    found.sort(key=lambda i: (abs(int(starts[i]) - int(starts[place])), i))
    return sorted(found[:LIKE])


def noise(
    layout: Layout, measured: Measured, starts: NDArray[np.int64], period: int, among: NDArray[np.bool_]
) -> Noise:
    """How far windows lie from their like ones without any change.

    Args:
        layout: Of the columns.
        measured: The windows.
        starts: When they begin, see `like`.
        period: A week.
        among: The windows that teach.
    """
    found = []
    for place in np.flatnonzero(among):
        others = like(starts, int(place), period, among, before=False)
        if len(others) >= LIKE_AT_LEAST - 1:
            raw, _, scale = _raw(layout, measured, int(place), others)
            found.append(raw * scale)
    asked = len(layout.asked)
    if not found:
        nothing = np.full(asked, np.nan)
        return Noise(nothing, nothing, np.zeros(asked))
    distances = np.stack(found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without a value in any window
        centre = np.nanmedian(distances, axis=0)
        away = np.abs(distances - centre)
        spread = _NORMAL_MAD * np.nanmedian(away, axis=0)
        n = len(layout.names)
        # Distances of shapes are never negative, and lean to the far side.
        spread[:n] = np.maximum(spread[:n], (np.nanquantile(distances[:, :n], 0.95, axis=0) - centre[:n]) / _NORMAL_95)
        spread[n:] = np.maximum(spread[n:], np.nanquantile(away[:, n:], 0.95, axis=0) / _NORMAL_975)
    known = np.isfinite(distances).sum(axis=0)
    return Noise(
        np.where(known >= _FEW_WINDOWS, centre, np.nan), spread, np.maximum(1.0, _MAD_EFFICIENCY * (known - 1))
    )


def distance(layout: Layout, measured: Measured, place: int, others: Sequence[int], around: Noise) -> Distance:
    """How far a window lies from what its like windows show.

    Args:
        layout: Of the columns.
        measured: The windows.
        place: The window.
        others: Its like windows, from `like`.
        around: How far like windows lie apart.
    """
    n = len(layout.names)
    if len(others) < LIKE_AT_LEAST:
        nothing = np.full(len(layout.asked), np.nan)
        return Distance(nothing, nothing, nothing, nothing, nothing, measured.sizes[place], nothing)
    raw, usual, scale = _raw(layout, measured, place, others)
    by_chance, of_chance = _independent(layout, measured, place, others)
    with np.errstate(divide="ignore", invalid="ignore"):  # columns without rows
        bias, spread = around.centre / scale, around.spread / scale
    bias[:n] = np.maximum(bias[:n], by_chance)
    effects = raw - bias
    is_rise = np.array([asked.question in ("shape", "unseen", "tails") for asked in layout.asked])
    effects = np.where(is_rise, np.maximum(0.0, effects), np.abs(effects))
    deviations = np.maximum(spread, of_chance)
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = measured.sizes[place] * np.minimum(1.0, (of_chance / deviations) ** 2)
    now = np.concatenate([effects[:n], measured.parts[place]])
    before = np.concatenate([np.zeros(n), usual])
    return Distance(effects, deviations, around.freedom, now, before, measured.sizes[place], effective)


def _put_together(counts: Floats, totals: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Shares over strata by their weights, and the rows that would tell as much; strata without rows are left out."""
    has = totals > 0
    w = np.where(has, weights[:, None], 0.0)
    w /= np.maximum(w.sum(axis=1, keepdims=True), 1e-300)
    shares = (w * counts / np.maximum(totals, 1.0)).sum(axis=1)
    sizes = 1.0 / np.maximum((w**2 / np.maximum(totals, 1.0)).sum(axis=1), 1e-12)
    sizes = np.where(has.any(axis=1), sizes, 0.0)
    shares[np.broadcast_to(sizes < MIN_ROWS, shares.shape)] = np.nan
    return shares, sizes


def _of_pairs(layout: Layout, counts: Counts, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Of each pair by window: the correlation, how many rows tell it, and its variance times these."""
    empty = np.empty((len(counts), len(layout.pairs)))
    found, sizes, variances = empty, empty.copy(), empty.copy()
    for place, (known, places, numeric) in enumerate(layout.pairs):
        cells = counts[..., places].astype(np.float64)
        shares, rows = _put_together(cells, cells.sum(axis=-1, keepdims=True), weights)
        told = raked(shares * rows, known, numeric)
        sizes[:, place] = np.nan_to_num(told.effective)
        found[:, place] = np.where(sizes[:, place] < MIN_ROWS, np.nan, told.now)
        variances[:, place] = told.variance
    return found, sizes, variances


def _raw(layout: Layout, measured: Measured, place: int, others: Sequence[int]) -> tuple[Floats, Floats, Floats]:
    """Distances as they are, the usual shares of parts, and what puts distances on the scale of one row."""
    usual = _median(measured.cells[others])
    sums = np.add.reduceat(usual, layout.starts)
    widths = np.diff(np.append(layout.starts, layout.cells.size))
    with np.errstate(divide="ignore", invalid="ignore"):
        usual = usual / np.repeat(sums, widths)
        shape = 0.5 * np.add.reduceat(np.abs(measured.cells[place] - usual), layout.starts)
        parts = _median(measured.parts[others])
        sizes = measured.sizes[others]
        behind = np.where(sizes >= MIN_ROWS, sizes, 0.0).sum(axis=0)
        scale = 1.0 / np.sqrt(1.0 / measured.sizes[place] + _MEDIAN / behind)
    return np.concatenate([shape, measured.parts[place] - parts]), parts, scale


def _independent(layout: Layout, measured: Measured, place: int, others: Sequence[int]) -> tuple[Floats, Floats]:
    """What independent rows would show: the shapes' distance by chance alone, and all distances' deviations.

    One added row of each kind keeps a share of zero from claiming to be certain.

    Source: A. Agresti and B. Caffo, The American Statistician 54, 2000.
    """
    n = measured.sizes[place] + 2
    sizes = measured.sizes[others]
    m = np.where(sizes >= MIN_ROWS, sizes, 0.0).sum(axis=0) / _MEDIAN + 2
    now, usual = measured.cells[place], _median(measured.cells[others])
    grew = np.where(now > usual, 1.0, 0.0)
    p = np.concatenate([np.add.reduceat(now * grew, layout.starts), measured.parts[place]])
    q = np.concatenate([np.add.reduceat(usual * grew, layout.starts), _median(measured.parts[others])])
    p, q = (p * (n - 2) + 1) / n, np.minimum(1.0, (q * (m - 2) + 1) / m)
    one, many = p * (1 - p), q * (1 - q)
    if layout.pairs:
        paired = slice(-len(layout.pairs), None)
        one[paired], many[paired] = measured.variances[place], _median(measured.variances[others])
    deviations = np.sqrt(one / n + many / m)
    widths = np.diff(np.append(layout.starts, layout.cells.size))
    columns = len(layout.names)
    each = np.repeat(1 / n[:columns] + 1 / m[:columns], widths)
    pooled = np.clip((now + usual) / 2, 0.0, 1.0)
    by_chance = 0.5 * (2 / math.pi) ** 0.5 * np.add.reduceat(np.sqrt(pooled * (1 - pooled) * each), layout.starts)
    return by_chance, deviations


def _median(shares: Floats) -> Floats:
    """The median of those that are known; NaN where these are too few. Sorting puts what is not known last."""
    ordered = np.sort(shares, axis=0)
    known = np.isfinite(shares).sum(axis=0)
    lower = np.take_along_axis(ordered, (np.maximum(known - 1, 0) // 2)[None], axis=0)[0]
    upper = np.take_along_axis(ordered, np.minimum(known // 2, len(shares) - 1)[None], axis=0)[0]
    return np.asarray(np.where(known >= LIKE_AT_LEAST - 1, (lower + upper) / 2, np.nan), dtype=np.float64)
