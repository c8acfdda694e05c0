"""A mean a row, with bounds that hold at every look, from blocks whose rows are not independent: days."""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike

from slipway.errors import InvalidInput

__all__ = ["FEWEST_BLOCKS", "MeanBounds", "mean_radius", "mean_sequence"]

FEWEST_BLOCKS = 7


class MeanBounds(Struct, frozen=True, kw_only=True):
    """A mean a row with a lower and an upper bound, each wrong at any look at all with a chance of at most alpha.

    Args:
        value: The mean of all rows, NaN without rows.
        low: Lower bound, minus infinity where it cannot be told.
        high: Upper bound, infinity where it cannot be told.
        spread: Standard deviation of the blocks' means, weighted by their rows.
        blocks: How many.
        rows: How many.
        note: Why it cannot be told.
    """

    value: float
    low: float = -math.inf
    high: float = math.inf
    spread: float = math.nan
    blocks: int = 0
    rows: int = 0
    note: str = ""


def mean_sequence(sums: ArrayLike, counts: ArrayLike, *, alpha: float, tuned_for: int = 21) -> MeanBounds:
    """The mean a row with bounds that hold at every number of blocks from 7 on, blocks being what is independent.

    The mean is a ratio: sum of sums over sum of counts. It is linearised: block d gives the residual
    (s_d - mean n_d) / mean(n), and their standard deviation (ddof 1) times `mean_radius` is the distance of the bounds.

    Simulated (20,000 sequences each, looks after every block from 7 to 40; about 900 rows a block, blocks of unequal
    size, a normal error a row and an effect of the block): the chance that a bound is ever wrong is at alpha 0.05 and
    0.01, by the block effects' shape, 0.020 and 0.004 (normal), 0.016 and 0.003 (Student, 5 degrees of freedom),
    0.014 and 0.003 (Student, 3), 0.030 and 0.008 (sizes that differ by a factor of 4 and more). It is above alpha, on
    one side only, for skewed effects (skewness 1: 0.057 and 0.019; skewness 2: 0.12 and 0.05) and where effect and
    size go together (correlation 0.7: 0.068 and 0.021); and on both sides where neighbouring blocks are alike
    (correlation 0.3: 0.08 and 0.03). The normal boundary of the second source errs 0.045 and 0.019 for normal effects,
    0.10 and 0.056 for skewness 1.

    Args:
        sums: Sum of the rows' values by block, shape `(n_blocks,)`.
        counts: Rows by block, each at least 1, shape `(n_blocks,)`.
        alpha: The chance that the lower bound is ever wrong, and the same for the upper.
        tuned_for: The number of blocks at which the bounds are near their tightest.

    Raises:
        InvalidInput: Another number of sums than of counts, or a count below 1.

    Source: H. Wang and A. Ramdas, Anytime-valid t-tests and confidence sequences for Gaussian means with unknown
        variance, Sequential Analysis 44, 2025; I. Waudby-Smith et al., Time-uniform central limit theory and asymptotic
        confidence sequences, Annals of Statistics 52, 2024; the linearised ratio as W. Cochran, Sampling Techniques,
        1977, section 6.3.
    """
    s, n = np.asarray(sums, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if s.shape != n.shape or s.ndim != 1 or (n < 1).any():
        raise InvalidInput(
            f"Sums of shape {s.shape} and counts of shape {n.shape} are no blocks.",
            why="Each block has one sum, and a count of at least 1.",
            field="counts",
        )
    rows = int(n.sum())
    if not s.size:
        return MeanBounds(value=math.nan, note="no rows")
    value = math.fsum(s) / rows
    if s.size < FEWEST_BLOCKS:
        note = f"{s.size} blocks are too few: at least {FEWEST_BLOCKS} are needed"
        return MeanBounds(value=value, blocks=s.size, rows=rows, note=note)
    residuals = (s - value * n) / n.mean()
    spread = float(residuals.std(ddof=1))
    half = spread * mean_radius(s.size, alpha=alpha, tuned_for=tuned_for) if spread else 0.0
    return MeanBounds(value=value, low=value - half, high=value + half, spread=spread, blocks=s.size, rows=rows)


def mean_radius(blocks: float, *, alpha: float, tuned_for: int = 21) -> float:
    """How far the bounds of a mean lie from it after so many blocks, in standard deviations of a block.

    With rho^2 = (2 log(1/a) + log(1 + 2 log(1/a))) / tuned_for and a = 2 alpha, the normal one-sided mixture boundary
    crosses where the mixture reaches exp(L), L = log(1 + sqrt(t rho^2 + 1) / (2 alpha)); its radius is
    sqrt(2 (t rho^2 + 1) / (t^2 rho^2) L). With few blocks the standard deviation is itself uncertain, so the mixture of
    the scale-invariant (Student) likelihood ratio is asked to reach the same exp(L). With c = 1 / rho^2,
    k = 1 - exp(-2 L / t): radius = sqrt((t + c) (t - 1) k / (t (t - (t + c) k))). It is 1.9 times the normal one at 7
    blocks, 1.1 times at 21, and tends to it.

    Args:
        blocks: At least 2; need not be whole, where it is a measure of information.
        alpha: Of one side, below 0.5.
        tuned_for: See `mean_sequence`.

    Returns:
        Infinity where so few blocks cannot bound it.

    Source: See `mean_sequence`.
    """
    t = float(blocks)
    twice = 2 * math.log(1 / (2 * alpha))
    rho2 = (twice + math.log1p(twice)) / tuned_for
    level = math.log1p(math.sqrt(t * rho2 + 1) / (2 * alpha))
    wider, k = t + 1 / rho2, -math.expm1(-2 * level / t)
    room = t - wider * k
    return math.sqrt(wider * (t - 1) * k / (t * room)) if t > 1 and room > 0 else math.inf
