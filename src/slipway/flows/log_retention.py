"""How long an endpoint's log stays, and what is there of it."""

from __future__ import annotations

from datetime import datetime, timedelta

from slipway.flows.endpoints import folder_of
from slipway.ledger import events
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.tables.log_folder import days_before
from slipway.tables.log_rolling import drop_days, oldest_kept

__all__ = ["drop_old_days"]

_KINDS = ("predictions", "labels", "shadows", "failures")


def drop_old_days(workspace: Workspace, revision: Revision, now: datetime) -> int:
    """Remove what an endpoint's log has of days that are older than it is kept, and say so in the audit log.

    Whole days go, those of which no moment is to be kept. Pushed events stay: features are made of them. The event comes
    first: who is killed between the two says it again.

    Args:
        workspace: Whose endpoint.
        revision: Says for how long.
        now: Business time.

    Returns:
        How many days.
    """
    if not revision.log.keep_us:
        return 0
    log = folder_of(workspace, revision.name) / "log"
    first = oldest_kept(now, timedelta(microseconds=revision.log.keep_us))
    old = days_before(log, _KINDS, first)
    if old:
        with workspace.ledger.write() as tx:
            told = {"days": len(old), "first": old[0].isoformat(), "last": old[-1].isoformat()}
            events.record(tx, workspace, "endpoints.drop_log", f"revision:{revision.id}", **told)
        drop_days(log, _KINDS, first)
    return len(old)
