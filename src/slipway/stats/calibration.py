"""Does a predicted 30 % come true in 30 of 100 cases?"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from slipway.stats.blocks import student_quantile
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.intervals import mean_interval, share_interval

__all__ = [
    "ReliabilityPoint",
    "calibration_error",
    "calibration_in_the_large",
    "debiased_calibration_error",
    "reliability",
]

_BINS = 15
_PARTS = 50


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


def debiased_calibration_error(labels: ArrayLike, scores: ArrayLike, blocks: ArrayLike | None = None) -> Estimate:
    """How far, root mean square, predicted shares are from what happens, less what chance alone makes of finite bins.

    Its interval is the jackknife's over blocks, taken of the square; a well calibrated model has an interval from 0.

    Args:
        labels: The truth, shape `(n_rows,)`.
        scores: Probabilities, shape `(n_rows,)`.
        blocks: The block of each row, such as its day; None takes rows for independent.

    Source: A. Kumar, P. Liang, T. Ma, Verified Uncertainty Calibration, NeurIPS 2019.
    """
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if truth.size < 2 * _PARTS:
        return cannot_tell(truth.size, f"{truth.size} rows are too few: at least {2 * _PARTS} are needed")
    parts = np.arange(truth.size) % _PARTS if blocks is None else np.unique(blocks, return_inverse=True)[1]
    k = int(parts.max()) + 1
    if k < 2:
        return cannot_tell(truth.size, "one block is too few for an interval")
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1]))
    places = parts * (edges.size + 1) + np.searchsorted(edges, values, side="left")
    sums = [
        np.bincount(places, weights=weights, minlength=k * (edges.size + 1)).reshape(k, -1)
        for weights in (np.ones(truth.size), truth, values)
    ]
    whole = _square_of(*(one.sum(axis=0) for one in sums))
    without = np.array([_square_of(*(one.sum(axis=0) - one[part] for one in sums)) for part in range(k)])
    half = student_quantile(0.975, k - 1) * float(np.sqrt((k - 1) / k * ((without - without.mean()) ** 2).sum()))
    low, value, high = (max(0.0, square) ** 0.5 for square in (whole - half, whole, whole + half))
    return Estimate(value=value, low=low, high=high, n=truth.size)


def _square_of(n: NDArray[np.float64], true: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    counts = n > 1
    n, rate, mean = n[counts], true[counts] / n[counts], predicted[counts] / n[counts]
    return float((n * ((rate - mean) ** 2 - rate * (1 - rate) / (n - 1))).sum() / n.sum())


def calibration_in_the_large(labels: ArrayLike, scores: ArrayLike) -> Estimate:
    """Mean prediction minus the share of true rows, with its interval."""
    return mean_interval(np.asarray(scores, dtype=np.float64) - np.asarray(labels, dtype=np.float64))
