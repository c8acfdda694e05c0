"""The KPI of a metric contract on rows that a model was not trained on, and the threshold that makes the best of it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl

from slipway.errors import InvalidInput
from slipway.ledger.step_scope import run_step
from slipway.models.inputs import label_values
from slipway.models.model import Model
from slipway.records.contracts import ContractTerms
from slipway.records.models import Decision, MetricValue
from slipway.schema.metric_contract import MetricContract
from slipway.schema.types import frame_of
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.kpi import best_threshold, decided, kpi_figure, kpi_values, of_another_price, with_business
from slipway.tables.row_batches import Batches

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["business_columns", "kpi_of", "tuned_threshold"]

_PLACE = "__place"


def business_columns(rows: pl.DataFrame | Batches, contract: MetricContract) -> pl.DataFrame | None:
    """What the contract's table has for the rows, a row each; None where there is no table.

    Raises:
        InvalidInput: The rows are batches, or the table's rows cannot be found.
        NotFound: The table has no version.
    """
    if isinstance(rows, Batches):
        raise InvalidInput(
            f"The KPI {contract.kpi!r} cannot be reckoned on batches of rows.",
            why="Its business columns are joined to rows in memory.",
            fix="Give a frame, such as the last weeks: rows.collect(), or leave the contract out.",
            field="contract",
        )
    terms = contract.terms()
    if not terms.table:
        return None
    read = getattr(contract.table, "read", None)
    if read is None:
        raise InvalidInput(
            f"The contract on {contract.kpi!r} names the table {terms.table!r} as a text.",
            why="Here it is read, for which its declaration is needed.",
            fix="Give the function under @sw.table: sw.MetricContract(..., table=sales).",
            field="contract",
        )
    business: pl.LazyFrame = read()
    there = [name for name in terms.columns if name in business.collect_schema()]
    return with_business(rows, terms, business).select(there)


def kpi_of(
    model: Model, rows: pl.DataFrame, truth: Any, terms: ContractTerms, business: pl.DataFrame | None
) -> MetricValue:
    """The KPI as a figure of an evaluation; where it cannot be told, the note says why."""
    threshold = model.decision.threshold if terms.threshold is None else terms.threshold
    try:
        values = kpi_values(_frame(model, rows, truth, threshold, business), terms)
        found = _untellable(terms, model.decision, threshold, rows.height) or kpi_figure(values, terms)
    except InvalidInput as problem:
        found = cannot_tell(rows.height, str(problem))
    unit = terms.unit if terms.per or not terms.unit else f"{terms.unit} a prediction"
    return MetricValue(
        metric=terms.kpi, value=found.value, low=found.low, high=found.high, n=found.n, note=found.note or unit
    )


def _untellable(terms: ContractTerms, decision: Decision, threshold: float | None, rows: int) -> Estimate | None:
    why = of_another_price(terms, decision)
    if why:
        return cannot_tell(rows, f"{why}; an A/B test compares by it")
    if "decision" not in terms.columns or threshold is not None:
        return None
    return cannot_tell(
        rows, "the model decides nothing; give it a threshold: sw.threshold(...) or sw.tuned_threshold(...)"
    )


def _frame(
    model: Model, rows: pl.DataFrame, truth: Any, threshold: float | None, business: pl.DataFrame | None
) -> pl.DataFrame:
    frame = decided(rows, model.predict(rows), np.asarray(truth, dtype=np.float64), threshold)
    return frame if business is None else frame.with_columns(business.get_columns())


def tuned_threshold(
    model: Model, rows: pl.DataFrame | pd.DataFrame, contract: MetricContract, *, label: str = ""
) -> Model:
    """The model with the threshold that makes the best of a contract's KPI on rows that it was not trained on.

    All thresholds are looked at. The KPI on these very rows flatters, for it was chosen by them: evaluate on others.

    Args:
        model: The trained model.
        rows: Held-out rows with the model's inputs, the label and the formula's columns.
        contract: Whose formula asks for `decision`.
        label: The column of the truth; left out, the one that the model was trained on.

    Returns:
        The same model with another decision. Its costs and unit stay.

    Raises:
        InvalidInput: The formula does not ask for the decision, a column is missing, or the KPI cannot be told.
    """
    frame = frame_of(rows, "The rows to choose a threshold on")
    truth = label or model.state.label
    if not truth:
        raise InvalidInput(
            "Nobody said which column is the truth.", fix="sw.tuned_threshold(..., label='late')", field="label"
        )
    terms, business = contract.terms(), business_columns(frame, contract)
    found: Model = run_step(
        "tuned_threshold",
        lambda: _tuned(model, frame, truth, terms, business),
        inputs={"model": model, "rows": frame, "label": truth, "contract": terms, "business": business},
    )
    return found


def _tuned(model: Model, rows: pl.DataFrame, label: str, terms: ContractTerms, business: pl.DataFrame | None) -> Model:
    at, _, _ = best_threshold(_frame(model, rows, label_values(rows, label), None, business), terms)
    if not 0.0 < at < 1.0 and model.task == "classification":
        at = min(max(at, 0.0), 1.0)
    other = copy.copy(model)
    costs = terms.costs or model.decision.costs
    decision = Decision(threshold=at, costs=costs, unit=terms.unit or model.decision.unit)
    other.state = msgspec.structs.replace(model.state, decision=decision)
    return other
