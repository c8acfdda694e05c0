"""A stored training set: a versioned table, written as its rows are made and read again in batches.

Neither writing nor reading holds all of it in memory. A step hands on a reference, never the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import polars as pl

from slipway.errors import InvalidInput
from slipway.hashing import digest, fingerprint
from slipway.ports.workspace import Workspace, current_workspace
from slipway.records.tables import Manifest, Part, TableVersion
from slipway.schema.frame_digests import BLOCK_ROWS
from slipway.tables import catalog, versions
from slipway.tables.commits import again_on_conflict
from slipway.tables.part_cache import part_folder
from slipway.tables.part_folders import PartFolder, table_folder
from slipway.tables.parts import PART_ROWS
from slipway.tables.scans import scan_parts
from slipway.tables.staging import stage

__all__ = ["BATCH_ROWS", "TrainingBatches", "check_batch_rows", "rows_at_once", "store", "stored"]

BATCH_ROWS = 100_000
_BATCH_BYTES = 1 << 28
_ATTEMPTS = 5


class _Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a stored training set in its place."""

    project: str
    table: str
    version: str
    fingerprint: str
    manifest: Manifest
    folder: str


def check_batch_rows(given: object) -> None:
    """Refuse what is no number of rows.

    Raises:
        InvalidInput: It is none, or less than 1.
    """
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InvalidInput(
            f"Batches of {given!r} rows were asked for.",
            why="A batch has at least one row.",
            fix="For example batch_rows=100_000.",
            field="batch_rows",
        )


