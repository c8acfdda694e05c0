"""What an endpoint's log shows of a canary for its guardrails, block by block of an hour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from slipway.loop.slow import slow_blocks
from slipway.records.models import Bundle
from slipway.records.predictions import Arm
from slipway.records.rollouts import CanarySpec, Rollout
from slipway.rollout.guardrails import COUNTS, Seen
from slipway.stats.metrics import CostMatrix, costs
from slipway.tables.log_reader import LogReader
from slipway.tables.prediction_log import by_models

__all__ = ["labelled", "seen"]

_HOUR = pl.col("at").dt.truncate("1h")
_BASE_ROWS = 200
_QUARTERS = (0.25, 0.5, 0.75)
_ARMS = ("champion", "challenger")
_KINDS = {"time-outs": "timeout", "invalid outputs": "invalid"}


def seen(
    reader: LogReader,
    rollout: Rollout,
    spec: CanarySpec,
    fractions: Mapping[int, float],
    counts: pl.DataFrame,
    bundles: Mapping[Arm, Bundle],
    *,
    is_timed: bool,
) -> Seen:
    """Count for every guardrail of a canary.

    Args:
        reader: The endpoint's log.
        rollout: Whose canary.
        spec: As declared.
        fractions: The challenger's share by the number of each revision that carried the canary out.
        counts: From `evidence.canary_counts`: the rows behind the shares of failures.
        bundles: What both models are.
        is_timed: Whether the time that answers took is judged: in simulation it is not.
    """
    answered = reader.answered(since=rollout.created_at)
    mine = answered.filter(pl.col("revision").is_in(list(fractions)))
    own = by_models(mine)
    failed = reader.failures(since=rollout.created_at).filter(pl.col("revision").is_in(list(fractions)))
    guards = {name: _of_kind(failed.filter(pl.col("kind") == kind), counts) for name, kind in _KINDS.items()}
    fallen = mine.filter(pl.col("fallback") != "").select("at", "arm", pl.lit(1).alias("rows"))
    guards["fallbacks"] = _of_kind(fallen, counts)
    slow_us: list[tuple[str, int]] = []
    if is_timed:
        guards["slow answers"], slow_us = slow_blocks(by_models(answered), fractions, spec.slow_us)
    if (lost := labelled(own, bundles)) is not None:
        guards["KPI"] = lost
    cuts, pairs = _shift(reader, rollout, by_models(answered), own)
    return Seen(guards=guards, cuts=cuts, pairs=pairs, split=_split(mine, failed, fractions), slow_us=slow_us)


def _of_kind(failed: pl.DataFrame, counts: pl.DataFrame) -> pl.DataFrame:
    """The canary's rows with the failures of one kind in the place of all."""
    by_hour = failed.group_by(_HOUR).agg(
        *(pl.col("rows").filter(pl.col("arm") == arm).sum().cast(pl.Int64).alias(f"{arm}_failures") for arm in _ARMS)
    )
    rows = counts.select("at", "champion_rows", "challenger_rows")
    joined = rows.join(by_hour, on="at", how="left").sort("at").with_columns(pl.exclude("at").fill_null(0))
    at_most = [pl.min_horizontal(f"{arm}_failures", f"{arm}_rows").alias(f"{arm}_failures") for arm in _ARMS]
    return joined.with_columns(at_most).select("at", *COUNTS)


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


def labelled(own: pl.DataFrame, bundles: Mapping[Arm, Bundle]) -> pl.DataFrame | None:
    """The blocks of the KPI: labels and their losses of each arm's own rows; None where it cannot be told yet."""
    lost = _losses(own, bundles)
    return None if lost is None else _by_hour(lost, "loss")


