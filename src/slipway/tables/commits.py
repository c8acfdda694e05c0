"""Making a version known: one transaction moves the head and writes record, lineage and event together."""

from __future__ import annotations

import random
import time as machine_time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from slipway.errors import Conflict, InvalidInput
from slipway.ledger import entries, events, lineage, versions
from slipway.operations.declare import check_allowed
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.sources import Synced
from slipway.records.tables import AboutTable, CheckResult, Manifest, TableChange, TableVersion
from slipway.tables.catalog import COMMIT, head_ref, node, record_id, subject
from slipway.tables.personal import check_about, check_personal, common_readers

__all__ = [
    "Also", "Draft", "Origin", "again_on_conflict", "alone", "commit", "moved_head", "note_about", "note_profile",
    "note_synced",
]  # fmt: skip

Also = Callable[[WriteTransaction, str], None]
"""Writes what belongs to a version, given its hash, in the transaction that makes it known."""

_WAIT_S = 0.02


def alone(tx: WriteTransaction, version: str) -> None:
    """Write nothing else with a version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is told with a version of where it came from.

    Args:
        source: In words: "flights in flight_delays.tables".
        run_id: The run that wrote it, or "".
        inputs: Lineage nodes that went into it.
        checks: What its checks found.
        about: What its declaration says about it; None keeps what its parent says.
        quarantined_rows: How many of the rows that came were set aside.
        profile: The digest of the blob with its profile, "" for none.
        synced: How far their source was read; None keeps what the parent says, unless all rows are others.
        onto: The version beside which this was judged ("" for none): another one in its place is a conflict. None
            where nothing depends on it.
    """

    source: str = ""
    run_id: str = ""
    inputs: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    about: AboutTable | None = None
    quarantined_rows: int = 0
    profile: str = ""
    synced: Synced | None = None
    onto: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A version whose parts are on disk and which nobody knows of yet.

    Args:
        manifest: What it consists of.
        change: What makes it of its parent.
        added_rows: How many rows come with it.
        changed_rows: How many of its parent's rows it replaces.
        removed_rows: How many of its parent's rows are not in it.
        fingerprint: The logical fingerprint of the whole content.
        data_until: The greatest event time in it, None without a time column.
    """

    manifest: Manifest
    change: TableChange
    added_rows: int = 0
    changed_rows: int = 0
    removed_rows: int = 0
    fingerprint: str
    data_until: datetime | None


def again_on_conflict(
    table: str, attempt: Callable[[], TableVersion], *, attempts: int = 20, once: bool = False
) -> TableVersion:
    """Make a version, and make it anew on what another writer left where that one was faster.

    Args:
        table: The table's name, for the error.
        attempt: Makes it on what is current now.
        attempts: How often.
        once: Whether a conflict is the caller's to solve: whoever judged the rows must judge them anew.

    Raises:
        Conflict: Others wrote the table again and again meanwhile.
    """
    for _ in range(1 if once else attempts):
        try:
            return attempt()
        except Conflict:
            if once:
                raise
            machine_time.sleep(random.uniform(0, _WAIT_S))
    raise Conflict(f"The table {table!r} is written all the time.", fix="Try again when fewer write at once.")


def commit(
    workspace: Workspace,
    table: str,
    draft: Draft,
    *,
    former: TableVersion | None,
    origin: Origin,
    branch: str = "",
    verb: str = COMMIT,
    settle: Callable[[], None] = lambda: None,
    also: Also = alone,
) -> TableVersion:
    """Make a draft known, in one transaction: the version's record, the head, lineage, the event.

    A version that existed before (the content went back) keeps its record, and the head returns to it.

    Args:
        workspace: Whose store is written.
        table: The table's name.
        draft: The version.
        former: The head that it was made from, None for a table's first version.
        origin: Where it came from.
        branch: The branch whose head moves, "" for the table's own.
        verb: The event's verb, one of `catalog.MOVES`.
        settle: Waits until the parts are durable; called once the manifest is.
        also: Writes what belongs to the version in the same transaction.

    Raises:
        Denied: The actor may not write tables, or would open to themselves what is closed to them.
        Conflict: The head is no longer `former`, or `former` is not what the origin was judged beside.
        InvalidInput: What is said of the table calls a column personal that it does not have.
    """
    check_allowed(workspace, verb, "tables.write")
    if origin.about is not None:
        check_about(workspace, former, origin.about, {field.name for field in draft.manifest.fields})
        check_personal(table, origin.about, (field.name for field in draft.manifest.fields))
    if origin.onto is not None and origin.onto != (former.version if former else ""):
        raise _written_by_another(table)
    version = workspace.blobs.put(msgspec.json.encode(draft.manifest))
    settle()
    with workspace.ledger.write() as tx:
        _check_not_erased(tx, workspace, former, version)
        record = _recorded(tx, workspace, table, version, draft, former, origin)
        moved_head(tx, workspace, record, former=former, branch=branch, verb=verb, change=draft.change)
        _link(tx, record, origin)
        also(tx, version)
    return record


def moved_head(
    tx: WriteTransaction,
    workspace: Workspace,
    version: TableVersion,
    *,
    former: TableVersion | None,
    branch: str = "",
    verb: str = COMMIT,
    change: str = "",
) -> None:
    """Move the head of a table, or of one of its branches, from one version to another, and record the event.

    Raises:
        Conflict: The head is no longer `former`.
    """
    try:
        expected = former.version if former else None
        tx.set_ref(workspace.project, *head_ref(version.name, branch), version.version, expect=expected)
    except Conflict as problem:
        raise _written_by_another(version.name) from problem
    body = {"version": version.version, "number": version.number, "change": change or version.change}
    where = {"branch": branch} if branch else {}
    about = subject(workspace.project, version.name)
    events.record(tx, workspace, verb, about, **body, rows=version.rows, **where)


def _check_not_erased(tx: WriteTransaction, workspace: Workspace, former: TableVersion | None, made: str) -> None:
    """A version keeps its hash when rows are erased from it; what was built on it before would bring them back."""
    if former is None or entries.get(tx, TableVersion, former.id).erased == former.erased:
        return
    if tx.get(entries.kind_of(TableVersion), record_id(workspace.project, former.name, made)) is None:
        workspace.blobs.delete(made)  # its statistics may hold what was erased
    raise Conflict(
        f"Rows were erased from the table {former.name!r} while this version of it was made.",
        fix="Do it again: it then builds on what is there now.",
    )


def note_synced(workspace: Workspace, version: TableVersion, synced: Synced) -> TableVersion:
    """Note with the current version how far its source was read, where reading on brought no other rows.

    Args:
        workspace: Whose store is written.
        version: The version that was current while the source was read; if it no longer is, nothing is noted.
        synced: How far.
    """
    with workspace.ledger.write() as tx:
        if tx.ref(workspace.project, *head_ref(version.name, "")) != version.version:
            return version
        known = entries.get(tx, TableVersion, version.id)
        if known.synced == synced:
            return known
        noted = msgspec.structs.replace(known, synced=synced)
        entries.put(tx, noted)
    return noted


def note_profile(workspace: Workspace, version: TableVersion, profile: bytes) -> None:
    """Keep the profile of a version that came without one, unless rows were erased from it meanwhile.

    Args:
        workspace: Whose store is written.
        version: The version as it was when its rows were read.
        profile: Their profile.
    """
    kept = workspace.blobs.put(profile)
    with workspace.ledger.write() as tx:
        known = entries.get(tx, TableVersion, version.id)
        if (known.erased, known.profile) == (version.erased, version.profile):
            entries.put(tx, msgspec.structs.replace(known, profile=kept))
        elif known.erased != version.erased:
            workspace.blobs.delete(kept)  # it may tell of what was erased


def note_about(workspace: Workspace, version: TableVersion, about: AboutTable) -> TableVersion:
    """Note with a version what its declaration says by now, where that alone has changed.

    Raises:
        Denied: The actor would open to themselves what is closed to them.
        InvalidInput: It calls a column personal that is not there.
    """
    check_about(workspace, version, about, (field.name for field in version.fields))
    check_personal(version.name, about, (field.name for field in version.fields))
    with workspace.ledger.write() as tx:
        known = entries.get(tx, TableVersion, version.id)
        noted = msgspec.structs.replace(known, about=about)
        if noted != known:
            entries.put(tx, noted)
    return noted


def _recorded(
    tx: WriteTransaction,
    workspace: Workspace,
    table: str,
    version: str,
    draft: Draft,
    former: TableVersion | None,
    origin: Origin,
) -> TableVersion:
    id = record_id(workspace.project, table, version)
    if tx.get(entries.kind_of(TableVersion), id) is not None:
        known = entries.get(tx, TableVersion, id)
        if known.erased:
            workspace.blobs.delete(version)  # its statistics may hold what was erased
            raise InvalidInput(
                f"The rows for the table {table!r} are those of version {known.number}, from which "
                f"{sum(one.rows for one in known.erased):,} rows were erased on {known.erased[-1].at:%Y-%m-%d}.",
                why="Whoever asked for that is still in the source.",
                fix="Remove these rows there, then write the table again.",
            )
        if known.cleaned_at is not None:  # its parts were written again just now
            known = msgspec.structs.replace(known, cleaned_at=None)
            entries.put(tx, known)
        if origin.synced is not None and origin.synced != known.synced:
            known = msgspec.structs.replace(known, synced=origin.synced)
            entries.put(tx, known)
        return known
    record = TableVersion(
        id=id,
        project=workspace.project,
        name=table,
        created_at=workspace.clock.now(),
        number=versions.next_number(tx, TableVersion, workspace.project, table),
        version=version,
        parent=former.version if former else "",
        change=draft.change,
        rows=draft.manifest.rows,
        added_rows=draft.added_rows,
        changed_rows=draft.changed_rows,
        removed_rows=draft.removed_rows,
        fingerprint=draft.fingerprint,
        fields=draft.manifest.fields,
        checks=origin.checks,
        source=origin.source,
        run_id=origin.run_id,
        data_until=draft.data_until,
        quarantined_rows=origin.quarantined_rows,
        about=origin.about or _inherited(tx, draft, former, origin),
        profile=origin.profile,
        synced=origin.synced or (former.synced if former and draft.change != "overwrite" else None),
    )
    entries.put(tx, record, expect=0)
    return record


def _inherited(tx: WriteTransaction, draft: Draft, former: TableVersion | None, origin: Origin) -> AboutTable:
    """What is known of a table of which nobody says anything: who may not see or read what it is made of may not here."""
    about = former.about if former else AboutTable()
    names = {field.name for field in draft.manifest.fields}
    sources = [
        entries.get(tx, TableVersion, id)
        for kind, _, id in (source.partition(":") for source in origin.inputs)
        if kind == "table" and tx.get(entries.kind_of(TableVersion), id) is not None
    ]
    personal = {*about.personal, *(column for source in sources for column in source.about.personal)}
    readers = common_readers((about, *(source.about for source in sources)))
    made_up = next((one.origin for one in (about, *(source.about for source in sources)) if one.origin), about.origin)
    return msgspec.structs.replace(about, personal=tuple(sorted(personal & names)), readers=readers, origin=made_up)


def _written_by_another(table: str) -> Conflict:
    return Conflict(
        f"The table {table!r} was written by somebody else while this version of it was made.",
        fix="Do it again: it then builds on what is there now.",
    )


def _link(tx: WriteTransaction, record: TableVersion, origin: Origin) -> None:
    target = node(record.project, record.name, record.version)
    if record.change != "overwrite" and record.parent:
        lineage.link(tx, node(record.project, record.name, record.parent), target, "parent")
    if origin.run_id:
        lineage.link(tx, f"run:{origin.run_id}", target, "output")
    for source in origin.inputs:
        lineage.link(tx, source, target, "source")
