"""Evidence that may be looked at as often as one likes: sequences of bounds, and e-values.

An ordinary interval holds for one look that was planned; a roll-out looks at every tick and stops when it likes what it
sees. What is here holds at all looks together. Both kinds count blocks: days for a mean, because the rows of one day are
not independent; any stretches of time for shares of failures, because both arms share a block's troubles.

Arm a is the champion, arm b the challenger. Natural logarithms throughout. Nothing here knows what time it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from slipway.errors import InvalidInput

__all__ = [
    "FEWEST_BLOCKS", "MeanBounds", "difference_bound", "log_e_not_worse_by", "mean_radius", "mean_sequence",
    "rows_factor", "two_sample_bernoulli",
]  # fmt: skip

FEWEST_BLOCKS = 7

_RATES = 0.001 * 3.0 ** np.arange(6)
_WORSE = (1.5, 2.0, 4.0, 8.0, 16.0, 64.0)
_ALIKE = ((1.0, 0.8), (3.0, 0.1), (10.0, 0.1))
_HALVINGS = 50
_FINEST, _LATTICE = 0.001, 24


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


def mean_radius(blocks: int, *, alpha: float, tuned_for: int = 21) -> float:
    """How far the bounds of a mean lie from it after so many blocks, in standard deviations of a block.

    With rho^2 = (2 log(1/a) + log(1 + 2 log(1/a))) / tuned_for and a = 2 alpha, the normal one-sided mixture boundary
    crosses where the mixture reaches exp(L), L = log(1 + sqrt(t rho^2 + 1) / (2 alpha)); its radius is
    sqrt(2 (t rho^2 + 1) / (t^2 rho^2) L). With few blocks the standard deviation is itself uncertain, so the mixture of
    the scale-invariant (Student) likelihood ratio is asked to reach the same exp(L). With c = 1 / rho^2,
    k = 1 - exp(-2 L / t): radius = sqrt((t + c) (t - 1) k / (t (t - (t + c) k))). It is 1.9 times the normal one at 7
    blocks, 1.1 times at 21, and tends to it.

    Args:
        blocks: At least 2.
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


def two_sample_bernoulli(
    failures_a: ArrayLike, n_a: ArrayLike, failures_b: ArrayLike, n_b: ArrayLike
) -> NDArray[np.float64]:
    """The logarithm of the evidence, after each block, that b fails more often than a; e >= 1 / alpha shows it.

    The hypothesis against which it is evidence: in each block b's rate is at most a's, whatever both are there. So it
    holds through an outage that both share. The largest value so far counts: under the hypothesis it ever reaches
    1 / alpha with a chance of at most alpha (Ville).

    For rates (p, q), q > p, thought of beforehand, a block's e-value is the likelihood of its rows under them over that
    under r = (n_a p + n_b q) / (n_a + n_b) for both. Its mean under rates (u, v) is A(u)^n_a B(v)^n_b with
    A(u) = u p/r + (1-u)(1-p)/(1-r) falling in u, B alike and rising in v; for v <= u that is at most
    A(u)^n_a B(u)^n_b, and this at most 1, because n_a A(u) + n_b B(u) = n_a + n_b. The product over blocks is an
    e-process, and so is the mean of such products over pairs (p, q). The pairs are a grid of rates from 0.001 to 0.24
    with odds ratios of 1.5 to 64, equal weight each at first: before a block, the weights are the prior times what the
    earlier blocks say of each pair. A block in which one arm has no row says nothing.

    Args:
        failures_a: Failures of a by block, in order, shape `(n_blocks,)`.
        n_a: Its rows, at least as many.
        failures_b: Of b.
        n_b: Of b.

    Returns:
        Shape `(n_blocks,)`.

    Raises:
        InvalidInput: Arrays of different lengths, or more failures than rows.

    Source: R. Turner, A. Ly, P. Grunwald, Generic E-variables for exact sequential k-sample tests that allow for
        optional stopping, Journal of Statistical Planning and Inference 230, 2024; Ville's inequality, 1939.
    """
    fa, na, fb, nb = _blocks(failures_a, n_a, failures_b, n_b)
    p, q, weights = _pairs([(ratio, 1 / len(_WORSE)) for ratio in _WORSE])
    shared = (na * p + nb * q) / np.maximum(na + nb, 1.0)
    said = _log_ratio(fa, na, p, shared) + _log_ratio(fb, nb, q, shared)
    return _mixed(np.cumsum(said, axis=0), weights)


