"""How long a project's things stay in the trash."""

from datetime import datetime, timedelta

from slipway.ledger import entries
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.trash import KEEP_DAYS, TrashRule

__all__ = ["goes_at", "keep_days"]


def keep_days(tx: ReadTransaction, workspace: Workspace) -> int | None:
    """After how many days the project's things are purged, None for never."""
    if tx.get(entries.kind_of(TrashRule), workspace.project) is None:
        return KEEP_DAYS
    return entries.get(tx, TrashRule, workspace.project).keep_days


def goes_at(deleted_at: datetime, days: int | None) -> datetime | None:
    """When something that was put into the trash is purged."""
    return None if days is None else deleted_at + timedelta(days=days)
