"""The evidence of a roll-out, out of the endpoint's log: scores in pairs, and who failed how often.

A pair is a row that both models have scored. Live pairs come from the shadow. Rows of the log from before the roll-out
count too where neither model learnt from them: both are asked for the very inputs that were served, once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from slipway.flows.endpoints import folder_of
from slipway.ledger import entries
from slipway.models import bundle as bundles
from slipway.models import registry
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision, Served
from slipway.records.models import Bundle
from slipway.records.predictions import Arm
from slipway.records.rollouts import Rollout
from slipway.rollout.judge_unseen import Unseen
from slipway.rollout.units import REQUEST, arm_counts, kept_failures, log_shares
from slipway.serving.arms import share_of
from slipway.serving.shadow import SHADOW_SALT
from slipway.tables.log_reader import LogReader
from slipway.tables.prediction_log import by_models

__all__ = [
    "Replays",
    "bundles_of",
    "canary_counts",
    "canary_fractions",
    "fair_from",
    "latencies",
    "pairs",
    "scored_each",
    "scores_by",
    "step_rows",
    "takes",
    "unseen",
]

_DIGITS = 16


class Replays:
    """Both models' scores of the rows from before a roll-out, computed once for each roll-out. Not safe for threads."""

    def __init__(self) -> None:
        self._rollout = ""
        self._scored: pl.DataFrame | None = None

    def __call__(self, workspace: Workspace, rollout: Rollout, answered: pl.DataFrame) -> pl.DataFrame:
        """`id`, `champion` and `challenger` of the answered rows."""
        if self._scored is None or self._rollout != rollout.id:
            folder = folder_of(workspace, rollout.name) / "bundles"
            self._scored = pl.DataFrame(
                {
                    "id": answered["id"],
                    "champion": scores_by(workspace, folder, rollout.champion, answered),
                    "challenger": scores_by(workspace, folder, rollout.challenger, answered),
                }
            )
            self._rollout = rollout.id
        return self._scored


def fair_from(workspace: Workspace, rollout: Rollout) -> datetime | None:
    """From which decision time on neither model of a roll-out has learnt from a row; None where nobody knows."""
    known = [_bundle(workspace, served).held_out_from for served in (rollout.champion, rollout.challenger)]
    present = [instant for instant in known if instant is not None]
    return max(present) if len(present) == len(known) else None


def pairs(workspace: Workspace, reader: LogReader, replays: Replays, rollout: Rollout) -> pl.DataFrame:
    """Labelled rows with the scores of both models; null or NaN where one of them had none.

    Columns: `at`, `label`, `champion`, `challenger`, `source` ("live" or "replayed").
    """
    fair = fair_from(workspace, rollout)
    answered = by_models(reader.answered(since=min(fair, rollout.created_at) if fair else rollout.created_at))
    live = _live(answered, reader.shadows(since=rollout.created_at), rollout)
    rows = [live.select("at", "label", "champion", "challenger", pl.lit("live").alias("source"))]
    if fair is not None:
        before = answered.filter((pl.col("at") >= fair) & (pl.col("at") < rollout.created_at))
        before = before.filter(pl.col("bundle").is_in(_alike(workspace, rollout, before["bundle"].unique().to_list())))
        scored = replays(workspace, rollout, before)
        replayed = before.join(scored, on="id", how="inner", maintain_order="left")
        rows.append(replayed.select("at", "label", "champion", "challenger", pl.lit("replayed").alias("source")))
    fits = pl.col("label").is_in([0.0, 1.0]) if is_of_classes(rollout) else pl.col("label").is_finite()
    return pl.concat(rows).filter(fits).sort("at", maintain_order=True)


def is_of_classes(rollout: Rollout) -> bool:
    """Whether a roll-out's shadow judges yes and no, and not a quantity."""
    return rollout.spec.shadow is None or rollout.spec.shadow.metric in ("brier", "log_loss")


