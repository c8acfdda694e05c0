"""The mean of values with known ends, such as scores and differences of scores, with exact bounds at every look."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slipway.errors import InvalidInput
from slipway.stats.evidence.means import MeanBounds

__all__ = ["bounded_mean_sequence"]

_BOLDEST = 0.5
_HALVINGS = 40


def bounded_mean_sequence(values: ArrayLike, *, low: float, high: float, alpha: float) -> MeanBounds:
    """The mean of values that lie in [low, high], with bounds that hold at every number of values, from the first on.

    Nothing is assumed but the ends, and that each value's mean, given those before it, is the same. Both models score
    the same rows: the differences of two probabilities lie in [-1, 1], and how far the challenger's predictions are
    shifted is their mean. A challenger always differs a little: ask whether the bounds leave a margin, not whether they
    leave 0.

    A gambler bets on "the mean is above m", with values scaled to [0, 1]: his wealth is the product of
    1 + lambda_t (x_t - m), and if the mean is m or less it is expected to shrink; that it ever reaches 1 / alpha has a
    chance of at most alpha. The lower bound is the least m at which it has not; the upper bound bets on the other side.
    Before a value, lambda_t = min(sqrt(2 log(1 / alpha) / (v_(t-1) t log(1 + t))), 1 / (2 m)), where v is the variance
    so far, with a first guess of 1/4 that counts as one value. Wealth falls with m, so halving finds the bound.

    Args:
        values: In order of arrival, shape `(n,)`.
        low: The least that a value can be.
        high: The most.
        alpha: The chance that the lower bound is ever wrong, and the same for the upper.

    Returns:
        `blocks` and `rows` are both n. Never wider than from low to high.

    Raises:
        InvalidInput: A value outside of [low, high], or ends that are none.

    Source: I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting, Journal of the Royal
        Statistical Society B 86, 2024 (the predictable plug-in bets of its section 4, one for each side).
    """
    given = np.asarray(values, dtype=np.float64)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidInput(
            f"Values between {low!r} and {high!r} are none.", why="The ends are finite and differ.", field="low"
        )
    wrong = np.flatnonzero(~((given >= low) & (given <= high)))
    if given.ndim != 1 or wrong.size:
        said = (
            f"value {int(wrong[0])} is {given.ravel()[wrong[0]]:g}" if wrong.size else f"their shape is {given.shape}"
        )
        raise InvalidInput(
            f"These are no values with known ends: {said}.",
            why=f"Values are a row of numbers from {low:g} to {high:g}.",
            field="values",
        )
    if not given.size:
        return MeanBounds(value=math.nan, low=low, high=high, note="no rows")
    scaled = (given - low) / (high - low)
    bets = _bets(scaled, alpha)
    least, most = _least(scaled, bets, alpha), 1.0 - _least(1.0 - scaled, bets, alpha)
    return MeanBounds(
        value=math.fsum(given) / given.size,
        low=low + (high - low) * least,
        high=low + (high - low) * most,
        spread=float(given.std(ddof=1)) if given.size > 1 else math.nan,
        blocks=given.size,
        rows=given.size,
    )


def _bets(scaled: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """How much is bet on each value, known before it."""
    t = np.arange(1, scaled.size + 1)
    means = (0.5 + np.cumsum(scaled)) / (t + 1)
    variances = (0.25 + np.cumsum((scaled - means) ** 2)) / (t + 1)
    before = np.concatenate(([0.25], variances[:-1]))
    return np.asarray(np.sqrt(2 * math.log(1 / alpha) / (before * t * np.log1p(t))))


def _least(scaled: NDArray[np.float64], bets: NDArray[np.float64], alpha: float) -> float:
    """The least mean against which the bets have not won 1 / alpha."""
    needed = math.log(1 / alpha)

    def won(m: float) -> float:
        return float(np.log1p(np.minimum(bets, _BOLDEST / m) * (scaled - m)).sum())

    below, above = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (below + above) / 2
        if won(middle) >= needed:
            below = middle
        else:
            above = middle
    return below
