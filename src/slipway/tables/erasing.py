"""Rows of one person: found in every version of a table, and erased from all of them.

What is erased from: the parts that hold such rows are written again without them, and each version that names one keeps
its hash and says in its record what was erased and what it consists of now. New parts and manifests are on disk before
the one transaction that switches all versions of a table; the old files are removed after it, by a list that the
transaction wrote.
"""

from __future__ import annotations

import io
import re
import time as machine_time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
import polars as pl

from slipway.errors import Conflict, NotFound
from slipway.ledger import entries
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.filesets import FileSetVersion
from slipway.records.record import Record
from slipway.records.tables import CheckResult, Erased, Manifest, Part, TableRefusal, TableVersion
from slipway.schema.frame_digests import BLOCK_ROWS, FrameDigests, of_blocks
from slipway.tables.catalog import history, manifest_of, words
from slipway.tables.filesets import index_blob, index_of
from slipway.tables.part_cache import part_folder
from slipway.tables.part_folders import PartFolder, folder_of
from slipway.tables.parts import PartWriter
from slipway.tables.scans import scan_parts, schema_of

__all__ = ["ERASED", "Rewritten", "Found", "find", "matching", "orphans", "remove", "rewrite", "rows_of", "switch"]

R = TypeVar("R", bound=Record)

