"""Intervals of statistics that have no formula of their own: resample the rows, look at the spread."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slipway.stats.estimate import Estimate, cannot_tell

__all__ = ["bootstrap"]

_REPLICATES = 300
_MOST_ROWS = 20_000
_FEWEST = 0.9


def bootstrap(
    statistic: Callable[..., float], *columns: ArrayLike, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """A statistic of rows with the percentile interval of a Poisson bootstrap; the same rows give the same interval.

    Each replicate takes each row a Poisson(1) number of times. Of more than 20,000 rows each replicate takes 20,000, and
    the spread is scaled down accordingly, so that the time does not grow with the rows.

    Args:
        statistic: Of the columns, in their order.
        columns: Each of shape `(n_rows,)`.
        confidence: Of the interval.
        seed: Of the resampling.

    Source: N. Chamandy et al., Estimating uncertainty for massive data streams, 2012; P. Bickel et al., Statistica
        Sinica 7, 1997, for fewer rows than there are.
    """
    arrays = [np.asarray(column) for column in columns]
    n = arrays[0].size
    value = statistic(*arrays) if n else float("nan")
    if np.isnan(value):
        return cannot_tell(n, "not defined on these rows")
    random = np.random.default_rng(seed)
    drawn = np.array([statistic(*(array[taken] for array in arrays)) for taken in _samples(random, n)])
    told = drawn[~np.isnan(drawn)]
    if told.size < _FEWEST * drawn.size:
        return Estimate(value=value, n=n, confidence=confidence, note="too few rows for an interval")
    scale = (min(n, _MOST_ROWS) / n) ** 0.5
    low, high = np.quantile(told - value, [0.5 - confidence / 2, 0.5 + confidence / 2]) * scale
    return Estimate(value=value, low=float(value + low), high=float(value + high), n=n, confidence=confidence)


def _samples(random: np.random.Generator, n: int) -> list[NDArray[np.intp]]:
    if n > _MOST_ROWS:
        return [random.integers(0, n, _MOST_ROWS) for _ in range(_REPLICATES)]
    return [np.repeat(np.arange(n), random.poisson(1.0, n)) for _ in range(_REPLICATES)]
