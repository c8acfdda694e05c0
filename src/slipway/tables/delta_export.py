"""The body of the operation that makes a table's versions readable as a Delta table."""

from __future__ import annotations

import shutil
from dataclasses import replace

import polars as pl

from slipway.errors import BackendError, Denied, InvalidInput, SlipwayError
from slipway.ledger import events
from slipway.operations.delta import DeltaExport, ExportDelta
from slipway.ports.workspace import Workspace
from slipway.records.tables import TableVersion
from slipway.tables.catalog import history, manifest_of, subject
from slipway.tables.delta_log import LOG, Snapshot, bounded_in, delta_type, refusal_of, table_id, write_log
from slipway.tables.part_cache import part_folder
from slipway.tables.part_folders import table_folder
from slipway.tables.personal import PERMISSION, Personal, check_readable, may_see
from slipway.tables.resolve import resolve
from slipway.tables.scans import scan_parts

__all__ = ["export_delta", "rebuild_delta"]


def export_delta(workspace: Workspace, request: ExportDelta) -> DeltaExport:
    """Bring a table's Delta log up to date and say how to read one version of it. No data is copied.

    Raises:
        Denied: It has personal columns, or names its readers, and the actor may not see them, or is none.
        NotFound: There is no such table or version.
        InvalidInput: The version that was asked for cannot be read as Delta.
        Conflict: The table's folder holds a Delta log that is not Slipway's.
    """
    check_readable(workspace, request.name)
    personal = Personal(workspace).names_ever(workspace.project, request.name)
    if personal and not may_see(workspace.actor):
        raise Denied(
            f"{workspace.actor.name} may not export the table {request.name!r}.",
            why=f"Whoever reads its files reads its personal columns: {', '.join(sorted(personal))}.",
            fix=f"Ask somebody with the permission {PERMISSION!r} (slipway people roles).",
        )
    wanted = resolve(workspace, request.name, request.version)
    folder = table_folder(workspace, request.name)
    written, newest = _write(workspace, request.name)
    found = _snapshot(workspace, wanted.number, wanted)
    with workspace.ledger.write() as tx:
        body = {"version": wanted.version, "number": wanted.number}
        events.record(tx, workspace, "delta.export", subject(workspace.project, request.name), **body)
    if found.refusal:
        raise InvalidInput(
            f"Version {wanted.number} of the table {request.name!r} cannot be read as Delta; it {found.refusal}.",
            fix=f"Compact it, which makes a new version: slipway data compact {request.name}"
            if found.refusal.startswith("needs compaction")
            else "Export a version that can: the log has all the others.",
            field="version",
        )
    return DeltaExport(
        path=str(folder.resolve()),
        number=wanted.number,
        version=wanted.version,
        files=len(found.files),
        written_bytes=written,
        log_bytes=sum(path.stat().st_size for path in (folder / LOG).glob("*.json")),
        notes=_notes(found, newest),
    )


def rebuild_delta(workspace: Workspace, table: str) -> None:
    """Write a table's Delta log anew where there is one: rows were erased from versions that it tells of.

    Raises:
        BackendError: The file system failed.
    """
    log = table_folder(workspace, table) / LOG
    if not log.exists():
        return
    try:
        shutil.rmtree(log)
    except OSError as problem:
        raise BackendError(
            f"The Delta log {log} could not be removed: {problem}.", fix="Remove it by hand."
        ) from problem
    _write(workspace, table)


def _write(workspace: Workspace, table: str) -> tuple[int, int]:
    """Bring the log up to date; how many bytes were written, and the newest version's number."""
    known = {version.number: version for version in history(workspace, table)}
    folder, name = table_folder(workspace, table), table_id(workspace.project, table)
    personal = Personal(workspace).names_ever(workspace.project, table)

    def snapshot(number: int) -> Snapshot:
        return replace(_snapshot(workspace, number, known.get(number)), personal=personal)

    written = write_log(folder, max(known), snapshot, table_id=name)
    if personal & bounded_in(folder):  # a column that was declared personal since
        shutil.rmtree(folder / LOG)
        written = write_log(folder, max(known), snapshot, table_id=name)
    return written, max(known)


def _snapshot(workspace: Workspace, number: int, version: TableVersion | None) -> Snapshot:
    if version is None:
        return Snapshot(number=number, refusal="is gone")
    try:
        manifest = manifest_of(workspace, version)
        folder = part_folder(workspace, version.name, project=version.project)
        refusal = refusal_of(manifest)
        if refusal:
            return Snapshot(number=number, version=version, manifest=manifest, refusal=refusal)
        schema = scan_parts(folder, manifest, f"Version {number}").collect_schema()
        for name, dtype in schema.items():
            delta_type(dtype, name)
    except InvalidInput as problem:
        return Snapshot(number=number, version=version, refusal=f"has a type that Delta has not: {problem.what}")
    except SlipwayError as problem:  # its parts or its manifest are gone or damaged: the other versions are still told
        return Snapshot(number=number, version=version, refusal=f"cannot be read: {problem.what}")
    return Snapshot(number=number, version=version, manifest=manifest, schema=schema)


def _notes(found: Snapshot, newest: int) -> tuple[str, ...]:
    notes = []
    fixed = [n for n, dtype in (found.schema or {}).items() if isinstance(dtype, pl.Enum | pl.Array)]
    if fixed:
        notes.append(
            f"Polars reads {', '.join(fixed)} only with pl.scan_delta(..., use_pyarrow=True): "
            "it takes no Enum for text and no Array for a list."
        )
    if found.number != newest:
        notes.append(f"Name the version when you read it: the newest in Delta is {newest}.")
    return tuple(notes)