def log_e_not_worse_by(
    failures_a: ArrayLike, n_a: ArrayLike, failures_b: ArrayLike, n_b: ArrayLike, *, margin: float
) -> NDArray[np.float64]:
    """The logarithm of the evidence, after each block, that b's share of failures is not greater than a's by a margin.

    As `two_sample_bernoulli`, against the hypothesis that in each block v >= u + margin. The pairs thought of
    beforehand are mostly equal rates. A pair's block is compared with the nearest (x, x + margin): the x that minimises
    n_a KL(p, x) + n_b KL(q, x + margin). The block's mean is A(u)^n_a B(v)^n_b, falling in v; on v = u + margin its
    logarithm is concave in u with its greatest value, 0, at x, where its slope is minus that of the minimised sum. A
    pair that lies in the hypothesis says nothing. Where a has no row, x is 0 or more: then it is evidence that b fails
    with a rate below the margin itself.

    Args:
        failures_a: Failures of a by block, in order, shape `(n_blocks,)`.
        n_a: Its rows.
        failures_b: Of b.
        n_b: Of b.
        margin: Above 0 and below 1.

    Returns:
        Shape `(n_blocks,)`.

    Raises:
        InvalidInput: See `two_sample_bernoulli`.

    Source: R. Turner and P. Grunwald, Exact anytime-valid confidence intervals for contingency tables and beyond,
        Statistics and Probability Letters 198, 2023.
    """
    fa, na, fb, nb = _blocks(failures_a, n_a, failures_b, n_b)
    said, weights = _said_of_margin(fa, na, fb, nb, margin)
    return _mixed(np.cumsum(said, axis=0), weights)


def difference_bound(
    failures_a: ArrayLike, n_a: ArrayLike, failures_b: ArrayLike, n_b: ArrayLike, *, alpha: float
) -> float:
    """An upper bound of b's share of failures minus a's, wrong at any look at all with a chance of at most alpha.

    The smallest margin such that it and all greater ones (on a lattice, then by halving) are rejected by
    `log_e_not_worse_by` at alpha. It compares within blocks: a rate that moves in both arms does not shift it, as it
    shifts the difference of two pooled shares when the arms' traffic changes too. Where the difference itself changes
    from block to block it bounds the least of them; with blocks of one size and mix, by concavity, also their mean.

    Args:
        failures_a: Failures of a by block, in order, shape `(n_blocks,)`; or one number.
        n_a: Its rows.
        failures_b: Of b.
        n_b: Of b.
        alpha: The chance that it is ever wrong.

    Returns:
        At least 0.001, the finest that is asked; 1 where nothing is known.

    Raises:
        InvalidInput: See `two_sample_bernoulli`.
    """
    blocks = _blocks(failures_a, n_a, failures_b, n_b)
    needed = math.log(1 / alpha)

    def is_rejected(margin: float) -> bool:
        said, weights = _said_of_margin(*blocks, margin)
        return bool(_mixed(said.sum(axis=0, keepdims=True), weights)[0] >= needed)

    above = 1.0
    for margin in np.geomspace(1.0, _FINEST, _LATTICE)[1:].tolist():
        if not is_rejected(margin):
            return _halve(is_rejected, margin, above) if above < 1.0 else 1.0
        above = margin
    return above


def rows_factor(
    failures_a: ArrayLike, n_a: ArrayLike, failures_b: ArrayLike, n_b: ArrayLike, *, margin: float, alpha: float
) -> float:
    """How many times as many rows would exclude a margin, if they came with the same shares of failures; a guess.

    Args:
        failures_a: Failures of a by block, in order, shape `(n_blocks,)`.
        n_a: Its rows.
        failures_b: Of b.
        n_b: Of b.
        margin: Above 0 and below 1.
        alpha: Of the bound.

    Returns:
        At least 0; infinity where a thousandfold would not do.
    """
    said, weights = _said_of_margin(*_blocks(failures_a, n_a, failures_b, n_b), margin)
    whole = said.sum(axis=0, keepdims=True)

    def is_shown(factor: float) -> bool:
        return bool(_mixed(factor * whole, weights)[0] >= math.log(1 / alpha))

    return _halve(is_shown, 0.0, 1000.0) if is_shown(1000.0) else math.inf


