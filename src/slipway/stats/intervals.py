"""Intervals of metrics, and of differences of two models on the same rows."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from msgspec import structs
from numpy.typing import ArrayLike, NDArray

from slipway.errors import InvalidInput, near
from slipway.stats.bootstrap import bootstrap
from slipway.stats.classification import auc, average_precision, log_losses, midranks
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.ratios import RATIOS, ratio_terms
from slipway.stats.regression import r2

__all__ = [
    "LOSSES", "auc_estimate", "auc_interval", "average_precision_interval", "mean_interval", "paired_difference",
    "r2_interval", "share_interval", "spread_interval",
]  # fmt: skip

_FEW = 2


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The mean with the normal interval of the central limit theorem.

    Args:
        values: One number a row, shape `(n_rows,)`.
        confidence: Of the interval.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size < _FEW:
        return spread_interval(0.0, 0.0, array.size, confidence)
    return spread_interval(float(array.mean()), float(array.std(ddof=1)), array.size, confidence)


def spread_interval(mean: float, deviation: float, n: int, confidence: float = 0.95) -> Estimate:
    """The mean of numbers of which only mean and standard deviation are known, with the same interval."""
    if n < _FEW:
        return cannot_tell(n, f"{n} rows are too few for an interval")
    if not np.isfinite(mean):
        return cannot_tell(n, "some of the values are missing or infinite")
    half = _z(confidence) * deviation / n**0.5
    return Estimate(value=mean, low=mean - half, high=mean + half, n=n, confidence=confidence)


def share_interval(hits: int, n: int, confidence: float = 0.95) -> Estimate:
    """A share with Wilson's interval.

    Source: E. Wilson, Journal of the American Statistical Association 22, 1927.
    """
    if n == 0:
        return cannot_tell(0, "no rows")
    z, p = _z(confidence), hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
    low = max(0.0, centre - half) if hits else 0.0  # they are that exactly, and rounding would leave 4e-19
    high = min(1.0, centre + half) if hits < n else 1.0
    return Estimate(value=p, low=low, high=high, n=n, confidence=confidence)


def auc_interval(labels: ArrayLike, scores: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The AUC with DeLong's interval.

    Source: E. DeLong et al., Biometrics 44, 1988; by ranks as X. Sun and W. Xu, IEEE Signal Processing Letters 21, 2014.
    """
    truth = np.asarray(labels).astype(bool)
    if truth.sum() < _FEW or (~truth).sum() < _FEW:
        return cannot_tell(truth.size, "fewer than two rows of one class")
    value = auc(truth, scores)
    from_true, from_false = _placements(truth, np.asarray(scores, dtype=np.float64))
    variance = from_true.var(ddof=1) / from_true.size + from_false.var(ddof=1) / from_false.size
    return auc_estimate(value, float(variance), from_true.size, from_false.size, confidence)


def auc_estimate(value: float, variance: float, true: int, false: int, confidence: float = 0.95) -> Estimate:
    """An AUC whose variance is known, with its interval.

    Args:
        value: The AUC.
        variance: Its own, by DeLong.
        true: How many rows were true.
        false: How many were not.
        confidence: Of the interval.
    """
    n = true + false
    if variance == 0.0:
        # A perfect ranking of a few rows is no certainty: as if each row of the rarer class were a trial.
        fewer = min(true, false)
        return structs.replace(share_interval(round(value * fewer), fewer, confidence), value=value, n=n)
    half = _z(confidence) * variance**0.5
    low, high = max(0.0, value - half), min(1.0, value + half)
    return Estimate(value=value, low=low, high=high, n=n, confidence=confidence)