def unseen(workspace: Workspace, reader: LogReader, rollout: Rollout) -> Unseen:
    """The rows that the champion answered since a shadow began, and what the challenger made of them.

    A row that was to be compared and was not, though a later one was, counts as dropped.
    """
    share = 1.0 if rollout.spec.shadow is None else rollout.spec.shadow.sample
    mine = pl.col("revision").is_in(sorted(_shadow_revisions(workspace, rollout)))
    answered = logged_rows = by_models(reader.answered(since=rollout.created_at)).filter(mine)
    if share < 1.0:
        answered = answered.filter([share_of(SHADOW_SALT, id) < share for id in answered["id"].to_list()])
    theirs = reader.shadows(since=rollout.created_at).filter(pl.col("bundle") == rollout.challenger.bundle[:_DIGITS])
    second = theirs.unique("prediction", keep="last", maintain_order=True).select(
        pl.col("prediction").alias("id"),
        pl.col("score").alias("challenger"),
        "problem",
        "took_ns",
        "beside_ns",
        pl.lit(value=True).alias("compared"),
    )
    plain = answered.select("id", "at", "answered_at", "revision", "key", "decision", pl.col("score").alias("champion"))
    rows = plain.join(second, on="id", how="left", maintain_order="left")
    rows = rows.with_columns(pl.col("compared").fill_null(value=False))
    threshold = _bundle(workspace, rollout.challenger).decision.threshold
    other = pl.lit(None, pl.Boolean) if threshold is None else pl.col("challenger") >= threshold
    rows = rows.with_columns(flips=other != pl.col("decision"))
    last = rows.filter("compared")["answered_at"].max()
    waiting = ~pl.col("compared") if last is None else ~pl.col("compared") & (pl.col("answered_at") > last)
    failed = reader.failures(since=rollout.created_at).filter(mine & (pl.col("arm") == "champion"))
    logged = {revision: share * part for revision, part in log_shares(logged_rows).items()}
    once_each = kept_failures(failed, logged).group_by(REQUEST).agg(pl.lit(1).alias("requests"))
    return Unseen(
        rows=rows,
        failures=once_each.select("at", "requests"),
        waiting=rows.filter(waiting).height,
        share=share,
    )


def canary_fractions(workspace: Workspace, rollout: Rollout) -> dict[int, float]:
    """The revisions under which a roll-out's challenger answered some rows, by number, with its share of them."""
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Revision, project=workspace.project, name=rollout.name, limit=100_000)
    return {
        revision.number: found.fraction
        for revision in sorted(known, key=lambda one: one.number)
        if (found := revision.challenger) is not None and found.rollout_id == rollout.id and found.fraction > 0.0
    }


def bundles_of(workspace: Workspace, rollout: Rollout) -> dict[Arm, Bundle]:
    """What both models of a roll-out are."""
    return {"champion": _bundle(workspace, rollout.champion), "challenger": _bundle(workspace, rollout.challenger)}


def _shadow_revisions(workspace: Workspace, rollout: Rollout) -> frozenset[int]:
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Revision, project=workspace.project, name=rollout.name, limit=100_000)
    return frozenset(
        revision.number
        for revision in known
        if (found := revision.challenger) is not None and found.rollout_id == rollout.id and found.fraction == 0.0
    )


def canary_counts(reader: LogReader, rollout: Rollout, fractions: Mapping[int, float]) -> pl.DataFrame:
    """Requests and failures of both arms over the whole canary, by hour of decision time and revision; see `arm_counts`."""
    answered = reader.answered(since=rollout.created_at)
    return arm_counts(answered, reader.failures(since=rollout.created_at), fractions)


def step_rows(reader: LogReader, rollout: Rollout, revisions: Collection[int]) -> int:
    """How many rows came to the challenger since the canary's present step began, those on which it failed included.

    The blocks do not tell: the step may have begun within one.
    """
    mine = pl.col("revision").is_in(sorted(revisions)) & (pl.col("arm") == "challenger")
    answered = by_models(reader.answered(since=rollout.since)).filter(mine).height
    return answered + int(reader.failures(since=rollout.since).filter(mine)["rows"].sum())


