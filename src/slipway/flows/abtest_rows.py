"""The rows of an A/B test out of an endpoint's log: whose they are, which arm answered, and what the metric says of each."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import polars as pl

from slipway.errors import InvalidInput
from slipway.flows.endpoints import folder_of
from slipway.flows.kpi_rows import business_rows
from slipway.ledger import entries
from slipway.models import registry
from slipway.ports.workspace import Workspace
from slipway.records.abtests import ABTest
from slipway.records.contracts import ContractTerms
from slipway.records.endpoints import Revision, Served
from slipway.records.models import Bundle
from slipway.records.predictions import LabelRow
from slipway.stats.kpi import Reference, kpi_values, linear_beside, reference_of, untold
from slipway.stats.metrics import CostMatrix
from slipway.tables.labels_in_time import joined_by
from slipway.tables.log_rows import read_rows
from slipway.tables.prediction_log import INSTANT, LABELS, counting, joined, labels_frame, predictions

__all__ = ["abtest_rows"]

_BEFORE = timedelta(days=28)
_SCHEMA = {
    "entity": pl.String(),
    "arm": pl.String(),
    "at": INSTANT,
    "value": pl.Float64(),
    "labelled_at": INSTANT,
    "covariate": pl.Float64(),
    "covered": pl.Boolean(),
    "log_share": pl.Float64(),
}


def abtest_rows(workspace: Workspace, test: ABTest) -> pl.DataFrame:
    """What was answered under a test, as `judge_abtest` takes it.

    Raises:
        Corrupt: The log is damaged.
    """
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Revision, project=workspace.project, name=test.name, limit=100_000)
    mine = [one for one in known if one.split is not None and one.split.salt == test.salt]
    if not mine:
        return pl.DataFrame(schema=_SCHEMA)
    numbers = {arm.name: arm.served.number for arm in test.arms}
    control = _bundle(workspace, test.control)
    of_test = [one.number for one in mine]
    served = (test.control, *(arm.served for arm in test.arms))
    answered = [_answered(workspace, test, mine[0], one, of_test, since=test.created_at) for one in served]
    came = _labels_as_they_came(workspace, test)
    beside = _reference(workspace, test, joined(answered[0], counting(came)))
    ends = _ends(answered, test)
    parts = [
        _rows(workspace, test, joined_by(one, came, until), control, beside=beside)
        for one, until in zip(answered, ends, strict=True)
    ]
    found = pl.concat(parts)
    found = found.with_columns(
        covered=pl.col("arm").replace_strict(numbers, default=test.control.number, return_dtype=pl.Int64)
        != pl.col("version")
    )
    if test.spec.covariate == "prior":
        prior = _prior(workspace, test, known, came, control, beside)
        found = found.drop("covariate").join(prior, on="entity", how="left")
    return found.select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())


def _answered(
    workspace: Workspace,
    test: ABTest,
    revision: Revision,
    served: Served,
    numbers: Collection[int],
    *,
    since: datetime,
    until: datetime | None = None,
) -> pl.DataFrame:
    return predictions(
        folder_of(workspace, test.name) / "log",
        revision.contract,
        _bundle(workspace, served).signature,
        bundle=served.bundle,
        revisions=numbers,
        since=since,
        until=until,
    )


def _labels_as_they_came(workspace: Workspace, test: ABTest) -> pl.DataFrame:
    rows, _ = read_rows(folder_of(workspace, test.name) / "log", LABELS, LabelRow)
    return labels_frame(rows, [1] * len(rows))


def _ends(answered: Sequence[pl.DataFrame], test: ABTest) -> list[pl.Series]:
    """Of each row, until when a label counts: the end of its entity's window, whichever model answered the first row."""
    named = [one.select("at", entity=_entity(one, test.spec.entity)) for one in answered]
    begun = pl.concat(named).group_by("entity").agg(begun=pl.col("at").min())
    ends = pl.col("begun") + pl.duration(microseconds=test.spec.window_us)
    return [one.join(begun, on="entity", how="left", maintain_order="left").select(ends).to_series() for one in named]


def _yields(workspace: Workspace, terms: ContractTerms, found: pl.DataFrame) -> pl.Series:
    """What each row yields by the contract.

    Raises:
        InvalidInput: It cannot be told of some row that is known.
    """
    yields = kpi_values(business_rows(workspace, terms, found), terms)
    if why := untold(yields, terms, least_rows=0):
        raise InvalidInput(f"{terms.kpi} cannot be told: {why}.", fix="Mend its columns: slipway contract show")
    return yields


