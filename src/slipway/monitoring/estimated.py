"""What a model's quality probably is before labels come: an estimate with its interval, or that nobody can tell.

It alerts only on a loss: the whole interval of the estimate has to be worse than the whole interval before release. A
model that does better than before is no alarm. What it cannot see is that the inputs' relation to the labels changed,
so it never says that all is well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from msgspec import Struct

from slipway.monitoring.judge import SCORE, Found, State
from slipway.monitoring.labels_known import MIN_ROWS
from slipway.records.endpoints import MonitorSpec
from slipway.records.models import Decision, MetricValue
from slipway.records.monitors import Cause
from slipway.schema.directions import LOWER
from slipway.stats import estimated as classes
from slipway.stats.estimate import Estimate
from slipway.stats.estimated_loss import expected_loss, fit_loss
from slipway.stats.metrics import CostMatrix
from slipway.stats.profiles import Profile
from slipway.stats.support import effective_rows, expected_outside, outside

__all__ = ["ESTIMATED", "IF", "Labelled", "MOST_OUTSIDE", "estimate_of", "estimated"]

ESTIMATED = "estimated quality"
MOST_OUTSIDE = 0.05
"""Where more rows than this lie outside what was learnt from, nothing is estimated."""
IF = "if what was learnt still holds; a changed relation of inputs and labels does not show in it"


class Labelled(Struct, frozen=True, kw_only=True):
    """Rows with their truth that the model did not learn from.

    Args:
        labels: The truth.
        scores: The model's.
        inputs: By name what it was asked with, numbers.
        blocks: The day of each row, None where that is unknown.
        source: Where they come from, in words.
    """

    labels: np.ndarray[Any, np.dtype[np.float64]]
    scores: np.ndarray[Any, np.dtype[np.float64]]
    inputs: dict[str, Any] = {}
    blocks: np.ndarray[Any, np.dtype[np.int64]] | None = None
    source: str


def estimated(
    rows: pl.DataFrame,
    columns: Mapping[str, Any],
    monitor: MonitorSpec,
    labelled: Labelled | None,
    reference: Profile | None,
    *,
    decision: Decision,
    evaluation: tuple[MetricValue, ...],
) -> Found:
    """Judge what a metric can be expected to be on the answered rows of the monitor's window.

    Args:
        rows: Answered rows within the window, with `at` and `score`; their labels are not looked at.
        columns: Their values as the reference profile counts them.
        monitor: An estimated monitor.
        labelled: What calibrates, None where there is nothing.
        reference: The profile made at training, None where there is none.
        decision: The model's threshold and costs.
        evaluation: The figures before release.
    """
    first, last = _instant(rows["at"].min()), _instant(rows["at"].max())
    values: dict[str, Any] = {"metric": monitor.metric}

    def cannot(why: str) -> Found:
        told = f"estimated {_named(monitor)} cannot be told: {why}."
        return Found(state="cannot tell", sentence=told, rows=rows.height, values=values, first=first, last=last)

    if rows.height < MIN_ROWS:
        return cannot(f"{rows.height} predictions are too few; {MIN_ROWS} are needed")
    if labelled is None or reference is None:
        return cannot("there are no labelled rows that it was not trained on, or no reference profile, to calibrate by")
    found, share = estimate_of(rows, columns, monitor, labelled, reference, decision=decision)
    usual = expected_outside(reference, set(columns))
    values |= {"outside": round(share, 4), "outside_usual": round(usual, 4), "calibrated_on": labelled.labels.size}
    if share > MOST_OUTSIDE + usual:
        return cannot(
            f"{share:.0%} of {rows.height:,} predictions lie outside what it learnt from, and {MOST_OUTSIDE:.0%} is the most"
        )
    if math.isnan(found.value):
        return cannot(found.note)
    values |= {"value": found.value, "low": found.low, "high": found.high}
    before = _before(monitor, evaluation)
    state, bound, told = _verdict(found, monitor, before)
    values |= {"limit": bound}
    sentence = (
        f"estimated {_named(monitor)} {found.value:.4g} ({found.low:.4g} to {found.high:.4g}){_unit(monitor, decision)} on "
        f"{rows.height:,} predictions, without their labels{told}. It is an estimate, {IF}."
    )
    causes = (_cause(found, monitor, bound, sentence, rows),) if state == "alert" else ()
    return Found(state=state, sentence=sentence, rows=rows.height, values=values, first=first, last=last, causes=causes)


def estimate_of(
    rows: pl.DataFrame,
    columns: Mapping[str, Any],
    monitor: MonitorSpec,
    labelled: Labelled,
    reference: Profile,
    *,
    decision: Decision,
) -> tuple[Estimate, float]:
    """The estimate of a metric on answered rows, and the share of them that lies outside what was learnt from."""
    scores, blocks = rows[SCORE].to_numpy(), rows["at"].dt.epoch("d").to_numpy()
    beyond = outside(columns, reference) if columns else np.zeros(rows.height, dtype=bool)
    blocks_known = labelled.blocks
    few = Estimate(value=math.nan, note=f"{labelled.labels.size:,} labelled rows are too few to calibrate by")
    numbers = _by_movement(columns, labelled)
    taught = {name: labelled.inputs[name] for name in numbers}
    if monitor.metric in classes.CLASSIFICATION:
        calibration = classes.calibrate(labelled.labels, labelled.scores, blocks_known, taught)
        if calibration is None:
            return few, float(beyond.mean())
        alike = effective_rows(scores, labelled.scores)
        if alike < classes.MIN_ROWS:
            told = f"of {labelled.labels.size:,} labelled rows {alike:.0f} would tell as much, had they the scores of these"
            return Estimate(value=math.nan, note=f"{told}; {classes.MIN_ROWS} are needed"), float(beyond.mean())
        beyond |= (scores < calibration.low) | (scores > calibration.high)
        threshold = 0.5 if decision.threshold is None else decision.threshold
        costs = CostMatrix(**decision.costs) if decision.costs else None
        if monitor.metric == "cost" and (costs is None or decision.threshold is None):
            return Estimate(value=math.nan, note="the model states no threshold and no costs"), float(beyond.mean())
        found = classes.expected(
            monitor.metric, scores, calibration, threshold=threshold, costs=costs, blocks=blocks, inputs=numbers
        )
        return found, float(beyond.mean())
    model = fit_loss(monitor.metric, labelled.labels, labelled.scores, taught, blocks_known)
    if model is None:
        return few, float(beyond.mean())
    beyond |= (scores < model.low) | (scores > model.high)
    return expected_loss(model, scores, numbers, blocks), float(beyond.mean())


def _by_movement(columns: Mapping[str, Any], labelled: Labelled) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """The inputs that both have as numbers, those first that moved most: where rows are too few for all, they matter."""
    found, moved = {}, {}
    for name in columns.keys() & labelled.inputs.keys():
        values = pl.Series(columns[name])
        if not values.dtype.is_numeric():
            continue
        found[name] = values.cast(pl.Float64).fill_null(math.nan).to_numpy()
        known = np.asarray(labelled.inputs[name], dtype=np.float64)
        now, before = found[name][np.isfinite(found[name])], known[np.isfinite(known)]
        spread = float(before.std()) if before.size else 0.0
        moved[name] = abs(float(now.mean() - before.mean())) / spread if now.size and spread > 0.0 else 0.0
    return {name: found[name] for name in sorted(found, key=lambda name: (-moved[name], name))}


def _cause(found: Estimate, monitor: MonitorSpec, bound: float | None, sentence: str, rows: pl.DataFrame) -> Cause:
    return Cause(
        kind=ESTIMATED,
        about=monitor.metric,
        sentence=sentence,
        since=_instant(rows["at"].min()),
        rows=rows.height,
        value=found.value,
        low=found.low,
        high=found.high,
        unit=monitor.metric,
        before=bound,
    )


def _instant(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _named(monitor: MonitorSpec) -> str:
    return monitor.metric.replace("_", " ")


def _unit(monitor: MonitorSpec, decision: Decision) -> str:
    return f" {decision.unit} a prediction" if monitor.metric == "cost" and decision.unit else ""


def _before(monitor: MonitorSpec, evaluation: tuple[MetricValue, ...]) -> MetricValue | None:
    found = (one for one in evaluation if one.metric == monitor.metric and not one.slice)
    return next((one for one in found if not math.isnan(one.value)), None)


def _verdict(found: Estimate, monitor: MonitorSpec, before: MetricValue | None) -> tuple[State, float | None, str]:
    is_lower = monitor.metric in LOWER
    if monitor.limit is not None:
        bound, told = monitor.limit, f"; limit {monitor.limit:.4g}"
    elif before is not None:
        edge = before.high if is_lower else before.low
        bound = before.value if math.isnan(edge) else edge
        interval = "" if math.isnan(edge) else f" ({before.low:.4g} to {before.high:.4g})"
        told = f"; before release {before.value:.4g}{interval}"
    else:
        return "note", None, "; there is no figure to compare it with"
    is_worse = found.low > bound if is_lower else found.high < bound
    if is_worse:
        return "alert", bound, f"{told}: worse, the whole interval is beyond {bound:.4g}"
    return "ok", bound, f"{told}: no loss beyond its own error is to be seen"
