"""Syncing a table with its source: read what is new, clean it, write it, and keep how far it was read.

How far is kept with the version, in the version's transaction: a sync that is killed anywhere is done again from what
is stored, and neither loses nor doubles a row.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from slipway.charts.text import percent
from slipway.code import closure
from slipway.data.arrivals import Arrived, arrived, is_full, no_room, unseen
from slipway.data.declare import Table
from slipway.data.marks import Reach, Value, mark_of, reach_of, value_of
from slipway.data.write import Mode, write
from slipway.errors import Conflict, InvalidDeclaration, SlipwayError
from slipway.hashing import fingerprint
from slipway.ids import new_id
from slipway.ledger import entries, events, provenance
from slipway.ports.source import Ask, masked
from slipway.ports.workspace import Workspace
from slipway.records.sources import Sync, Synced
from slipway.records.tables import TableVersion
from slipway.tables.catalog import find_head, subject
from slipway.tables.commits import note_synced
from slipway.tables.syncs import synced_ref

__all__ = ["SYNCED", "begin_sync", "sync"]

SYNCED = "tables.sync"
_MANY = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a sync is going to do.

    Args:
        former: The version that is current, None for none.
        known: How far that one has read this very source, None where nobody knows.
        since: The watermark from which on rows are read, None for all.
        definition: The fingerprint of source and function, "" where it cannot be told.
    """

    former: TableVersion | None
    known: Synced | None
    since: Value | None
    definition: str


def begin_sync(
    workspace: Workspace,
    table: str,
    *,
    trigger: str,
    full: bool = False,
    snapshot: str = "",
    host: str = "",
    id: str = "",
) -> Sync:
    """Write down that a table is about to be synced.

    Args:
        workspace: Whose table.
        table: Its name.
        trigger: What asks for it, in words.
        full: Whether everything is read again.
        snapshot: The project snapshot that will run, "" for a checkout.
        host: The process that does it, "" where it is yet to start.
        id: The one id that this sync can have, "" for a new one.

    Raises:
        Conflict: Somebody else has written down the sync with this id.
    """
    begun = Sync(
        id=id or new_id(),
        project=workspace.project,
        name=table,
        created_at=workspace.clock.now(),
        parent_id=f"{workspace.project}/{workspace.environment}",
        trigger=trigger,
        full=full,
        snapshot=snapshot,
        attempts=1,
        host=host,
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, begun, expect=0)
        ref = synced_ref(workspace.environment)
        tx.set_ref(workspace.project, ref, table, begun.id, expect=tx.ref(workspace.project, ref, table))
    return begun


def sync(
    workspace: Workspace, table: Table, folder: Path, *, full: bool = False, run_id: str = "", begun: Sync | None = None
) -> Sync:
    """Read what is new in a table's source, or everything, and make it part of the table.

    Rows replace those of the same key; a table without a key gets the rows that it does not have yet. Without a
    watermark, and when all is read again, the rows become the whole table: what is gone from the source is gone.

    Args:
        workspace: Where the version goes; what was found goes to its `say`.
        table: The declaration.
        folder: Where relative paths of the source begin.
        full: Whether to read everything again.
        run_id: The run that does it, or "".
        begun: What `begin_sync` wrote, None to begin now.

    Returns:
        What came of it.

    Raises:
        Conflict: The table is being synced by another process.
        StepFailed: The table's function raised.
        InvalidInput: The rows do not fit the table, or a check that blocks failed.
        NotFound: The source is not there.
        Unavailable: The source cannot be reached, or broke off.
        BackendError: The source refuses.
    """
    with _only_one(workspace, table.name) as scratch:
        host = provenance.host()
        if begun is None:
            begun = begin_sync(workspace, table.name, trigger="by hand", full=full, host=host)
        else:
            begun = msgspec.structs.replace(begun, host=host)
        _settle_others(workspace, begun)
        try:
            version, rows, is_new = _synced(workspace, table, folder, scratch, full=full, run_id=run_id)
        except BaseException as raised:
            shutil.rmtree(scratch, ignore_errors=True)  # on a full disk there is room then to say that it is full
            problem = no_room(table.name, scratch) if is_full(raised) else raised
            told = str(problem) if isinstance(problem, SlipwayError) else f"{type(problem).__name__}: {problem}"
            _end(workspace, begun, state="failed", sentence=masked(told))
            if problem is not raised:
                raise problem from raised
            raise
        kind = "made" if is_new else "unchanged"
        words = f"{rows:,} rows were read; version {version.number}" + ("." if is_new else " stays: nothing is new.")
        return _end(workspace, begun, state=kind, sentence=words, rows=rows, version=version.version)


