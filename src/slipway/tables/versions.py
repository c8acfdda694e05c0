"""Versions of tables: read one, replace the content, append to it.

A version is its manifest's digest. Parts and manifest are on disk before the one transaction that makes the version
known. A crash before it leaves files that nobody names; after it, all is there.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

import msgspec
import polars as pl

from slipway.ports.workspace import Workspace
from slipway.records.schema import Field
from slipway.records.tables import Manifest, TableVersion
from slipway.schema.frame_digests import FrameDigests, block_digests, of_blocks
from slipway.tables.catalog import (
    as_of,
    current,
    find_head,
    get,
    head,
    history,
    manifest_of,
    node,
    reads,
    words,
)
from slipway.tables.commits import Also, Draft, Origin, again_on_conflict, alone, commit
from slipway.tables.conform import check_declared
from slipway.tables.part_cache import part_folder
from slipway.tables.parts import PartWriter
from slipway.tables.personal import check_readable
from slipway.tables.resolve import Version, resolve
from slipway.tables.scans import greatest, scan_parts, schema_of, verify_parts
from slipway.tables.staging import Rows, Staged, cut, digests_of, joined_field, keep_tail, stage_with

__all__ = [
    "Draft",
    "Origin",
    "append",
    "appended",
    "as_of",
    "commit",
    "current",
    "gathered",
    "get",
    "head",
    "history",
    "manifest_of",
    "moved_onto",
    "node",
    "overwrite",
    "read",
    "reads",
    "resolve",
    "scan",
    "verify",
]

_MANY = 64
_TINY_ROWS = 16_384
_TINY_BYTES = 1 << 20
_ATTEMPTS = 100


def read(
    workspace: Workspace, table: str, version: Version | None = None, *, project: str | None = None
) -> pl.LazyFrame:
    """The rows of a version, lazily, in the order in which they were written.

    The version that is read is an input of what runs here: see `reads`.

    Args:
        workspace: Whose store is read.
        table: The table's name.
        version: Its number, hash, tag or branch, or an instant or date: see `resolve`. None for the current one, or the
            one that is pinned here.
        project: The table's project, None for the workspace's own.

    Raises:
        NotFound: There is no such table or version, or its rows were cleaned away.
        Corrupt: The manifest or a part is missing or altered.
        Denied: The table names its readers, and the actor is none.
    """
    owner = project or workspace.project
    check_readable(workspace, table, project=owner)
    found = resolve(workspace, table, version, project=owner)
    rows = scan(workspace, found, manifest_of(workspace, found))
    recorded = reads.get()
    if recorded is not None and node(owner, table, found.version) not in recorded:
        recorded.append(node(owner, table, found.version))
    return rows


def scan(workspace: Workspace, version: TableVersion, manifest: Manifest) -> pl.LazyFrame:
    """The rows of a version whose manifest is known; no input of anything.

    Raises:
        Corrupt: A part is missing or altered.
    """
    return scan_parts(part_folder(workspace, version.name, project=version.project), manifest, words(version))


def verify(
    workspace: Workspace, table: str, version: Version | None = None, *, project: str | None = None
) -> TableVersion:
    """Read every byte of a version and compare it with the digests; returns the version.

    Raises:
        NotFound: There is no such table or version, or its rows were cleaned away.
        Corrupt: The manifest or a part is missing or altered.
    """
    owner = project or workspace.project
    found = resolve(workspace, table, version, project=owner) if version else head(workspace, table, project=owner)
    verify_parts(part_folder(workspace, table, project=owner), manifest_of(workspace, found), words(found))
    return found


def overwrite(
    workspace: Workspace,
    table: str,
    rows: Rows,
    *,
    key: tuple[str, ...] = (),
    time: str = "",
    origin: Origin | None = None,
    branch: str = "",
    also: Also = alone,
) -> TableVersion:
    """Make rows the table's content. The same content again makes no new version.

    Args:
        workspace: Whose store is written.
        table: The table's name.
        rows: A Polars or pandas frame, a LazyFrame (run in batches), an iterable of frames, or what was staged.
        key: The columns that identify a row.
        time: The column of event time.
        origin: Where it came from.
        branch: The branch that is written, "" for the table itself.
        also: Writes what belongs to the version in its transaction; not called where there is no new version.

    Returns:
        The new version, or the current one when content, key and time are the same.

    Raises:
        InvalidInput: The rows are none, have no columns, lack the key's or time's, or hold a type that cannot be kept.
        NotFound: There is no such branch.
        Conflict: Somebody else wrote the table meanwhile.
        BackendError: The file system failed.
    """
    if branch:
        head(workspace, table, branch=branch)
    with workspace.ledger.read() as tx:
        former = find_head(tx, workspace.project, table, branch)
    before = None if former is None else manifest_of(workspace, former)
    if isinstance(rows, pl.DataFrame):
        check_declared(table, rows.schema, key, time)
        is_alike = former and before and (former.rows, before.key, before.time) == (rows.height, key, time)
        if former and is_alike and former.fingerprint == of_blocks(rows.schema, rows.height, block_digests(rows)):
            return former
    with PartWriter(workspace, table) as writer:
        is_staged = isinstance(rows, Staged) and (rows.table, rows.onto) == (table, "")
        staged = rows if is_staged else stage_with(writer, workspace, table, rows)
        check_declared(table, staged.schema, key, time)
        if former and before and (former.fingerprint, before.key, before.time) == (staged.fingerprint, key, time):
            return former
        ids, last_id = _field_ids(staged.fields, before)
        manifest = msgspec.structs.replace(staged.manifest, field_ids=ids, key=key, time=time, last_field_id=last_id)
        draft = Draft(
            manifest=manifest,
            change="overwrite",
            added_rows=staged.rows,
            fingerprint=staged.fingerprint,
            data_until=greatest(manifest),
        )
        told, settle = origin or Origin(), writer.finish
        return commit(workspace, table, draft, former=former, origin=told, branch=branch, settle=settle, also=also)


def append(
    workspace: Workspace,
    table: str,
    rows: Rows,
    *,
    origin: Origin | None = None,
    branch: str = "",
    also: Also = alone,
) -> TableVersion:
    """Add rows after those that are there. Old parts are neither read (but for one leaf of rows) nor written.

    Many processes may append at once: each gets a version of its own, one on top of the other.

    Args:
        workspace: Whose store is written.
        table: A table that has a version.
        rows: What `overwrite` takes, with the table's columns, in any order.
        origin: Where it came from.
        branch: The branch that is written, "" for the table itself.
        also: Writes what belongs to the version in its transaction; not called where there is no new version.

    Returns:
        The new version, or the current one when there are no rows.

    Raises:
        NotFound: The table has no version yet, or there is no such branch.
        InvalidInput: The columns are not the table's, or a value does not fit their types.
        Conflict: Others wrote the table again and again meanwhile.
        BackendError: The file system failed.
    """
    told = origin or Origin()
    first = head(workspace, table, branch=branch)
    with PartWriter(workspace, table) as writer:
        is_staged = isinstance(rows, Staged) and rows.onto == first.version
        staged: Staged = rows if is_staged else stage_with(writer, workspace, table, rows, onto=first)

        def attempt() -> TableVersion:
            nonlocal staged
            former = head(workspace, table, branch=branch)
            if former.version != staged.onto:
                writer.finish()  # what was staged is read again
                staged = moved_onto(workspace, writer, staged, former)
            if not staged.rows:
                return former
            draft = appended(former, manifest_of(workspace, former), staged)
            if not branch:
                draft = replace(draft, manifest=gathered(workspace, writer, former, draft.manifest))
            made = commit(
                workspace, table, draft, former=former, origin=told, branch=branch, settle=writer.finish, also=also
            )
            keep_tail(made.version, staged)
            return made

        return again_on_conflict(table, attempt, attempts=_ATTEMPTS, once=told.onto is not None)


def appended(former: TableVersion, before: Manifest, staged: Staged) -> Draft:
    """The version that rows make which were staged onto another."""
    manifest = msgspec.structs.replace(
        before,
        fields=tuple(map(joined_field, before.fields, staged.fields)),
        parts=before.parts + staged.parts,
        blocks=staged.blocks,
        leaves=staged.leaves,
    )
    return Draft(
        manifest=manifest,
        change="append",
        added_rows=staged.rows,
        fingerprint=of_blocks(schema_of(manifest), manifest.rows, manifest.blocks),
        data_until=greatest(manifest),
    )


def gathered(workspace: Workspace, writer: PartWriter, former: TableVersion, manifest: Manifest) -> Manifest:
    """The manifest with many tiny parts at its end written as one, so that small writes do not make it grow for ever.

    Not on a branch: its merge tells by the parts what was appended.
    """
    tiny = list(takewhile(lambda part: part.rows < _TINY_ROWS and part.size_bytes < _TINY_BYTES, manifest.parts[::-1]))
    if len(tiny) < _MANY:
        return manifest
    writer.finish()  # the newest of them is read again
    kept = manifest.parts[: -len(tiny)]
    folder = part_folder(workspace, former.name)
    rows = scan_parts(folder, manifest, words(former), manifest.parts[len(kept) :]).collect()
    made = tuple(writer.write(frame) for frame in cut(former.name, iter([rows])))
    return msgspec.structs.replace(manifest, parts=(*kept, *made))


def moved_onto(workspace: Workspace, writer: PartWriter, staged: Staged, onto: TableVersion) -> Staged:
    """What was staged for a version, made to follow another; its parts stay where the columns are the same."""
    manifest = manifest_of(workspace, onto)
    if schema_of(manifest) != staged.schema:
        return stage_with(writer, workspace, staged.table, staged, onto=onto)
    digests: FrameDigests = digests_of(workspace, onto, manifest)
    for frame in staged.frames():
        digests.add(frame)
    return replace(staged, blocks=digests.blocks, leaves=digests.leaves, onto=onto.version, tail=None)


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
