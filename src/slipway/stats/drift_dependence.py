"""Whether two columns depend on each other as they did: the correlation of their groups, with the margins held as before.

The window's grid is raked to the reference's margins first (iterative proportional fitting keeps the odds ratios), so that
a column that merely moved does not look like one that changed its company. Groups of numbers score by their rank, those of
categories by how the other column ranks with them in the reference.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slipway.stats.profile_counting import GROUPS
from slipway.stats.profile_parts import Pair

__all__ = ["Correlations", "Raked", "correlations", "raked"]

Array = NDArray[np.float64]
_ROUNDS = 25
# Of a column that gathers at one end, too little is left in the other groups to say what they come with.
_LEAST_SPREAD = 0.25


class Raked(NamedTuple):
    """The correlation of two columns' groups in windows, each of shape `(n_windows,)`; NaN where it cannot be told.

    Args:
        now: Of each window, with the reference's margins.
        variance: Of `now`, times the effective rows.
        effective: How many rows would tell as much if the window had the reference's margins by itself.
        before: Of the reference.
        variance_before: Of that, times the reference's rows.
    """

    now: Array
    variance: Array
    effective: Array
    before: float
    variance_before: float


class Correlations(NamedTuple):
    """The correlation of two columns' groups in the window and in the reference.

    Args:
        now: Of the window, raked.
        before: Of the reference.
        deviation: The standard deviation of their difference.
        is_told: Whether the window has rows enough in all groups to tell.
    """

    now: float
    before: float
    deviation: float
    is_told: bool


def correlations(seen: Pair, known: Pair, numeric: tuple[bool, bool]) -> Correlations:
    """Compare a pair of columns.

    Args:
        seen: Of the window.
        known: Of the reference.
        numeric: Whether each of the columns holds numbers.
    """
    found = raked(np.array([seen.cells], dtype=np.float64), known, numeric)
    now, variance = float(found.now[0]), float(found.variance[0]) / float(found.effective[0])
    if np.isnan(now):
        return Correlations(0.0, 0.0, 1.0, False)
    return Correlations(now, found.before, (variance + found.variance_before / sum(known.cells)) ** 0.5, True)


def raked(cells: Array, known: Pair, numeric: tuple[bool, bool]) -> Raked:
    """The correlations of a pair of columns in many windows.

    Args:
        cells: Rows by group of the first column, then of the second, shape `(n_windows, 25)`.
        known: The pair in the reference.
        numeric: Whether each of the columns holds numbers.

    Source: of raking, W. Deming and F. Stephan, Annals of Mathematical Statistics 11, 1940; of the variance, the influence
    function of a correlation, S. Devlin, R. Gnanadesikan, J. Kettenring, Biometrika 62, 1975; of rows with weights,
    L. Kish, Survey Sampling, 1965.
    """
    before = np.array(known.cells, dtype=np.float64).reshape(GROUPS, GROUPS)
    before = before / max(before.sum(), 1.0)
    rows, columns = before.sum(axis=1), before.sum(axis=0)
    u, v = _scores(before, numeric)
    # One row as if the columns were independent: an empty cell says "rare", not "never".
    grids = cells.reshape(-1, GROUPS, GROUPS) + np.outer(rows, columns)
    grids = grids / grids.sum(axis=(1, 2), keepdims=True)
    is_told = (_spread(grids.sum(axis=2), u) >= _LEAST_SPREAD * _spread(rows, u)) & (_spread(rows, u) > 0)
    is_told &= (_spread(grids.sum(axis=1), v) >= _LEAST_SPREAD * _spread(columns, v)) & (_spread(columns, v) > 0)
    fitted = _raked(grids, rows, columns)
    now, variance = _correlation(fitted, u, v)
    then, of_reference = _correlation(before[None], u, v)
    # A few rows that raking made to stand for many say no more than a few.
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.nansum(fitted**2 / grids, axis=(1, 2))
        effective = cells.sum(axis=1) / np.maximum(weights, 1.0)
    return Raked(
        np.where(is_told, now, np.nan),
        np.where(is_told, variance, np.nan),
        effective,
        float(then[0]),
        float(of_reference[0]),
    )


def _scores(grid: Array, numeric: tuple[bool, bool]) -> tuple[Array, Array]:
    rows, columns = grid.sum(axis=1), grid.sum(axis=0)
    u, v = np.cumsum(rows) - rows / 2, np.cumsum(columns) - columns / 2
    if numeric == (True, True):
        return u, v
    with np.errstate(divide="ignore", invalid="ignore"):
        if numeric[0]:
            return u, np.where(columns > 0, u @ grid / columns, 0.5)
        if numeric[1]:
            return np.where(rows > 0, grid @ v / rows, 0.5), v
        expected = np.outer(rows, columns)
        left, _, right = np.linalg.svd(np.where(expected > 0, (grid - expected) / np.sqrt(expected), 0.0))
        return (
            np.where(rows > 0, left[:, 0] / np.sqrt(rows), 0.0),
            np.where(columns > 0, right[0] / np.sqrt(columns), 0.0),
        )


def _spread(shares: Array, scores: Array) -> Array:
    """The variance of scores over shares, whose last axis is the groups."""
    return np.asarray(shares @ scores**2 - (shares @ scores) ** 2)


def _raked(grids: Array, rows: Array, columns: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_ROUNDS):
            grids = grids * np.where(rows > 0, rows / grids.sum(axis=2), 0.0)[:, :, None]
            grids = grids * np.where(columns > 0, columns / grids.sum(axis=1), 0.0)[:, None, :]
    return np.nan_to_num(grids)


def _correlation(grids: Array, u: Array, v: Array) -> tuple[Array, Array]:
    """The correlation of scores over grids of shares, and its variance times the rows."""
    rows, columns = grids.sum(axis=2), grids.sum(axis=1)
    x = (u - (rows @ u)[:, None]) / np.maximum(_spread(rows, u), 1e-12)[:, None] ** 0.5
    y = (v - (columns @ v)[:, None]) / np.maximum(_spread(columns, v), 1e-12)[:, None] ** 0.5
    product = x[:, :, None] * y[:, None, :]
    r = (grids * product).sum(axis=(1, 2))
    influence = product - r[:, None, None] / 2 * (x[:, :, None] ** 2 + y[:, None, :] ** 2)
    return r, (grids * influence**2).sum(axis=(1, 2))
