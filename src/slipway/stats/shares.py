"""Is a share greater than it may be? Tails of the binomial where few rows decide, for arrays of shares at once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["chance_beyond", "lower_difference"]

Array = NDArray[np.float64]
_HALVINGS = 30
# Nearer to the limit than this many roots of the deviance nothing is significant, and the tail's formula is unsteady.
_NEAR = 1.0


def chance_beyond(seen: Array, limit: Array, n: Array) -> Array:
    """The chance to see a share of this size or more where the true share is the limit: the tail of the binomial.

    By the saddle point, which is within one per cent of the exact tail also where a few rows are all there is; the normal
    approximation is far off there, and a bound that holds for every `n` is a row too careful.

    Args:
        seen: The share that was seen.
        limit: What it may be.
        n: Of how many independent rows.

    Source: R. Lugannani and S. Rice, Advances in Applied Probability 12, 1980, with the correction for whole numbers of
    H. Daniels, International Statistical Review 55, 1987, equation 6.8.
    """
    is_beyond = (seen > limit) & (limit < 1.0)
    p = np.clip(limit, 1e-12, 1 - 1e-12)
    x = np.clip(np.where(is_beyond, seen, p), 1e-12, 1 - 1e-12)
    root = np.sqrt(2 * n * np.maximum(0.0, x * np.log(x / p) + (1 - x) * np.log((1 - x) / (1 - p))))
    is_far = is_beyond & (root >= _NEAR)
    root = np.where(is_far, root, _NEAR)
    # One less e^-s, at the s whose tilted mean is x.
    tilt = (x - p) / (x * (1 - p))
    with np.errstate(divide="ignore", invalid="ignore"):
        by_root = np.exp(-(root**2) / 2) / (2 * math.pi) ** 0.5 * (1 / (tilt * np.sqrt(n * x * (1 - x))) - 1 / root)
    above = np.array([0.5 * math.erfc(one / 2**0.5) for one in root.ravel().tolist()]).reshape(root.shape)
    # Of all rows the tail is one term.
    found = np.where(seen * n > n - 0.5, np.exp(n * np.log(p)), above + by_root)
    return np.asarray(np.where(is_far, np.clip(found, 0.0, 1.0), 1.0))


def lower_difference(seen: Array, known: Array, n: Array, level: Array) -> Array:
    """By how much at least a share is greater than a known one: the greatest difference that is rejected at the level.

    Args:
        seen: The share that was seen.
        known: The share to compare with.
        n: Of how many independent rows.
        level: The chance that it is not so much, at most a tenth.
    """
    low, high = np.zeros_like(seen), np.maximum(seen - known, 0.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_rejected = chance_beyond(seen, known + middle, n) < level
        low, high = np.where(is_rejected, middle, low), np.where(is_rejected, high, middle)
    return low
