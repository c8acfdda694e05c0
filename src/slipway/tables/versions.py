"""Versions of tables: read one, replace the content, append to it.

A version is a manifest's hash. Parts and manifest are on disk before the one transaction that makes the version known:
record, head, lineage and event together. A crash before it leaves files that nobody names; after it, all is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import polars as pl

from slipway.context import Slot
from slipway.errors import Conflict, InvalidInput, near
from slipway.hashing import fingerprint
from slipway.ids import check_name
from slipway.ledger import entries, events, lineage, versions
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.schema import Field
from slipway.records.tables import AboutTable, CheckResult, Manifest, TableChange, TableVersion
from slipway.schema.fingerprints import BLOCK_ROWS, block_digests, of_blocks
from slipway.schema.types import fields_of, frame_of
from slipway.tables.catalog import (
    COMMIT,
    HEAD,
    as_of,
    current,
    find_head,
    get,
    head,
    history,
    manifest_of,
    node,
    record_id,
    subject,
)
from slipway.tables.parts import scan_parts, table_folder, verify_parts, write_parts

__all__ = [
    "Draft",
    "Origin",
    "append",
    "as_of",
    "commit",
    "current",
    "get",
    "head",
    "history",
    "manifest_of",
    "node",
    "overwrite",
    "read",
    "reads",
    "verify",
    "write_parts",
]

reads: Slot[list[str]] = Slot("slipway.tables.reads")
"""Where it is filled, `read` adds the lineage node of each version that was read, once."""

_ATTEMPTS = 5


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
        onto: The version on which this was judged ("" for none): another one in its place is a conflict. None where
            nothing depends on it.
    """

    source: str = ""
    run_id: str = ""
    inputs: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    about: AboutTable | None = None
    quarantined_rows: int = 0
    profile: str = ""
    onto: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A version whose parts are on disk and which nobody knows of yet.

    Args:
        manifest: What it consists of.
        change: What makes it of its parent.
        added_rows: How many rows come with it.
        fingerprint: The logical fingerprint of the whole content.
        data_until: The greatest event time in it, None without a time column.
    """

    manifest: Manifest
    change: TableChange
    added_rows: int
    fingerprint: str
    data_until: datetime | None


def read(workspace: Workspace, table: str, version: str | None = None, *, project: str | None = None) -> pl.LazyFrame:
    """The rows of a version, lazily, in the order in which they were written.

    The version that is read is an input of what runs here: see `reads`.

    Args:
        workspace: Whose store is read.
        table: The table's name.
        version: Its hash, None for the current one, or the one that is pinned here.
        project: The table's project, None for the workspace's own.

    Raises:
        NotFound: There is no such table or version.
        Corrupt: The manifest or a part is missing or altered.
    """
    owner = project or workspace.project
    found = get(workspace, table, version, project=owner) if version else current(workspace, table, project=owner)
    rows = _scan(workspace, found, manifest_of(workspace, found))
    recorded = reads.get()
    if recorded is not None and node(owner, table, found.version) not in recorded:
        recorded.append(node(owner, table, found.version))
    return rows


def verify(workspace: Workspace, table: str, version: str | None = None, *, project: str | None = None) -> TableVersion:
    """Read every byte of a version and compare it with the digests; returns the version.

    Raises:
        NotFound: There is no such table or version.
        Corrupt: The manifest or a part is missing or altered.
    """
    owner = project or workspace.project
    found = get(workspace, table, version, project=owner) if version else head(workspace, table, project=owner)
    verify_parts(table_folder(workspace, table, project=owner), manifest_of(workspace, found), _words(found))
    return found


def overwrite(
    workspace: Workspace,
    table: str,
    frame: Any,
    *,
    key: tuple[str, ...] = (),
    time: str = "",
    origin: Origin | None = None,
) -> TableVersion:
    """Make a frame the table's content. The same content again makes no new version.

    Args:
        workspace: Whose store is written.
        table: The table's name.
        frame: A Polars or pandas frame.
        key: The columns that identify a row.
        time: The column of event time.
        origin: Where it came from.

    Returns:
        The new version, or the current one when content, key and time are the same.

    Raises:
        InvalidInput: The frame is none, has no columns, lacks the key's or time's, or holds a type that cannot be kept.
        Conflict: Somebody else wrote the table meanwhile.
        BackendError: The file system failed.
    """
    data = _checked(table, frame_of(frame, f"What is to become {table}"), key, time)
    with workspace.ledger.read() as tx:
        former = find_head(tx, workspace.project, table)
    before = None if former is None else manifest_of(workspace, former)
    blocks = block_digests(data)
    content = of_blocks(data.schema, data.height, blocks)
    if former and before and (former.fingerprint, before.key, before.time) == (content, key, time):
        return former
    fields = fields_of(data)
    ids, last_id = _field_ids(fields, before)
    manifest = Manifest(
        fields=fields,
        field_ids=ids,
        parts=write_parts(workspace, table, data),
        key=key,
        time=time,
        blocks=blocks,
        last_field_id=last_id,
    )
    until = _greatest(data, time)
    draft = Draft(manifest=manifest, change="overwrite", added_rows=data.height, fingerprint=content, data_until=until)
    return commit(workspace, table, draft, former=former, origin=origin or Origin())


def append(workspace: Workspace, table: str, frame: Any, *, origin: Origin | None = None) -> TableVersion:
    """Add rows after those that are there. Old parts are neither read (but for one block of rows) nor written.

    Two processes may append at once: each gets a version of its own, one on top of the other.

    Args:
        workspace: Whose store is written.
        table: A table that has a version.
        frame: A Polars or pandas frame with the table's columns, in any order.
        origin: Where it came from.

    Returns:
        The new version, or the current one when the frame has no rows.

    Raises:
        NotFound: The table has no version yet.
        InvalidInput: The columns are not the table's, or a value does not fit their types.
        Conflict: Others wrote the table again and again meanwhile.
        BackendError: The file system failed.
    """
    data = frame_of(frame, f"What is to be appended to {table}")
    for attempt in range(_ATTEMPTS):
        former = head(workspace, table)
        before = manifest_of(workspace, former)
        old = _scan(workspace, former, before)
        fitting = _conformed(table, data, old.collect_schema())
        if not fitting.height:
            return former
        tail = before.rows % BLOCK_ROWS
        joined = pl.concat([old.slice(before.rows - tail, tail).collect(), fitting]) if tail else fitting
        blocks = before.blocks[: before.rows // BLOCK_ROWS] + block_digests(joined)
        parts = before.parts + write_parts(workspace, table, fitting)
        fields = tuple(map(_widened, before.fields, fields_of(fitting)))
        manifest = msgspec.structs.replace(before, fields=fields, parts=parts, blocks=blocks)
        until = max(filter(None, [former.data_until, _greatest(fitting, before.time)]), default=None)
        content = of_blocks(fitting.schema, manifest.rows, blocks)
        draft = Draft(
            manifest=manifest, change="append", added_rows=fitting.height, fingerprint=content, data_until=until
        )
        try:
            return commit(workspace, table, draft, former=former, origin=origin or Origin())
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
    raise Conflict(f"The table {table!r} is written all the time.", fix="Try again when fewer write at once.")


def commit(
    workspace: Workspace, table: str, draft: Draft, *, former: TableVersion | None, origin: Origin
) -> TableVersion:
    """Make a draft known, in one transaction: the version's record, the head, lineage, the event.

    A version that existed before (the content went back) keeps its record, and the head returns to it.

    Raises:
        Conflict: The head is no longer `former`.
    """
    if origin.onto is not None and origin.onto != (former.version if former else ""):
        raise _written_by_another(table)
    version = fingerprint(draft.manifest)
    blob = workspace.blobs.put(msgspec.json.encode(draft.manifest))
    project = workspace.project
    with workspace.ledger.write() as tx:
        known = tx.get(entries.kind_of(TableVersion), record_id(project, table, version))
        if known is not None:
            record = entries.get(tx, TableVersion, known.id)
        else:
            record = TableVersion(
                id=record_id(project, table, version),
                project=project,
                name=table,
                created_at=workspace.clock.now(),
                number=versions.next_number(tx, TableVersion, project, table),
                version=version,
                manifest=blob,
                parent=former.version if former else "",
                change=draft.change,
                rows=draft.manifest.rows,
                added_rows=draft.added_rows,
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
        try:
            tx.set_ref(project, HEAD, table, version, expect=former.version if former else None)
        except Conflict as problem:
            raise _written_by_another(table) from problem
        _link(tx, record, origin)
        body = {"version": version, "number": record.number, "change": draft.change, "rows": record.rows}
        events.record(tx, workspace, COMMIT, subject(project, table), **body)
    return record


def _scan(workspace: Workspace, version: TableVersion, manifest: Manifest) -> pl.LazyFrame:
    return scan_parts(table_folder(workspace, version.name, project=version.project), manifest, _words(version))


def _words(version: TableVersion) -> str:
    return f"Version {version.number} of the table {version.name!r} ({version.version[:12]})"


def _written_by_another(table: str) -> Conflict:
    return Conflict(
        f"The table {table!r} was written by somebody else while this version of it was made.",
        fix="Do it again: it then builds on what is there now.",
    )


def _link(tx: WriteTransaction, record: TableVersion, origin: Origin) -> None:
    target = node(record.project, record.name, record.version)
    if record.change == "append" and record.parent:
        lineage.link(tx, node(record.project, record.name, record.parent), target, "parent")
    if origin.run_id:
        lineage.link(tx, f"run:{origin.run_id}", target, "output")
    for source in origin.inputs:
        lineage.link(tx, source, target, "source")


def _checked(table: str, frame: pl.DataFrame, key: tuple[str, ...], time: str) -> pl.DataFrame:
    check_name(table, "table")
    if not frame.width:
        raise InvalidInput(
            f"The frame for the table {table!r} has no columns.", fix="Return a frame with at least one column."
        )
    for role, name in [*(("key", name) for name in key), *([("time", time)] if time else [])]:
        if name not in frame.columns:
            raise InvalidInput(
                f"The {role} column {name!r} is not in the table {table!r}.",
                why=near(name, frame.columns, what="columns"),
                field=name,
            )
    dtype = frame.schema.get(time)
    if dtype is not None and not (isinstance(dtype, pl.Datetime) and dtype.time_zone):
        raise InvalidInput(
            f"The time column {time!r} of the table {table!r} has the type {dtype}.",
            why="Event time is an instant: a datetime with a time zone.",
            fix=f"Say which zone: pl.col({time!r}).dt.replace_time_zone('America/New_York').dt.convert_time_zone('UTC').",
            field=time,
        )
    return frame


def _conformed(table: str, frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    missing = [name for name in schema if name not in frame.columns]
    unknown = [name for name in frame.columns if name not in schema]
    if missing or unknown:
        name = (unknown or missing)[0]
        raise InvalidInput(
            f"The rows do not have the columns of the table {table!r}: "
            f"{f'{unknown[0]!r} is not one of them' if unknown else f'{missing[0]!r} is missing'}.",
            why=near(name, schema if unknown else frame.columns, what="columns"),
            fix="Rename or add it, or overwrite the table to change its columns.",
            field=name,
        )
    try:
        return frame.select(pl.col(name).cast(dtype, strict=True) for name, dtype in schema.items())
    except pl.exceptions.PolarsError as problem:
        raise InvalidInput(
            f"The rows do not fit the types of the table {table!r}: {str(problem).splitlines()[0]}.",
            fix="Cast the column, or overwrite the table to change its types.",
        ) from problem


def _field_ids(fields: tuple[Field, ...], before: Manifest | None) -> tuple[tuple[int, ...], int]:
    """Ids for fields: a column keeps the id that its name had, a new one gets an id that was never used."""
    known = {} if before is None else {f.name: i for f, i in zip(before.fields, before.field_ids, strict=True)}
    last = 0 if before is None else before.last_field_id
    ids = []
    for field in fields:
        if field.name not in known:
            last += 1
        ids.append(known.get(field.name, last))
    return tuple(ids), last


def _widened(old: Field, new: Field) -> Field:
    added = sorted(set(new.categories) - set(old.categories))
    return Field(old.name, old.type, old.nullable or new.nullable, (*old.categories, *added))


def _greatest(frame: pl.DataFrame, time: str) -> datetime | None:
    if not time:
        return None
    greatest = frame.select(pl.col(time).dt.cast_time_unit("us").max()).item()
    return None if greatest is None else greatest.astimezone(UTC)
