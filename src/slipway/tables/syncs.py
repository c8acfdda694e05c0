"""How the syncs of tables stand: the last one, what is due next, and what is late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from slipway.ledger import entries, provenance
from slipway.operations.tables import TableSync
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredTable
from slipway.records.sources import Sync
from slipway.schema.schedules import in_words, last_time, next_time

__all__ = ["list_syncs", "synced_ref"]

_RECENT = 1000
"""Among so many of the newest syncs tables are looked for that were synced before each was named by a reference."""
_GRACE = timedelta(minutes=5)
"""So long after its time a table is not called late yet."""


def synced_ref(environment: str) -> str:
    """The kind of the references that name each table's last sync in an environment, by the table's name."""
    return f"sync:{environment}"


def list_syncs(workspace: Workspace) -> tuple[TableSync, ...]:
    """How each table stands that was ever synced, or shall be, in the workspace's environment; by name."""
    parent = f"{workspace.project}/{workspace.environment}"
    now = workspace.clock.now()
    with workspace.ledger.read() as tx:
        declared = {one.name: one for one in entries.every(tx, DeclaredTable, parent=parent)}
        last = tx.refs(workspace.project, synced_ref(workspace.environment))
        older = {one.name for one in entries.find(tx, Sync, parent=parent, limit=_RECENT)}
        names = sorted({*last, *declared, *older})
        return tuple(_stands(tx, workspace, name, declared.get(name), now) for name in names)


def _newest(tx: ReadTransaction, workspace: Workspace, name: str, state: str | None = None) -> Sync | None:
    parent = f"{workspace.project}/{workspace.environment}"
    found = entries.find(tx, Sync, project=workspace.project, name=name, state=state, parent=parent, limit=1)
    return found[0] if found else None


def _stands(
    tx: ReadTransaction, workspace: Workspace, name: str, declared: DeclaredTable | None, now: datetime
) -> TableSync:
    last = _newest(tx, workspace, name)
    ended = (_newest(tx, workspace, name, state) for state in ("made", "unchanged"))
    good = [one.created_at for one in ended if one is not None]
    spec = declared.schedule if declared is not None else None
    due = last_time(spec.cron, spec.timezone, now) if spec is not None else None
    following = next_time(spec.cron, spec.timezone, now) if spec is not None else None
    is_late = False
    if due is not None and declared is not None and due > declared.since:
        is_late = now - due > _GRACE and max(good, default=declared.since) < due
    is_killed = last is not None and last.state == "running" and bool(last.host) and provenance.is_host_gone(last.host)
    return TableSync(
        table=name,
        state="" if last is None else "killed" if is_killed else last.state,
        began_at=None if last is None else last.created_at,
        good_at=max(good, default=None),
        sentence="" if last is None else last.sentence,
        schedule="" if spec is None else in_words(spec.cron, spec.timezone),
        next_at=None if following is None else following.astimezone(UTC),
        is_late=is_late,
    )
