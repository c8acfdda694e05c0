"""Incidents of roll-outs: that somebody is asked to decide, and that something is wrong with one."""

from __future__ import annotations

import msgspec

from slipway.governance.outbox import announce_end
from slipway.governance.telling import assigned
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.monitors import Incident
from slipway.records.rollouts import Rollout

__all__ = ["ALARM", "ASKED", "CAUSE", "close_incident", "open_incident"]

CAUSE = "rollout"
ASKED = "rollout"
"""The name of the incident that asks for a decision."""
ALARM = "roll-out"
"""The name of the incident that something is wrong."""


def open_incident(
    tx: WriteTransaction, workspace: Workspace, rollout: Rollout, name: str, sentence: str, *, owner: str
) -> None:
    """Open an incident of an endpoint's roll-out; one of its name that is open says the newest sentence.

    Args:
        tx: In which it is written.
        workspace: Whose endpoint.
        rollout: Which roll-out.
        name: `ASKED` or `ALARM`.
        sentence: What is the case.
        owner: Whose it is where no RACI says.
    """
    found = entries.find(tx, Incident, parent=rollout.parent_id, name=name, state="open", limit=1)
    if found:
        if found[0].sentence != sentence:
            entries.put(tx, msgspec.structs.replace(found[0], sentence=sentence))
        return
    opened = Incident(
        id=new_id(),
        project=workspace.project,
        name=name,
        created_at=workspace.clock.now(),
        parent_id=rollout.parent_id,
        sentence=sentence,
        owner=owner,
        cause=CAUSE,
    )
    entries.put(tx, assigned(tx, workspace, opened), expect=0)
    events.record(tx, workspace, "incidents.open", f"incident:{opened.id}", monitor=name)


def close_incident(tx: WriteTransaction, workspace: Workspace, rollout: Rollout, name: str, *, why: str = "") -> None:
    """Close the incident of a name, where one is open."""
    for one in entries.find(tx, Incident, parent=rollout.parent_id, name=name, state="open", limit=1):
        closed = msgspec.structs.replace(one, state="closed", closed_at=workspace.clock.now(), why=why)
        entries.put(tx, closed)
        announce_end(tx, workspace, closed)
        more = {"why": why} if why else {}
        events.record(tx, workspace, "incidents.close", f"incident:{one.id}", monitor=name, **more)