def latencies(reader: LogReader, rollout: Rollout) -> tuple[float, float] | None:
    """Median machine time of a row unseen, of champion and challenger, in milliseconds; None before both were timed."""
    timed = reader.shadows(since=rollout.created_at).filter(pl.col("score").is_not_null())
    medians = [
        timed.filter(pl.col("bundle") == served.bundle[:_DIGITS])["took_ns"].median()
        for served in (rollout.champion, rollout.challenger)
    ]
    if any(median is None for median in medians):
        return None
    first, second = (float(median) / 1e6 for median in medians if isinstance(median, int | float))
    return first, second


def _live(answered: pl.DataFrame, shadows: pl.DataFrame, rollout: Rollout) -> pl.DataFrame:
    champion, challenger = rollout.champion.bundle[:_DIGITS], rollout.challenger.bundle[:_DIGITS]
    unseen = shadows.select(
        pl.col("prediction").alias("id"), pl.col("bundle").alias("other"), pl.col("score").alias("unseen")
    )
    both = answered.filter(pl.col("at") >= rollout.created_at).join(unseen, on="id", how="inner", maintain_order="left")
    is_plain = (pl.col("bundle") == champion) & (pl.col("other") == challenger)
    is_canary = (pl.col("bundle") == challenger) & (pl.col("other") == champion)
    return both.filter(is_plain | is_canary).with_columns(
        champion=pl.when(is_plain).then("score").otherwise("unseen"),
        challenger=pl.when(is_plain).then("unseen").otherwise("score"),
    )


def scored_each(predict: Callable[[list[list[Any]]], Sequence[float]], rows: list[list[Any]]) -> list[float]:
    """One score a row, NaN where the model refuses or fails: asked in halves until those rows are alone."""
    try:
        return [float(score) for score in predict(rows)]
    except Exception:  # the model's own code may raise anything
        if len(rows) == 1:
            return [math.nan]
    middle = len(rows) // 2
    return [*scored_each(predict, rows[:middle]), *scored_each(predict, rows[middle:])]


def _alike(workspace: Workspace, rollout: Rollout, answered_by: Collection[str]) -> list[str]:
    """Those of the models that answered whose inputs are the very ones of both models of a roll-out.

    The log holds a row's inputs as its own model's features gave them: to a model with other features they say nothing.
    """
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Revision, project=workspace.project, name=rollout.name, limit=100_000)
    served = {one.served.bundle[:_DIGITS]: one.served for one in known}
    served |= {one.challenger.served.bundle[:_DIGITS]: one.challenger.served for one in known if one.challenger}
    wanted = takes(_bundle(workspace, rollout.challenger))
    if takes(_bundle(workspace, rollout.champion)) != wanted:
        return []
    return [digits for digits in answered_by if takes(_bundle(workspace, served[digits])) == wanted]


def takes(bundle: Bundle) -> list[Any]:
    """What says which values a model gets for a request; what its training happened to see says nothing of that."""
    features = bundle.features
    made = None if features is None else (features.parts, [one.name for one in features.features])
    return [[field.name for field in bundle.signature.inputs], made]


def scores_by(workspace: Workspace, folder: Path, served: Served, answered: pl.DataFrame) -> np.ndarray[Any, Any]:
    """One score a row, NaN where the model gives none: one such row must not hold up the others."""
    if answered.is_empty():
        return np.array([], dtype=np.float64)
    model = bundles.load(folder / served.bundle, expect=served.bundle, signer=workspace.signer)
    inputs = answered.select([field.name for field in model.signature.inputs])
    return np.asarray(scored_each(model.predict_rows, [list(row) for row in inputs.iter_rows()]), dtype=np.float64)


def _bundle(workspace: Workspace, served: Served) -> Bundle:
    return registry.bundle_of(workspace, registry.get(workspace, served.model, str(served.number)))
