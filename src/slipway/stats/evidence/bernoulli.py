"""Does one arm fail more often than the other, and by how much more at most: exact evidence from counts by block.

Blocks are any stretches of time that both arms share: the hypotheses allow each block rates of its own, so an outage that
hits both arms is no evidence. Arm a is the champion, arm b the challenger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slipway.errors import InvalidInput

__all__ = ["difference_bound", "log_e_not_worse_by", "log_e_share_above", "rows_factor", "two_sample_bernoulli"]

_RATES = 0.001 * 3.0 ** np.arange(6)
_WORSE = (1.5, 2.0, 4.0, 8.0, 16.0, 64.0)
_ALIKE = ((1.0, 0.8), (3.0, 0.1), (10.0, 0.1))
_HALVINGS = 50
_CHANCES = 7
_FINEST, _LATTICE = 0.001, 24


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


def log_e_share_above(hits: float, rows: int, *, share: float) -> float:
    """The logarithm of the evidence that the chance of a hit is above a share; e >= 1 / alpha shows it, at any look.

    For a chance q above the share s thought of beforehand, a row multiplies the evidence by q / s where it hits and by
    (1 - q) / (1 - s) where not. Under a chance p its mean is p q / s + (1 - p) (1 - q) / (1 - s), which rises in p and is
    1 at p = s: so the product is an e-process against every p <= s, also where p changes from row to row, and so is the
    mean of such products. The chances q are seven, whose log odds are 1/8, 1/4, ... 8 above those of s,
    with equal weight.

    Args:
        hits: How many rows hit; a row may hit in part, from 0 to 1.
        rows: Out of how many.
        share: Above 0 and below 1.

    Source: A. Wald, Sequential tests of statistical hypotheses, Annals of Mathematical Statistics 16, 1945; J. Ville, 1939.
    """
    away = 0.125 * 2.0 ** np.arange(_CHANCES)
    odds = share / (1 - share) * np.exp(away)
    q = odds / (1 + odds)
    said = hits * np.log(q / share) + (rows - hits) * (-np.log1p(odds) - math.log1p(-share))
    return float(_mixed(said[None, :], np.full(_CHANCES, 1 / _CHANCES))[0])


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
