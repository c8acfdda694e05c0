"""How far a use case has come, since when, and what it waits for: from records, asking nobody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from slipway.flows.journey_evidence import Known
from slipway.governance.raci import named
from slipway.ledger import entries
from slipway.operations.business import Stage
from slipway.operations.portfolio import Wait
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.gates import Verdict
from slipway.records.monitors import Incident
from slipway.records.rollouts import Rollout
from slipway.records.scopes import Requirement

__all__ = ["endpoints_of", "reached_at", "revisions_by_time", "stage_of", "stopped_at", "waits_of"]

_MANY = 1000
_STOP = "endpoints.stop"
_AGAINST = ("refused", "cannot tell")
_LONG = timedelta(days=1)
"""An incident that is open for longer holds a use case up."""


def endpoints_of(known: Known) -> tuple[str, ...]:
    """Where a model answers, is declared to, or answered before."""
    every = (*known.live, *known.declared, *revisions_by_time(known)[::-1])
    return tuple(dict.fromkeys(one.name for one in every))


def revisions_by_time(known: Known) -> list[Revision]:
    """All revisions that serve or served a model, oldest first."""
    return sorted(known.revisions, key=lambda one: (one.created_at, one.name, one.number))


def stopped_at(tx: ReadTransaction, live: Sequence[Revision]) -> datetime | None:
    """When the last of what serves a model was stopped by somebody; None while anything may answer."""
    found = []
    for one in live:
        stops = [event.at for event in tx.events(subject=f"revision:{one.id}") if event.verb == _STOP]
        if not stops:
            return None
        found.append(max(stops))
    return max(found, default=None)


def reached_at(known: Known) -> datetime | None:
    """When a model was first in production, None for never."""
    served = [one.created_at for one in known.revisions if one.environment == "prod"]
    promoted = [one.updated_at for one in known.promotions if one.target == "prod" and one.state == "done"]
    return min([*served, *promoted], default=None)


def stage_of(known: Known, stopped: datetime | None, first: datetime | None) -> tuple[Stage, datetime]:
    """How far a model has come, and since when.

    Args:
        known: What the ledger has of it; it has a version, or a scope.
        stopped: When the last of what served it was stopped.
        first: When its first version came to be, whatever made it; None while there is none.
    """
    if stopped is not None:
        return "retired", stopped
    reached = reached_at(known)
    if reached is not None and known.in_production:
        return "in production", reached
    if reached is not None and not known.live:  # another model took its place
        return "retired", max(one.created_at for one in known.revisions) if known.revisions else reached
    if known.live:
        return "pilot", min((one.created_at for one in known.revisions), default=known.live[0].created_at)
    if first is not None:
        return "proof of concept", first
    assert known.scope is not None  # without a version there is the scope
    return "idea", known.scope.created_at


def waits_of(
    tx: ReadTransaction, workspace: Workspace, known: Known, stage: Stage, needs: Sequence[Requirement]
) -> tuple[Wait, ...]:
    """What a use case waits for, the most pressing first.

    Args:
        tx: An open transaction.
        workspace: Its project's.
        known: What the ledger has of it.
        stage: How far it has come.
        needs: What its scope asks.
    """
    owner = known.scope.terms.owner if known.scope is not None else ""
    builders = named(tx, workspace, "train", "responsible") or (owner or "data scientist",)
    if stage == "retired":
        return ()
    if stage == "idea":
        since = known.scope.updated_at if known.scope is not None else None
        return (Wait(kind="first work", on=builders, since=since),)
    if stage == "in production":
        return tuple(_troubles(tx, workspace, known))
    found = [*_troubles(tx, workspace, known), *_on_the_way(known), *_judged(tx, workspace, known, builders)]
    missed = [one for one in needs if one.state == "missed"]
    if missed:
        since = min((one.at for one in missed if one.at is not None), default=None)
        found.append(Wait(kind="needs", on=builders, since=since, count=len(missed)))
    if not found:
        stewards = named(tx, workspace, "deploy", "accountable") or (owner or "ml engineer",)
        since = revisions_by_time(known)[-1].created_at if known.live else _newest(known)
        found.append(Wait(kind="next step", on=stewards, since=since))
    return tuple(found)


def _newest(known: Known) -> datetime | None:
    return max((one.created_at for one in known.versions), default=None)


def _on_the_way(known: Known) -> Iterator[Wait]:
    """The newest promotion, where it stands still."""
    for one in known.promotions[:1]:
        stage = next((each for each in one.stages if each.state in ("waiting", "failed")), None)
        if one.state != "done" and stage is not None:
            yield Wait(kind="promotion", on=stage.asked or (one.actor.name,), since=stage.at or one.updated_at)


def _judged(tx: ReadTransaction, workspace: Workspace, known: Known, builders: tuple[str, ...]) -> Iterator[Wait]:
    """What the last verdict on the newest version holds against it."""
    newest = max(known.versions, key=lambda one: one.number, default=None)
    ruling: Verdict | None = next(
        (one for one in known.verdicts if newest is not None and one.bundle == newest.bundle), None
    )
    if ruling is None or ruling.passed:
        return
    against = [one for one in ruling.outcomes if one.result in _AGAINST]
    if against and all(one.kind == "approval" for one in against):
        asked = named(tx, workspace, "approve", "accountable") or ("accountable",)
        yield Wait(kind="approval", on=asked, since=ruling.created_at, count=len(against))
    elif against:
        yield Wait(kind="checks", on=builders, since=ruling.created_at, count=len(against))


def _troubles(tx: ReadTransaction, workspace: Workspace, known: Known) -> Iterator[Wait]:
    """Roll-outs that a person must decide, and incidents that are open for long."""
    now, names = workspace.clock.now(), endpoints_of(known)
    parents = [f"{workspace.project}/{name}" for name in names]
    undecided: list[Rollout] = [one for one in known.rollouts if one.state == "undecided"]
    newest = max((one.created_at for one in known.rollouts), default=None)
    if undecided and undecided[0].created_at == newest:
        on = named(tx, workspace, "deploy", "accountable") or ("business owner",)
        yield Wait(kind="decision", on=on, since=undecided[0].ended_at or undecided[0].since)
    present = [
        one
        for parent in parents
        for one in entries.find(tx, Incident, parent=parent, state="open", limit=_MANY)
        if not one.silenced_by and now - one.created_at >= _LONG
    ]
    if present:
        oldest = min(present, key=lambda one: (one.created_at, one.id))
        yield Wait(
            kind="incident", on=oldest.people or (oldest.owner,), since=oldest.created_at, count=len(present)
        )  # fmt: skip
