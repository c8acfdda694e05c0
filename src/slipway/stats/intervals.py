"""Intervals of metrics, and of differences of two models on the same rows."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slipway.errors import InvalidInput, near
from slipway.stats.classification import auc, log_losses, midranks
from slipway.stats.estimate import Estimate, cannot_tell

__all__ = ["auc_interval", "mean_interval", "paired_difference", "share_interval"]

_FEW = 2


def mean_interval(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The mean with the normal interval of the central limit theorem.

    Args:
        values: One number a row, shape `(n_rows,)`.
        confidence: Of the interval.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size < _FEW:
        return cannot_tell(array.size, f"{array.size} rows are too few for an interval")
    mean = float(array.mean())
    half = _z(confidence) * float(array.std(ddof=1)) / array.size**0.5
    return Estimate(value=mean, low=mean - half, high=mean + half, n=array.size, confidence=confidence)


def share_interval(hits: int, n: int, confidence: float = 0.95) -> Estimate:
    """A share with Wilson's interval.

    Source: E. Wilson, Journal of the American Statistical Association 22, 1927.
    """
    if n == 0:
        return cannot_tell(0, "no rows")
    z, p = _z(confidence), hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
    return Estimate(value=p, low=max(0.0, centre - half), high=min(1.0, centre + half), n=n, confidence=confidence)


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
    half = _z(confidence) * float(variance) ** 0.5
    low, high = max(0.0, value - half), min(1.0, value + half)
    return Estimate(value=value, low=low, high=high, n=truth.size, confidence=confidence)


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
        metric: "auc", "log_loss", "brier", "mae", or a name of `losses`.
        losses: The loss of each row, for a metric of its own, such as a cost.
        confidence: Of the interval.

    Raises:
        InvalidInput: The metric has no paired form.
    """
    if metric == "auc":
        return _auc_difference(labels, challenger, champion, confidence)
    per_row = losses or _LOSSES.get(metric)
    if per_row is None:
        known = ("auc", *_LOSSES)
        raise InvalidInput(f"{metric!r} cannot be compared pair by pair.", fix=near(metric, known, what="metrics"))
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


_LOSSES: dict[str, Callable[[ArrayLike, ArrayLike], NDArray[np.float64]]] = {
    "log_loss": log_losses,
    "brier": _squares,
    "mae": _absolutes,
}


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)
