"""The rows that a metric contract's KPI is reckoned on: with its business columns, and those of an evaluation for a gate."""

from __future__ import annotations

from typing import Any

import polars as pl

from slipway.flows.asking import AskedModel
from slipway.models.evaluation import evaluated_rows
from slipway.models.inputs import label_values
from slipway.ports.workspace import Workspace
from slipway.records.contracts import ContractTerms
from slipway.records.models import Bundle
from slipway.stats.intervals import mean_interval
from slipway.stats.kpi import decided, kpi_figure, kpi_terms, kpi_values, of_another_price, untold, with_business
from slipway.tables.versions import read

__all__ = ["business_rows", "kpi_beside", "kpi_evidence"]


def business_rows(workspace: Workspace, terms: ContractTerms, rows: pl.DataFrame) -> pl.DataFrame:
    """Predictions with the business columns that the contract's table has for them now.

    Raises:
        NotFound: The table has no version.
        InvalidInput: A column is missing, or a key has several rows.
    """
    if not terms.table:
        return rows
    return with_business(rows, terms, read(workspace, terms.table))


def kpi_evidence(workspace: Workspace, bundle: Bundle, model: AskedModel, terms: ContractTerms) -> dict[str, Any]:
    """The KPI on the rows that a bundle was evaluated on, as the gate's judge reads it.

    Raises:
        UserError: A column or the table is missing.
    """
    if not bundle.evaluated or not workspace.blobs.has(bundle.evaluated):
        return _untold("the model was never evaluated")
    why = of_another_price(terms, bundle.decision)
    if why:
        fix = "Let the gate ask for sw.contract_signed() alone, and compare versions by: slipway abtest start --metric contract"
        return _untold(why, fix=fix)
    values = _values(workspace, bundle, model, terms, bundle)
    found = kpi_figure(values, terms)
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n, "note": found.note}


def _untold(note: str, **more: str) -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "n": 0, "note": note, **more}


def kpi_beside(
    workspace: Workspace, bundle: Bundle, model: AskedModel, other: AskedModel, terms: ContractTerms
) -> dict[str, Any]:
    """How much more the candidate's decisions yield than the champion's, on the candidate's evaluated rows.

    Raises:
        UserError: A column or the table is missing, or the champion takes inputs that the rows lack.
    """
    why = of_another_price(terms, bundle.decision)
    if why:
        return {"difference": None, "why": why}
    own = _values(workspace, bundle, model, terms, bundle)
    theirs = _values(workspace, bundle, other, terms, other.bundle)
    both = own.is_not_null() & theirs.is_not_null()
    why = untold(own.filter(both), terms) or untold(theirs.filter(both), terms)
    if why:
        return {"difference": None, "why": why}
    # Of ratios this is their difference too: each row's number is linear in what it adds on both sides of the line.
    found = mean_interval(kpi_terms(own.filter(both), terms) - kpi_terms(theirs.filter(both), terms))
    return {"difference": found.value, "difference_low": found.low, "difference_high": found.high, "why": found.note}


def _values(
    workspace: Workspace, bundle: Bundle, model: AskedModel, terms: ContractTerms, decides: Bundle
) -> pl.Series:
    """What each evaluated row yields, by a model's scores and that model's own threshold."""
    rows = evaluated_rows(workspace.blobs.get(bundle.evaluated))
    names = [field.name for field in model.signature.inputs]
    scores = model.predict_rows([list(row) for row in rows.select(names).rows()])
    threshold = decides.decision.threshold if terms.threshold is None else terms.threshold
    frame = decided(rows, scores, label_values(rows, bundle.label), threshold)
    return kpi_values(business_rows(workspace, terms, frame), terms)
