"""What the loop did and why, numbered for each endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.operations.rollouts import Actions, ListActions
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.loop import Action, ActionKind

__all__ = ["act", "list_actions", "put_action"]

_PAGE = 100_000


def act(
    workspace: Workspace,
    endpoint: str,
    kind: ActionKind,
    sentence: str,
    *,
    owner: str = "",
    evidence: Mapping[str, Any] | None = None,
    subjects: tuple[str, ...] = (),
) -> Action:
    """Write an action down, with its event, and say it.

    Args:
        workspace: Whose endpoint.
        endpoint: Its name.
        kind: What was done.
        sentence: What and why.
        owner: The role that is told.
        evidence: The figures behind it.
        subjects: Lineage nodes it is about.
    """
    with workspace.ledger.write() as tx:
        return put_action(tx, workspace, endpoint, kind, sentence, owner=owner, evidence=evidence, subjects=subjects)


def put_action(
    tx: WriteTransaction,
    workspace: Workspace,
    endpoint: str,
    kind: ActionKind,
    sentence: str,
    *,
    owner: str = "",
    evidence: Mapping[str, Any] | None = None,
    subjects: tuple[str, ...] = (),
) -> Action:
    """Write an action down together with what was done: a loop that is killed has then done and told both, or neither.

    Args:
        tx: The transaction in which it is done.
        workspace: Whose endpoint.
        endpoint: Its name.
        kind: What was done.
        sentence: What and why.
        owner: The role that is told.
        evidence: The figures behind it.
        subjects: Lineage nodes it is about.
    """
    former = tx.ref(workspace.project, "action", endpoint)
    number = int(former) + 1 if former else 1
    made = Action(
        id=new_id(),
        project=workspace.project,
        name=kind,
        created_at=workspace.clock.now(),
        parent_id=f"{workspace.project}/{endpoint}",
        number=number,
        sentence=sentence,
        owner=owner,
        evidence=dict(evidence or {}),
        subjects=subjects,
    )
    entries.put(tx, made, expect=0)
    tx.set_ref(workspace.project, "action", endpoint, str(number), expect=former)
    events.record(tx, workspace, f"loop.{kind}", f"endpoint:{workspace.project}/{endpoint}", number=number)
    workspace.say(f"{endpoint}: {kind}. {sentence}")
    return made


def list_actions(workspace: Workspace, request: ListActions) -> Actions:
    """Actions after a number, oldest first."""
    parent = f"{workspace.project}/{request.endpoint}"
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Action, parent=parent, limit=_PAGE)
    later = sorted((one for one in found if one.number > request.after), key=lambda one: one.number)
    return Actions(actions=tuple(later[: request.limit]))