def _synced(
    workspace: Workspace, table: Table, folder: Path, scratch: Path, *, full: bool, run_id: str
) -> tuple[TableVersion, int, bool]:
    """The version that is current now, how many rows were read, and whether it is a new one."""
    feed = table.feed
    plan = _plan(workspace, table, full=full)
    is_known = plan.known is not None and not full and bool(plan.definition)
    marker = plan.known.marker if is_known and plan.known and plan.known.definition == plan.definition else ""
    ask = Ask(column=feed.watermark, since=plan.since, order=table.key, marker=marker)
    came = arrived(table, ask, folder, scratch)
    if came is None or (not came.raw.collect_schema() and plan.former is not None and plan.since is not None):
        assert plan.former is not None  # there is a marker or a watermark of it
        workspace.say(f"{table.name}: nothing is new, version {plan.former.number} ({plan.former.version[:12]})")
        return plan.former, 0, False
    reach = _reach(workspace, table, came)
    rows = came.cleaned(workspace, plan.former, is_partial=plan.since is not None)
    mode: Mode = "overwrite"
    if plan.since is not None and plan.former is not None:
        mode = "upsert" if table.key else "append"
        rows = rows if table.key else unseen(workspace, table, rows, plan.former, plan.since)
    came.check()
    synced = _how_far(table, plan, came, reach)
    inputs = (f"source:{type(feed.source).__struct_config__.tag}:{synced.place}",) if feed.source is not None else ()
    made = write(
        workspace,
        table,
        rows,
        mode=mode,
        source=synced.place,
        run_id=run_id,
        inputs=(*inputs, *came.inputs),
        synced=synced,
    )
    is_new = plan.former is None or made.version != plan.former.version
    return (made if is_new else note_synced(workspace, made, synced)), synced.rows, is_new


def _plan(workspace: Workspace, table: Table, *, full: bool) -> _Plan:
    with workspace.ledger.read() as tx:
        former = find_head(tx, workspace.project, table.name)
    known = former.synced if former is not None else None
    definition = _definition(table)
    if known is not None and (known.place, known.watermark) != (_place(table), table.feed.watermark):
        workspace.say(f"{table.name}: its source or watermark is another one now: everything is read again")
        known = None
    if known is None or full or known.reached is None or not table.feed.watermark:
        return _Plan(former=former, known=known, since=None, definition=definition)
    if definition and known.definition and known.definition != definition:
        workspace.say(
            f"  its function has changed: rows stored before stay as they are; all anew: "
            f"slipway data sync {table.name} --full"
        )
    since = value_of(known.reached)
    workspace.say(f"{table.name}: reading {table.feed.watermark} from {since} on")
    return _Plan(former=former, known=known, since=since, definition=definition)


def _place(table: Table) -> str:
    return table.feed.place(f"{table.function.__module__}:{table.function.__qualname__}")


def _definition(table: Table) -> str:
    try:
        code = closure(table.function).hash if table.feed.takes else ""
    except InvalidDeclaration:  # of a notebook, or with a value that cannot be read: then nobody can tell
        return ""
    return fingerprint([code, table.feed.source])


def _reach(workspace: Workspace, table: Table, came: Arrived) -> Reach:
    column = table.feed.watermark
    if not column:
        return Reach(rows=came.count(), reached=None, nulls=0, future=0)
    reach = came.run(lambda rows: reach_of(rows, column, workspace.clock.now(), table=table.name))
    if reach.nulls:
        share = percent(reach.nulls, reach.rows)
        workspace.say(f"  warning: {reach.nulls:,} rows have no {column} ({share}): only a full sync finds them again")
    if reach.future:
        workspace.say(f"  warning: {reach.future:,} rows have a {column} in the future: kept, and read again next time")
    return reach


def _how_far(table: Table, plan: _Plan, came: Arrived, reach: Reach) -> Synced:
    reached = reach.reached
    if plan.since is not None:
        reached = plan.since if reached is None else max(plan.since, reached)
    return Synced(
        place=_place(table),
        watermark=table.feed.watermark,
        reached=None if reached is None else mark_of(reached),
        marker=came.marker,
        digest=came.digest,
        definition=plan.definition,
        rows=reach.rows,
    )


@contextmanager
def _only_one(workspace: Workspace, table: str) -> Iterator[Path]:
    """Be the only process that syncs a table; the system frees the lock with the process. Gives an empty folder."""
    home = workspace.root / "syncs" / workspace.project / table
    home.mkdir(parents=True, exist_ok=True)
    with (home / "sync.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise Conflict(
                f"The table {table!r} is being synced by another process.", fix="Wait for it: slipway data list"
            ) from problem
        for left in home.glob("scratch-*"):  # of one that was killed
            shutil.rmtree(left, ignore_errors=True)
        scratch = home / f"scratch-{os.getpid()}"
        scratch.mkdir()
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _settle_others(workspace: Workspace, begun: Sync) -> None:
    """Whoever else began to sync the table is gone: this process holds its lock."""
    with workspace.ledger.write() as tx:
        found = entries.find(tx, Sync, parent=begun.parent_id, name=begun.name, state="running", limit=_MANY)
        for one in found:
            if one.id != begun.id and one.host:
                told = "Its process was killed; what it had read is read again."
                ended = {"state": "failed", "sentence": told, "ended_at": workspace.clock.now()}
                entries.put(tx, msgspec.structs.replace(one, **ended))
        entries.put(tx, begun)


def _end(workspace: Workspace, begun: Sync, **fields: object) -> Sync:
    ended = msgspec.structs.replace(begun, ended_at=workspace.clock.now(), **fields)
    with workspace.ledger.write() as tx:
        entries.put(tx, ended)
        body = {"state": ended.state, "rows": ended.rows, "version": ended.version, "trigger": ended.trigger}
        events.record(tx, workspace, SYNCED, subject(workspace.project, begun.name), **body)
    return ended
