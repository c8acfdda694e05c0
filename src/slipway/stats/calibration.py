"""Does a predicted 30 % come true in 30 of 100 cases?"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike

from slipway.stats.estimate import Estimate
from slipway.stats.intervals import mean_interval, share_interval

__all__ = ["ReliabilityPoint", "calibration_error", "calibration_in_the_large", "reliability"]


class ReliabilityPoint(Struct, frozen=True, kw_only=True):
    """Rows of like prediction.

    Args:
        n: How many.
        predicted: Their mean prediction.
        observed: How often the label was true, with Wilson's interval.
    """

    n: int
    predicted: float
    observed: Estimate


def reliability(labels: ArrayLike, scores: ArrayLike, bins: int = 10) -> tuple[ReliabilityPoint, ...]:
    """The reliability curve over bins of equally many rows; equal scores stay together, so there may be fewer bins.

    Args:
        labels: The truth, shape `(n_rows,)`.
        scores: Probabilities, shape `(n_rows,)`.
        bins: How many bins at most.
    """
    truth = np.asarray(labels, dtype=np.float64)
    values = np.asarray(scores, dtype=np.float64)
    if not truth.size:
        return ()
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    places = np.searchsorted(edges, values, side="left")
    points = []
    for place in np.unique(places):
        inside = places == place
        n = int(inside.sum())
        points.append(
            ReliabilityPoint(
                n=n,
                predicted=float(values[inside].mean()),
                observed=share_interval(int(truth[inside].sum()), n),
            )
        )
    return tuple(points)


def calibration_error(points: tuple[ReliabilityPoint, ...]) -> float:
    """The expected calibration error: mean distance of predicted and observed, weighted by rows.

    Source: M. Naeini et al., AAAI 2015.
    """
    total = sum(point.n for point in points)
    if not total:
        return float("nan")
    return sum(point.n * abs(point.predicted - point.observed.value) for point in points) / total


def calibration_in_the_large(labels: ArrayLike, scores: ArrayLike) -> Estimate:
    """Mean prediction minus the share of true rows, with its interval."""
    return mean_interval(np.asarray(scores, dtype=np.float64) - np.asarray(labels, dtype=np.float64))