ERASED = "(erased)"
_ORPHAN_AGE_S = 3600.0
_ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_WHOLE = re.compile(r"-?\d{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Where a person's rows are in one table.

    Args:
        table: Its name.
        columns: By which of its columns the person is named: name to value as text.
        parts: Digests of parts with such rows, with how many.
        versions: The versions that name one of them, with their manifests.
        reports: Versions and refusals whose checks kept such rows or their keys.
        failing: Digests of blobs with failing rows, with how many are the person's.
        cleaned: Digests of blobs with statistics of versions whose rows were cleaned away, in which the person is named.
    """

    table: str
    columns: Mapping[str, str]
    parts: Mapping[str, int]
    versions: Sequence[tuple[TableVersion, Manifest]]
    reports: Sequence[TableVersion | TableRefusal] = ()
    failing: Mapping[str, int] = field(default_factory=dict)
    cleaned: Sequence[str] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be erased."""
        return not (self.parts or self.failing or self.reports or self.cleaned)

    @property
    def rows(self) -> int:
        """Rows on disk, each counted once however many versions name it, and failing rows that checks kept."""
        return sum(self.parts.values()) + sum(self.failing.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """What takes the place of versions' records, and what is to be removed then.

    Args:
        before: The records as they were read.
        after: The records that take their place, in the same order.
        doomed: Files that nobody needs after that: "part:<table>/<digest>", "blob:<digest>".
    """

    before: tuple[TableVersion | TableRefusal, ...]
    after: tuple[TableVersion | TableRefusal, ...]
    doomed: tuple[str, ...]


def matching(schema: Mapping[str, pl.DataType], columns: Mapping[str, str]) -> pl.Expr | None:
    """Which rows are the person's; None where the rows cannot be: a column is not there, or no value of its type fits.

    Args:
        schema: The rows' columns.
        columns: The column's name in the rows to the value as text.
    """
    tests = []
    for name, text in columns.items():
        dtype = schema.get(name)
        if dtype is None:
            return None
        column = pl.col(name)
        if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
            tests.append(column.cast(pl.String) == text)
            continue
        try:
            plain = pl.Series([text])
            if isinstance(dtype, pl.Datetime):
                value = plain.str.to_datetime(time_zone="UTC" if dtype.time_zone else None, time_unit=dtype.time_unit)
            else:
                value = plain.cast(dtype)
        except pl.exceptions.PolarsError:
            return None
        tests.append(column == pl.lit(value.item(), dtype=value.dtype))
    return pl.all_horizontal(tests).fill_null(False) if tests else None


def rows_of(data: bytes | Path, columns: Mapping[str, str]) -> int:
    """How many rows of a Parquet file are the person's; its statistics are used where they help."""
    source = data if isinstance(data, Path) else io.BytesIO(data)
    schema = pl.read_parquet_schema(source)
    wanted = matching(schema, columns)
    if wanted is None:
        return 0
    if isinstance(source, io.BytesIO):
        source.seek(0)
    return int(pl.scan_parquet(source, glob=False, hive_partitioning=False).select(wanted.sum()).collect().item() or 0)


def find(workspace: Workspace, table: str, columns: Mapping[str, str]) -> Found:
    """Search all versions of a table, of its branches too, and what their checks kept.

    Args:
        workspace: Whose store is searched.
        table: The table's name.
        columns: By which columns the person is named: name to value as text.

    Raises:
        NotFound: There is no such table.
        Corrupt: A manifest or a part is missing or altered.
    """
    folder = part_folder(workspace, table)
    counted: dict[tuple[str, tuple[str, ...]], int] = {}
    hit: dict[str, int] = {}
    touched = []
    known = _known(workspace, table)
    for version in known:
        if version.cleaned_at is not None:
            continue
        manifest = manifest_of(workspace, version)
        inside = 0
        for part in manifest.parts:
            names = _names_in(manifest, part, columns)
            if names is None:
                continue
            at = (part.digest, tuple(names))
            if at not in counted:
                counted[at] = rows_of(folder.file(part), names) if _may_hold(part, names) else 0
            if counted[at]:
                hit[part.digest] = counted[at]
                inside += counted[at]
        if inside:
            touched.append((version, manifest))
    failing: dict[str, int] = {}
    checked: list[TableVersion | TableRefusal] = [*known, *_refusals(workspace, table)]
    for digest in {check.failing for one in checked for check in one.checks if check.failing}:
        if workspace.blobs.has(digest) and (count := rows_of(workspace.blobs.get(digest), columns)):
            failing[digest] = count
    texts = tuple(columns.values())
    reports = [one for one in checked if any(c.failing in failing or _told(c, texts) for c in one.checks)]
    cleaned = [v.erased[-1].manifest if v.erased else v.version for v in known if v.cleaned_at is not None]
    cleaned += [v.profile for v in known if v.cleaned_at is not None and v.profile]
    named = [one for one in cleaned if workspace.blobs.has(one) and _names_one(workspace.blobs.get(one), texts)]
    named = [one for one in named if one not in _named_blobs(workspace)] if named else []
    return Found(
        table=table, columns=columns, parts=hit, versions=touched, reports=reports, failing=failing, cleaned=named
    )


def rewrite(workspace: Workspace, found: Found, *, erasure: str, reason: str) -> Rewritten:
    """Write what takes the place of all that was found. Nobody sees it before `switch`.

    Raises:
        BackendError: The file system failed.
        Corrupt: A part is missing or altered.
    """
    folder = part_folder(workspace, found.table)
    new_parts: dict[str, Part] = {}
    with PartWriter(workspace, found.table) as writer:
        for _, manifest in found.versions:
            for part in manifest.parts:
                names = _names_in(manifest, part, found.columns)
                if part.digest in found.parts and part.digest not in new_parts and names is not None:
                    rows = pl.read_parquet(folder.file(part), glob=False, hive_partitioning=False)
                    wanted = matching(rows.schema, names)
                    assert wanted is not None, "rows were found in it"
                    new_parts[part.digest] = writer.write(rows.filter(~wanted))
        writer.finish()
    failing = {digest: _without(workspace, digest, found.columns) for digest in found.failing}
    after, before, doomed = [], [], [f"part:{found.table}/{digest}" for digest in new_parts]
    doomed += [f"blob:{digest}" for digest in (*failing, *found.cleaned)]
    manifests = {version.id: manifest for version, manifest in found.versions}
    touched = {v.id: v for v in (*(version for version, _ in found.versions), *found.reports)}
    for version in touched.values():
        checks = tuple(_scrubbed(check, failing, tuple(found.columns.values())) for check in version.checks)
        record = msgspec.structs.replace(version, checks=checks)
        if isinstance(version, TableVersion) and isinstance(record, TableVersion) and version.id in manifests:
            old = manifests[version.id]
            record, digest = _erased(workspace, record, old, new_parts, erasure=erasure, reason=reason)
            former = version.erased[-1].manifest if version.erased else version.version
            doomed += [f"blob:{former}"] if former != digest else []
            doomed += [f"blob:{version.profile}"] if version.profile else []
        before.append(version)
        after.append(record)
    return Rewritten(before=tuple(before), after=tuple(after), doomed=tuple(dict.fromkeys(doomed)))


def switch(tx: WriteTransaction, rewritten: Rewritten) -> None:
    """Put the records that say what versions consist of now.

    Raises:
        Conflict: One of them is no longer what it was.
    """
    for before, after in zip(rewritten.before, rewritten.after, strict=True):
        if entries.get(tx, type(before), before.id) != before:
            raise Conflict(f"The table {before.name!r} was changed by somebody else meanwhile.", fix="Erase again.")
        entries.put(tx, after)


def remove(workspace: Workspace, doomed: Sequence[str]) -> None:
    """Remove files from the disk that an erasure doomed, unless something names them. It may be done twice.

    Equal manifests and equal failing rows of two tables are one blob: it goes with the last one that names it.
    """
    named: dict[str, set[str]] = {}
    wanted = _named_blobs(workspace) if any(one.startswith("blob:") for one in doomed) else set()
    for one in doomed:
        kind, _, rest = one.partition(":")
        if kind == "blob":
            if rest not in wanted:
                workspace.blobs.delete(rest)
            continue
        table, _, digest = rest.rpartition("/")
        if table not in named:
            named[table] = _named_parts(workspace, table)
        if digest not in named[table]:
            folder_of(workspace, table).remove(digest)


def orphans(workspace: Workspace, table: str, columns: Mapping[str, str]) -> tuple[int, int]:
    """Remove files with a person's rows that no version names: left by writers that were killed.

    A young one may be a writer's at work and stays.

    Returns:
        How many rows were removed, and how many stay.
    """
    folder, named = folder_of(workspace, table), _named_parts(workspace, table)
    removed, left, counted = _kept_orphans(folder, named, columns)
    for path in folder.path.iterdir() if folder.path.is_dir() else ():
        if path.stem in named or path.suffix not in (".parquet", ".tmp", ".trash"):
            continue
        is_old = machine_time.time() - path.stat().st_mtime > _ORPHAN_AGE_S
        rows = rows_of(path, columns) if path.suffix == ".parquet" and path.stem not in counted else 0
        if is_old and (rows or path.suffix != ".parquet"):
            path.unlink(missing_ok=True)
            removed += rows
        else:
            left += rows
    return removed, left


def _kept_orphans(folder: PartFolder, named: set[str], columns: Mapping[str, str]) -> tuple[int, int, set[str]]:
    """The same for what is kept elsewhere than in the folder; and which parts were counted."""
    removed, left, counted = 0, 0, set()
    before = datetime.now(UTC) - timedelta(seconds=_ORPHAN_AGE_S)
    for found in () if folder.kept is None else [one for one in folder.kept.stored() if one.digest not in named]:
        assert folder.kept is not None, "only then there are any"
        rows = rows_of(folder.kept.get(found.digest), columns)
        if not rows:
            continue
        counted.add(found.digest)
        if folder.kept.delete(found.digest, put_before=before):
            folder.remove(found.digest)
            removed += rows
        else:
            left += rows
    return removed, left, counted


def _known(workspace: Workspace, table: str) -> tuple[TableVersion, ...]:
    """All versions, newest first; none where all that ever came was refused.

    Raises:
        NotFound: Nothing is known of such a table.
    """
    try:
        return history(workspace, table)
    except NotFound:
        if _refusals(workspace, table):
            return ()
        raise


def _refusals(workspace: Workspace, table: str) -> list[TableRefusal]:
    with workspace.ledger.read() as tx:
        return list(entries.every(tx, TableRefusal, project=workspace.project, name=table))


def _named_blobs(workspace: Workspace) -> set[str]:
    """All blobs that versions of tables and file sets name in the whole store, but for the files' own contents."""
    found: set[str] = set()
    with workspace.ledger.read() as tx:
        for version in entries.every(tx, TableVersion):
            if version.cleaned_at is None:
                found |= {version.erased[-1].manifest if version.erased else version.version, version.profile}
            found |= {check.failing for check in version.checks}
        found |= {check.failing for refusal in entries.every(tx, TableRefusal) for check in refusal.checks}
        sets = list(entries.every(tx, FileSetVersion))
    for one in sets:
        found |= {index_blob(one), *index_of(workspace, one).lists}
    return found


def _named_parts(workspace: Workspace, table: str) -> set[str]:
    return {
        part.digest
        for version in _known(workspace, table)
        if version.cleaned_at is None
        for part in manifest_of(workspace, version).parts
    }


def _names_in(manifest: Manifest, part: Part, columns: Mapping[str, str]) -> dict[str, str] | None:
    """The columns by the names that they have in a part's file; None where one is not in it.

    A column that was dropped is in the file all the same, under a name that is no column's any more.
    """
    ids = {f.name: number for f, number in zip(manifest.fields, manifest.field_ids, strict=True)}
    moved = dict(part.columns)
    taken = {moved.get(number, name) for name, number in ids.items()}
    names = {}
    for name, text in columns.items():
        inside = moved.get(ids[name], name) if name in ids else ""
        if not inside and name in part.stats and name not in taken:
            inside = name
        if not inside or (part.stats and inside not in part.stats):
            return None
        names[inside] = text
    return names


def _may_hold(part: Part, names: Mapping[str, str]) -> bool:
    """Whether a part's statistics leave room for such rows; what they do not say is room."""
    for name, text in names.items():
        stats = part.stats.get(name)
        if stats is None or stats.low is None or stats.high is None:
            continue
        if isinstance(stats.low, str) and isinstance(stats.high, str):
            if not _ISO_DAY.fullmatch(stats.low) and not stats.low <= text <= stats.high:
                return False
        elif (
            type(stats.low) is int
            and type(stats.high) is int
            and _WHOLE.fullmatch(text)
            and not stats.low <= int(text) <= stats.high
        ):
            return False
    return True


def _erased(
    workspace: Workspace,
    version: TableVersion,
    old: Manifest,
    new_parts: Mapping[str, Part],
    *,
    erasure: str,
    reason: str,
) -> tuple[TableVersion, str]:
    parts = tuple(
        msgspec.structs.replace(new_parts[part.digest], columns=part.columns, casts=part.casts)
        if part.digest in new_parts
        else part
        for part in old.parts
    )
    manifest = msgspec.structs.replace(old, parts=parts)
    digests, schema = FrameDigests(), schema_of(manifest)
    rows = scan_parts(part_folder(workspace, version.name), manifest, words(version))
    for frame in rows.collect_batches(chunk_size=BLOCK_ROWS, maintain_order=True, lazy=True, engine="streaming"):
        digests.add(frame)
    manifest = msgspec.structs.replace(manifest, blocks=digests.blocks, leaves=digests.leaves)
    digest = workspace.blobs.put(msgspec.json.encode(manifest))
    told = Erased(
        erasure=erasure,
        at=workspace.clock.now(),
        by=str(workspace.actor),
        reason=reason,
        rows=old.rows - manifest.rows,
        manifest=digest,
    )
    record = msgspec.structs.replace(
        version,
        rows=manifest.rows,
        fingerprint=of_blocks(schema, manifest.rows, manifest.blocks),
        erased=(*version.erased, told),
        profile="",
    )
    return record, digest


def _without(workspace: Workspace, digest: str, columns: Mapping[str, str]) -> str:
    rows = pl.read_parquet(io.BytesIO(workspace.blobs.get(digest)))
    wanted = matching(rows.schema, columns)
    kept, buffer = rows if wanted is None else rows.filter(~wanted), io.BytesIO()
    kept.write_parquet(buffer, compression="zstd")
    return workspace.blobs.put(buffer.getvalue())


def _told(check: CheckResult, texts: tuple[str, ...]) -> bool:
    return any(_names(sample, texts) for sample in check.sample) or _scrub(check.note, texts) != check.note


def _names_one(data: bytes, texts: tuple[str, ...]) -> bool:
    return any(msgspec.json.encode(text).strip(b'"') in data for text in texts)


def _names(sample: str, texts: tuple[str, ...]) -> bool:
    return any(text in sample.split("|") for text in texts)


def _scrub(note: str, texts: tuple[str, ...]) -> str:
    for text in texts:
        if len(text) > 3 or not text.isdigit():  # a short number may be anything else
            note = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", ERASED, note)
    return note


def _scrubbed(check: CheckResult, failing: Mapping[str, str], texts: tuple[str, ...]) -> CheckResult:
    return msgspec.structs.replace(
        check,
        note=_scrub(check.note, texts),
        sample=tuple(ERASED if _names(sample, texts) else sample for sample in check.sample),
        failing=failing.get(check.failing, check.failing),
    )
