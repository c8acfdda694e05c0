"""The KPI of a metric contract in a roll-out: what each labelled row of both arms loses of the best that it could yield."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from slipway.errors import SlipwayError
from slipway.flows.kpi_rows import business_rows
from slipway.ports.workspace import Workspace
from slipway.records.contracts import ContractTerms
from slipway.records.rollouts import CanarySpec, Rollout
from slipway.stats.kpi import Reference, kpi_losses, kpi_values, reference_of, untold
from slipway.tables.log_reader import LogReader
from slipway.tables.prediction_log import by_models

__all__ = ["Kpi", "kpi_of", "losses", "with_fields"]

_DRAWN = ("share", "is_instead")
_YIELDS = "__yields"


@dataclass(frozen=True, slots=True)
class Kpi:
    """How a roll-out's KPI is reckoned.

    Args:
        workspace: Where the contract's table is.
        terms: The contract's.
        reference: Of a ratio what its rows are set beside.
        since: Only later rows are judged, None for all.
        untold: Why it cannot be told at all, "" where nothing stands in the way.
    """

    workspace: Workspace
    terms: ContractTerms
    reference: Reference | None = None
    since: datetime | None = None
    untold: str = ""

    def __call__(self, own: pl.DataFrame) -> tuple[pl.DataFrame | None, float | None, str]:
        """Of the rows that the arms' own models answered those whose value is known, with a `loss` from 0 to 1.

        Returns:
            They, None where there are none; how much greater the mean loss may be, None for what is declared; and why the
            KPI cannot be told, "" where it can.
        """
        if self.untold:
            return None, None, self.untold
        later = own if self.since is None else own.filter(pl.col("at") > self.since)
        return losses(self.workspace, self.terms, later, self.reference)


def kpi_of(
    workspace: Workspace, spec: CanarySpec, reader: LogReader | None = None, rollout: Rollout | None = None
) -> Kpi | None:
    """How a canary's KPI is reckoned, None where no metric contract says what it is.

    Args:
        workspace: Where the contract's table is.
        spec: The canary.
        reader: The endpoint's log, for a KPI that is a ratio.
        rollout: Whose canary, for the same.
    """
    terms = spec.contract
    if terms is None:
        return None
    if not terms.per or reader is None or rollout is None:
        return Kpi(workspace, terms)
    return _of_ratio(workspace, terms, reader, rollout)


def _of_ratio(workspace: Workspace, terms: ContractTerms, reader: LogReader, rollout: Rollout) -> Kpi:
    """A ratio is set beside the champion's own, by what was known when the roll-out began, so that no row moves it.

    Where that was too little, by the champion's first rows since, which are then not judged.
    """
    begin = rollout.created_at - timedelta(microseconds=terms.window_us + terms.delay_us)
    is_champion = pl.col("bundle") == rollout.champion.bundle[:16]
    is_before = pl.col("at") < rollout.created_at
    answered = by_models(reader.answered(since=begin)).filter(is_champion)
    try:
        found = business_rows(workspace, terms, answered)
        known = found.with_columns(kpi_values(found, terms).alias(_YIELDS)).filter(pl.col(_YIELDS).is_not_null())
        before = known.filter(is_before & (pl.col("labelled_at") <= rollout.created_at))
        if not untold(before[_YIELDS], terms):
            return Kpi(workspace, terms, reference_of(before[_YIELDS], terms))
        first = known.filter(~is_before).head(terms.min_rows)
        why, last = untold(first[_YIELDS], terms), first["at"].max()
        if not why and isinstance(last, datetime):
            return Kpi(workspace, terms, reference_of(first[_YIELDS], terms), since=last)
    except SlipwayError as problem:  # a table that is gone must not keep the other guardrails from their look
        why = str(problem).rstrip(".")
    return Kpi(
        workspace, terms, untold=f"{terms.kpi} of the champion, which rows are set beside, cannot be told: {why}"
    )


def with_fields(own: pl.DataFrame, answered: pl.DataFrame) -> pl.DataFrame:
    """Rows as they were drawn, with the requests' fields that a formula may ask for, instead of how they were drawn.

    Args:
        own: From `units.drawn_for`, which keeps no field of a request: one may be called as its own columns are.
        answered: From `LogReader.answered`.
    """
    plain = own.drop(_DRAWN)
    fields = [name for name in answered.columns if name not in plain.columns]
    return plain.join(answered.select("id", *fields), on="id", how="left", maintain_order="left")


def losses(
    workspace: Workspace, terms: ContractTerms, own: pl.DataFrame, reference: Reference | None = None
) -> tuple[pl.DataFrame | None, float | None, str]:
    """Rows whose value is known, with their `loss`; see `Kpi`.

    Args:
        workspace: Where the contract's table is.
        terms: The contract's.
        own: Rows that the arms' own models answered.
        reference: Of a ratio what its rows are set beside.
    """
    try:
        rows = business_rows(workspace, terms, own)
        values = kpi_values(rows, terms)
        why = untold(values, terms, least_rows=0)
        if why:
            return None, None, f"{terms.kpi} cannot be told: {why}"
        lost, margin = kpi_losses(values, terms, reference)
        found = rows.with_columns(lost.alias("loss"))
    except SlipwayError as problem:  # a table that is gone must not keep the other guardrails from their look
        return None, None, f"{terms.kpi} cannot be told: {problem}".rstrip(".")
    known = found.filter(pl.col("loss").is_not_null())
    return (known if known.height else None), margin, ""
