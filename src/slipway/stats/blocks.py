"""Means of rows that are not independent: whole blocks of rows, such as days, are the trials."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from slipway.stats.estimate import Estimate, cannot_tell

__all__ = ["block_mean", "t_quantile"]

_FEW = 2
_STEPS = 200


def block_mean(values: ArrayLike, blocks: ArrayLike, confidence: float = 0.95) -> Estimate:
    """The mean over all rows, with an interval that takes each block for one trial.

    Rows of one day share its weather: taken one by one they pretend to be more evidence than they are. The mean is the
    ratio of two sums over blocks, and its interval Student's with one degree of freedom fewer than there are blocks.

    Args:
        values: One number a row, shape `(n_rows,)`.
        blocks: The block of each row, whole numbers, shape `(n_rows,)`: its day, say.
        confidence: Of the interval.

    Returns:
        The estimate; of fewer than two blocks it has no bounds and says so.

    Source: W. Cochran, Sampling Techniques, 3rd edition 1977, sections 6.3 and 9A: ratio estimates over clusters.
    """
    array, of = np.asarray(values, dtype=np.float64), np.asarray(blocks)
    if not array.size:
        return cannot_tell(0, "no rows")
    mean = float(array.mean())
    if not math.isfinite(mean):
        return cannot_tell(array.size, "some of the values are missing or infinite")
    _, places = np.unique(of, return_inverse=True)
    rows = np.bincount(places).astype(np.float64)
    if rows.size < _FEW:
        return Estimate(value=mean, n=array.size, confidence=confidence, note="one block is too few for an interval")
    away = (np.bincount(places, weights=array) - mean * rows) / rows.mean()
    error = math.sqrt(float((away**2).sum()) / (rows.size - 1) / rows.size)
    half = t_quantile(0.5 + confidence / 2, rows.size - 1) * error
    return Estimate(value=mean, low=mean - half, high=mean + half, n=array.size, confidence=confidence)


def t_quantile(p: float, degrees: int) -> float:
    """The value below which Student's t lies with probability `p`.

    Args:
        p: Between 0 and 1.
        degrees: Of freedom, at least 1.

    Example:
        >>> round(t_quantile(0.975, 10), 4)
        2.2281
    """
    if p < 0.5:
        return -t_quantile(1 - p, degrees)
    low, high = 0.0, 1.0
    while _above(high, degrees) > 1 - p:
        low, high = high, high * 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if _above(middle, degrees) > 1 - p else (low, middle)
    return (low + high) / 2


def _above(t: float, degrees: int) -> float:
    """The chance that Student's t is greater than a `t` of 0 or more."""
    return _beta_share(degrees / 2, 0.5, degrees / (degrees + t * t)) / 2


def _beta_share(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function.

    Source: NIST Digital Library of Mathematical Functions, 8.17.22 (continued fraction) and 8.17.4 (symmetry).
    """
    if x <= 0.0 or x >= 1.0:
        return float(x >= 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta_share(b, a, 1.0 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    upper, lower, fraction = 1.0, 0.0, 1.0  # Lentz's way from the front of the fraction
    for step in range(_STEPS):
        m = step // 2
        if step == 0:
            term = 1.0
        elif step % 2 == 0:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        lower = 1.0 / (1.0 + term * lower or 1e-300)
        upper = 1.0 + term / upper or 1e-300
        change = upper * lower
        fraction *= change
        if abs(change - 1.0) < 1e-15:
            break
    return math.exp(log_front) * (fraction - 1.0) / a
