"""Cleaning: the rows of versions that nothing names any more are given back to the disk.

First one transaction says which versions lose their rows, then files go; killed between the two, the next cleaning goes
on. A version stays while a head, a branch, a tag, a run, a model's training set or another record names it, while it is
one of the last few, or while it is young.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from slipway.errors import InvalidInput
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.operations.table_versions import Cleaned, CleanTables
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run
from slipway.records.table_changes import CleanedTable
from slipway.records.tables import TableVersion
from slipway.tables.catalog import BASE, BRANCH, HEAD, TAG, head, manifest_of, named_refs, node, subject
from slipway.tables.part_cache import forget_erased
from slipway.tables.part_folders import PartFolder, folder_of

__all__ = ["GRACE", "KEEP", "clean", "clean_tables"]

KEEP = 10
GRACE = timedelta(days=7)
_MOST_DAYS = 36_500

_NAMED = re.compile(rb'table:[^"@\s]+@[0-9a-f]{64}')
_TRASH = ".trash"


def clean(
    workspace: Workspace,
    tables: Iterable[str] = (),
    *,
    keep: int = KEEP,
    grace: timedelta = GRACE,
    dry_run: bool = False,
) -> tuple[CleanedTable, ...]:
    """Give back the space of versions that nothing names, of parts that no version names, and of stray files.

    Args:
        workspace: Whose store is cleaned.
        tables: Their names, none for all of the project's.
        keep: How many of a table's newest versions stay in any case.
        grace: How old a version, a part or a stray file is at least, so that writers at work lose nothing.
        dry_run: Whether to say only what would go.

    Returns:
        What was freed, or would be, for each table.

    Raises:
        NotFound: There is no such table.
        InvalidInput: `keep` is less than 1, or the grace is negative.
        Corrupt: The manifest of a version that stays cannot be read; then nothing of its table is removed.
    """
    if keep < 1 or grace < timedelta():
        raise InvalidInput(
            f"A cleaning cannot keep {keep} versions for {grace}.", fix="Keep at least 1, with a grace of 0 or more."
        )
    with workspace.ledger.read() as tx:
        known = sorted(tx.refs(workspace.project, HEAD))
    chosen = [head(workspace, name).name for name in tables] or known
    if workspace.open_parts is not None and not dry_run:
        forget_erased(workspace, again=True)
    return tuple(_clean_one(workspace, name, _Rule(keep, grace, dry_run)) for name in chosen)


def clean_tables(workspace: Workspace, request: CleanTables) -> Cleaned:
    """Clean tables; see `clean`."""
    if not 0 <= request.grace_days <= _MOST_DAYS:
        raise InvalidInput(
            f"A grace of {request.grace_days:g} days does not fit.",
            fix=f"Give 0 to {_MOST_DAYS:,}.",
            field="grace_days",
        )
    grace = timedelta(days=request.grace_days)
    done = clean(workspace, request.names, keep=request.keep, grace=grace, dry_run=request.dry_run)
    return Cleaned(tables=done, dry_run=request.dry_run)


@dataclass(frozen=True, slots=True)
class _Rule:
    keep: int
    grace: timedelta
    dry_run: bool


def _clean_one(workspace: Workspace, table: str, rule: _Rule) -> CleanedTable:
    with workspace.ledger.read() as tx:
        read_by_runs = _named_by_runs(tx, workspace)  # it takes long where there are many: not while others wait
        live, dead = _parted(tx, workspace, table, rule, read_by_runs)
    if rule.dry_run:
        return _swept(workspace, table, rule, live, dead)
    with workspace.ledger.write() as tx:
        live, dead = _parted(tx, workspace, table, rule, read_by_runs)
        now = workspace.clock.now()
        for version in dead:
            entries.put(tx, msgspec.structs.replace(version, cleaned_at=now))
        body = {"versions": [version.number for version in dead], "kept": len(live)}
        events.record(tx, workspace, "tables.clean", subject(workspace.project, table), **body)
    return _swept(workspace, table, rule, live, dead)


def _parted(
    tx: ReadTransaction, workspace: Workspace, table: str, rule: _Rule, read_by_runs: set[str]
) -> tuple[list[TableVersion], list[TableVersion]]:
    """The versions that stay, and those whose rows are there and go."""
    found = [
        version
        for version in entries.every(tx, TableVersion, project=workspace.project, name=table)
        if version.cleaned_at is None
    ]
    newest = sorted(found, key=lambda version: -version.number)[: rule.keep]
    named = {version.version for version in newest} | _named_by_refs(tx, workspace.project, table)
    before = workspace.clock.now() - rule.grace
    old = [version for version in found if version.version not in named and version.created_at <= before]
    dead = [version for version in old if not _is_pinned(tx, version, read_by_runs)]
    gone = {version.version for version in dead}
    return [version for version in found if version.version not in gone], dead


def _named_by_refs(tx: ReadTransaction, project: str, table: str) -> set[str]:
    heads = {tx.ref(project, HEAD, table) or ""}
    return heads.union(*(named_refs(tx, project, table, kind).values() for kind in (TAG, BRANCH, BASE)))


def _is_pinned(tx: ReadTransaction, version: TableVersion, read_by_runs: set[str]) -> bool:
    own = node(version.project, version.name, version.version)
    if own in read_by_runs:
        return True
    used = any(link.role != "parent" for link in tx.links(own, towards=False))
    return used or any(link.role == "output" for link in tx.links(own, towards=True))


def _named_by_runs(tx: ReadTransaction, workspace: Workspace) -> set[str]:
    """The nodes of the versions that this store's runs and their training sets name."""
    found: set[str] = set()
    for run in entries.every(tx, Run):
        found |= set(run.inputs)
        for artifact in run.artifacts:
            if artifact.name == "training_set.json" and workspace.blobs.has(artifact.digest):
                found |= {each.decode() for each in _NAMED.findall(workspace.blobs.get(artifact.digest))}
    return found


