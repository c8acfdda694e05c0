"""Tables that the server syncs: what is due is begun, what was killed begins again, what failed opens an incident."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

import msgspec

from slipway.data.sync import begin_sync
from slipway.errors import Conflict, Corrupt, SlipwayError
from slipway.governance.outbox import announce_end
from slipway.governance.telling import assigned
from slipway.ids import new_id
from slipway.ledger import entries, provenance
from slipway.loop import CONTROLLER
from slipway.loop.firings import firing_id
from slipway.pipelines import staging
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredTable
from slipway.records.monitors import Incident
from slipway.records.sources import Sync
from slipway.schema.schedules import in_words, last_time

__all__ = ["pass_over_tables", "running_syncs", "settle_syncs"]

_ATTEMPTS = 3
_SETTLES_WITHIN_S = 1800.0
_OWNER = "data engineer"


def pass_over_tables(workspace: Workspace) -> list[str]:
    """Bring each table with a schedule one step further; returns what was done, a sentence each.

    A time that was missed is caught up once. A table whose sync failed has its turn again at the next time.

    Raises:
        BackendError: No process can be started. The other tables have had their turn then.
    """
    done: list[str] = []
    problems: list[SlipwayError] = []
    for declared in _declared(workspace):
        try:
            done += _table(workspace, declared)
        except SlipwayError as problem:
            problems.append(problem)
    if problems:
        raise problems[0]
    return done


def running_syncs(workspace: Workspace) -> list[Sync]:
    """The syncs under way that the loop has begun."""
    with workspace.ledger.read() as tx:
        return [one for one in _syncs(tx, workspace, state="running") if one.snapshot]


def settle_syncs(workspace: Workspace) -> None:
    """Wait until the syncs under way have ended, so that machine time decides nothing."""
    for one in running_syncs(workspace):
        workspace.runner.wait(_folder(workspace, one), timeout_s=_SETTLES_WITHIN_S)


def _table(workspace: Workspace, declared: DeclaredTable) -> list[str]:
    with workspace.ledger.read() as tx:
        running = list(_syncs(tx, workspace, declared.name, state="running"))
    done: list[str] = []
    for one in running:
        told = _absorbed(workspace, one, declared)
        if not told:
            return done  # never two at once
        done.append(told)
    done += _incidents(workspace, declared.name)
    at = _due(declared, workspace.clock.now())
    assert declared.schedule is not None or at is None
    if at is None or declared.schedule is None:
        return done
    words = in_words(declared.schedule.cron, declared.schedule.timezone)
    with workspace.ledger.read() as tx:
        since = takewhile(lambda one: one.created_at >= at, _syncs(tx, workspace, declared.name))
        if any(one.trigger == words for one in since):
            return done
    _tidy(workspace, declared.name)
    id = firing_id(f"{declared.id} {declared.since.isoformat()}", words, at.astimezone(UTC).isoformat())
    try:
        begun = begin_sync(workspace, declared.name, trigger=words, snapshot=declared.snapshot, id=id)
    except Conflict:  # another controller was faster: its sync is found by the next look
        return done
    _launch(workspace, begun, declared)
    return [*done, f"{declared.name}: a sync began ({words})"]


def _tidy(workspace: Workspace, table: str) -> None:
    """Remove the folders of syncs that ended well: a schedule of minutes would fill the disk. What failed is kept."""
    with workspace.ledger.read() as tx:
        for one in _syncs(tx, workspace, table):
            if one.snapshot and one.state in ("made", "unchanged"):
                if not _folder(workspace, one).is_dir():
                    return  # it was removed before, and those before it
                shutil.rmtree(_folder(workspace, one), ignore_errors=True)


def _due(declared: DeclaredTable, now: datetime) -> datetime | None:
    """The last time at which a table was to be synced, None where there was none since its schedule was declared."""
    if declared.schedule is None:
        return None
    at = last_time(declared.schedule.cron, declared.schedule.timezone, now)
    return at if at is not None and at > declared.since else None


def _launch(workspace: Workspace, begun: Sync, declared: DeclaredTable) -> None:
    task = staging.task(workspace, snapshot=begun.snapshot, actor=CONTROLLER, sync=begun.id, folder=declared.folder)
    workspace.runner.start(staging.stage(workspace, begun.id, task))


def _absorbed(workspace: Workspace, present: Sync, declared: DeclaredTable) -> str:
    """What has become of a sync that is written down as running; "" while it does run."""
    if not present.snapshot:  # by hand: it tells its own end, unless it was killed
        if not present.host or not provenance.is_host_gone(present.host):
            return ""
        return _failed(workspace, present, "Its process was killed; what it had read is read again.")
    state = workspace.runner.state(_folder(workspace, present))
    if state == "running":
        return ""
    with workspace.ledger.read() as tx:
        now = entries.get(tx, Sync, present.id)
    if now.state != "running":  # it has ended between the two looks
        return f"{now.name}: {now.state}"
    if state == "absent" and present.attempts < _ATTEMPTS:
        again = msgspec.structs.replace(now, attempts=present.attempts + 1)
        with workspace.ledger.write() as tx:
            entries.put(tx, again)
        _launch(workspace, again, declared)
        return ""
    return _failed(workspace, now, _why(workspace, now, state))


def _why(workspace: Workspace, present: Sync, state: str) -> str:
    if state == "absent":
        return f"Its process ended {present.attempts} times without an answer."
    try:
        answered = staging.answer(_folder(workspace, present))
    except Corrupt as problem:
        return str(problem)
    return answered.error.message if answered is not None and answered.error is not None else "It left no answer."


def _failed(workspace: Workspace, present: Sync, why: str) -> str:
    ended = msgspec.structs.replace(present, state="failed", sentence=why, ended_at=workspace.clock.now())
    with workspace.ledger.write() as tx:
        entries.put(tx, ended)
    return f"{present.name}: failed"


def _incidents(workspace: Workspace, table: str) -> list[str]:
    """Open an incident when a table's last sync failed, close it when one has ended well."""
    with workspace.ledger.read() as tx:  # most passes find nothing to write, and keep nobody else from writing
        if _incident(tx, workspace, table) is None:
            return []
    with workspace.ledger.write() as tx:
        wanted = _incident(tx, workspace, table)
        if wanted is None:
            return []
        is_new = wanted.state == "open"
        entries.put(tx, assigned(tx, workspace, wanted) if is_new else wanted)
        if not is_new:
            announce_end(tx, workspace, wanted)
    return [f"{table}: {'an incident was opened' if wanted.state == 'open' else 'its incident was closed'}"]


