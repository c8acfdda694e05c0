"""Compaction: small parts become full ones. The content is the same, and so is its fingerprint."""

from __future__ import annotations

import msgspec

from slipway.operations.table_versions import CompactTable, TableState
from slipway.ports.workspace import Workspace
from slipway.records.tables import Manifest, Part, TableVersion
from slipway.tables import parts as limits
from slipway.tables.catalog import head, manifest_of, words
from slipway.tables.commits import Draft, Origin, again_on_conflict, commit
from slipway.tables.part_cache import part_folder
from slipway.tables.parts import PartWriter
from slipway.tables.scans import scan_parts
from slipway.tables.staging import cut

__all__ = ["compact", "compact_table"]

_Made = tuple[tuple[Part, ...], tuple[Part, ...]]


def compact(workspace: Workspace, table: str, *, branch: str = "") -> TableVersion:
    """Write small parts that follow each other, and parts of altered columns, as full ones. Nothing to do: no version.

    Older versions keep their parts. It is safe beside writers: where one was faster, what was made is put into what the
    writer made, if the parts are still there, and made again otherwise.

    Args:
        workspace: Whose store is written.
        table: A table that has a version.
        branch: The branch that is compacted, "" for the table itself.

    Returns:
        The new version, with the same fingerprint, or the current one.

    Raises:
        NotFound: The table has no version yet, or there is no such branch.
        Conflict: Others wrote the table again and again meanwhile.
        BackendError: The file system failed.
    """
    made: list[_Made] = []
    with PartWriter(workspace, table) as writer:

        def attempt() -> TableVersion:
            former = head(workspace, table, branch=branch)
            before = manifest_of(workspace, former)
            parts = _put_in(before.parts, made)
            if parts == before.parts:
                made[:] = _made(workspace, former, before, writer)
                parts = _put_in(before.parts, made)
            if parts == before.parts:
                return former
            draft = Draft(
                manifest=msgspec.structs.replace(before, parts=parts),
                change="compact",
                fingerprint=former.fingerprint,
                data_until=former.data_until,
            )
            told = f"parts: {len(before.parts)} before, {len(parts)} now"
            return commit(
                workspace,
                table,
                draft,
                former=former,
                origin=Origin(source=told, checks=former.checks, profile=former.profile),
                branch=branch,
                verb="tables.compact",
                settle=writer.finish,
            )

        return again_on_conflict(table, attempt)


def compact_table(workspace: Workspace, request: CompactTable) -> TableState:
    """Compact a table; see `compact`."""
    return TableState(version=compact(workspace, request.name, branch=request.branch))


def _runs(parts: tuple[Part, ...]) -> list[tuple[Part, ...]]:
    """Parts that follow each other and are to be one, and the others each alone."""
    runs: list[list[Part]] = []
    for part in parts:
        if runs and _is_small(part) and _is_small(runs[-1][-1]):
            runs[-1].append(part)
        else:
            runs.append([part])
    return [tuple(run) for run in runs]


def _is_small(part: Part) -> bool:
    return part.rows < limits.PART_ROWS // 2 and part.size_bytes < limits.PART_BYTES // 8


def _is_worth(run: tuple[Part, ...]) -> bool:
    return len(run) > 1 or bool(run[0].columns or run[0].casts)


def _made(workspace: Workspace, version: TableVersion, manifest: Manifest, writer: PartWriter) -> list[_Made]:
    """The runs that are worth it, each with the full parts that stand for it from now on."""
    folder, what = part_folder(workspace, version.name), words(version)
    made = []
    for run in filter(_is_worth, _runs(manifest.parts)):
        frames = (scan_parts(folder, manifest, what, [part]).collect() for part in run)
        full = tuple(writer.write(frame) for frame in cut(version.name, frames))
        if len(full) < len(run) or any(part.columns or part.casts for part in run):
            made.append((run, full))
    return made


def _put_in(parts: tuple[Part, ...], made: list[_Made]) -> tuple[Part, ...]:
    """Parts with every run replaced that is still among them, in one piece."""
    for run, full in made:
        for start in range(len(parts) - len(run) + 1):
            if parts[start : start + len(run)] == run:
                parts = (*parts[:start], *full, *parts[start + len(run) :])
                break
    return parts