def _losses(own: pl.DataFrame, bundles: Mapping[Arm, Bundle]) -> pl.DataFrame | None:
    """Labelled rows with a `loss` from 0 to 1: what the decision cost where costs are declared, else the Brier score.

    Of a regression it is whether the error is greater than the champion's median error over its first labels.
    """
    known = own.filter(pl.col("label").is_not_null() & pl.col("label").is_finite())
    champion = bundles["champion"]
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
    if decision.threshold is None or not decision.costs:
        brier = (pl.col("score") - pl.col("label")) ** 2
        return known.with_columns(brier.clip(0.0, 1.0).alias("loss"))
    matrix = CostMatrix(**decision.costs)
    least, most = min(decision.costs.values()), max(decision.costs.values())
    low, high = min(0.0, least), max(0.0, most)
    # Each arm decides by its own threshold; what a decision costs is the business's, and the same for both.
    decided = known["decision"].cast(pl.Float64).fill_null(0.0).to_numpy()
    paid = (costs(known["label"].to_numpy(), decided, 0.5, matrix) - low) / (high - low or 1.0)
    return known.with_columns(pl.Series("loss", paid, pl.Float64))


def _shift(
    reader: LogReader, rollout: Rollout, answered: pl.DataFrame, own: pl.DataFrame
) -> tuple[list[pl.DataFrame], pl.DataFrame | None]:
    """Rows above the quarters of the champion's first scores, by arm; and pairs of scores on either side of the middle."""
    first = answered.filter(pl.col("bundle") == rollout.champion.bundle[:16]).head(_BASE_ROWS)
    if first.height < _BASE_ROWS:
        return [], None
    since: Any = first["at"].max()  # business time: two runs of one seed count the same
    later = own.filter(pl.col("at") > since)
    cuts = [float(first["score"].quantile(quarter) or 0.0) for quarter in _QUARTERS]
    by_cut = [_by_hour(later.with_columns((pl.col("score") > cut).alias("above")), "above") for cut in cuts]
    unseen = reader.shadows(since=rollout.created_at).filter(pl.col("score").is_not_null())
    other = unseen.select(pl.col("prediction").alias("id"), pl.col("score").alias("other"))
    both = later.join(other, on="id", how="inner")
    apart = (pl.col("score") > cuts[1]) != (pl.col("other") > cuts[1])
    pairs = both.group_by(_HOUR).agg(pl.len().alias("rows"), apart.sum().alias("apart")).sort("at")
    return by_cut, pairs if pairs.height else None


def _split(mine: pl.DataFrame, failed: pl.DataFrame, fractions: Mapping[int, float]) -> pl.DataFrame:
    """How cases were drawn, each once: a case keeps its arm, so that its second row says nothing."""
    shares = pl.DataFrame(
        {"revision": list(fractions), "share": list(fractions.values())},
        schema={"revision": pl.Int64, "share": pl.Float64},
    )
    # Who answered for the other arm has a propensity of 1: the row was drawn for that other one.
    is_instead = (pl.col("propensity") == 1.0) & (pl.col("share") < 1.0)
    drawn = pl.when(is_instead).then(pl.col("arm") != "challenger").otherwise(pl.col("arm") == "challenger")
    case = pl.when(pl.col("key") == "").then("id").otherwise("key")
    rows = mine.join(shares, on="revision", maintain_order="left").with_columns(case.alias("case"))
    rows = rows.unique("case", keep="first", maintain_order=True)
    counted = rows.select(_HOUR, "share", drawn.cast(pl.Int64).alias("challenger"))
    unanswered = failed.join(shares, on="revision").filter(~pl.col("was_covered"))
    fallen = mine.filter(pl.col("fallback") != "").height
    lost = unanswered.select(
        _HOUR,
        "share",
        *((pl.col("rows") * (pl.col("arm") == arm)).cast(pl.Int64).alias(arm) for arm in _ARMS),
    )
    one = counted.with_columns((1 - pl.col("challenger")).alias("champion")).select(
        "at", "share", "champion", "challenger"
    )
    whole = pl.concat([one, lost.select("at", "share", "champion", "challenger")] if not fallen else [one])
    return whole.group_by("at", "share").agg(pl.col("champion", "challenger").sum()).sort("at", "share")
