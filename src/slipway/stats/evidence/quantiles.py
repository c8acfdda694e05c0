"""A quantile, such as the 95th percentile of latency, with bounds that hold at every look."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from slipway.errors import InvalidInput

__all__ = ["quantile_ranks", "quantile_sequence"]

_TINY = 1e-300
_STEPS = 20_000


def quantile_sequence(values: ArrayLike, *, q: float, alpha: float, tuned_for: int = 1_000) -> tuple[float, float]:
    """Bounds of a quantile, each wrong at any look at all with a chance of at most alpha; of any distribution.

    The bounds are two of the values (see `quantile_ranks`), so it does not matter how they are distributed or what unit
    they have. Values are independent, or at least each is below the quantile with chance q given those before.

    Args:
        values: So far, in any order, shape `(n,)`.
        q: Which quantile, above 0 and below 1: 0.95 is the 95th percentile.
        alpha: The chance that the lower bound is ever wrong, and the same for the upper: 0.025 for a 95 % interval.
        tuned_for: The number of values at which the bounds are near their tightest.

    Returns:
        Lower bound, minus infinity where it cannot be told; upper bound, infinity where it cannot be told.

    Raises:
        InvalidInput: A q or alpha that is no share, or a value that is NaN.

    Source: See `quantile_ranks`.
    """
    array = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if np.isnan(array).any():
        raise InvalidInput(
            "A quantile of values of which some are missing cannot be told.",
            fix="Leave out those that are NaN, where that is no choice by value.",
            field="values",
        )
    low, high = quantile_ranks(array.size, q=q, alpha=alpha, tuned_for=tuned_for)
    return (float(array[low - 1]) if low else -math.inf, float(array[high - 1]) if high <= array.size else math.inf)


def quantile_ranks(n: int, *, q: float, alpha: float, tuned_for: int = 1_000) -> tuple[int, int]:
    """Which of n sorted values, counted from 1, bound a quantile at every look.

    Whether a value lies below the quantile is a coin with chance q. The evidence that k of n below a place are too many
    is a mixture of likelihood ratios (theta / q)^k ((1 - theta) / (1 - q))^(n - k) over a Beta distribution with mean
    q, restricted to theta above q; the upper bound is the first value at which it reaches 1 / alpha. The lower bound
    mirrors it. The Beta's concentration is tuned_for / (2 log(1/a) + log(1 + 2 log(1/a))) with a = 2 alpha, which makes
    a normal mixture of one side tightest there.

    Args:
        n: How many values.
        q: Which quantile.
        alpha: Of one side, below 0.5.
        tuned_for: See `quantile_sequence`.

    Returns:
        The lower, 0 where it cannot be told; the upper, n + 1 where it cannot be told.

    Raises:
        InvalidInput: A q or alpha that is no share.

    Source: S. Howard and A. Ramdas, Sequential estimation of quantiles with applications to A/B testing and best-arm
        identification, Bernoulli 28, 2022 (theorem 1 and its beta-binomial form); the mixture as H. Robbins, Annals of
        Mathematical Statistics 41, 1970.
    """
    if not 0 < q < 1 or not 0 < alpha < 0.5:
        raise InvalidInput(
            f"Bounds of the quantile {q!r} at alpha {alpha!r} cannot be told.",
            why="q is above 0 and below 1, alpha above 0 and below a half.",
            field="q" if not 0 < q < 1 else "alpha",
        )
    twice = 2 * math.log(1 / (2 * alpha))
    size, needed = tuned_for / (twice + math.log1p(twice)), math.log(1 / alpha)
    high = _first(lambda k: _too_many(k, n, q, size) >= needed, math.floor(q * n), n)
    above = _first(lambda k: _too_many(k, n, 1 - q, size) >= needed, math.floor((1 - q) * n), n)
    return n + 1 - above, high


def _first(holds: Callable[[int], bool], fails_at: int, n: int) -> int:
    """The least whole number up to n at which it holds, n + 1 where it never does."""
    if not n or not holds(n):
        return n + 1
    holds_at = n
    while holds_at - fails_at > 1:
        middle = (fails_at + holds_at) // 2
        if holds(middle):
            holds_at = middle
        else:
            fails_at = middle
    return holds_at


def _too_many(k: int, n: int, q: float, size: float) -> float:
    """Logarithm of the evidence that k of n are more than a share of q gives."""
    a, b = size * q, size * (1 - q)
    ratio = _log_beta(a + k, b + n - k) - _log_beta(a, b) - k * math.log(q) - (n - k) * math.log1p(-q)
    return ratio + _log_above(q, a + k, b + n - k) - _log_above(q, a, b)


def _log_above(x: float, a: float, b: float) -> float:
    """Logarithm of the chance that a Beta(a, b) is above x."""
    if x > (a + 1) / (a + b + 2):
        return _log_fraction(1 - x, b, a)
    below = math.exp(_log_fraction(x, a, b))
    return math.log1p(-min(below, 1 - 1e-16))


def _log_fraction(x: float, a: float, b: float) -> float:
    """Logarithm of the regularised incomplete beta function for x left of its hump, by a continued fraction (Lentz).

    Source: NIST Digital Library of Mathematical Functions, 8.17.22.
    """
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1))
    whole = d
    for m in range(1, _STEPS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / (1.0 + term * d or _TINY)
            c = 1.0 + term / c or _TINY
            whole *= c * d
        if abs(c * d - 1.0) < 1e-14:
            break
    return a * math.log(x) + b * math.log1p(-x) - _log_beta(a, b) - math.log(a) + math.log(whole)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
