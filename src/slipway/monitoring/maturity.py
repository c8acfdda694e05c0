"""How far the labels of a day are in, against what is usual at its age, and what they say so far.

Labels that are in early are no sample of all: where one class is told first, the share of right answers among them is not
that of the day. Of days old enough one knows how much of each class is in at which age; each label of a younger day is
weighed by the inverse of that. It corrects for the class of a label and for nothing else.

Source: D. Horvitz and D. Thompson, Journal of the American Statistical Association 47, 1952.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import NDArray

from slipway.monitoring import cohorts as kept
from slipway.records.cohorts import CohortRow
from slipway.schema.durations import in_words
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.exact_sums import total
from slipway.stats.intervals import share_interval
from slipway.stats.tallies import auc_of_counts

__all__ = ["COHORT_METRICS", "cohort_rows"]

COHORT_METRICS = (
    "accuracy", "auc", "bias", "brier", "calibration", "calibration_in_the_large", "f1", "log_loss", "mae",
    "positive_rate", "precision", "recall", "rmse",
)  # fmt: skip
"""What can be told of each day from what is kept of it."""
_MEANS = {"log_loss": "log_loss", "brier": "brier", "mae": "mae", "rmse": "square", "bias": "bias"}
_MEANS |= {"calibration": "bias", "calibration_in_the_large": "bias"}
_HOUR = 3_600_000_000
_DAY = 24 * _HOUR
_FEW_DAYS, _FEW_ROWS, _FEW_OF_A_CLASS = 3, 200, 50
_LOOKED_BACK = timedelta(days=56)
_MATURE = 0.9
_LEAST_ARRIVED = 0.02
_Z = NormalDist().inv_cdf(0.975)
_Ages = NDArray[np.float64]


@dataclass(frozen=True)
class _Cohort:
    bundle: str
    arm: str
    day: date
    asked: NDArray[np.int64]
    came: NDArray[np.int64]
    decided: NDArray[np.int64]
    misfits: int
    early: int
    rows: pl.DataFrame

    @cached_property
    def predictions(self) -> int:
        return int(self.asked.sum())

    @cached_property
    def came_until(self) -> NDArray[np.int64]:
        """How many labels were in at each age."""
        return np.cumsum(self.came.sum(axis=0), dtype=np.int64)

    @cached_property
    def labels(self) -> int:
        return int(self.came.sum())

    def youngest_us(self, now: datetime) -> int:
        return (
            int((now - datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC)).total_seconds() * 1e6) - _DAY
        )

    def ages(self, now: datetime) -> _Ages:
        """The age of the middle of each hour of the day."""
        return np.asarray(self.youngest_us(now) + _DAY - (np.arange(24) + 0.5) * _HOUR)

    def sum_of(self, task: str, measure: str, power: int, kind: int) -> float:
        number = kept.SUMS + 2 * kept.measures(task).index(measure) + power
        inside = self.rows.filter((pl.col("kind") == number) & (pl.col("k") // 4096 == kind))
        return total((k % 4096 - 2048, n, low) for k, n, low in inside.select("k", "n", "low").iter_rows())


def cohort_rows(
    states: pl.DataFrame,
    *,
    task: str,
    metric: str,
    delay_us: int,
    now: datetime,
    absent: str = "",
    since: date = date.min,
) -> tuple[CohortRow, ...]:
    """What the labels that are in say of each cohort, the newest day first.

    Args:
        states: From `Cohorts.states`.
        task: What the models do.
        metric: One of `COHORT_METRICS`; of another one only the labels are told.
        delay_us: How long labels usually take, as declared.
        now: Business time.
        absent: "negative" where a row without a label that is older than that counts as negative.
        since: Earlier days are learnt from, and not told.
    """
    found = _read(states)
    rows = []
    for one in found:
        if one.day < since:
            continue
        earlier = [other for other in found if one.day - _LOOKED_BACK <= other.day < one.day]
        rows.append(_row(one, earlier, task=task, metric=metric, delay_us=delay_us, now=now, absent=absent))
    return tuple(sorted(rows, key=lambda row: (-row.day.toordinal(), row.bundle, row.arm)))


def _read(states: pl.DataFrame) -> list[_Cohort]:
    found = []
    buckets = kept.EDGES_US.size + 1
    for of, rows in states.group_by("bundle", "arm", "day", maintain_order=True):
        bundle, arm, day = of
        assert isinstance(day, date)
        counts = {kind: np.zeros(size, dtype=np.int64) for kind, size in ((kept.ASKED, 24), (kept.CAME, 2 * buckets))}
        counts |= {kept.DECIDED: np.zeros(6, dtype=np.int64)}
        counts |= {kept.MISFIT: np.zeros(1, dtype=np.int64), kept.EARLY: np.zeros(1, dtype=np.int64)}
        for kind, k, n in rows.filter(pl.col("kind").is_in(list(counts))).select("kind", "k", "n").iter_rows():
            counts[kind][k] = n
        if counts[kept.ASKED].sum():
            found.append(
                _Cohort(
                    bundle=str(bundle),
                    arm=str(arm),
                    day=day,
                    asked=counts[kept.ASKED],
                    came=counts[kept.CAME].reshape(2, buckets),
                    decided=counts[kept.DECIDED].reshape(3, 2),
                    misfits=int(counts[kept.MISFIT][0]),
                    early=int(counts[kept.EARLY][0]),
                    rows=rows,
                )
            )
    return found


def _row(
    one: _Cohort, earlier: Sequence[_Cohort], *, task: str, metric: str, delay_us: int, now: datetime, absent: str
) -> CohortRow:
    is_old = one.youngest_us(now) >= delay_us
    share = one.labels / one.predictions
    usual, finally_ = _usual(one, earlier, now)
    counts_absent = bool(absent) and is_old
    missing = one.predictions - one.labels - one.misfits if counts_absent else 0
    if usual is not None and _is_less(one.labels, one.predictions, _MATURE * usual):
        state = "late"
    elif not one.labels and not counts_absent:
        state = "waiting"
    elif is_old and (counts_absent or finally_ is None or share >= _MATURE * finally_):
        state = "mature"
    else:
        state = "provisional"
    nothing = cannot_tell(one.labels, "no label that counts is in")
    if metric not in COHORT_METRICS:
        nothing = cannot_tell(one.labels, "what it needs is not kept by days")
    elif absent and not counts_absent:
        nothing = cannot_tell(one.labels, f"whoever has no label is negative only after {in_words(delay_us)}")
    tells = metric in COHORT_METRICS and one.labels + missing > 0 and not (absent and not is_old)
    value = _figure(one, task, metric, (1.0, 1.0), absent=counts_absent) if tells else nothing
    weights = (1.0, 1.0) if is_old else _weights(one, earlier, delay_us, now, task)
    adjusted = _figure(one, task, metric, weights, absent=counts_absent) if tells and weights else nothing
    row = CohortRow(
        bundle=one.bundle, arm=one.arm, day=one.day, predictions=one.predictions, labels=one.labels, share=share,
        usual=usual, state=state, absent=missing, misfits=one.misfits, early=one.early, metric=metric,  # type: ignore[arg-type]  # one of the four
        value=_plain(value.value), low=_plain(value.low), high=_plain(value.high),
        adjusted=_plain(adjusted.value), adjusted_low=_plain(adjusted.low), adjusted_high=_plain(adjusted.high),
    )  # fmt: skip
    return _told(row, value, delay_us if absent else 0)


def _told(row: CohortRow, value: Estimate, rule_us: int) -> CohortRow:
    told = f"{row.day:%a %Y-%m-%d}: {row.share:.0%} of {row.predictions:,} predictions have their label"
    told += "" if row.usual is None else f", {row.usual:.0%} is usual at this age"
    name = row.metric.replace("_", " ")
    if row.value is None:
        told += f"; {name} cannot be told: {value.note}"
    else:
        told += f"; {name} {row.value:.4g}{_interval(row.low, row.high)}{'' if row.state == 'mature' else ' so far'}"
        if row.adjusted is not None and row.state != "mature":
            told += (
                f", {row.adjusted:.4g}{_interval(row.adjusted_low, row.adjusted_high)} with late classes allowed for"
            )
    if rule_us:
        told += f"; no label by {in_words(rule_us)} means negative"
        told += f" ({row.absent:,} do)" if row.absent else " (it does not count yet)" if row.state != "mature" else ""
    if row.misfits:
        told += f"; {row.misfits:,} labels do not fit the task"
    if row.early:
        told += f"; {row.early:,} labels say they were observed before their decision: some clock is wrong"
    return CohortRow(**{name: getattr(row, name) for name in row.__struct_fields__} | {"sentence": f"{told}."})


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.4g} to {high:.4g})"


def _usual(one: _Cohort, earlier: Sequence[_Cohort], now: datetime) -> tuple[float | None, float | None]:
    """The share that is usually in at this cohort's age, and in the end; None where too few days say so."""
    edges, shares = [0.0], [0.0]
    young = np.array([other.youngest_us(now) for other in earlier], dtype=np.float64)
    days = np.array([other.day.toordinal() for other in earlier], dtype=np.int64)
    sizes = np.array([other.predictions for other in earlier], dtype=np.int64)
    came = np.array([other.came_until for other in earlier], dtype=np.int64)
    for place, edge in enumerate(kept.EDGES_US):
        old = young >= edge
        asked = int(sizes[old].sum())
        if np.unique(days[old]).size < _FEW_DAYS or asked < _FEW_ROWS:
            break
        share = int(came[old, place].sum()) / asked
        edges.append(float(edge))
        shares.append(max(share, shares[-1]))  # each age is told by other days: it must not fall
    if len(edges) == 1:
        return None, None
    ages = one.ages(now)
    if ages.min() > edges[-1] + _DAY:
        return None, shares[-1]
    return float((np.interp(ages, edges, shares) * one.asked).sum() / one.predictions), shares[-1]