def _halve(holds: Callable[[float], bool], fails_at: float, holds_at: float) -> float:
    """The least place at which it holds, to a ten-thousandth, from the side on which it does."""
    while holds_at - fails_at > 1e-4 * holds_at:
        middle = (fails_at + holds_at) / 2
        if holds(middle):
            holds_at = middle
        else:
            fails_at = middle
    return holds_at


def _blocks(
    failures_a: ArrayLike, n_a: ArrayLike, failures_b: ArrayLike, n_b: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Columns of shape `(n_blocks, 1)`: the pairs of rates are the other axis."""
    given = [np.atleast_1d(np.asarray(each, dtype=np.float64)) for each in (failures_a, n_a, failures_b, n_b)]
    if len({each.shape for each in given}) > 1 or given[0].ndim != 1:
        raise InvalidInput(
            f"Failures and rows of shapes {', '.join(str(each.shape) for each in given)} are no blocks.",
            why="Each block has four numbers: failures and rows of both arms.",
            field="n_a",
        )
    for arm, failures, rows in (("a", given[0], given[1]), ("b", given[2], given[3])):
        wrong = np.flatnonzero(~((failures >= 0) & (failures <= rows) & np.isfinite(rows)))
        if wrong.size:
            at = int(wrong[0])
            raise InvalidInput(
                f"Block {at} has {failures[at]:g} failures in {rows[at]:g} rows of arm {arm}.",
                why="Failures are from 0 to the number of rows.",
                field=f"failures_{arm}",
            )
    fa, na, fb, nb = (each[:, None] for each in given)
    return fa, na, fb, nb


def _pairs(
    odds_ratios: Sequence[tuple[float, float]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Pairs of rates (p, q) and their weights: every rate of the grid with every odds ratio."""
    ratio, weight = (np.repeat(column, _RATES.size) for column in np.array(odds_ratios).T)
    p = np.tile(_RATES, len(odds_ratios))
    odds = ratio * p / (1 - p)
    return p, odds / (1 + odds), weight / _RATES.size


def _said_of_margin(
    fa: NDArray[np.float64],
    na: NDArray[np.float64],
    fb: NDArray[np.float64],
    nb: NDArray[np.float64],
    margin: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    p, q, weights = _pairs(_ALIKE)
    x = _nearest(p, q, na, nb, margin)
    said = _log_ratio(fa, na, p, x) + _log_ratio(fb, nb, q, x + margin)
    return np.where(q - p < margin, said, 0.0), weights


def _nearest(
    p: NDArray[np.float64], q: NDArray[np.float64], na: NDArray[np.float64], nb: NDArray[np.float64], margin: float
) -> NDArray[np.float64]:
    """The x that minimises n_a KL(p, x) + n_b KL(q, x + margin): the root of its rising derivative, by halving."""
    shape = np.broadcast_shapes(p.shape, na.shape)
    low = np.broadcast_to(np.maximum(0.0, q - margin), shape)
    high = np.broadcast_to(np.minimum(p, 1.0 - margin), shape)
    for _ in range(_HALVINGS):
        x = (low + high) / 2
        y = x + margin
        with np.errstate(divide="ignore", invalid="ignore"):  # at the ends, where halving arrives but never starts
            slope = na * (x - p) / (x * (1 - x)) + nb * (y - q) / (y * (1 - y))
        low, high = np.where(slope > 0, low, x), np.where(slope > 0, x, high)
    return high


def _log_ratio(
    failures: NDArray[np.float64], rows: NDArray[np.float64], under: NDArray[np.float64], over: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log likelihood of the rows under one rate minus that under another; 0 times the log of 0 is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        of_failures = np.where(failures > 0, failures * np.log(under / over), 0.0)
        of_others = np.where(rows > failures, (rows - failures) * (np.log1p(-under) - np.log1p(-over)), 0.0)
    return np.asarray(of_failures + of_others)


def _mixed(said: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of the weighted mean over pairs, by row."""
    if not said.size:
        return np.zeros(said.shape[0])
    most = said.max(axis=1, keepdims=True)
    return np.asarray(most[:, 0] + np.log((weights * np.exp(said - most)).sum(axis=1)))
