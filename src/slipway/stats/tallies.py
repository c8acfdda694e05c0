"""Metrics of labels and scores that come in batches: what is kept of them does not grow with the rows.

Means and their spread are summed. What needs the order of the scores (AUC, average precision, calibration) is counted by
score: each by itself while there are at most 131,072 different ones, and beyond that those that agree in all but their
last bits as one. How many bits is a function of the scores alone, not of how they came.
"""

from __future__ import annotations

import numpy as np
from msgspec import structs
from numpy.typing import ArrayLike, NDArray

from slipway.stats.calibration import ReliabilityPoint, calibration_error
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.intervals import LOSSES, auc_estimate, share_interval, spread_interval
from slipway.stats.metrics import OF_PROBABILITIES, metric
from slipway.stats.profile_counting import BINS, TAILS, spread_of, weighted
from slipway.stats.profile_parts import Column
from slipway.stats.ratios import RATIOS

__all__ = ["Mean", "Tally", "auc_of_counts"]

_SCORES = 1 << 17
_SIGN = np.uint64(1 << 63)
_REPLICATES = 300
_MOST_ROWS = 20_000
_MEANS = {"calibration_in_the_large": "bias"} | {name: name for name in ("log_loss", "brier", "mae", "bias")}


class Mean:
    """The mean of numbers that come in batches, and their spread.

    Source: T. Chan, G. Golub, R. LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979.
    """

    def __init__(self) -> None:
        self.n = 0
        self.value = 0.0
        self._squares = 0.0

    def add(self, values: ArrayLike) -> None:
        """Take more numbers in."""
        array = np.asarray(values, dtype=np.float64)
        if not array.size:
            return
        own = float(array.mean())
        away, n = own - self.value, self.n + array.size
        self._squares += float(((array - own) ** 2).sum()) + away * away * self.n * array.size / n
        self.value += away * array.size / n
        self.n = n

    def interval(self) -> Estimate:
        """As `intervals.mean_interval` of all numbers."""
        deviation = (self._squares / (self.n - 1)) ** 0.5 if self.n > 1 else 0.0
        return spread_interval(self.value, deviation, self.n)