def _is_less(labels: int, predictions: int, share: float) -> bool:
    return share_interval(labels, predictions).high < share


def _weights(
    one: _Cohort, earlier: Sequence[_Cohort], delay_us: int, now: datetime, task: str
) -> tuple[float, float] | None:
    """What a label of each class stands for by now, None where that is not known."""
    old = [other for other in earlier if other.youngest_us(now) >= delay_us]
    if len({other.day for other in old}) < _FEW_DAYS:
        return None
    ages = one.ages(now)
    found = [1.0, 1.0]
    for kind in (0, 1) if task == "classification" else ():
        came = np.sum([other.came[kind] for other in old], axis=0)
        if came.sum() < _FEW_OF_A_CLASS:
            return None
        shares = np.cumsum(came)[:-1] / came.sum()
        edges = kept.EDGES_US.astype(np.float64)
        arrived = float((np.interp(ages, edges, shares, left=0.0) * one.asked).sum() / one.predictions)
        if arrived < _LEAST_ARRIVED:
            return None
        found[kind] = 1.0 / arrived
    return found[0], found[1]


def _figure(one: _Cohort, task: str, metric: str, weights: tuple[float, float], *, absent: bool) -> Estimate:
    """A metric from what is kept; the labels of each class weigh as given."""
    classes = [(0, weights[0]), (1, weights[1]), *([(kept.ABSENT, 1.0)] if absent else [])]
    if metric == "auc":  # no weight of a whole class changes it
        return _auc(one, [kind for kind, _ in classes])
    if metric in _MEANS:
        return _mean(one, task, metric, classes)
    # Accuracy is at one half, whatever is decided: so a monitor and the evaluation before release tell it.
    counts = _at_one_half(one) if metric == "accuracy" else one.decided
    cells = [(1 if kind == 1 else 0, yes, int(counts[kind][yes]), w) for kind, w in classes for yes in (0, 1)]
    return _ratio(metric, cells, is_plain=weights == (1.0, 1.0))


