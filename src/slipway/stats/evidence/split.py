"""Is the traffic split as it was declared? A broken split voids what an experiment or a canary says."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slipway.errors import InvalidInput

__all__ = ["sample_ratio"]

_CONCENTRATIONS = np.array([10.0, 100.0, 1_000.0, 10_000.0, 100_000.0])


def sample_ratio(counts: ArrayLike, shares: ArrayLike) -> NDArray[np.float64]:
    """The logarithm of the evidence, after each block, that units do not fall to the arms by the declared shares.

    The hypothesis against which it is evidence: each unit falls to an arm by itself, with the chances declared for its
    block. If that is so, e ever reaches 1 / alpha with a chance of at most alpha, however often one looks (Ville). Count
    what was assigned: entities, not their rows, where assignment is sticky.

    A block's e-value is the chance of its counts under a Dirichlet distribution of shares, over their chance under the
    declared ones; the Dirichlet has the declared shares as its mean and learns from the blocks before. Where the declared
    shares change from block to block (a canary's steps), what was learned goes along as the factor by which each arm
    gets more or less than declared: any Dirichlet that is fixed before a block gives an e-value. With shares that stay,
    this is the Dirichlet-multinomial Bayes factor of the source. The mean over five concentrations (10 to 100,000, equal
    weights) finds large faults soon and small ones at all, without tuning.

    Args:
        counts: Units by block and arm, in order, shape `(n_blocks, n_arms)`.
        shares: The declared shares, each row adding up to 1, shape `(n_blocks, n_arms)`, or `(n_arms,)` for all blocks.

    Returns:
        Shape `(n_blocks,)`; infinity once an arm with a share of 0 got a unit.

    Raises:
        InvalidInput: Fewer than two arms, negative counts, or shares that do not add up to 1 or fit the counts.

    Source: M. Lindon and A. Malek, Anytime-valid inference for multinomial count data, NeurIPS 2022.
    """
    n, p = _checked(counts, shares)
    tilt = np.ones((_CONCENTRATIONS.size, n.shape[1]))
    size = _CONCENTRATIONS.copy()
    said = np.zeros((n.shape[0], _CONCENTRATIONS.size))
    for block, (count, share) in enumerate(zip(n, p, strict=True)):
        said[block], tilt, size = _block(count, share, tilt, size)
    whole = np.cumsum(said, axis=0)
    most = whole.max(axis=1, initial=-math.inf)
    with np.errstate(invalid="ignore"):  # infinity minus itself, where a share of 0 was broken
        mixed = most + np.log(np.exp(whole - most[:, None]).mean(axis=1))
    return np.asarray(np.where(np.isinf(most), most, mixed))


def _block(
    count: NDArray[np.float64], share: NDArray[np.float64], tilt: NDArray[np.float64], size: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What a block says by concentration, and tilts and concentrations after it."""
    if (count[share == 0] > 0).any():
        return np.full(size.size, math.inf), tilt, size
    open_arms = share > 0
    if open_arms.sum() < 2:
        return np.zeros(size.size), tilt, size
    n, p, w = count[open_arms], share[open_arms], tilt[:, open_arms]
    scale = (p * w).sum(axis=1, keepdims=True)
    before = size[:, None] * p * w / scale
    after, total = before + n, n.sum()
    of_arms = (_log_gamma(after) - _log_gamma(before) - n * np.log(p)).sum(axis=1)
    moved = tilt.copy()
    moved[:, open_arms] = after / (size[:, None] + total) / p * scale
    return of_arms + _log_gamma(size) - _log_gamma(size + total), moved, size + total


def _log_gamma(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([math.lgamma(each) for each in values.ravel().tolist()]).reshape(values.shape)


def _checked(counts: ArrayLike, shares: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n, p = np.asarray(counts, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    if n.ndim != 2 or n.shape[1] < 2 or p.shape not in (n.shape, n.shape[1:]):
        raise InvalidInput(
            f"Counts of shape {n.shape} and shares of shape {p.shape} are no split.",
            why="Each block has a count of each of two or more arms, and shares are given for all blocks or for each.",
            field="shares",
        )
    if not ((n >= 0) & np.isfinite(n)).all():
        raise InvalidInput(
            "A count of a split is negative or not finite.", why="Counts are whole numbers of units.", field="counts"
        )
    p = np.broadcast_to(p, n.shape)
    wrong = np.flatnonzero(~((p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) < 1e-9)))
    if wrong.size:
        at = int(wrong[0])
        raise InvalidInput(
            f"The shares {p[at].tolist()} of block {at} are no shares of one whole.",
            why="Each is at least 0, and together they are 1.",
            field="shares",
        )
    return n, p
