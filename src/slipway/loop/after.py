"""After a promotion: late labels are looked at once a day, until the former champion may go."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from slipway.flows import rollout_watch, rollouts
from slipway.flows.endpoints import revision_of
from slipway.loop import evidence, guards
from slipway.loop.actions import put_action
from slipway.loop.alarms import alarm
from slipway.loop.batch_rollouts import log_of
from slipway.loop.gains import measure_gains
from slipway.loop.kpi_guard import kpi_of, with_fields
from slipway.loop.way_back import close_degraded
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.loop import Action
from slipway.records.rollouts import CanarySpec, Look, Rollout
from slipway.rollout.judge_shadow import judge_shadow
from slipway.rollout.judge_watch import judge_watch
from slipway.rollout.units import drawn_for
from slipway.tables.log_reader import LogReader
from slipway.tables.prediction_log import by_models

__all__ = ["watch_over"]


def watch_over(
    workspace: Workspace, name: str, reader: LogReader, replays: evidence.Replays, now: datetime
) -> list[Action]:
    """Look at the promoted roll-out of an endpoint; take it back where labels show it to be worse. The turn is held."""
    measure_gains(workspace, name, reader, now)
    found = rollout_watch.watched(workspace, name)
    if found is None or found.watched_until is None:
        return []
    is_over = now >= found.watched_until
    if not is_over and found.looks and found.looks[-1].at.astimezone(UTC).date() == now.astimezone(UTC).date():
        return []
    look = _look(workspace, found, reader, replays, now, found.watched_until)
    if look.verdict != "worse":
        kept = rollout_watch.keep_look(workspace, found, look)
        if is_over:
            rollout_watch.end_watch(workspace, kept)
        return []
    actions: list[Action] = []

    def told(tx: WriteTransaction, ended: Rollout) -> None:
        former = f"{ended.champion.model} {ended.champion.number}"
        said = f"{ended.challenger.model} {ended.challenger.number} was taken back after its promotion; {former} serves again."
        sentence, subjects = f"{said} {look.sentence}", (f"rollout:{ended.id}",)
        close_degraded(tx, workspace, name, f"{former} serves again: {look.sentence}", now)
        alarm(tx, workspace, ended, sentence)
        made = put_action(
            tx, workspace, name, "stop", sentence, owner="data scientist", evidence=look.values, subjects=subjects
        )
        actions.append(made)

    rollout_watch.take_back(workspace, found, look, also=told)
    return actions


def _look(
    workspace: Workspace, found: Rollout, reader: LogReader, replays: evidence.Replays, now: datetime, until: datetime
) -> Look:
    spec, labels, quality = found.spec.canary or CanarySpec(), None, None
    left_out: dict[str, int] = {}
    fractions = evidence.canary_fractions(workspace, found)
    revision = revision_of(workspace, found.name)
    if fractions:
        answered = by_models(log_of(workspace, revision, reader).answered(since=found.created_at))
        own = drawn_for(answered, fractions).filter(~pl.col("is_instead"))
        bundles = evidence.bundles_of(workspace, found)
        kpi = kpi_of(workspace, spec, log_of(workspace, revision, reader), found)
        labels = guards.labelled(with_fields(own, answered) if kpi else own, bundles, kpi)
        left_out = {} if kpi else guards.without_decision(own, bundles)
    if found.spec.shadow is not None:
        pairs = evidence.pairs(workspace, reader, replays, found)
        delay = rollouts.label_delay(revision)
        quality = judge_shadow(found.spec.shadow, pairs, since=found.since, now=now, label_delay=delay)
    return judge_watch(spec, labels, quality, step=found.step, until=until, now=now, without_decision=left_out)