class TrainingBatches:
    """A stored training set. Iterating it gives its rows in frames, in order, the same ones each time.

    A frame is read when it is asked for, so that training needs the memory of one. It is a reference to a version of a
    table: a step takes and returns it as such, also where steps run in processes of their own on this machine.

    Args:
        reference: Which version, and where its files lie.
        batch_rows: How many rows a frame has; the last one may have fewer.

    Attributes:
        table: The table's name.
        version: The version's hash.
        rows: How many rows it has.
        batch_rows: How many a frame has.

    Example:
        >>> for frame in features.training_batches(flights, label="late"):      # doctest: +SKIP
        ...     model.partial_fit(frame.drop("late"), frame["late"])
    """

    slipway_format = "training-batches"

    def __init__(self, reference: _Reference, batch_rows: int = BATCH_ROWS) -> None:
        check_batch_rows(batch_rows)
        self._reference = reference
        self.table = reference.table
        self.version = reference.version
        self.rows = reference.manifest.rows
        self.batch_rows = batch_rows

    @property
    def fingerprint(self) -> str:
        """The logical fingerprint of all rows: that of the frame which `training_set` gives."""
        return self._reference.fingerprint

    @property
    def node(self) -> str:
        """The version as a lineage node."""
        return catalog.node(self._reference.project, self.table, self.version)

    def by(self, batch_rows: int) -> TrainingBatches:
        """The same rows in batches of another size.

        Raises:
            InvalidInput: It is less than 1.
        """
        return TrainingBatches(self._reference, batch_rows)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        for start in range(0, self.rows, self.batch_rows):
            yield self._slice(start, min(self.batch_rows, self.rows - start))

    def __len__(self) -> int:
        """How many batches there are."""
        return -(-self.rows // self.batch_rows)

    def scan(self) -> pl.LazyFrame:
        """All rows, lazily, in order.

        Raises:
            Corrupt: A file is missing or was changed.
        """
        return self._scan(self._reference.manifest.parts)

    def _slice(self, start: int, count: int) -> pl.DataFrame:
        """Rows from a position on, read from the files that hold them and no others."""
        parts, before, end = [], 0, 0
        for part in self._reference.manifest.parts:
            if end + part.rows <= start:
                before += part.rows
            elif end < start + count:
                parts.append(part)
            end += part.rows
        return self._scan(tuple(parts)).slice(start - before, count).collect()

    def _scan(self, parts: tuple[Part, ...]) -> pl.LazyFrame:
        manifest = msgspec.structs.replace(self._reference.manifest, parts=parts)
        opened, kept = current_workspace.get(), self._reference
        # A process that runs a step of its own has no store open: the files lie where they lay.
        folder = part_folder(opened, kept.table, project=kept.project) if opened else PartFolder(Path(kept.folder))
        return scan_parts(folder, manifest, f"The stored training set {self.table!r} ({self.version[:12]})")

    def slipway_fingerprint(self) -> str:
        """Of all rows, and of the size of batches."""
        return fingerprint((self._reference.fingerprint, self.batch_rows))

    def slipway_save(self, folder: Path) -> None:
        """Keep the reference in a folder; the rows stay where they are, on this machine."""
        opened, kept = current_workspace.get(), self._reference
        if opened is not None:  # whoever loads it may have no store open
            self.scan()
            here = table_folder(opened, kept.table, project=kept.project).resolve()
            kept = msgspec.structs.replace(kept, folder=str(here))
        (folder / "batches.json").write_bytes(msgspec.json.encode((kept, self.batch_rows)))

    @classmethod
    def slipway_load(cls, folder: Path) -> TrainingBatches:
        """What `slipway_save` kept.

        Raises:
            Corrupt: A file of the training set is gone.
        """
        written = (folder / "batches.json").read_bytes()
        reference, batch_rows = msgspec.json.decode(written, type=tuple[_Reference, int])
        found = cls(reference, batch_rows)
        found.scan()  # looks for every file
        return found

    def __repr__(self) -> str:
        return f"<training set {self.table}@{self.version[:12]}: {self.rows:,} rows in {len(self):,} batches>"


def rows_at_once(columns: int) -> int:
    """How many rows of a training set are made, and written to one file, at once: whole blocks, fewer of wide rows."""
    blocks = _BATCH_BYTES // (8 * max(columns, 1)) // BLOCK_ROWS
    return min(max(blocks, 1) * BLOCK_ROWS, PART_ROWS)


def store(
    workspace: Workspace,
    table: str,
    frames: Iterable[pl.DataFrame],
    *,
    key: tuple[str, ...],
    time: str,
    origin: versions.Origin,
    is_repeat: bool = False,
) -> TrainingBatches:
    """Make frames the content of a version of a table, as they come. The same content again is the same version.

    Args:
        workspace: Whose store is written.
        table: The table's name.
        frames: At least one, of one schema.
        key: The columns that identify a row.
        time: The column of decision times.
        origin: Where it comes from.
        is_repeat: Whether it is made only to be compared: then no version is made of it.

    Raises:
        InvalidInput: The name does not fit, or a column cannot be kept.
        Conflict: Others write the table again and again.
        BackendError: The file system failed; nothing is visible of it.
    """
    staged = stage(workspace, table, frames)
    if is_repeat:
        manifest = msgspec.structs.replace(staged.manifest, key=key, time=time)
        version = digest(msgspec.json.encode(manifest))  # what it would be called
        return _referred(workspace, table, version, staged.fingerprint, manifest)

    def attempt() -> TableVersion:  # where somebody else wrote it meanwhile, what is staged is the content all the same
        return versions.overwrite(workspace, table, staged, key=key, time=time, origin=origin)

    return stored(workspace, again_on_conflict(table, attempt, attempts=_ATTEMPTS))


def stored(workspace: Workspace, version: TableVersion) -> TrainingBatches:
    """A version of a table as a training set."""
    manifest = catalog.manifest_of(workspace, version)
    return _referred(workspace, version.name, version.version, version.fingerprint, manifest)


def _referred(workspace: Workspace, table: str, version: str, content: str, manifest: Manifest) -> TrainingBatches:
    bare = tuple(msgspec.structs.replace(part, stats={}) for part in manifest.parts)
    return TrainingBatches(
        _Reference(
            project=workspace.project,
            table=table,
            version=version,
            fingerprint=content,
            manifest=msgspec.structs.replace(manifest, parts=bare, blocks=()),
            folder=str(table_folder(workspace, table).resolve()),
        )
    )