def average_precision_interval(labels: ArrayLike, scores: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The average precision with a bootstrap interval; there is no good formula for it."""
    truth = np.asarray(labels).astype(bool)
    if truth.sum() < _FEW:
        return cannot_tell(truth.size, "fewer than two true rows")
    return bootstrap(average_precision, truth, np.asarray(scores, dtype=np.float64), confidence=confidence)


def r2_interval(labels: ArrayLike, scores: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The share of variance explained, with the delta method's interval."""
    truth = np.asarray(labels, dtype=np.float64)
    if truth.size < _FEW or np.ptp(truth) == 0.0:
        return cannot_tell(truth.size, "the truth does not vary over these rows")
    return structs.replace(mean_interval(_r2_terms(truth, scores), confidence), value=r2(truth, scores))


def paired_difference(
    labels: ArrayLike,
    challenger: ArrayLike,
    champion: ArrayLike,
    metric: str,
    *,
    losses: Callable[[ArrayLike, ArrayLike], NDArray[np.float64]] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """The challenger's metric minus the champion's on the same rows.

    Args:
        labels: The truth, shape `(n_rows,)`.
        challenger: Its scores, shape `(n_rows,)`.
        champion: Its scores, shape `(n_rows,)`.
        metric: "auc", "average_precision", "log_loss", "brier", "accuracy", "mae", "rmse", "bias", "r2", one of
            `ratios.RATIOS`, or a name of `losses`.
        losses: The loss of each row, for a metric of its own, such as a cost.
        confidence: Of the interval.

    Raises:
        InvalidInput: The metric has no paired form.
    """
    if metric == "auc":
        return _auc_difference(labels, challenger, champion, confidence)
    if metric == "average_precision":
        return bootstrap(_precision_difference, labels, challenger, champion, confidence=confidence)
    if losses is None and metric.partition("@")[0] in RATIOS:
        first, terms, why = ratio_terms(metric, labels, challenger)
        second, others, no = ratio_terms(metric, labels, champion)
        if why or no:
            return cannot_tell(np.asarray(labels).size, why or no)
        return structs.replace(mean_interval(terms - others, confidence), value=first - second)
    per_row = losses or LOSSES.get(metric)
    if per_row is None:
        known = ("auc", "average_precision", *LOSSES)
        raise InvalidInput(f"{metric!r} cannot be compared pair by pair.", fix=near(metric, known, what="metrics"))
    if not np.asarray(labels).size:
        return cannot_tell(0, "no rows")
    return mean_interval(per_row(labels, challenger) - per_row(labels, champion), confidence)


def _auc_difference(labels: ArrayLike, first: ArrayLike, second: ArrayLike, confidence: float) -> Estimate:
    truth = np.asarray(labels).astype(bool)
    if truth.sum() < _FEW or (~truth).sum() < _FEW:
        return cannot_tell(truth.size, "fewer than two rows of one class")
    true_a, false_a = _placements(truth, np.asarray(first, dtype=np.float64))
    true_b, false_b = _placements(truth, np.asarray(second, dtype=np.float64))
    value = float(true_a.mean() - true_b.mean())
    variance = (true_a - true_b).var(ddof=1) / true_a.size + (false_a - false_b).var(ddof=1) / false_a.size
    half = _z(confidence) * float(variance) ** 0.5
    return Estimate(value=value, low=value - half, high=value + half, n=truth.size, confidence=confidence)


def _placements(
    truth: NDArray[np.bool_], scores: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each true row the share of false rows below it, and for each false row the share of true rows above it."""
    ranks = midranks(scores)
    positives, negatives = int(truth.sum()), int((~truth).sum())
    from_true = (ranks[truth] - midranks(scores[truth])) / negatives
    from_false = 1 - (ranks[~truth] - midranks(scores[~truth])) / positives
    return from_true, from_false


def _squares(labels: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    return np.asarray((np.asarray(scores, dtype=np.float64) - np.asarray(labels, dtype=np.float64)) ** 2)


def _absolutes(labels: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    return np.abs(np.asarray(scores, dtype=np.float64) - np.asarray(labels, dtype=np.float64))


def _hits(labels: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    right = (np.asarray(scores, dtype=np.float64) >= 0.5) == np.asarray(labels).astype(bool)
    return np.asarray(right, dtype=np.float64)


def _differences(labels: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(np.asarray(scores, dtype=np.float64) - np.asarray(labels, dtype=np.float64))


def _rmse_terms(labels: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Numbers a row whose mean is the root of the mean square, and whose spread is its spread: the delta method."""
    squares = _squares(labels, scores)
    root = float(squares.mean()) ** 0.5
    return np.asarray(root + (squares - root * root) / (2 * root)) if root else squares


def _r2_terms(labels: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """The same for the share of variance explained, a ratio of two means."""
    truth = np.asarray(labels, dtype=np.float64)
    away = (truth - truth.mean()) ** 2
    spread = float(away.mean())
    if spread == 0.0:
        return np.full(truth.size, np.nan)
    found = r2(truth, scores)
    return np.asarray(found - (_squares(truth, scores) - (1 - found) * away) / spread)


def _precision_difference(labels: ArrayLike, first: ArrayLike, second: ArrayLike) -> float:
    return average_precision(labels, first) - average_precision(labels, second)


LOSSES: dict[str, Callable[[ArrayLike, ArrayLike], NDArray[np.float64]]] = {
    "log_loss": log_losses,
    "brier": _squares,
    "mae": _absolutes,
    "accuracy": _hits,
    "bias": _differences,
    "rmse": _rmse_terms,
    "r2": _r2_terms,
}
"""By metric, numbers a row: their mean is the metric, and their spread is its spread."""


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)
