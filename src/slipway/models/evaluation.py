"""How good a model is on rows that it was not trained on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from slipway.errors import InvalidInput, near
from slipway.ledger.run_log import current_run
from slipway.ledger.step_scope import run_step
from slipway.models.batch_evaluation import Judged, judge
from slipway.models.decision import threshold
from slipway.models.frames import column_names
from slipway.models.inputs import label_values
from slipway.models.kpi import business_columns, kpi_of
from slipway.models.model import Model
from slipway.models.state import Evaluation, ReliabilityBin
from slipway.models.taught import overlap_of
from slipway.ports.model_format import Task
from slipway.records.contracts import ContractTerms
from slipway.records.models import Decision, MetricValue
from slipway.schema.fingerprints import of_frame
from slipway.schema.metric_contract import MetricContract
from slipway.schema.types import frame_of
from slipway.stats.calibration import reliability
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.intervals import mean_interval
from slipway.stats.metrics import METRICS, MIN_SLICE_ROWS, CostMatrix, default_metrics, metric
from slipway.stats.metrics import costs as cost_of_rows
from slipway.stats.metrics import evaluate as measure
from slipway.stats.profiles import profile
from slipway.stats.ratios import AT_DECISION
from slipway.tables.row_batches import Batches

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["COST", "SCORED", "evaluate", "evaluated_rows"]

COST = "cost"
SCORED = "slipway:score"
_BIAS = "calibration_in_the_large"
_KEY_LENGTH = 250


def evaluate(
    model: Model,
    rows: pl.DataFrame | pd.DataFrame | Batches,
    *,
    label: str = "",
    slices: Sequence[str] = (),
    metrics: Sequence[str] | None = None,
    costs: Mapping[str, float] | None = None,
    unit: str = "",
    contract: MetricContract | None = None,
) -> Model:
    """Score rows that the model was not trained on, and measure how good the scores are.

    Inside a pipeline it is a step of its own: recorded, cached, its figures logged as the run's metrics, slices as
    `auc[carrier=AA]`.

    Args:
        model: The trained model.
        rows: With the model's inputs, the label and the slices' columns. Batches of a stored table are read twice, one of
            them in memory; of their rows the model keeps 100,000 with their scores.
        label: The column of the truth; left out, the one that the model was trained on.
        slices: Columns by whose values the figures are told apart.
        metrics: Which figures; left out, the usual ones of the task. "cost" comes with every cost matrix.
        costs: What each outcome of a decision costs, where the model's own decision does not say it.
        unit: Of the costs.
        contract: The metric contract that the model is for: its KPI is a figure with an interval, under the KPI's name.
            Business columns that the rows lack are read from the contract's table.

    Returns:
        The same model, carrying its `Evaluation`.

    Raises:
        InvalidInput: A column or metric is missing, or the label does not fit the task.
        InvalidDeclaration: No threshold follows from the costs.
    """
    frame = rows if isinstance(rows, Batches) else frame_of(rows, "The rows to evaluate on")
    truth = label or model.state.label
    if not truth:
        raise InvalidInput(
            "Nobody said which column is the truth.",
            fix="sw.evaluate(model, rows, label='late'), or sw.inputs(rows, features, label='late') in training.",
            field="label",
        )
    decision = threshold(costs=costs, unit=unit) if costs else model.decision
    names = _metrics(model.task, metrics)
    column_names(frame, slices)
    terms = None if contract is None else contract.terms()
    business = None if contract is None else business_columns(frame, contract)
    given = {"model": model, "rows": frame, "label": truth, "slices": tuple(slices)}
    inputs = {**given, "metrics": names, "decision": decision}
    evaluated = run_step(
        "evaluate",
        lambda: _evaluate(model, frame, truth, tuple(slices), names, decision, terms, business),
        inputs=inputs if terms is None else {**inputs, "contract": terms, "business": business},
    )
    _log(evaluated)
    return evaluated


def evaluated_rows(data: bytes) -> pl.DataFrame:
    """The rows that a model was evaluated on, with its scores in the column `SCORED`.

    Args:
        data: What the model carries as `evaluated`.
    """
    return pl.read_parquet(BytesIO(data))


def _evaluate(
    model: Model,
    rows: pl.DataFrame | Batches,
    label: str,
    slices: tuple[str, ...],
    names: tuple[str, ...],
    decision: Decision,
    terms: ContractTerms | None,
    business: pl.DataFrame | None,
) -> Model:
    def check(truth: NDArray[np.float64]) -> None:
        if model.task == "classification":
            _check_classes(label, truth)

    if isinstance(rows, Batches):
        found = judge(model, rows, label, slices, names, decision, score=SCORED, check=check)
    else:
        found = _judged(model, rows, label, slices, names, decision, check)
    figures = [_value(item.metric, item.slice, item.estimate) for item in found.metrics]
    figures += [_value(COST, slice, cost, decision.unit) for slice, cost in found.costs]
    if terms is not None and isinstance(rows, pl.DataFrame):
        figures.append(kpi_of(model, rows, label_values(rows, label), terms, business))
    evaluation = Evaluation(
        label=label,
        rows=rows.rows if isinstance(rows, Batches) else rows.height,
        metrics=tuple(sorted(figures, key=lambda value: value.slice != "")),
        reliability=tuple(
            ReliabilityBin(
                n=point.n,
                predicted=point.predicted,
                observed=point.observed.value,
                low=point.observed.low,
                high=point.observed.high,
            )
            for point in (found.reliability if model.task == "classification" else ())
        ),
        fingerprint=rows.fingerprint if isinstance(rows, Batches) else of_frame(rows),
        slices=slices,
        overlap=overlap_of(model.state.taught, rows),
    )
    kept = BytesIO()
    found.kept.write_parquet(kept)
    judged_on = rows if isinstance(rows, Batches) else None
    return model.with_evaluation(evaluation, kept.getvalue(), found.scores, judged_on)


def _judged(
    model: Model,
    frame: pl.DataFrame,
    label: str,
    slices: tuple[str, ...],
    names: tuple[str, ...],
    decision: Decision,
    check: Callable[[NDArray[np.float64]], None],
) -> Judged:
    truth = label_values(frame, label)
    check(truth)
    scores = model.predict(frame)
    members = {column: frame[column].to_list() for column in slices}
    decided = AT_DECISION if decision.threshold is not None else ()
    yes = np.asarray(scores) >= (decision.threshold or 0.0)
    return Judged(
        metrics=[
            *measure(truth, scores, [name for name in names if name not in decided], members),
            *measure(truth, yes.astype(np.float64), [name for name in names if name in decided], members),
        ],
        costs=_costs(truth, scores, decision, members),
        reliability=reliability(truth, scores) if model.task == "classification" else (),
        scores=profile({SCORED: scores}).columns[0],
        kept=frame.with_columns(pl.Series(SCORED, scores)),
    )


def _metrics(task: Task, wanted: Sequence[str] | None) -> tuple[str, ...]:
    names = tuple(wanted) if wanted is not None else default_metrics(task)
    for name in names:
        if name != COST and name.partition("@")[0] in METRICS:
            metric(name)  # says so where the number behind it is none
        elif name != COST:
            raise InvalidInput(
                f"There is no metric {name!r}.", fix=near(name, [*METRICS, COST], what="metrics"), field="metrics"
            )
    # Gates ask for it by `sw.calibrated()`, whatever else was wanted.
    always = (_BIAS,) if task == "classification" else ()
    return tuple(dict.fromkeys(name for name in (*names, *always) if name != COST))


def _check_classes(label: str, truth: NDArray[np.float64]) -> None:
    others = np.setdiff1d(truth, [0.0, 1.0])
    if others.size:
        raise InvalidInput(
            f"The label {label!r} holds {others[0]:g}.",
            why="A classifier's truth is true or false, 1 or 0.",
            fix="Evaluate with a label of two values.",
            field=label,
        )


def _costs(
    truth: NDArray[np.float64], scores: NDArray[np.float64], decision: Decision, members: Mapping[str, list[Any]]
) -> list[tuple[str, Estimate]]:
    """The mean cost of a decision, overall ("") and by slice; nothing without a cost matrix."""
    if decision.threshold is None or not decision.costs:
        return []
    each = cost_of_rows(truth, scores, decision.threshold, CostMatrix(**decision.costs))
    found = [("", mean_interval(each))]
    for column, values in members.items():
        texts = np.asarray(["" if value is None else str(value) for value in values], dtype=object)
        for member in sorted(set(texts)):
            inside = each[texts == member]
            few = inside.size < MIN_SLICE_ROWS
            note = f"{inside.size} rows are too few: at least {MIN_SLICE_ROWS} are needed"
            told = cannot_tell(inside.size, note) if few else mean_interval(inside)
            found.append((f"{column}={member}", told))
    return found


def _value(metric: str, slice: str, found: Estimate, unit: str = "") -> MetricValue:
    note = found.note or (f"{unit} a decision" if unit else "")
    return MetricValue(
        metric=metric, value=found.value, low=found.low, high=found.high, n=found.n, slice=slice, note=note
    )


def _log(model: Model) -> None:
    run = current_run.get()
    if run is None or model.evaluation is None:
        return
    for value in model.evaluation.metrics:
        if np.isfinite(value.value):
            run.log_metric(_key(value), value.value)


def _key(value: MetricValue) -> str:
    if not value.slice:
        return value.metric
    # What a slice's value may hold is anybody's data; a key may not hold brackets, control characters or paths.
    plain = re.sub(r"[\[\]/\x00-\x1f]", "_", value.slice)
    return f"{value.metric}[{plain[: _KEY_LENGTH - len(value.metric) - 2]}]"
