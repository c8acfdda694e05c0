"""What a monitor finds in a window of answered predictions: pure functions of frames, profiles and the evaluation.

Quality and cost look only at predictions old enough for their labels, and say which share of them is labelled. A figure
is compared with the evaluation before release, or with a declared limit; it alerts only when its whole interval lies on
the wrong side, so that a small window cannot raise an alarm by chance alone. Below a share of labels it cannot tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from slipway.records.endpoints import MonitorSpec
from slipway.records.models import Decision, MetricValue
from slipway.stats import drift as drift_stats
from slipway.stats.estimate import Estimate
from slipway.stats.intervals import mean_interval
from slipway.stats.metrics import METRICS, CostMatrix, costs, estimate
from slipway.stats.profiles import Profile, profile

__all__ = ["Found", "drift", "profile_columns", "quality"]

State = Literal["ok", "note", "alert", "cannot tell"]
MIN_LABELLED = 0.5
MIN_ROWS = 200
SCORE = "score"
BROKEN = 0.1


class Found(Struct, frozen=True, kw_only=True):
    """What one monitor found.

    Args:
        state: The verdict.
        sentence: The finding in words.
        rows: Predictions looked at.
        values: Figures for charts and later checks.
    """

    state: State
    sentence: str
    rows: int
    values: dict[str, Any]


def profile_columns(answered: pl.DataFrame, reference: Profile) -> dict[str, Any]:
    """The columns of a prediction log in the form in which the reference profile counts them.

    Args:
        answered: From the prediction log: the model's inputs by name, and `score`.
        reference: The profile made at training, its columns named as in the log.
    """
    columns: dict[str, Any] = {}
    for column in reference.columns:
        values = answered[column.name]
        columns[column.name] = (
            values.cast(pl.Float64).fill_null(math.nan).to_numpy() if column.is_numeric else values.to_list()
        )
    return columns


def drift(answered: pl.DataFrame, reference: Profile, importance: Mapping[str, float] | None = None) -> Found:
    """Do inputs and answers still look as they did at training?

    Drift by itself is a note: it says what moved. It becomes an alert where values are missing or were never seen in
    training, because that is how a broken pipe looks.

    Args:
        answered: The window's predictions.
        reference: The profile made at training.
        importance: What the model uses each input for, by name, as shares; used to order what is told.
    """
    if answered.height < MIN_ROWS:
        return Found(
            state="cannot tell",
            rows=answered.height,
            values={},
            sentence=f"{answered.height} predictions are too few to tell; {MIN_ROWS} are needed.",
        )
    reference = _named_as_logged(reference, answered.columns)
    window = profile(profile_columns(answered, reference), reference)
    answers = drift_stats.compare(window, reference)
    moved = [answer for answer in answers if answer.verdict == "moved"]
    weight = importance or {}
    moved.sort(key=lambda answer: -weight.get(answer.column, 0.0))
    broken = [answer for answer in moved if answer.effect >= BROKEN and _looks_broken(answer, window, reference)]
    values = {
        "columns": len(window.columns),
        "moved": [[a.column, a.question, round(a.effect, 4), round(a.low, 4)] for a in moved],
    }
    if all(answer.verdict == "cannot tell" for answer in answers):
        told = "training kept too few rows to compare with."
        return Found(state="cannot tell", rows=answered.height, values=values, sentence=told)
    state, sentence = _drift_words(len(window.columns), moved, broken)
    return Found(state=state, rows=answered.height, values=values, sentence=sentence)


def _named_as_logged(reference: Profile, logged: Sequence[str]) -> Profile:
    """The log writes an input that has the name of one of its own columns as `feature.<name>`."""
    names = [column.name for column in reference.columns]
    columns = []
    for place, column in enumerate(reference.columns):
        is_prediction = column.name == SCORE and place == len(names) - 1 and (names.count(SCORE) == 2)
        other = f"feature.{column.name}"
        taken = other in logged and not is_prediction
        columns.append(msgspec.structs.replace(column, name=other) if taken else column)
    return Profile(rows=reference.rows, columns=tuple(columns))


def _looks_broken(answer: drift_stats.Answer, window: Profile, reference: Profile) -> bool:
    """Values that training never had, or that are missing now; more values than in training are no broken feed."""
    if answer.question != "missing":
        return answer.question == "unseen"
    seen, known = (next(c for c in p.columns if c.name == answer.column) for p in (window, reference))
    return seen.missing / seen.rows > known.missing / known.rows


def _drift_words(
    columns: int, moved: Sequence[drift_stats.Answer], broken: Sequence[drift_stats.Answer]
) -> tuple[State, str]:
    if broken:
        told = "; ".join(answer.sentence for answer in broken[:3])
        return "alert", f"{told}. That looks like a broken feed: mend it before anything is retrained."
    if moved:
        names = list(dict.fromkeys(answer.column for answer in moved))
        told = "; ".join(answer.sentence for answer in moved[:3])
        return (
            "note",
            f"{len(names)} of {columns} columns moved: {told}. Noted, not acted on: quality by labels decides.",
        )
    return "ok", f"none of {columns} columns moved beyond its floor."


def quality(
    answered: pl.DataFrame,
    monitor: MonitorSpec,
    *,
    now: datetime,
    evaluation: Sequence[MetricValue],
    decision: Decision,
) -> Found:
    """Is the score worse than it was before release, and what do errors cost?

    Args:
        answered: The window's predictions, with `label` (null where none has come) and `at`.
        monitor: A quality or kpi monitor.
        now: Business time: predictions younger than the label delay are left out.
        evaluation: The figures before release.
        decision: The model's threshold and cost matrix.
    """
    mature = answered.filter(pl.col("at") <= now - timedelta(microseconds=monitor.label_delay_us))
    fitting = pl.col("label").is_finite()
    if monitor.kind == "kpi" or METRICS[monitor.metric].task == "classification":
        fitting &= pl.col("label").is_in([0.0, 1.0])
    labelled = mature.filter(pl.col("label").is_not_null() & fitting)
    misfits = mature.height - mature["label"].null_count() - labelled.height
    share = labelled.height / mature.height if mature.height else 0.0
    values: dict[str, Any] = {"mature": mature.height, "labelled": labelled.height, "misfits": misfits}
    if labelled.height < MIN_ROWS or share < MIN_LABELLED:
        sentence = f"{labelled.height:,} of {mature.height:,} mature predictions have a label: too few to tell."
        return Found(state="cannot tell", rows=mature.height, values=values, sentence=sentence)
    truth = labelled["label"].cast(pl.Float64).to_numpy()
    scores = labelled[SCORE].to_numpy()
    found = _cost(truth, scores, decision) if monitor.kind == "kpi" else estimate(monitor.metric, truth, scores)
    better = "lower" if monitor.kind == "kpi" else METRICS[monitor.metric].better
    limit, source = _limit(monitor, evaluation)
    values |= {"value": _plain(found.value), "low": _plain(found.low), "high": _plain(found.high), "limit": limit}
    unit = f" {decision.unit} a prediction" if monitor.kind == "kpi" and decision.unit else ""
    name = monitor.name if monitor.kind == "kpi" else monitor.metric.replace("_", " ")
    share_told = f"Labels are in for {share:.0%} of {mature.height:,} mature predictions."
    if misfits:
        share_told += f" {misfits:,} labels do not fit the task and are left out."
    if math.isnan(found.value):
        sentence = f"{name} cannot be told: {found.note}. {share_told}"
        return Found(state="cannot tell", rows=mature.height, values=values, sentence=sentence)
    against = f"; {source} {limit:.4g}" if limit is not None else "; there is no figure to compare it with"
    interval = "" if math.isnan(found.low) else f" ({found.low:.4g} to {found.high:.4g})"
    sentence = f"{name} {found.value:.4g}{interval}{unit}{against}. {share_told}"
    return Found(state=_state(found, limit, better), rows=mature.height, values=values, sentence=sentence)


def _cost(truth: NDArray[np.float64], scores: NDArray[np.float64], decision: Decision) -> Estimate:
    if decision.threshold is None or not decision.costs:
        return Estimate(value=math.nan, n=truth.size, note="the model states no threshold and no costs")
    return mean_interval(costs(truth, scores, decision.threshold, CostMatrix(**decision.costs)))


def _limit(monitor: MonitorSpec, evaluation: Sequence[MetricValue]) -> tuple[float | None, str]:
    if monitor.limit is not None:
        return monitor.limit, "limit"
    for figure in evaluation:
        if figure.metric == monitor.metric and not figure.slice and not math.isnan(figure.value):
            return figure.value, "before release"
    return None, ""


def _state(found: Estimate, limit: float | None, better: str) -> State:
    if limit is None or math.isnan(found.low):
        return "note"
    worse = found.low > limit if better == "lower" else found.high < limit
    return "alert" if worse else "ok"


def _plain(value: float) -> float | None:
    # The ledger keeps JSON, which has no NaN.
    return float(value) if math.isfinite(value) else None
