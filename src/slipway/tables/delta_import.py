"""Import of tables of another format: their files become parts without a copy where they can."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from slipway.errors import BackendError, Corrupt
from slipway.hashing import digest_file
from slipway.ids import new_id
from slipway.plugins import load
from slipway.ports.foreign_table import ForeignTable, ForeignVersion
from slipway.ports.workspace import Workspace
from slipway.records.tables import Part, TableVersion
from slipway.schema.dtypes import plain_dtype
from slipway.schema.frame_digests import FrameDigests
from slipway.schema.types import fields_of
from slipway.tables.durable import sync_folder
from slipway.tables.part_folders import folder_of, part_path, table_folder
from slipway.tables.parts import stats_of
from slipway.tables.staging import Staged, joined_field
from slipway.tables.versions import Origin, overwrite

__all__ = ["Imported", "import_delta"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import did.

    Args:
        version: The table's version.
        number: The number of the Delta version that it is.
        files: Of how many files that consists; 0 where its rows were read and written.
        copied_bytes: How many bytes were written as data.
        why_copied: Why they were, in words; "" where none was.
    """

    version: TableVersion
    number: int
    files: int
    copied_bytes: int
    why_copied: str = ""


def import_delta(
    workspace: Workspace,
    table: str,
    address: str,
    *,
    version: int | None = None,
    key: tuple[str, ...] = (),
    time: str = "",
) -> Imported:
    """Make a version of a Delta table the content of a table. The same content again makes no new version.

    Files on the same disk become parts by a hard link: no byte is copied, and they stay when the Delta table is vacuumed.

    Args:
        workspace: Whose store is written.
        table: The table's name.
        address: The Delta table's path or URL.
        version: The number of its version, None for the newest.
        key: The columns that identify a row.
        time: The column of event time.

    Raises:
        NotFound: There is no such Delta table or version, or files of it are gone.
        InvalidInput: Its rows cannot be kept, or lack the key or the time.
        Conflict: Somebody else wrote the table meanwhile.
        MissingExtra: The package deltalake is not installed.
        Corrupt: A file or the log cannot be read.
    """
    opener: ForeignTable = load("foreign", "delta")()
    found = opener.open(address, version)
    source = f"Delta table {found.place}, version {found.number}"
    origin = Origin(source=source, inputs=(f"delta:{found.place}@{found.number}",))
    staged, copied = _linked(workspace, table, found) if found.files else (None, 0)
    if staged is not None:
        made = overwrite(workspace, table, staged, key=key, time=time, origin=origin)
        why = "the files lie on another disk" if copied else ""
        return Imported(version=made, number=found.number, files=len(staged.parts), copied_bytes=copied, why_copied=why)
    before = _sizes(workspace, table)
    made = overwrite(workspace, table, found.rows, key=key, time=time, origin=origin)
    written = sum(size for name, size in _sizes(workspace, table).items() if name not in before)
    why = found.obstacle or "its files hold other types than it says"
    return Imported(version=made, number=found.number, files=0, copied_bytes=written, why_copied=why)


def _linked(workspace: Workspace, table: str, found: ForeignVersion) -> tuple[Staged | None, int]:
    """The files as staged parts, and how many bytes had to be copied; no parts where a file is not as the table says."""
    schema = found.rows.collect_schema()
    try:
        if any(pl.Schema(pl.read_parquet_schema(path)) != schema for path in found.files):
            return None, 0
        return _staged(workspace, table, found.files, schema)
    except pl.exceptions.PolarsError as problem:
        raise Corrupt(
            f"A file of the Delta table {found.place} cannot be read: {str(problem).splitlines()[0]}.",
            fix="Repair the table with the tool that wrote it.",
        ) from problem
    except OSError as problem:
        if isinstance(problem, BackendError):
            raise
        raise BackendError(
            f"The files of {found.place} could not become parts of the table {table!r}: {problem}.",
            fix="Make room or give this user the right to read and to write there.",
        ) from problem


def _staged(workspace: Workspace, table: str, files: Sequence[Path], schema: pl.Schema) -> tuple[Staged, int]:
    home = folder_of(workspace, table)
    folder = home.path
    folder.mkdir(parents=True, exist_ok=True)
    digests, parts, copied = FrameDigests(), list[Part](), 0
    fields = fields_of(pl.DataFrame(schema=schema)) if not files else ()
    for path in files:
        digest, was_copied = _adopt(path, folder)
        rows = pl.read_parquet(part_path(folder, digest), glob=False, hive_partitioning=False)
        digests.add(rows)
        size = part_path(folder, digest).stat().st_size
        parts.append(Part(digest=digest, rows=rows.height, size_bytes=size, stats=stats_of(rows)))
        copied += size if was_copied else 0
        fields = tuple(map(joined_field, fields, fields_of(rows))) if fields else fields_of(rows)
    sync_folder(folder)
    home.keep([part_path(folder, part.digest) for part in parts])
    staged = Staged(
        folder=home,
        table=table,
        fields=fields,
        types=tuple(plain_dtype(dtype, name) for name, dtype in schema.items()),
        parts=tuple(parts),
        blocks=digests.blocks,
        leaves=digests.leaves,
    )
    return staged, copied


def _adopt(path: Path, folder: Path) -> tuple[str, bool]:
    """Make a file a part of a table's folder; its digest, and whether its bytes had to be copied."""
    temporary, copied = folder / f".{new_id()}.tmp", False
    try:
        try:
            os.link(path, temporary)
        except OSError:  # another disk, or one without hard links
            shutil.copyfile(path, temporary)
            copied = True
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        digest = digest_file(temporary)
        temporary.replace(part_path(folder, digest))
    finally:
        temporary.unlink(missing_ok=True)
    return digest, copied


def _sizes(workspace: Workspace, table: str) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in table_folder(workspace, table).glob("*.parquet")}