def _reference(workspace: Workspace, test: ABTest, of_control: pl.DataFrame) -> Reference | None:
    """What a ratio's rows are set beside, the ratio of the control's own; None where it is none, or nothing is known yet."""
    terms = test.spec.contract
    if terms is None or not terms.per:
        return None
    known = _yields(workspace, terms, of_control).drop_nulls()
    return reference_of(known, terms) if float(known.struct.field("per").sum()) else None


def _rows(
    workspace: Workspace, test: ABTest, found: pl.DataFrame, control: Bundle, *, beside: Reference | None
) -> pl.DataFrame:
    spec = test.spec
    value = pl.col("label").cast(pl.Float64)
    if spec.metric == "cost":
        value = _cost(CostMatrix(**control.decision.costs))
    if spec.contract is not None:
        yields = _yields(workspace, spec.contract, found)
        if spec.contract.per:  # while the control's sum below the line is 0, no arm can be set beside it
            nothing = pl.Series([None] * found.height, dtype=pl.Float64)
            yields = nothing if beside is None else linear_beside(yields, beside)
        found, value = found.with_columns(__yields=yields), pl.col("__yields")
    if spec.times:
        value = value * _field(found, spec.times).cast(pl.Float64)
    covariate = pl.lit(None, pl.Float64)
    if spec.covariate and spec.covariate != "prior":
        covariate = _field(found, spec.covariate).cast(pl.Float64)
    return found.select(
        entity=_entity(found, spec.entity),
        arm=pl.col("arm"),
        at=pl.col("at"),
        value=value,
        labelled_at=pl.col("labelled_at"),
        covariate=covariate,
        version=pl.col("version"),
        log_share=pl.col("log_share"),
    )


def _prior(
    workspace: Workspace,
    test: ABTest,
    known: Sequence[Revision],
    came: pl.DataFrame,
    control: Bundle,
    beside: Reference | None,
) -> pl.DataFrame:
    """Each entity's mean of the metric before the test, in what the control answered, by the labels that were known then."""
    (present, *_) = [one for one in known if one.split is not None and one.split.salt == test.salt]
    earlier = [
        one.number
        for one in known
        if one.number < present.number and one.contract == present.contract and one.split is None
    ]
    since, until = test.created_at - _BEFORE, test.created_at
    answered = _answered(workspace, test, present, test.control, earlier, since=since, until=until)
    then = pl.Series([until] * answered.height, dtype=INSTANT)
    rows = _rows(workspace, test, joined_by(answered, came, then), control, beside=beside)
    rows = rows.filter(pl.col("labelled_at") <= pl.lit(until))
    return rows.group_by("entity").agg(covariate=pl.col("value").mean())


def _entity(frame: pl.DataFrame, names: Sequence[str]) -> pl.Expr:
    """What names a row's entity, as the endpoint assigned it; a row that nothing names is one of its own."""
    if not names:
        return pl.when(pl.col("key") != "").then("key").otherwise("id")
    parts = [_field(frame, name).cast(pl.String) for name in names]
    text = pl.concat_str([one.str.replace_all(r"([\\|])", r"\${1}").fill_null("") for one in parts], separator="|")
    return pl.when(pl.any_horizontal(one.is_not_null() for one in parts)).then(text).otherwise("id")


def _field(frame: pl.DataFrame, name: str) -> pl.Expr:
    """A request's field, under the name that the log gives it beside its own columns."""
    apart = [f"request.{name}", f"feature.{name}"]
    return pl.col(next((one for one in apart if one in frame.columns), name))


def _cost(matrix: CostMatrix) -> pl.Expr:
    """What a decision cost, null without a label or a decision."""
    yes, truth = pl.col("decision"), pl.col("label") == 1.0
    return (
        pl.when(yes.is_null() | pl.col("label").is_null())
        .then(None)
        .when(yes & truth)
        .then(matrix.true_positive)
        .when(yes)
        .then(matrix.false_positive)
        .when(truth)
        .then(matrix.false_negative)
        .otherwise(matrix.true_negative)
    )


def _bundle(workspace: Workspace, served: Served) -> Bundle:
    return registry.bundle_of(workspace, registry.get(workspace, served.model, str(served.number)))