def _mean(one: _Cohort, task: str, metric: str, classes: Sequence[tuple[int, float]]) -> Estimate:
    measure, n_of = _MEANS[metric], [int(row.sum()) for row in one.came]
    if measure not in kept.measures(task):
        return cannot_tell(0, f"it is no figure of a {task}")
    n_of.append(int(one.decided[kept.ABSENT].sum()))
    first = {kind: one.sum_of(task, measure, 0, kind) for kind, _ in classes}
    second = {kind: one.sum_of(task, measure, 1, kind) for kind, _ in classes}
    n, weight = sum(n_of[kind] for kind, _ in classes), sum(w * n_of[kind] for kind, w in classes)
    if n < 2:
        return cannot_tell(n, f"{n} rows are too few for an interval")
    mean = sum(w * first[kind] for kind, w in classes) / weight
    away = sum(w * w * (second[k] - 2 * mean * first[k] + mean * mean * n_of[k]) for k, w in classes)
    half = _Z * math.sqrt(max(0.0, away) * n / (n - 1)) / weight
    low, high = mean - half, mean + half
    if metric == "rmse":
        return Estimate(value=math.sqrt(mean), low=math.sqrt(max(0.0, low)), high=math.sqrt(high), n=n)
    return Estimate(value=mean, low=low, high=high, n=n)


