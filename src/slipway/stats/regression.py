"""Metrics of values against values: `labels` and `scores` are float arrays of shape `(n_rows,)`."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["bias", "mae", "r2", "rmse"]


def mae(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean absolute error; lower is better."""
    errors = np.abs(_errors(labels, scores))
    return float(errors.mean()) if errors.size else float("nan")


def rmse(labels: ArrayLike, scores: ArrayLike) -> float:
    """Root of the mean squared error; lower is better."""
    errors = _errors(labels, scores)
    return float(np.sqrt(np.mean(errors**2))) if errors.size else float("nan")


def bias(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean of prediction minus truth; nearer to zero is better."""
    errors = _errors(labels, scores)
    return float(errors.mean()) if errors.size else float("nan")


def r2(labels: ArrayLike, scores: ArrayLike) -> float:
    """The share of variance explained; higher is better. NaN where the truth does not vary."""
    truth = np.asarray(labels, dtype=np.float64)
    spread = float(np.sum((truth - truth.mean()) ** 2)) if truth.size else 0.0
    if spread == 0.0:
        return float("nan")
    return float(1 - np.sum(_errors(labels, scores) ** 2) / spread)


def _errors(labels: ArrayLike, scores: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    difference = np.asarray(scores, dtype=np.float64) - np.asarray(labels, dtype=np.float64)
    return difference.reshape(-1)
