"""Intervals of metrics over rows that come in blocks: the rows of one day share its weather, its news, its outages.

A formula that takes them for independent states intervals two to six times too narrow on the flagship's flights. Here
a block counts as one draw: what varies is what whole blocks bring, by Student's t with one degree of freedom fewer than
there are blocks. Blocks that depend on each other (a storm of two days) still make the interval somewhat too narrow.
"""

from __future__ import annotations

from functools import lru_cache
from math import atan, cos, pi, sin, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slipway.errors import InvalidInput, near
from slipway.stats.classification import midranks
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.intervals import LOSSES

__all__ = ["auc_by_blocks", "estimate_by_blocks", "mean_by_blocks", "student_quantile"]

_FEW = 2
_TERMS = {**LOSSES, "calibration_in_the_large": LOSSES["bias"]}


def estimate_by_blocks(
    metric: str, labels: ArrayLike, scores: ArrayLike, blocks: ArrayLike, confidence: float = 0.95
) -> Estimate:
    """A metric with an interval by blocks.

    Args:
        metric: "auc", "log_loss", "brier", "accuracy", "calibration_in_the_large", "mae", "rmse", "bias" or "r2".
        labels: The truth, shape `(n_rows,)`.
        scores: The predictions, shape `(n_rows,)`.
        blocks: The block of each row, such as its day, whole numbers of shape `(n_rows,)`.
        confidence: Of the interval.

    Raises:
        InvalidInput: The metric has no interval by blocks.
    """
    if metric == "auc":
        return auc_by_blocks(labels, scores, blocks, confidence)
    if metric not in _TERMS:
        raise InvalidInput(
            f"{metric!r} has no interval by blocks.", fix=near(metric, ("auc", *_TERMS), what="metrics"), field="metric"
        )
    return mean_by_blocks(_TERMS[metric](labels, scores), blocks, confidence)


def mean_by_blocks(values: ArrayLike, blocks: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The mean over all rows, a ratio of what blocks sum up to and of their rows, with the linearised t-interval.

    Args:
        values: One number a row, shape `(n_rows,)`.
        blocks: The block of each row, shape `(n_rows,)`.
        confidence: Of the interval.

    Source: W. Cochran, Sampling Techniques, 1977, section 9A on clusters of unequal size.
    """
    array = np.asarray(values, dtype=np.float64)
    codes, k = _codes(blocks)
    if k < _FEW:
        return cannot_tell(array.size, f"{k} blocks are too few for an interval")
    if not np.isfinite(array).all():
        return cannot_tell(array.size, "some of the values are missing or infinite")
    mean = float(array.mean())
    away = np.bincount(codes, weights=array - mean, minlength=k)
    deviation = sqrt(k / (k - 1) * float(away @ away)) / array.size
    half = student_quantile(0.5 + confidence / 2, k - 1) * deviation
    return Estimate(value=mean, low=mean - half, high=mean + half, n=array.size, confidence=confidence)


def auc_by_blocks(labels: ArrayLike, scores: ArrayLike, blocks: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The AUC with the interval of the jackknife that leaves out one block at a time.

    What a block's true rows win against all false rows, all true rows against its false ones, and its own against each
    other: these three say what is left without it, so that all jackknife values come from one ranking of the rows.

    Source: B. Efron and C. Stein, Annals of Statistics 9, 1981.
    """
    truth, values = np.asarray(labels).astype(bool), np.asarray(scores, dtype=np.float64)
    codes, k = _codes(blocks)
    positives = np.bincount(codes[truth], minlength=k)
    negatives = np.bincount(codes[~truth], minlength=k)
    left_true, left_false = positives.sum() - positives, negatives.sum() - negatives
    if k < _FEW or left_true.min() == 0 or left_false.min() == 0:
        return cannot_tell(truth.size, "the rows of one class lie in fewer than two blocks")
    ranks = midranks(values)
    # among all rows, a row's rank less the one among its own class counts the rows of the other class below it
    wins_true = np.bincount(codes[truth], weights=ranks[truth] - midranks(values[truth]), minlength=k)
    lost_false = ranks[~truth] - midranks(values[~truth])
    wins_false = np.bincount(codes[~truth], weights=positives.sum() - lost_false, minlength=k)
    total = float(wins_true.sum())
    without = (total - wins_true - wins_false + _wins_within(truth, values, codes, k)) / (left_true * left_false)
    value = total / float(positives.sum() * negatives.sum())
    away = without - without.mean()
    deviation = sqrt((k - 1) / k * float(away @ away))
    half = student_quantile(0.5 + confidence / 2, k - 1) * deviation
    low, high = max(0.0, value - half), min(1.0, value + half)
    return Estimate(value=value, low=low, high=high, n=truth.size, confidence=confidence)


@lru_cache(maxsize=512)
def student_quantile(share: float, freedom: int) -> float:
    """Below this lies the given share (over one half) of Student's t distribution.

    Source: M. Abramowitz and I. Stegun, Handbook of Mathematical Functions, 1964, 26.7.3 and 26.7.4: the distribution
        for whole degrees of freedom is a finite sum; its inverse by halving.
    """
    low, high = 0.0, 1.0
    while _student(high, freedom) < share:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _student(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def _student(t: float, freedom: int) -> float:
    """The share of the distribution below `t` >= 0."""
    angle = atan(t / sqrt(freedom))
    square, odd = cos(angle) ** 2, freedom % 2 == 1
    term = cos(angle) if odd else 1.0
    terms = 0.0
    for step in range(freedom // 2):
        terms += term
        top = 2 * step + 1 + odd
        term *= square * top / (top + 1)
    within = 2 / pi * (angle + sin(angle) * terms) if odd else sin(angle) * terms
    return 0.5 + within / 2


def _wins_within(
    truth: NDArray[np.bool_], values: NDArray[np.float64], codes: NDArray[np.intp], k: int
) -> NDArray[np.float64]:
    """For each block: how many pairs of a true and a false row of its own are in order, ties one half."""
    found = np.zeros(k)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=k))[:-1]
    for place, rows in enumerate(np.split(order, ends)):
        own, scores = truth[rows], values[rows]
        found[place] = (midranks(scores)[own] - midranks(scores[own])).sum()
    return found


def _codes(blocks: ArrayLike) -> tuple[NDArray[np.intp], int]:
    names, codes = np.unique(np.asarray(blocks), return_inverse=True)
    return codes.astype(np.intp), int(names.size)
