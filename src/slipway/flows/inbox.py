"""The inbox: what needs whoever asks, and what they are told."""

from __future__ import annotations

from datetime import datetime

from slipway.errors import InvalidInput
from slipway.flows.deliveries import troubles
from slipway.governance.absences import deputies, stood_in_for
from slipway.ledger import entries
from slipway.operations.comments import Inbox, ListNotices
from slipway.operations.permissions import allowed
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace, in_project
from slipway.records.gates import Approval
from slipway.records.monitors import Incident
from slipway.records.responsibility import Handover, Notice

__all__ = ["inbox", "is_waited_for"]

_MOST = 10_000
_DEPUTY = frozenset({"asked", "incident"})
"""What a deputy receives beside approvals; mentions and news wait for whom they are for."""


def inbox(workspace: Workspace, request: ListNotices) -> Inbox:
    """What needs whoever asks, in all projects where they hold a role; with what is waited for from who is away.

    Raises:
        InvalidInput: The limit is none.
    """
    if not 0 < request.limit <= _MOST:
        raise InvalidInput(f"The limit {request.limit} does not fit.", fix=f"Give 1 to {_MOST:,}.", field="limit")
    me, now = workspace.actor.name, workspace.clock.now()
    with workspace.ledger.read() as tx:
        others = stood_in_for(deputies(tx, now), me)
        found = _notices(tx, me, None if request.everything else "unread")
        for name in sorted(others):
            found += [one for one in _notices(tx, name, "unread") if one.what in _DEPUTY or one.what == "approve"]
        incidents = [one for one in entries.every(tx, Incident, state="open") if {me, *others} & set(one.people)]
        offered = [one for one in entries.every(tx, Handover, state="offered") if one.to == me]
        seen = _Seen(workspace)
        untold = [line for one in incidents if seen(one.project) for line in troubles(tx, one.id)]
        waiting = [one for one in found if one.what == "approve" and seen(one.project) and is_waited_for(tx, one, now)]
    listed = {f"incident:{one.id}" for one in incidents} | {f"handover:{one.id}" for one in offered}
    told = [one for one in found if one.what != "approve" and one.parent_id not in listed and seen(one.project)]
    told.sort(key=lambda one: (one.created_at, one.id), reverse=True)
    return Inbox(
        approvals=tuple(waiting),
        handovers=tuple(one for one in offered if seen(one.project)),
        incidents=tuple(one for one in incidents if seen(one.project)),
        notices=tuple(told[: request.limit]),
        untold=tuple(dict.fromkeys(untold)),
        stands_for=tuple(sorted(others)),
        more=max(0, len(told) - request.limit),
    )


class _Seen:
    """Whether whoever asks has a role in a project: what they are told of there is theirs to know only as long."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[str, bool] = {}

    def __call__(self, project: str) -> bool:
        if project not in self._known:
            self._known[project] = allowed(in_project(self._workspace, project).actor, "projects.read")
        return self._known[project]


def _notices(tx: ReadTransaction, name: str, state: str | None) -> list[Notice]:
    return list(entries.every(tx, Notice, name=name, state=state))


def is_waited_for(tx: ReadTransaction, notice: Notice, now: datetime) -> bool:
    """Whether words in the role are still missing for the bundle, theirs among them, and nobody spoke against it."""
    given: dict[str, Approval] = {}
    for link in tx.links(notice.parent_id, towards=False):
        kind, _, id = link.target.partition(":")
        word = entries.get(tx, Approval, id) if kind == "approval" else None
        counts = word is not None and (word.expires_at is None or word.expires_at > now)
        if word is not None and counts and word.name == notice.waits_for.role:
            given[word.actor.name] = max(
                given.get(word.actor.name, word), word, key=lambda one: (one.created_at, one.id)
            )
    is_rejected = any(word.decision == "rejected" for word in given.values())
    return not is_rejected and notice.name not in given and len(given) < notice.waits_for.count
