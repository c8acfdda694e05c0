"""Making a version known: one transaction moves the head and writes record, lineage and event together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from slipway.errors import Conflict
from slipway.ledger import entries, events, lineage, versions
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.tables import AboutTable, CheckResult, Manifest, TableChange, TableVersion
from slipway.tables.catalog import COMMIT, head_ref, node, record_id, subject

__all__ = ["Draft", "Origin", "commit"]


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
    """

    source: str = ""
    run_id: str = ""
    inputs: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    about: AboutTable | None = None
    quarantined_rows: int = 0
    profile: str = ""


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
        settle: Waits until the parts are durable; called while the manifest is.

    Raises:
        Conflict: The head is no longer `former`.
    """
    version = workspace.blobs.put(msgspec.json.encode(draft.manifest))
    settle()
    with workspace.ledger.write() as tx:
        record = _recorded(tx, workspace, table, version, draft, former, origin)
        try:
            expected = former.version if former else None
            tx.set_ref(workspace.project, *head_ref(table, branch), version, expect=expected)
        except Conflict as problem:
            raise Conflict(
                f"The table {table!r} was written by somebody else while this version of it was made.",
                fix="Do it again: it then builds on what is there now.",
            ) from problem
        _link(tx, record, origin)
        body = {"version": version, "number": record.number, "change": draft.change, "rows": record.rows}
        where = {"branch": branch} if branch else {}
        events.record(tx, workspace, verb, subject(workspace.project, table), **body, **where)
    return record


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
        if known.cleaned_at is not None:  # its parts were written again just now
            known = msgspec.structs.replace(known, cleaned_at=None)
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
        about=origin.about or (former.about if former else AboutTable()),
        profile=origin.profile,
    )
    entries.put(tx, record, expect=0)
    return record


def _link(tx: WriteTransaction, record: TableVersion, origin: Origin) -> None:
    target = node(record.project, record.name, record.version)
    if record.change != "overwrite" and record.parent:
        lineage.link(tx, node(record.project, record.name, record.parent), target, "parent")
    if origin.run_id:
        lineage.link(tx, f"run:{origin.run_id}", target, "output")
    for source in origin.inputs:
        lineage.link(tx, source, target, "source")
