"""Train again where that is due: a trigger asks, the policy and the declared limits answer, and what was held back is told once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec
import polars as pl

from slipway.flows import rollouts
from slipway.ledger import entries
from slipway.loop import retrain
from slipway.loop.actions import act, put_action
from slipway.loop.limits import against
from slipway.loop.policy import Answer, Row, Signals, answer, decide
from slipway.loop.signals import signals_of
from slipway.loop.triggers import Due, due
from slipway.loop.way_back import take_way_back
from slipway.models import registry
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.endpoints import Revision
from slipway.records.loop import Action, Retraining, RetrainSpec
from slipway.records.models import Bundle
from slipway.records.monitors import Incident
from slipway.schema.plugged import occasion_of
from slipway.tables.log_reader import LogReader
from slipway.tables.prediction_log import by_models

__all__ = ["train_again"]


def train_again(
    workspace: Workspace,
    declared: DeclaredEndpoint,
    revision: Revision,
    reader: LogReader,
    now: datetime,
    look: Callable[[], None] = lambda: None,
) -> list[Action]:
    """Ask whether a retraining is due, and follow the policy. The endpoint's turn must be held.

    Args:
        workspace: Whose endpoint.
        declared: Its declaration.
        revision: What serves.
        reader: Its log, as read by now.
        now: Business time.
        look: Lets the monitors look at the rows that came since they looked last: called before anything is trained.
    """
    if declared.retrain is None:
        return []
    weighed = _weighed(workspace, declared, declared.retrain, revision, reader, now)
    if weighed is not None and weighed.found.do == "retrain":
        look()  # a feed may have broken since: a model must not learn from it
        weighed = _weighed(workspace, declared, declared.retrain, revision, reader, now)
    if weighed is None:
        return []
    asked, found, row, known = weighed
    if found.do == "hold":
        return _hold(workspace, declared, asked, found)
    if asked.is_degraded and (back := take_way_back(workspace, revision, reader, now)):
        return back
    actions: list[Action] = []
    pipeline = declared.retrain.pipeline

    def told(tx: WriteTransaction, begun: Retraining) -> None:
        since = f"from {begun.since:%Y-%m-%d} " if begun.since else ""
        sentence = f"{found.why} {pipeline} is run on data {since}until {begun.until:%Y-%m-%d}."
        sentence += f" {row.why}" if found.policy else ""
        subjects = (f"retraining:{begun.id}", *found.subjects)
        asking: dict[str, Any] = {"trigger": asked.trigger}
        if found.policy:
            asking |= {"policy": found.policy, "signals": msgspec.to_builtins(known)}
        made = put_action(
            tx, workspace, declared.name, "retrain", sentence, owner=found.owner, evidence=asking, subjects=subjects
        )
        actions.append(made)

    retrain.start(workspace, declared, asked.trigger, found=found, also=told)
    return actions


class _Weighed(NamedTuple):
    """A trigger that asks, what is done about it, and by which row of the policy and which signals."""

    asked: Due
    found: Answer
    row: Row
    known: Signals


def _weighed(
    workspace: Workspace,
    declared: DeclaredEndpoint,
    spec: RetrainSpec,
    revision: Revision,
    reader: LogReader,
    now: datetime,
) -> _Weighed | None:
    parent = f"{workspace.project}/{declared.name}"
    with workspace.ledger.read() as tx:
        incidents = entries.find(tx, Incident, parent=parent, state="open", limit=1000)
        first = entries.find(tx, Revision, project=workspace.project, name=declared.name, number=1, limit=1)
    earlier = retrain.retrainings_of(workspace, declared.name)
    began = first[0].created_at if first else now
    asked = _asked(spec, now, began, earlier, incidents, reader)
    if asked is None:
        return None
    bundle = registry.bundle_of(workspace, registry.get(workspace, revision.served.model, str(revision.served.number)))
    known = signals_of(workspace, revision, incidents, bundle)
    row = decide(known)
    found = answer(
        asked,
        incidents=incidents,
        running=retrain.running(workspace, declared.name),
        rollout=rollouts.under_way(workspace, declared.name),
        row=row,
        against=against(spec, now=now, earlier=earlier, new_labels=partial(_new_labels, reader, bundle, began)),
    )
    return _Weighed(asked, found, row, known)


def _asked(
    spec: RetrainSpec,
    now: datetime,
    began: datetime,
    earlier: Sequence[Retraining],
    incidents: Sequence[Incident],
    reader: LogReader,
) -> Due | None:
    return due(
        spec,
        now=now,
        since=began,
        earlier=earlier,
        incidents=incidents,
        labels_since=partial(_labels_since, reader),
        occasion=partial(occasion_of, now=now),
    )


def _hold(workspace: Workspace, declared: DeclaredEndpoint, asked: Due, found: Answer) -> list[Action]:
    """Tell that a retraining is held back, once for each reason."""
    figures = {"trigger": asked.trigger, "at": asked.at.isoformat()}
    if _was_held(workspace, f"{workspace.project}/{declared.name}", figures, found.subjects):
        return []
    owner, subjects = found.owner, found.subjects
    return [act(workspace, declared.name, "hold", found.why, owner=owner, evidence=figures, subjects=subjects)]


def _new_labels(reader: LogReader, bundle: Bundle, began: datetime) -> tuple[int, str]:
    """How many answered rows have a label that the model which serves cannot have learnt from, and since when.

    Where the reader holds a share of them they are reckoned from it: training reads the whole log.
    """
    since = bundle.trained_until or began
    rows = by_models(reader.answered(since))
    return round((rows.height - rows["label"].null_count()) / reader.share(since)), f"{since:%Y-%m-%d}"


def _labels_since(reader: LogReader, since: datetime) -> int:
    """How many rows that a model answered have a label that was observed after an instant."""
    return round(by_models(reader.answered()).filter(pl.col("labelled_at") > since).height / reader.share())


def _was_held(workspace: Workspace, parent: str, figures: dict[str, str], subjects: tuple[str, ...]) -> bool:
    """Whether this very hold was told already."""
    with workspace.ledger.read() as tx:
        held = entries.find(tx, Action, parent=parent, name="hold", limit=1)
    return bool(held) and (held[0].evidence, held[0].subjects) == (figures, subjects)