def _auc(one: _Cohort, classes: Sequence[int]) -> Estimate:
    scored = one.rows.filter(pl.col("kind") == kept.SCORED).select(
        score=pl.col("k") % (1 << 22), is_true=(pl.col("k") // (1 << 22)) == 1, kind=pl.col("k") // (1 << 22), n="n"
    )
    counts = scored.filter(pl.col("kind").is_in(list(classes))).group_by("score").agg(
        pl.col("n").filter("is_true").sum().alias("true"), pl.col("n").filter(~pl.col("is_true")).sum().alias("false")
    ).sort("score")  # fmt: skip
    return auc_of_counts(counts["true"].to_numpy(), counts["false"].to_numpy())


def _at_one_half(one: _Cohort) -> NDArray[np.int64]:
    """The rows of each class with a score below one half, and of one half or more."""
    scored = one.rows.filter(pl.col("kind") == kept.SCORED).select("k", "n").to_numpy()
    found = np.zeros(one.decided.shape, dtype=np.int64)
    for kind, is_above, n in zip(*kept.at_or_above(scored[:, 0], 0.5), scored[:, 1], strict=True):
        found[kind, int(is_above)] += n
    return found


def _ratio(metric: str, cells: Sequence[tuple[int, int, int, float]], *, is_plain: bool) -> Estimate:
    """A share among the cells of truth and decision: accuracy, precision, recall, f1, or the rate of true labels."""
    over, under, rows = 0.0, 0.0, []
    for truth, yes, n, weight in cells:
        right = truth == yes
        top, bottom = {
            "accuracy": (right, 1),
            "precision": (truth and yes, yes),
            "recall": (truth and yes, truth),
            "f1": (2 * (truth and yes), 2 if truth and yes else truth or yes),
            "positive_rate": (truth, 1),
        }[metric]
        rows.append((top, bottom, n, weight))
        over, under = over + weight * n * top, under + weight * n * bottom
    count = sum(n for _, bottom, n, _ in rows if bottom)
    if not under:
        return cannot_tell(0, "nothing was decided or true")
    if is_plain and metric != "f1":
        return share_interval(round(over), round(under))
    value = over / under
    away = sum(n * (weight * (top - value * bottom)) ** 2 for top, bottom, n, weight in rows)
    half = _Z * math.sqrt(away) / under
    return Estimate(value=value, low=max(0.0, value - half), high=min(1.0, value + half), n=count)


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
