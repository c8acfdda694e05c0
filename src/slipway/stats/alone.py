"""How well one input alone predicts the label: too well, and it is the label under another name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.stats.classification import auc, midranks
from slipway.stats.intervals import auc_interval
from slipway.stats.metrics import MIN_SLICE_ROWS

__all__ = ["SURE", "alone", "bins", "rank_correlation"]

SURE = 0.9
"""What the lower bound of its AUC must be above, besides the AUC itself: few rows tell little."""
_BINS = 32


def alone(column: Sequence[Any], truth: NDArray[np.float64], *, is_binary: bool) -> tuple[float, float]:
    """How well one input alone predicts the label, and a lower bound: by its order, or by the mean label of its values.

    The means come from the other half of the rows, so that many values do not predict by being learnt.

    Args:
        column: Its values, None where missing.
        truth: The labels, shape `(n_rows,)`.
        is_binary: Whether they are 0 and 1: then it is an AUC, otherwise a rank correlation, which has no bound of its own.
    """
    if len(column) < MIN_SLICE_ROWS or np.unique(truth).size < 2:
        return 0.0, 0.0
    told = [_by_means(column, truth)]
    if all(value is None or isinstance(value, int | float) for value in column):
        known = np.asarray([np.nan if value is None else float(value) for value in column])
        least = np.nanmin(known) if np.isfinite(known).any() else 0.0
        told.append(np.where(np.isnan(known), least - 1, known))
    if not is_binary:
        best = max(abs(rank_correlation(values, truth)) for values in told)
        return best, best
    strengths = [
        max((auc(truth, values), values), (auc(truth, -values), -values), key=lambda one: one[0]) for values in told
    ]
    strength, values = max(strengths, key=lambda one: one[0])
    low = auc_interval(truth, values).low
    return strength, 0.0 if np.isnan(low) else low


def bins(column: Sequence[Any]) -> list[str]:
    """The values as texts; of numbers with many values the number of their quantile."""
    numbers = np.asarray([value if isinstance(value, int | float) else np.nan for value in column], dtype=np.float64)
    known = numbers[~np.isnan(numbers)]
    if np.unique(known).size <= _BINS:
        return [str(value) for value in column]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]))
    places = np.searchsorted(edges, numbers).tolist()
    return [
        str(place) if isinstance(value, int | float) else str(value)
        for value, place in zip(column, places, strict=True)
    ]


def rank_correlation(values: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Spearman's: the correlation of ranks."""
    one, other = midranks(values), midranks(truth)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _by_means(column: Sequence[Any], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row's value replaced by the mean label that the other half of the rows has for it."""
    _, groups = np.unique(np.asarray(bins(column)), return_inverse=True)
    half = np.random.default_rng(0).integers(0, 2, truth.size)
    found = np.full(truth.size, truth.mean())
    for mine in (0, 1):
        others, own = half != mine, half == mine
        counts = np.bincount(groups[others], minlength=groups.max() + 1)
        sums = np.bincount(groups[others], weights=truth[others], minlength=groups.max() + 1)
        means = np.divide(sums, counts, out=np.full(counts.size, truth.mean()), where=counts > 0)
        found[own] = means[groups[own]]
    return found