def _incident(tx: ReadTransaction, workspace: Workspace, table: str) -> Incident | None:
    """The incident that is to be opened or closed, None where all stands as it should."""
    parent, now = f"{workspace.project}/table:{table}", workspace.clock.now()
    last = next(_syncs(tx, workspace, table, page=1), None)
    present = next(iter(entries.find(tx, Incident, parent=parent, state="open", limit=1)), None)
    if last is None or last.state == "running":
        return None
    if last.state == "failed" and present is None:
        return Incident(
            id=new_id(),
            project=workspace.project,
            name="sync",
            created_at=now,
            parent_id=parent,
            sentence=f"The table {table!r} could not be synced: {last.sentence}",
            owner=_OWNER,
            cause="sync",
        )
    if last.state != "failed" and present is not None:
        return msgspec.structs.replace(present, state="closed", closed_at=now, why=f"a sync ended well: {last.state}")
    return None


def _declared(workspace: Workspace) -> list[DeclaredTable]:
    with workspace.ledger.read() as tx:
        return sorted(entries.every(tx, DeclaredTable, parent=_parent(workspace)), key=lambda one: one.name)


def _syncs(
    tx: ReadTransaction, workspace: Workspace, table: str | None = None, *, state: str | None = None, page: int = 100
) -> Iterator[Sync]:
    """Syncs of this environment, newest first."""
    parent = _parent(workspace)
    return entries.every(tx, Sync, project=workspace.project, name=table, state=state, parent=parent, page=page)


def _parent(workspace: Workspace) -> str:
    return f"{workspace.project}/{workspace.environment}"


def _folder(workspace: Workspace, present: Sync) -> Path:
    return workspace.root.resolve() / "tasks" / present.id
