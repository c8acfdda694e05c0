"""The incident of retrainings that fail: one an endpoint, open until one ends otherwise."""

from __future__ import annotations

import msgspec

from slipway.flows.incidents import close
from slipway.governance.telling import assigned
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.loop import Retraining
from slipway.records.monitors import Incident

__all__ = ["CAUSE", "follow_retraining"]

CAUSE = "retraining"
"""The incident's name and kind of cause."""


def follow_retraining(tx: WriteTransaction, workspace: Workspace, ended: Retraining) -> None:
    """Open the incident where a retraining failed, or let it say the newest sentence; close it where one did not.

    Args:
        tx: The transaction that ends it.
        workspace: Whose endpoint.
        ended: As it ended.
    """
    found = entries.find(tx, Incident, parent=ended.parent_id, name=CAUSE, state="open", limit=1)
    now = workspace.clock.now()
    if ended.state != "failed":
        for one in found:
            close(tx, workspace, one, f"another one ended: {ended.sentence}", now)
        return
    if found:
        entries.put(tx, msgspec.structs.replace(found[0], sentence=ended.sentence))
        return
    opened = Incident(
        id=new_id(),
        project=workspace.project,
        name=CAUSE,
        created_at=now,
        parent_id=ended.parent_id,
        sentence=ended.sentence,
        owner="data scientist",
        cause=CAUSE,
    )
    entries.put(tx, assigned(tx, workspace, opened), expect=0)
    events.record(tx, workspace, "incidents.open", f"incident:{opened.id}", monitor=CAUSE)
