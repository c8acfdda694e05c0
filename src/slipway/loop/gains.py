"""Did a retraining help? Its model beside the one before, on labelled rows that were decided after its promotion.

None of them chose it: they came after the roll-out's verdict. What it answered is in the log, what the former model
would have answered is asked of it again with the very inputs that were served.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import msgspec
import numpy as np
import polars as pl

from slipway.errors import SlipwayError
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.rollouts import label_delay
from slipway.ledger import entries, events
from slipway.loop.evidence import bundles_of, is_of_classes, scores_by
from slipway.ports.workspace import Workspace
from slipway.records.loop import Gain, Retraining
from slipway.records.rollouts import Rollout
from slipway.stats.blocks import mean_by_blocks
from slipway.stats.intervals import LOSSES
from slipway.tables.log_reader import LogReader
from slipway.tables.prediction_log import by_models

__all__ = ["gain_of", "measure_gains"]

_WHOLE = timedelta(days=14)
_MIN_DAYS = 7
_MOST_ROWS = 20_000
_DIGITS = 16
_NAMES = {"squared_error": "brier", "absolute_error": "mae"}


def measure_gains(workspace: Workspace, name: str, reader: LogReader, now: datetime) -> None:
    """Measure each promoted retraining once: after two weeks of labels, or when the next one took over.

    Args:
        workspace: Whose endpoint; its turn must be held.
        name: The endpoint's.
        reader: Its log.
        now: Business time.
    """
    parent = f"{workspace.project}/{name}"
    with workspace.ledger.read() as tx:
        waiting = [one for one in entries.find(tx, Retraining, parent=parent, state="made", limit=20) if not one.gain]
        if not waiting:
            return
        rollouts = entries.find(tx, Rollout, project=workspace.project, name=name, limit=100)
    promoted = {one.retraining_id: one for one in rollouts if one.state == "promoted" and one.ended_at}
    delay = label_delay(revision_of(workspace, name))
    for one in waiting:
        rollout = promoted.get(one.id)
        if rollout is None or rollout.ended_at is None:
            continue
        ends = [other.ended_at for other in promoted.values() if other.ended_at and other.ended_at > rollout.ended_at]
        until = min([rollout.ended_at + _WHOLE, *ends])
        if now < until + delay:
            continue
        try:
            found = gain_of(workspace, rollout, reader, until, now)
        except (SlipwayError, pl.exceptions.PolarsError) as problem:  # nothing waits for it, and it is told once
            found = Gain(verdict="cannot tell", sentence=f"Whether it helped cannot be told: {problem}", at=now)
        with workspace.ledger.write() as tx:
            entries.put(tx, msgspec.structs.replace(one, gain=found))
            events.record(tx, workspace, "retrainings.gain", f"retraining:{one.id}", verdict=found.verdict)


def gain_of(workspace: Workspace, rollout: Rollout, reader: LogReader, until: datetime, now: datetime) -> Gain:
    """What a promoted model gained over the one before, on labelled rows from its promotion on.

    Args:
        workspace: Whose endpoint.
        rollout: Promoted.
        reader: The endpoint's log.
        until: Rows decided before this count.
        now: Business time.

    Raises:
        Corrupt: The former model's files are damaged.
    """
    metric = rollout.spec.shadow.metric if rollout.spec.shadow else "log_loss"
    former = f"{rollout.champion.model} {rollout.champion.number}"
    bundles = bundles_of(workspace, rollout)
    if rollout.spec.shadow is None and bundles["challenger"].task == "regression":
        metric = "squared_error"
    rows = by_models(reader.answered(rollout.ended_at, until)).filter(
        (pl.col("bundle") == rollout.challenger.bundle[:_DIGITS]) & pl.col("label").is_finite()
    )
    if is_of_classes(rollout) and metric != "squared_error":
        rows = rows.filter(pl.col("label").is_in([0.0, 1.0]))
    if rows.height > _MOST_ROWS:
        rows = rows.gather_every(math.ceil(rows.height / _MOST_ROWS))
    days = rows["at"].dt.date().n_unique()
    if days < _MIN_DAYS:
        told = f"Whether it helped cannot be told: labels of {days} days came, and {_MIN_DAYS} are needed."
        return Gain(verdict="cannot tell", metric=metric, rows=rows.height, days=days, sentence=told, at=now)
    missing = [one.name for one in bundles["champion"].signature.inputs if one.name not in rows.columns]
    if missing:
        told = f"Whether it helped cannot be told: {former} takes {missing[0]!r}, which was not logged."
        return Gain(verdict="cannot tell", metric=metric, rows=rows.height, days=days, sentence=told, at=now)
    theirs = scores_by(workspace, folder_of(workspace, rollout.name) / "bundles", rollout.champion, rows)
    return _measured(rows.with_columns(former=pl.Series(theirs)), metric, former, now)


def _measured(rows: pl.DataFrame, metric: str, former: str, now: datetime) -> Gain:
    rows = rows.filter(pl.col("former").is_finite() & pl.col("score").is_finite())
    truth, own, theirs = (rows[name].cast(pl.Float64).to_numpy() for name in ("label", "score", "former"))
    losses = LOSSES[_NAMES.get(metric, metric)]
    more = np.asarray(losses(truth, own) - losses(truth, theirs))
    found = mean_by_blocks(more, rows["at"].dt.epoch("d").to_numpy())
    days = rows["at"].dt.date().n_unique()
    if math.isnan(found.value) or math.isnan(found.low):
        told = f"Whether it helped cannot be told: {found.note or 'too few rows'}."
        return Gain(verdict="cannot tell", metric=metric, rows=rows.height, days=days, sentence=told, at=now)
    verdict = "helped" if found.high < 0 else "harmed" if found.low > 0 else "cannot tell"
    says = {"helped": "It helped", "harmed": "It did harm", "cannot tell": "Whether it helped cannot be told"}[verdict]
    told = (
        f"{says}: its {metric.replace('_', ' ')} less {former}'s is {found.value:+.4g} ({found.low:+.4g} to {found.high:+.4g}) "
        f"on {rows.height:,} labelled rows of the {days} days after its promotion."
    )
    return Gain(
        verdict=verdict,  # type: ignore[arg-type]  # one of the three
        metric=metric,
        difference=found.value,
        low=found.low,
        high=found.high,
        rows=rows.height,
        days=days,
        sentence=told,
        at=now,
    )
