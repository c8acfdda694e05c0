"""What an endpoint's log shows of a canary for its guardrails, block by block of an hour, by what counts once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import polars as pl

from slipway.loop.kpi_guard import Kpi, with_fields
from slipway.loop.slow import slow_blocks
from slipway.records.models import Bundle
from slipway.records.predictions import Arm
from slipway.records.rollouts import CanarySpec, Rollout
from slipway.rollout.guardrails import COUNTS, Seen
from slipway.rollout.units import declared, drawn_for, once, requests_of
from slipway.stats.metrics import CostMatrix, costs
from slipway.tables.log_reader import LogReader
from slipway.tables.log_sampling import is_logged
from slipway.tables.prediction_log import by_models

__all__ = ["labelled", "seen", "without_decision"]

_HOUR = pl.col("at").dt.truncate("1h")
_BASE_ROWS = 200
_BASE_WITHIN = timedelta(days=7)
_QUARTERS = (0.25, 0.5, 0.75)
_ARMS = ("champion", "challenger")
_KINDS = {"time-outs": "timeout", "invalid outputs": "invalid", "fallbacks": "fallback"}


def seen(
    reader: LogReader,
    rollout: Rollout,
    spec: CanarySpec,
    fractions: Mapping[int, float],
    counts: pl.DataFrame,
    bundles: Mapping[Arm, Bundle],
    *,
    is_timed: bool,
    kpi: Kpi | None = None,
) -> Seen:
    """Count for every guardrail of a canary.

    Args:
        reader: The endpoint's log.
        rollout: Whose canary.
        spec: As declared.
        fractions: The challenger's share by the number of each revision that carried the canary out.
        counts: From `evidence.canary_counts`: requests and failures, those of each kind among them.
        bundles: What both models are.
        is_timed: Whether the time that answers took is judged: in simulation it is not.
        kpi: How the KPI's losses are reckoned where a metric contract says what the KPI is.
    """
    answered = reader.answered(since=rollout.created_at)
    mine = answered.filter(pl.col("revision").is_in(list(fractions)))
    own = by_models(drawn_for(mine, fractions)).filter(~pl.col("is_instead"))
    failed = reader.failures(since=rollout.created_at).filter(pl.col("revision").is_in(list(fractions)))
    guards = {name: _of_kind(kind, counts) for name, kind in _KINDS.items()}
    slow_us: list[tuple[str, int]] = []
    if is_timed:
        guards["slow answers"], slow_us = slow_blocks(by_models(answered), fractions, spec.slow_us)
    lost, margin, untold = _told(with_fields(own, answered) if kpi else own, bundles, kpi)
    if lost is not None:
        guards["KPI"] = lost
    cuts, pairs = _shift(reader, rollout, by_models(answered), own)
    return Seen(
        guards=guards,
        cuts=cuts,
        pairs=pairs,
        split=_split(mine, failed, fractions),
        slow_us=slow_us,
        without_decision={} if kpi else without_decision(own, bundles),
        untold=untold,
        margin=margin,
    )


def _of_kind(kind: str, counts: pl.DataFrame) -> pl.DataFrame:
    """The canary's requests with the failures of one kind in the place of all."""
    of_kind = [pl.col(f"{arm}_{kind}").alias(f"{arm}_failures") for arm in _ARMS]
    return counts.select("at", "champion_rows", "challenger_rows", *of_kind).select("at", *COUNTS)


def _by_hour(rows: pl.DataFrame, what: str) -> pl.DataFrame:
    """Rows with a column of what counts, from 0 to 1, as blocks: where the arms' shares change, another begins."""
    found = rows.group_by(_HOUR, "revision").agg(
        *(
            aggregate
            for arm in _ARMS
            for aggregate in (
                pl.col(what).filter(pl.col("arm") == arm).cast(pl.Float64).sum().alias(f"{arm}_failures"),
                (pl.col("arm") == arm).sum().cast(pl.Int64).alias(f"{arm}_rows"),
            )
        )
    )
    return found.sort("at", "revision").select("at", *COUNTS)


def labelled(own: pl.DataFrame, bundles: Mapping[Arm, Bundle], kpi: Kpi | None = None) -> pl.DataFrame | None:
    """The blocks of the KPI: labelled entities and their losses, each in its own arm; None where it cannot be told yet."""
    return _told(own, bundles, kpi)[0]


def _told(
    own: pl.DataFrame, bundles: Mapping[Arm, Bundle], kpi: Kpi | None
) -> tuple[pl.DataFrame | None, float | None, str]:
    """The blocks of the KPI, by how much it may be worse where they say it, and why there are none."""
    lost, margin, why = kpi(own) if kpi else (_losses(own, bundles), None, "")
    return (None if lost is None else _by_hour(once(lost), "loss")), margin, why


def without_decision(own: pl.DataFrame, bundles: Mapping[Arm, Bundle]) -> dict[str, int]:
    """By arm the labelled rows that the KPI leaves out, because what they cost hangs on a decision and none was made."""
    if not _is_costly(bundles["champion"]):
        return {}
    left = _known(own).filter(pl.col("decision").is_null() & pl.col("label").is_in([0.0, 1.0]))
    return {arm: left.filter(pl.col("arm") == arm).height for arm in _ARMS}