class Tally:
    """Labels and scores of any number of rows.

    Attributes:
        n: How many rows there were.
        low: The least score.
        high: The greatest score.
    """

    def __init__(self) -> None:
        self.n = 0
        self.low, self.high = np.inf, -np.inf
        self._unknown = 0
        self._means = {name: Mean() for name in dict.fromkeys(_MEANS.values())}
        self._hits = self._true = 0
        self._shift = 0
        self._keys = np.empty(0, dtype=np.uint64)
        self._counts = np.empty((2, 0), dtype=np.int64)
        self._explained = _Explained()

    def add(self, labels: ArrayLike, scores: ArrayLike) -> None:
        """Take more rows in; each of shape `(n_rows,)`."""
        truth, values = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
        self.n += truth.size
        known = np.isfinite(truth) & np.isfinite(values)
        self._unknown += int(truth.size - known.sum())
        if self._unknown or not truth.size:
            return  # nothing can be told of it any more
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        for name, mean in self._means.items():
            mean.add(LOSSES[name](truth, values))
        self._hits += int(LOSSES["accuracy"](truth, values).sum())
        self._true += int(truth.sum())
        self._explained.add(truth, values)
        self._count(_keys(values) >> np.uint64(self._shift), truth.astype(bool))

    def _count(self, keys: NDArray[np.uint64], truth: NDArray[np.bool_]) -> None:
        found, places = np.unique(keys, return_inverse=True)
        counts = np.stack(
            [np.bincount(places[~truth], minlength=found.size), np.bincount(places[truth], minlength=found.size)]
        )
        self._keys, self._counts = _grouped(
            np.concatenate([self._keys, found]), np.concatenate([self._counts, counts], axis=1)
        )
        while self._keys.size > _SCORES:
            self._shift += 1
            self._keys, self._counts = _grouped(self._keys >> np.uint64(1), self._counts)

    def estimate(self, name: str) -> Estimate:
        """A metric with its interval, as `metrics.estimate` gives it of all rows.

        Raises:
            InvalidInput: There is no such metric.
        """
        metric(name)
        if not self.n:
            return cannot_tell(0, "no rows")
        if self._unknown:
            return cannot_tell(self.n, f"{self._unknown:,} of {self.n:,} rows have no finite label or score")
        if name == "calibration_error" or name.partition("@")[0] in RATIOS:
            return cannot_tell(
                self.n, f"{name} is not kept of rows that come in batches: evaluate on a table in memory"
            )
        if name in OF_PROBABILITIES and (self.low < 0.0 or self.high > 1.0):
            return cannot_tell(self.n, "scores outside 0 to 1 are no probabilities")
        if name in _MEANS:
            return self._means[_MEANS[name]].interval()
        if name == "rmse":
            return _root(self._means["brier"])
        if name == "r2":
            return self._explained.interval()
        if name in ("accuracy", "positive_rate"):
            return share_interval(self._hits if name == "accuracy" else self._true, self.n)
        if name == "calibration":
            return Estimate(value=calibration_error(self.reliability()), n=self.n)
        negatives, positives = self._counts
        return auc_of_counts(positives, negatives) if name == "auc" else _average_precision(positives, negatives)

    def reliability(self, bins: int = BINS) -> tuple[ReliabilityPoint, ...]:
        """As `calibration.reliability` of all rows."""
        if not self.n:
            return ()
        scores, each = self._scores(), self._counts.sum(axis=0)
        places = np.searchsorted(self._quantiles(bins), scores, side="left")
        points = []
        for place in np.unique(places):
            inside = places == place
            n = int(each[inside].sum())
            observed = share_interval(int(self._counts[1][inside].sum()), n)
            predicted = float((scores[inside] * each[inside]).sum() / n)
            points.append(ReliabilityPoint(n=n, predicted=predicted, observed=observed))
        return tuple(points)

    def column(self, name: str) -> Column:
        """The scores as a column of a reference profile; as `profiles.profile` of all rows."""
        if not self.n or self._unknown:
            return Column(name=name, counts=(0,), missing=self.n)
        scores, each = self._scores(), self._counts.sum(axis=0)
        deciles = self._at(np.linspace(0, 1, BINS + 1)[1:-1])
        first, last = self._at(np.array([0.1, 0.9])).tolist()
        spread = 0.0
        if first == last:
            mean = (scores * each).sum() / self.n
            spread = float(((scores - mean) ** 2 * each).sum() / self.n) ** 0.5
        unit = spread_of(first, last, spread)
        found = weighted(name, deciles, self._at(np.array(TAILS)), scores, each, unit)
        return structs.replace(found, low=self.low, high=self.high)

    def _scores(self) -> NDArray[np.float64]:
        """The score of each count, ascending: the middle of those that are counted as one."""
        half = (1 << self._shift) >> 1
        return _values((self._keys << np.uint64(self._shift)) | np.uint64(half))

    def _quantiles(self, bins: int) -> NDArray[np.float64]:
        """The inner edges between bins of equally many rows, between the scores at both sides as `np.quantile` says."""
        return np.unique(self._at(np.linspace(0, 1, bins + 1)[1:-1]))

    def _at(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """The quantiles at these shares."""
        scores, upto = self._scores(), np.cumsum(self._counts.sum(axis=0))
        ranks = shares * (self.n - 1)
        below = scores[np.searchsorted(upto, np.floor(ranks), side="right")]
        above = scores[np.searchsorted(upto, np.ceil(ranks), side="right")]
        return _between(below, above, ranks - np.floor(ranks))


def _between(a: NDArray[np.float64], b: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    # In the order of operations of np.quantile, so that edges are the same bits.
    return np.where(t >= 0.5, b - (b - a) * (1 - t), a + (b - a) * t)


def _grouped(keys: NDArray[np.uint64], counts: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    found, places = np.unique(keys, return_inverse=True)
    summed = np.zeros((2, found.size), dtype=np.int64)
    for row, one in zip(summed, counts, strict=True):
        np.add.at(row, places, one)
    return found, summed


def _keys(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Whole numbers in the order of the scores; a negative zero is zero."""
    bits = (values + 0.0).view(np.uint64)
    return np.where(bits >= _SIGN, ~bits, bits | _SIGN)


def _values(keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    return np.where(keys >= _SIGN, keys ^ _SIGN, ~keys).view(np.float64)


def auc_of_counts(positives: NDArray[np.int64], negatives: NDArray[np.int64]) -> Estimate:
    """DeLong's, over counts by ascending score; equal scores count half."""
    true, false = int(positives.sum()), int(negatives.sum())
    if min(true, false) < 2:
        return cannot_tell(true + false, "fewer than two rows of one class")
    from_true = (np.cumsum(negatives) - negatives / 2) / false
    from_false = 1 - (np.cumsum(positives) - positives / 2) / true
    value = float((from_true * positives).sum() / true)
    variance = _variance(from_true, positives) / true + _variance(from_false, negatives) / false
    return auc_estimate(value, variance, true, false)


def _variance(values: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    n = int(counts.sum())
    away = values - (values * counts).sum() / n
    return float((away * away * counts).sum() / (n - 1))


def _average_precision(positives: NDArray[np.int64], negatives: NDArray[np.int64]) -> Estimate:
    n = int(positives.sum() + negatives.sum())
    if int(positives.sum()) < 2:
        return cannot_tell(n, "fewer than two true rows")
    value = _precision(positives, negatives)
    random, both = np.random.default_rng(0), np.concatenate([positives, negatives])
    drawn = []
    for _ in range(_REPLICATES):
        taken = random.poisson(both) if n <= _MOST_ROWS else random.multinomial(_MOST_ROWS, both / n)
        drawn.append(_precision(taken[: positives.size], taken[positives.size :]))
    scale = (min(n, _MOST_ROWS) / n) ** 0.5
    low, high = np.nanquantile(np.array(drawn) - value, [0.025, 0.975]) * scale
    return Estimate(value=value, low=float(value + low), high=float(value + high), n=n)


def _precision(positives: NDArray[np.int64], negatives: NDArray[np.int64]) -> float:
    hits, all_of = np.cumsum(positives[::-1]), np.cumsum((positives + negatives)[::-1])
    if not hits[-1]:
        return float("nan")
    return float((np.diff(hits, prepend=0) / hits[-1] * hits / np.maximum(all_of, 1)).sum())


def _root(squares: Mean) -> Estimate:
    # The root is monotonic, so the interval of the mean square maps onto one of its root.
    found = squares.interval()
    low, high = max(0.0, found.low) ** 0.5, found.high**0.5
    return structs.replace(found, value=squares.value**0.5, low=low, high=high)


class _Explained:
    """The share of variance explained, with the delta method's interval, from sums of powers."""

    def __init__(self) -> None:
        self._n = 0
        self._shift = 0.0
        self._sums = np.zeros(8)

    def add(self, truth: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
        if not self._n:
            self._shift = float(truth.mean())  # sums of powers lose digits far from zero
        u, q = truth - self._shift, (scores - truth) ** 2
        self._sums += [part.sum() for part in (u, u**2, u**3, u**4, q, q**2, q * u, q * u**2)]
        self._n += truth.size

    def interval(self) -> Estimate:
        n = self._n
        u, u2, u3, u4, q, q2, qu, qu2 = self._sums / n
        spread = u2 - u * u
        if n < 2 or spread <= 0.0:
            return cannot_tell(n, "the truth does not vary over these rows")
        left = q / spread  # the share that is not explained
        with_away = qu2 - 2 * u * qu + u * u * q
        away2 = u4 - 4 * u * u3 + 6 * u * u * u2 - 3 * u**4
        variance = max(0.0, q2 - 2 * left * with_away + left * left * away2) / spread**2
        return spread_interval(1 - left, (variance * n / (n - 1)) ** 0.5, n)
