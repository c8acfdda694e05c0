"""What a metric contract's monitor finds: the KPI on mature predictions, and beside it the metric that stands for it.

The KPI is compared with the contract's limit, else with the evaluation before release, else with the window before. It
alerts when its whole interval, by days, is worse by more than the guard band. When the model's metric is as good as before
meanwhile, that is a cause of its own: then threshold, policy or product are to be looked at, and no retraining helps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import polars as pl
from msgspec import Struct

from slipway.errors import InvalidInput
from slipway.monitoring.judge import Found, State
from slipway.monitoring.labels_known import immature
from slipway.records.contracts import ContractTerms
from slipway.records.endpoints import MonitorSpec
from slipway.records.models import MetricValue
from slipway.records.monitors import Cause
from slipway.stats.estimate import Estimate
from slipway.stats.intervals import mean_interval
from slipway.stats.kpi import kpi_figure, kpi_terms, kpi_values, untold
from slipway.stats.metrics import METRICS, estimate

__all__ = ["AGAINST", "judge_contract"]

AGAINST = "kpi against metric"
"""The kind of the cause "the KPI is down, and the model's metric is not"."""

Way = Literal["better", "flat", "worse", ""]


class _Beside(Struct, frozen=True, kw_only=True):
    """A figure of before, and where it is from."""

    low: float
    value: float
    high: float
    told: str


def judge_contract(
    answered: pl.DataFrame,
    terms: ContractTerms,
    monitor: MonitorSpec,
    *,
    now: datetime,
    evaluation: Sequence[MetricValue],
) -> Found:
    """Is the business figure as good as it was, and if not, is the model to blame?

    Args:
        answered: The model's predictions with `at`, `score`, `decision`, `label` and the business columns.
        terms: The contract's.
        monitor: How long labels take, and the window.
        now: Business time.
        evaluation: The figures before release.
    """
    until = now - timedelta(microseconds=monitor.label_delay_us)
    window = timedelta(microseconds=monitor.window_us)
    mature = _within(answered, until - window, until)
    first, last = mature["at"].min(), mature["at"].max()
    span: dict[str, Any] = {"first": first, "last": last, "rows": mature.height}
    try:
        values = kpi_values(mature, terms)
        earlier = _within(answered, until - 2 * window, until - window)
        before = kpi_values(earlier, terms)
    except InvalidInput as problem:
        return Found(state="cannot tell", sentence=_cannot(terms, str(problem)), values={"owner": terms.owner}, **span)
    known = mature.filter(values.is_not_null())
    figures: dict[str, Any] = {
        "mature": mature.height,
        "labelled": known.height,
        "owner": terms.owner,
        "unit": terms.unit,
    }
    why = immature(mature.with_columns(yields=values), known, "yields", "a known value")
    why = why or untold(values, terms)
    if why:
        return Found(state="cannot tell", sentence=_cannot(terms, why), values=figures, **span)
    days = known["at"].dt.epoch("d").to_numpy()
    found = kpi_figure(values.drop_nulls(), terms, days)
    widened = _ratio(found, mean_interval(kpi_terms(values.drop_nulls(), terms)))
    beside = _beside(terms, evaluation, earlier, before, widened)
    state, fall = _verdict(found, terms, beside)
    way, metric_told, metric = _metric(known, terms, evaluation, earlier)
    figures |= {"value": _plain(found.value), "low": _plain(found.low), "high": _plain(found.high)}
    figures |= {"limit": terms.limit, "before": None if beside is None else _plain(beside.value)}
    figures |= {"metric": terms.metric, "metric_value": _plain(metric), "metric_way": way}
    unit = f" {terms.unit}" if terms.unit else ""
    told = f"{terms.kpi} {found.value:.4g}{_interval(found)}{unit} over {known['at'].dt.date().n_unique()} days{fall}"
    sentence = ". ".join(one for one in (told, metric_told) if one)
    if state != "alert":
        return Found(state=state, sentence=f"{sentence}.", values=figures, **span)
    is_against = way in ("better", "flat")
    if is_against:
        sentence += ": the model is not worse, so look at the threshold, the policy and the product, not at retraining"
    since = first if isinstance(first, datetime) else None
    cause = _cause(terms, AGAINST if is_against else "kpi", f"{sentence}.", since, known.height, figures)
    return Found(state="alert", sentence=f"{sentence}.", values=figures, causes=(cause,), **span)


def _cause(
    terms: ContractTerms, kind: str, sentence: str, since: datetime | None, rows: int, figures: Mapping[str, Any]
) -> Cause:
    value, low, high, before = (figures[name] for name in ("value", "low", "high", "before"))
    return Cause(
        kind=kind, about=terms.kpi, sentence=sentence, since=since, rows=rows, value=value, low=low, high=high,
        unit=terms.unit, before=before, owner=terms.owner,
    )  # fmt: skip


def _within(rows: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    return rows.filter((pl.col("at") > since) & (pl.col("at") <= until))


def _cannot(terms: ContractTerms, why: str) -> str:
    return f"{terms.kpi} cannot be told: {why.rstrip('.')}."


def _beside(
    terms: ContractTerms, evaluation: Sequence[MetricValue], earlier: pl.DataFrame, before: pl.Series, widened: float
) -> _Beside | None:
    """What the KPI is compared with, where the contract sets no limit."""
    if terms.limit is not None:
        return None
    for figure in evaluation:
        if (
            figure.metric == terms.kpi
            and not figure.slice
            and math.isfinite(figure.value)
            and math.isfinite(figure.low)
        ):
            low, high = (figure.value + (edge - figure.value) * widened for edge in (figure.low, figure.high))
            return _Beside(low=low, value=figure.value, high=high, told="before release")
    days = earlier["at"].dt.epoch("d").to_numpy()
    found = kpi_figure(before, terms, days)
    if not math.isfinite(found.value) or not math.isfinite(found.low):
        return None
    return _Beside(low=found.low, value=found.value, high=found.high, told="in the window before")


def _verdict(found: Estimate, terms: ContractTerms, beside: _Beside | None) -> tuple[State, str]:
    if not math.isfinite(found.low):
        return "cannot tell", f": {found.note}"
    best = found.high if terms.better == "higher" else found.low
    if terms.limit is not None:
        if terms.sign * (best - terms.limit) < 0:
            return "alert", f", worse than the limit {terms.limit:.4g} with its whole interval"
        return "ok", f"; the limit is {terms.limit:.4g}"
    if beside is None:
        return "note", "; there is no figure of before to compare it with"
    worst = beside.low if terms.better == "higher" else beside.high
    told = f"{beside.told} {beside.value:.4g} ({beside.low:.4g} to {beside.high:.4g})"
    guard = f", guard band {terms.guard:.4g}" if terms.guard else ""
    if terms.sign * (best - worst) < -terms.guard:
        return "alert", f", worse than {told}{guard}"
    return "ok", f"; {told}{guard}: it is not worse for sure"


def _metric(
    known: pl.DataFrame, terms: ContractTerms, evaluation: Sequence[MetricValue], earlier: pl.DataFrame
) -> tuple[Way, str, float]:
    """Which way the model's metric went on the same rows: the way, in words, and the figure."""
    if not terms.metric:
        return "", "no metric of the model stands for it, so nobody can say whether the model is to blame", math.nan
    better = METRICS[terms.metric].better
    found = _measured(known, terms.metric)
    name = terms.metric.replace("_", " ")
    if not math.isfinite(found.value) or not math.isfinite(found.low):
        return "", f"{name} cannot be told: {found.note}", math.nan
    low, value, high, told = math.nan, math.nan, math.nan, "before release"
    for figure in evaluation:
        if figure.metric == terms.metric and not figure.slice:
            widened = _ratio(found, _measured(known, terms.metric, by_days=False))
            value = figure.value
            low, high = (value + (edge - value) * widened for edge in (figure.low, figure.high))
    if not math.isfinite(low):
        other = _measured(earlier, terms.metric)
        low, value, high, told = other.low, other.value, other.high, "in the window before"
    told = f"{name} {found.value:.4g}{_interval(found)}"
    if not math.isfinite(low):
        return "", f"{told}, with nothing to compare it with", found.value
    sign = 1.0 if better == "higher" else -1.0 if better == "lower" else 0.0
    if sign == 0.0:
        ahead, behind = max(abs(low), abs(high)), min(abs(found.low), abs(found.high))
        way: Way = "worse" if found.low * found.high > 0 and behind > ahead else "flat"
    else:
        best, worst = (found.high, found.low) if sign > 0 else (found.low, found.high)
        then_best, then_worst = (high, low) if sign > 0 else (low, high)
        way = "worse" if sign * (best - then_worst) < 0 else "better" if sign * (worst - then_best) > 0 else "flat"
    words = {"better": "better than", "flat": "as good as", "worse": "worse than", "": ""}[way]
    return way, f"{told}, {words} before ({value:.4g})", found.value


def _measured(rows: pl.DataFrame, metric: str, *, by_days: bool = True) -> Estimate:
    fits = pl.col("label").is_not_null() & pl.col("label").cast(pl.Float64).is_finite()
    if METRICS[metric].task == "classification":
        fits &= pl.col("label").cast(pl.Float64).is_in([0.0, 1.0])
    rows = rows.filter(fits)
    truth, scores = rows["label"].cast(pl.Float64).to_numpy(), rows["score"].to_numpy()
    days = rows["at"].dt.epoch("d").to_numpy() if by_days else None
    return estimate(metric, truth, scores, days)


def _ratio(by_days: Estimate, by_rows: Estimate) -> float:
    """How many times wider an interval is by days than by rows; 1 where that cannot be told."""
    days, rows = by_days.high - by_days.low, by_rows.high - by_rows.low
    return max(1.0, days / rows) if rows > 0.0 and math.isfinite(days) else 1.0


def _interval(found: Estimate) -> str:
    return "" if not math.isfinite(found.low) else f" ({found.low:.4g} to {found.high:.4g})"


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
