"""Few errors in few requests: exact binomial tails, without a table and without SciPy."""

from __future__ import annotations

import math

__all__ = ["least_share", "most_share", "upper_tail"]

_TERMS = 100_000
_ENOUGH = 1e-16


def upper_tail(hits: int, n: int, share: float) -> float:
    """How likely at least so many hits are among n independent trials of which each hits with a probability.

    Computed as the sum of C(n, k) p^k (1 - p)^(n - k) over k from `hits` to n, each term from the one before.

    Args:
        hits: At least so many.
        n: Trials.
        share: The probability of each.
    """
    if hits <= 0:
        return 1.0
    if share <= 0.0 or hits > n:
        return 0.0
    if share >= 1.0:
        return 1.0
    if hits <= n * share:  # the other tail is the small one: it is summed downwards
        return 1.0 - upper_tail(n - hits + 1, n, 1.0 - share)
    log_term = (
        math.lgamma(n + 1)
        - math.lgamma(hits + 1)
        - math.lgamma(n - hits + 1)
        + hits * math.log(share)
        + (n - hits) * math.log1p(-share)
    )
    term, total, odds = 1.0, 1.0, share / (1.0 - share)
    for k in range(hits, min(n, hits + _TERMS)):
        term *= (n - k) / (k + 1) * odds
        total += term
        if term < total * _ENOUGH:
            break
    return min(1.0, math.exp(log_term) * total)


def least_share(hits: int, n: int, alpha: float) -> float:
    """The greatest share that so many hits refute from below: the one-sided lower bound of Clopper and Pearson.

    Source: C. Clopper and E. Pearson, Biometrika 26, 1934.

    Args:
        hits: How many.
        n: Trials.
        alpha: How likely the true share may lie below the bound.
    """
    if hits <= 0 or n <= 0:
        return 0.0
    low, high = 0.0, hits / n
    for _ in range(40):
        middle = (low + high) / 2
        if upper_tail(hits, n, middle) <= alpha:
            low = middle
        else:
            high = middle
    return low


def most_share(hits: int, n: int, alpha: float) -> float:
    """The upper bound that belongs to `least_share`: 1 where there is no trial."""
    return 1.0 - least_share(n - hits, n, alpha) if n > 0 else 1.0