def _swept(
    workspace: Workspace, table: str, rule: _Rule, live: list[TableVersion], dead: list[TableVersion]
) -> CleanedTable:
    wanted = {part.digest for version in live for part in manifest_of(workspace, version).parts}
    folder = folder_of(workspace, table)
    before = time.time() - rule.grace.total_seconds()
    swept = _swept_kept(folder, wanted, before, rule.dry_run)
    freed, parts = sum(swept.values()), len(swept)
    for path in sorted(folder.path.iterdir()) if folder.path.is_dir() else ():
        is_part = path.suffix == ".parquet" and not path.name.startswith(".")
        if (is_part and path.stem in wanted) or not (is_part or path.suffix in (".tmp", _TRASH)):
            continue
        size = _removed(path, before, rule.dry_run)
        if size is not None and path.stem not in swept:  # else it was a copy
            freed += size
            parts += is_part
    numbers = tuple(sorted(version.number for version in dead))
    return CleanedTable(table=table, versions=numbers, kept=len(live), parts=parts, bytes=freed)


def _swept_kept(folder: PartFolder, wanted: set[str], before: float, dry_run: bool) -> dict[str, int]:
    """The parts that are gone from what keeps them beside the folder, with their bytes."""
    if folder.kept is None:
        return {}
    until = datetime.fromtimestamp(before, UTC)
    old = [one for one in folder.kept.stored() if one.digest not in wanted and one.put_at < until]
    return {one.digest: one.size_bytes for one in old if dry_run or folder.kept.delete(one.digest, put_before=until)}


def _removed(path: Path, before: float, dry_run: bool) -> int | None:
    """The bytes of a file that is old enough and is gone now; None where it stays."""
    try:
        found = path.stat()
        if found.st_mtime > before:
            return None
        if dry_run:
            return found.st_size
        trash = path.with_name(f".{new_id()}{_TRASH}")
        path.rename(trash)
        if trash.stat().st_mtime > before and path.suffix == ".parquet":  # a writer wanted it at this very moment
            trash.rename(path)
            return None
        trash.unlink()
    except FileNotFoundError:  # another cleaning was faster
        return None
    return found.st_size
