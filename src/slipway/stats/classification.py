"""Metrics of probabilities against true or false.

All take `labels` (0 or 1, shape `(n_rows,)`) and `scores` (probabilities of 1, float64, shape `(n_rows,)`) and return a
float; NaN where the metric is not defined, such as an AUC of one class.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["accuracy", "auc", "average_precision", "brier", "log_loss", "log_losses", "midranks", "positive_rate"]

_TINY = 1e-15


def log_losses(labels: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """The log loss of each row; probabilities are kept 1e-15 away from 0 and 1."""
    truth = np.asarray(labels, dtype=np.float64)
    p = np.clip(np.asarray(scores, dtype=np.float64), _TINY, 1 - _TINY)
    return np.asarray(-(truth * np.log(p) + (1 - truth) * np.log1p(-p)), dtype=np.float64)


def log_loss(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean negative log likelihood; lower is better."""
    losses = log_losses(labels, scores)
    return float(losses.mean()) if losses.size else float("nan")


def brier(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean squared difference of probability and truth; lower is better.

    Source: G. Brier, Verification of forecasts expressed in terms of probability, 1950.
    """
    truth = np.asarray(labels, dtype=np.float64)
    if not truth.size:
        return float("nan")
    return float(np.mean((np.asarray(scores, dtype=np.float64) - truth) ** 2))


def midranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of their ranks."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.concatenate(([True], ordered[1:] != ordered[:-1]))
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], len(values))
    ranks = np.empty(len(values), dtype=np.float64)
    ranks[order] = np.repeat((starts + ends + 1) / 2.0, ends - starts)
    return ranks


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """The chance that a true row scores above a false one, ties counting half; higher is better.

    Source: the Mann-Whitney statistic; J. Hanley and B. McNeil, Radiology 143, 1982.
    """
    truth = np.asarray(labels).astype(bool)
    positives = int(truth.sum())
    negatives = truth.size - positives
    if not positives or not negatives:
        return float("nan")
    ranks = midranks(np.asarray(scores, dtype=np.float64))
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Precision averaged over the recall that each threshold adds; higher is better. Tied scores share a threshold."""
    truth = np.asarray(labels, dtype=np.float64)
    values = np.asarray(scores, dtype=np.float64)
    if not truth.sum():
        return float("nan")
    order = np.argsort(-values, kind="stable")
    ordered, hits = values[order], np.cumsum(truth[order])
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)
    recall = hits[last] / hits[-1]
    precision = hits[last] / (last + 1)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def accuracy(labels: ArrayLike, scores: ArrayLike) -> float:
    """The share of rows on the right side of 0.5; higher is better."""
    truth = np.asarray(labels).astype(bool)
    if not truth.size:
        return float("nan")
    return float(np.mean((np.asarray(scores, dtype=np.float64) >= 0.5) == truth))


def positive_rate(labels: ArrayLike, scores: ArrayLike) -> float:
    """The share of true rows."""
    truth = np.asarray(labels, dtype=np.float64)
    return float(truth.mean()) if truth.size else float("nan")
