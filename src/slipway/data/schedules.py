"""Which tables the server syncs, and when: written down whenever a table is synced from a checkout."""

from __future__ import annotations

from pathlib import Path

from slipway.data.declare import Table
from slipway.ledger import entries
from slipway.operations.declare import check_allowed
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredTable, declared_id
from slipway.schema.schedules import in_words

__all__ = ["declare_schedule"]


def declare_schedule(workspace: Workspace, table: Table, *, snapshot: str, folder: Path) -> None:
    """Write down when the server shall sync a table; one that declares no schedule any more is left alone from now on.

    Args:
        workspace: Whose table.
        table: Its declaration.
        snapshot: The digest of the project snapshot that declares it.
        folder: Where relative paths of its source begin.

    Raises:
        Denied: The actor may not write schedules.
    """
    wanted = table.feed.schedule
    id = declared_id(workspace.project, workspace.environment, table.name)
    with workspace.ledger.read() as tx:
        is_scheduled = tx.get(entries.kind_of(DeclaredTable), id) is not None
    if wanted is not None or is_scheduled:
        check_allowed(workspace, "tables.schedule", "schedules.write")
    with workspace.ledger.write() as tx:
        is_known = tx.get(entries.kind_of(DeclaredTable), id) is not None
        former = entries.get(tx, DeclaredTable, id) if is_known else None
        if former is None and wanted is None:
            return
        now = workspace.clock.now()
        since = former.since if former is not None and former.schedule == wanted else now
        entries.put(
            tx,
            DeclaredTable(
                id=id,
                project=workspace.project,
                name=table.name,
                created_at=former.created_at if former is not None else now,
                parent_id=f"{workspace.project}/{workspace.environment}",
                schedule=wanted,
                since=since,
                snapshot=snapshot,
                folder=str(folder.resolve()),
            ),
        )
    if former is None or former.schedule != wanted:
        told = f"synced by the server: {in_words(wanted.cron, wanted.timezone)}" if wanted else "not synced any more"
        workspace.say(f"{table.name}: {told}")
