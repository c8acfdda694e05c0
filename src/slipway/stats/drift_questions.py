"""What each question of drift looks at: shares of the window that may be greater than those of the reference.

Every question becomes one or more pairs of shares. "Shape" looks at the rows below each edge, at those outside a middle
range, and at those in all cells that grew; each difference is a lower bound of the total variation, so the greatest that
is certain may be told. A fall is a rise of all other rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slipway.stats.profile_parts import Column

__all__ = ["Array", "Asked", "missing", "shape", "tails", "unseen"]

Array = NDArray[np.float64]


class Asked(NamedTuple):
    """What a question looks at.

    Args:
        seen: Shares of the window; of each set of rows, or of all others, whichever are more than known.
        known: The same shares of the reference.
        bias: What chance alone adds to each difference.
        n: Independent rows, of window and reference together.
        told: A sentence with a place for the effect.
    """

    seen: Array
    known: Array
    bias: Array
    n: float
    told: str


def shape(seen: Column, known: Column, n: float) -> Asked:
    """How many rows lie elsewhere than in the reference."""
    a, b = _cells(seen), _cells(known)
    p, q = a / a.sum(), b / b.sum()
    sets = _half_lines(p.size) if known.is_numeric else np.eye(p.size)
    grew = (p > q)[None, :]
    shares, theirs = np.concatenate([sets @ p, grew @ p]), np.concatenate([sets @ q, grew @ q])
    bias = np.zeros(shares.size)
    bias[-1] = _chance_moves(p, q, n)
    told = f"{seen.name}: {{effect:.0%}} of the rows lie elsewhere than in training"
    return _rises(shares, theirs, bias, n, told)


def missing(seen: Column, known: Column, n: float) -> Asked:
    """Whether values are missing more often, or less."""
    now, before = seen.missing / seen.rows, known.missing / known.rows
    told = f"{seen.name}: missing in {now:.1%} of the rows, {before:.1%} in training"
    return _one(now, before, n, told)


def unseen(seen: Column, known: Column, n: float) -> Asked:
    """Whether more values were never seen than rare values bring without any change.

    Source: I. Good, Biometrika 40, 1953: the chance that the next value is a new one is about the share of values that
    came once.
    """
    share, usual = seen.unseen / seen.present, known.singles / known.present
    told = f"{seen.name}: {share:.1%} of values never seen before"
    if usual:
        told += f", where {usual:.1%} would be usual"
    return _one(max(share, usual), usual, n, told)


def tails(seen: Column, known: Column, n: float) -> Asked:
    """Whether more values lie outside the reference's 0.05 % tails; of an older profile, outside its range."""
    if math.isnan(known.tail_low):
        share, usual, low, high = (seen.below + seen.above) / seen.present, 0.0, known.low, known.high
    else:
        share, usual = (seen.under + seen.over) / seen.present, (known.under + known.over) / known.present
        low, high = known.tail_low, known.tail_high
    out = (seen.below + seen.above) / seen.present
    told = f"{seen.name}: {share:.1%} of values outside {low:g} to {high:g}, {usual:.1%} in training"
    if out:
        told += f"; {out:.1%} outside the range of training, {known.low:g} to {known.high:g}"
    return _one(max(share, usual), usual, n, told)


def _one(seen: float, known: float, n: float, told: str) -> Asked:
    return _rises(np.array([seen]), np.array([known]), np.zeros(1), n, told)


def _rises(seen: Array, known: Array, bias: Array, n: float, told: str) -> Asked:
    fell = seen < known
    return Asked(np.where(fell, 1 - seen, seen), np.where(fell, 1 - known, known), bias, n, told)


def _half_lines(cells: int) -> Array:
    """The sets of neighbouring cells that are looked at: all below an edge, and all outside a middle range."""
    place = np.arange(cells)
    below: Sequence[NDArray[np.bool_]] = [place < edge for edge in range(1, cells)]
    outside = [(place < edge) | (place >= cells - edge) for edge in range(1, (cells + 1) // 2)]
    return np.array([*below, *outside], dtype=np.float64).reshape(-1, cells)


def _chance_moves(p: Array, q: Array, n: float) -> float:
    """What chance adds to the total variation: the mean of |difference + noise| above |difference|, summed over cells.

    Of a difference only what lies above its own variance is taken for real, so that without any change nearly all of it
    is chance. The mean of the folded normal distribution is exact.

    Source: F. Leone, L. Nelson, R. Nottingham, The folded normal distribution, Technometrics 3, 1961.
    """
    pooled = (p + q) / 2
    spread = np.sqrt(pooled * (1 - pooled) / n)
    real = np.sqrt(np.maximum(0.0, (p - q) ** 2 - spread**2))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(spread > 0, real / spread, 0.0)
    below = np.array([0.5 * math.erfc(value / 2**0.5) for value in t.tolist()])
    folded = spread * (2 / np.pi) ** 0.5 * np.exp(-(t**2) / 2) + real * (1 - 2 * below)
    return float(0.5 * (folded - real).sum())


def _cells(column: Column) -> Array:
    # A window of new values only must still be told apart: they lie in a cell that training left empty.
    cells = column.counts if column.is_numeric else (*column.counts, column.other, column.unseen)
    return np.asarray(cells, dtype=np.float64)
