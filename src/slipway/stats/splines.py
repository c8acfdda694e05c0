"""Smooth curves with few coefficients, and the spread of sums whose terms go together within blocks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["Spline", "correlation_within", "spline", "spread_within"]

_SHARES = {2: (), 3: (0.1, 0.5, 0.9), 4: (0.05, 0.35, 0.65, 0.95), 5: (0.05, 0.275, 0.5, 0.725, 0.95)}
_MOST_WITHIN = 0.5

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spline:
    """A restricted cubic spline: cubic between its knots, straight beyond the outer ones; () is a straight line.

    Args:
        knots: Ascending.
        centre: What the values are shifted by.
        scale: What they are divided by.
    """

    knots: tuple[float, ...]
    centre: float
    scale: float

    def __call__(self, values: Floats) -> Floats:
        """The design matrix of values, shape `(n, 1 + columns)`: a constant, the value, and a column a further bend.

        Source: F. Harrell, Regression Modeling Strategies, 2015, equation 2.25.
        """
        x = (values - self.centre) / self.scale
        columns = [np.ones_like(x), x]
        if len(self.knots) > 2:
            first, *inner, before, last = ((knot - self.centre) / self.scale for knot in self.knots)
            for knot in (first, *inner):
                bend = (
                    _cubed(x - knot)
                    - _cubed(x - before) * (last - knot) / (last - before)
                    + _cubed(x - last) * (before - knot) / (last - before)
                )
                columns.append(bend / (last - first) ** 2)
        return np.column_stack(columns)


def spline(values: Floats, knots: int) -> Spline:
    """A spline with its knots at the quantiles that Harrell recommends; fewer where values are alike.

    Args:
        values: What it is fitted on, shape `(n,)`, at least one.
        knots: 2 for a straight line, 3, 4 or 5.
    """
    found = tuple(np.unique(np.quantile(values, _SHARES[knots])).tolist()) if _SHARES[knots] else ()
    centre, scale = float(values.mean()), float(values.std())
    if len(found) < 3 or min(b - a for a, b in pairwise(found)) < 1e-3 * scale:
        found = ()
    return Spline(knots=found, centre=centre, scale=scale if scale > 0.0 else 1.0)


def correlation_within(residuals: Floats, codes: NDArray[np.intp] | None) -> float:
    """How much standardised residuals of one block go together: their mean product over all pairs within blocks.

    Never below 0; 0 without blocks, or where no block has two rows.

    Args:
        residuals: Of mean 0 and variance 1, shape `(n,)`.
        codes: The block of each row, counted from 0.

    Source: L. Kish, Survey Sampling, 1965, 5.4.
    """
    if codes is None:
        return 0.0
    size = np.bincount(codes).astype(np.float64)
    total, square = np.bincount(codes, weights=residuals), np.bincount(codes, weights=residuals**2)
    pairs = float((size * (size - 1)).sum())
    return min(_MOST_WITHIN, max(0.0, float((total**2 - square).sum()) / pairs)) if pairs else 0.0


def spread_within(weights: Floats, spread: Floats, within: float, codes: NDArray[np.intp] | None) -> Floats:
    """The covariance of `sum(weights * draw)`, where draws of one block go together by `within`.

    Args:
        weights: Shape `(n, k)`.
        spread: The variance of each draw, shape `(n,)`.
        within: The correlation of two draws of one block.
        codes: The block of each row, counted from 0; None where rows are independent.
    """
    scaled = weights * np.sqrt(spread)[:, None]
    alone = scaled.T @ scaled
    if codes is None or within == 0.0:
        return np.asarray(alone)
    sums = np.stack([np.bincount(codes, weights=column) for column in scaled.T], axis=1)
    return np.asarray((1 - within) * alone + within * (sums.T @ sums))


def _cubed(values: Floats) -> Floats:
    return np.asarray(np.maximum(values, 0.0) ** 3)
