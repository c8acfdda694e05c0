"""How the syncs of tables stand: the last one, what is due next, and what is late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from slipway.ledger import entries, provenance
from slipway.operations.tables import TableSync
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredTable
from slipway.records.sources import Sync
from slipway.schema.schedules import in_words, last_time, next_time

__all__ = ["list_syncs"]

_MANY = 10_000
_GRACE = timedelta(minutes=5)
"""So long after its time a table is not called late yet."""


def list_syncs(workspace: Workspace) -> tuple[TableSync, ...]:
    """How each table stands that was ever synced, or shall be, in the workspace's environment; by name."""
    parent = f"{workspace.project}/{workspace.environment}"
    with workspace.ledger.read() as tx:
        syncs = entries.find(tx, Sync, parent=parent, limit=_MANY)
        declared = {one.name: one for one in entries.find(tx, DeclaredTable, parent=parent, limit=_MANY)}
    by_table: dict[str, list[Sync]] = {}
    for one in syncs:
        by_table.setdefault(one.name, []).append(one)
    names = sorted({*by_table, *declared})
    return tuple(_stands(name, by_table.get(name, []), declared.get(name), workspace.clock.now()) for name in names)


def _stands(name: str, syncs: list[Sync], declared: DeclaredTable | None, now: datetime) -> TableSync:
    last = max(syncs, key=lambda one: (one.created_at, one.id), default=None)
    good = [one.created_at for one in syncs if one.state in ("made", "unchanged")]
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