def _known(own: pl.DataFrame) -> pl.DataFrame:
    return own.filter(pl.col("label").is_not_null() & pl.col("label").is_finite())


def _is_costly(champion: Bundle) -> bool:
    """Whether the KPI is what decisions cost."""
    decision = champion.decision
    return champion.task == "classification" and decision.threshold is not None and bool(decision.costs)


def _losses(own: pl.DataFrame, bundles: Mapping[Arm, Bundle]) -> pl.DataFrame | None:
    """Labelled rows with a `loss` from 0 to 1: what the decision cost where costs are declared, else the Brier score.

    Of a regression it is whether the error is greater than the champion's median error over its first labels.
    """
    champion, known = bundles["champion"], _known(own)
    if champion.task != "classification":
        error = (pl.col("score") - pl.col("label")).abs()
        known = known.with_columns(error.alias("error"))
        first = known.filter(pl.col("arm") == "champion").head(_BASE_ROWS)
        if first.height < _BASE_ROWS:
            return None
        later = known.filter(pl.col("at") > first["at"].max())
        return later.with_columns((pl.col("error") > first["error"].median()).cast(pl.Float64).alias("loss"))
    known = known.filter(pl.col("label").is_in([0.0, 1.0]))
    decision = champion.decision
    if not _is_costly(champion):
        brier = (pl.col("score") - pl.col("label")) ** 2
        return known.with_columns(brier.clip(0.0, 1.0).alias("loss"))
    known = known.filter(pl.col("decision").is_not_null())  # what nobody decided cost nothing, and saved nothing
    matrix = CostMatrix(**decision.costs)
    least, most = min(decision.costs.values()), max(decision.costs.values())
    low, high = min(0.0, least), max(0.0, most)
    # Each arm decides by its own threshold; what a decision costs is the business's, and the same for both.
    decided = known["decision"].cast(pl.Float64).to_numpy()
    paid = (costs(known["label"].to_numpy(), decided, 0.5, matrix) - low) / (high - low or 1.0)
    return known.with_columns(pl.Series("loss", paid, pl.Float64))


def _shift(
    reader: LogReader, rollout: Rollout, answered: pl.DataFrame, own: pl.DataFrame
) -> tuple[list[pl.DataFrame], pl.DataFrame | None]:
    """Rows above the quarters of the champion's scores, by arm; and pairs of scores on either side of the middle.

    The quarters are those of its last scores before the roll-out, so that the first rows tell already; where it had
    too few, of its first ones since, which are then not judged.
    """
    is_champion = pl.col("bundle") == rollout.champion.bundle[:16]
    before = by_models(reader.answered(since=rollout.created_at - _BASE_WITHIN, until=rollout.created_at))
    first = before.filter(is_champion).tail(_BASE_ROWS)
    if first.height < _BASE_ROWS:
        first = answered.filter(is_champion).head(_BASE_ROWS)
    if first.height < _BASE_ROWS:
        return [], None
    since: Any = first["at"].max()  # business time: two runs of one seed count the same
    later = once(own.filter(pl.col("at") > since))
    cuts = [float(first["score"].quantile(quarter) or 0.0) for quarter in _QUARTERS]
    by_cut = [_by_hour(later.with_columns((pl.col("score") > cut).alias("above")), "above") for cut in cuts]
    unseen = reader.shadows(since=rollout.created_at).filter(pl.col("score").is_not_null())
    other = unseen.select(pl.col("prediction").alias("id"), pl.col("score").alias("other"))
    both = later.join(other, on="id", how="inner")
    apart = (pl.col("score") > cuts[1]) != (pl.col("other") > cuts[1])
    pairs = both.group_by(_HOUR).agg(pl.len().alias("rows"), apart.sum().alias("apart")).sort("at")
    return by_cut, pairs if pairs.height else None


def _split(mine: pl.DataFrame, failed: pl.DataFrame, fractions: Mapping[int, float]) -> pl.DataFrame:
    """How cases were drawn, each once: a case keeps its arm, so that its second row says nothing.

    What nobody answered has no key: of each such request one row is drawn by a hash, whatever its size.
    """
    drawn = pl.when("is_instead").then(pl.col("arm") != "challenger").otherwise(pl.col("arm") == "challenger")
    rows = once(drawn_for(mine, fractions))
    counted = rows.select(_HOUR, "share", drawn.cast(pl.Int64).alias("challenger"))
    if not mine.filter(pl.col("fallback") != "").height:  # otherwise they stand among the answered
        lost = requests_of(failed.filter(~pl.col("was_covered"))).join(declared(fractions), on="revision")
        chances = (lost["challenger"] / (lost["challenger"] + lost["champion"])).to_list()
        names = [f"{at}/{answered_at}" for at, answered_at in lost.select("at", "answered_at").iter_rows()]
        found = [int(is_logged(name, chance)) for name, chance in zip(names, chances, strict=True)]
        by_hash = pl.Series("challenger", found, pl.Int64)
        counted = pl.concat([counted, lost.with_columns(by_hash).select(_HOUR, "share", "challenger")])
    one = counted.with_columns((1 - pl.col("challenger")).alias("champion"))
    return one.group_by("at", "share").agg(pl.col("champion", "challenger").sum()).sort("at", "share")
