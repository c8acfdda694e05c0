"""Staging: rows become parts on disk, in bounded memory, before anybody knows of them.

What is staged can be looked at (`Staged.scan`) and then made a version, or left: parts that no version names are swept
away later. Digests of the content are computed on the way, so that no row is read a second time for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from slipway.errors import InvalidInput
from slipway.ids import check_name
from slipway.ports.workspace import Workspace
from slipway.records.schema import Field
from slipway.records.tables import Manifest, Part, TableVersion
from slipway.schema.dtypes import plain_dtype
from slipway.schema.frame_digests import BLOCK_ROWS, LEAF_ROWS, FrameDigests, of_blocks
from slipway.schema.types import fields_of, frame_of
from slipway.tables import catalog, parts, scans
from slipway.tables.conform import conformed
from slipway.tables.part_cache import part_folder
from slipway.tables.part_folders import PartFolder
from slipway.tables.parts import PartWriter

__all__ = ["Rows", "Staged", "cut", "digests_of", "frames_of", "joined_field", "keep_tail", "stage", "stage_with"]

Rows = Any
"""What may be given as rows: a Polars or pandas frame, a LazyFrame (run in batches), an iterable of frames, a `Staged`."""

_TAILS = 8
_tails: dict[str, pl.DataFrame] = {}
_WIDTHS = {pl.Boolean: 1, pl.Time: 8, pl.Date: 4, pl.Categorical: 4, pl.Enum: 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """Rows that lie on disk as parts of a table and belong to no version yet.

    Args:
        folder: Where the table's parts lie.
        table: The table's name.
        fields: The columns, as the rows show them.
        types: Their exact types as plain values.
        parts: In order.
        blocks: Digests of the content, counted on from `onto`.
        leaves: Those of the full leaves in the block that is not full.
        onto: The hash of the version that the rows continue, "" for rows that stand alone.
        tail: The rows after the last full leaf, where they are few enough to be kept at hand.
    """

    folder: PartFolder
    table: str
    fields: tuple[Field, ...]
    types: tuple[tuple[Any, ...], ...]
    parts: tuple[Part, ...]
    blocks: tuple[str, ...]
    leaves: tuple[str, ...]
    onto: str = ""
    tail: pl.DataFrame | None = field(default=None, compare=False, repr=False)

    @property
    def rows(self) -> int:
        """How many rows were staged."""
        return sum(part.rows for part in self.parts)

    @property
    def schema(self) -> pl.Schema:
        """Names and exact types of the columns."""
        return scans.schema_of(self.manifest)

    @property
    def manifest(self) -> Manifest:
        """What a version of these rows alone would consist of."""
        ids = tuple(range(1, len(self.fields) + 1))
        return Manifest(
            fields=self.fields,
            field_ids=ids,
            parts=self.parts,
            types=self.types,
            blocks=self.blocks,
            leaves=self.leaves,
            last_field_id=len(ids),
        )

    @property
    def fingerprint(self) -> str:
        """The logical fingerprint of rows that stand alone."""
        return of_blocks(self.schema, self.rows, self.blocks)

    def scan(self) -> pl.LazyFrame:
        """The rows, in the order in which they came, lazily.

        Raises:
            Corrupt: A part is missing or altered.
        """
        return scans.scan_parts(self.folder, self.manifest, f"What was staged for the table {self.table!r}")

    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows part by part: only one is in memory at a time."""
        what = f"What was staged for the table {self.table!r}"
        for part in self.parts:
            yield scans.scan_parts(self.folder, self.manifest, what, [part]).collect()


def stage(workspace: Workspace, table: str, rows: Rows, *, onto: TableVersion | None = None) -> Staged:
    """Write rows as parts of a table. Memory is bounded by a part, however many rows come.

    Args:
        workspace: Whose store is written.
        table: The table's name.
        rows: A Polars or pandas frame; a LazyFrame, which Polars' streaming engine runs in batches; an iterable of
            frames with the same columns; or what was staged before.
        onto: The version that the rows will be appended to: they get its columns and types. None for rows that will be
            the whole content.

    Returns:
        The staged rows: parts on disk, durable, named by no version.

    Raises:
        InvalidInput: The rows are none, their columns differ, or a type cannot be kept.
        BackendError: The file system failed.
    """
    if isinstance(rows, Staged) and (rows.table, rows.onto) == (table, onto.version if onto else ""):
        return rows
    with PartWriter(workspace, table) as writer:
        return stage_with(writer, workspace, table, rows, onto=onto)


def stage_with(
    writer: PartWriter, workspace: Workspace, table: str, rows: Rows, *, onto: TableVersion | None = None
) -> Staged:
    """As `stage`, with a writer that is not waited for: the parts are durable once it has finished."""
    check_name(table, "table")
    manifest = None if onto is None else catalog.manifest_of(workspace, onto)
    frames = frames_of(rows, f"What is to become {table}")
    if manifest is not None:
        schema = scans.schema_of(manifest)
        frames = (conformed(table, frame, schema) for frame in frames)
    digests: FrameDigests | None = None
    written: list[Part] = []
    fields: tuple[Field, ...] = ()
    first: pl.Schema | None = None
    for frame in cut(table, frames):
        written.append(writer.write(frame))  # it goes to the disk while old rows are read
        digests = digests or _begun(workspace, onto, manifest)
        digests.add(frame)
        found = fields_of(frame)
        fields = tuple(map(joined_field, fields, found)) if fields else found
        first = first or frame.schema
    if first is None or digests is None:
        raise InvalidInput(
            f"No frame came for the table {table!r}.", fix="Give at least one, without rows where there are none."
        )
    return Staged(
        folder=part_folder(workspace, table),
        table=table,
        fields=fields,
        types=tuple(plain_dtype(dtype, name) for name, dtype in first.items()),
        parts=tuple(part for part in written if part.rows) or tuple(written[:1]),
        blocks=digests.blocks,
        leaves=digests.leaves,
        onto="" if onto is None else onto.version,
        tail=digests.rest if sum(part.rows for part in written) < LEAF_ROWS else None,
    )


def _begun(workspace: Workspace, onto: TableVersion | None, manifest: Manifest | None) -> FrameDigests:
    return FrameDigests() if onto is None or manifest is None else digests_of(workspace, onto, manifest)


def digests_of(workspace: Workspace, version: TableVersion, manifest: Manifest) -> FrameDigests:
    """A version's digests, ready to take the rows that follow; at most one leaf of its rows is read.

    Raises:
        Corrupt: The part that holds that leaf is missing or altered.
    """
    rest = manifest.rows % LEAF_ROWS
    folder = part_folder(workspace, version.name, project=version.project)
    tail = None
    if rest:
        tail = _tails.get(version.version)
    if rest and tail is None:
        tail = scans.rows_between(folder, manifest, catalog.words(version), manifest.rows - rest, manifest.rows)
    return FrameDigests(manifest.blocks[: manifest.rows // BLOCK_ROWS], manifest.leaves, tail)


def keep_tail(version: str, staged: Staged) -> None:
    """Remember a new version's last rows, so that small appends one after the other read nothing."""
    if staged.tail is not None:
        _tails[version] = staged.tail
        while len(_tails) > _TAILS:
            _tails.pop(next(iter(_tails)), None)


def frames_of(rows: Rows, what: str) -> Iterator[pl.DataFrame]:
    """Whatever was given as rows, as frames; a LazyFrame in batches. `what` names it in the error."""
    if isinstance(rows, Staged):
        yield from rows.frames()
    elif isinstance(rows, pl.LazyFrame):
        yield pl.DataFrame(schema=rows.collect_schema())
        yield from rows.collect_batches(chunk_size=BLOCK_ROWS, maintain_order=True, lazy=True, engine="streaming")
    elif isinstance(rows, Iterable) and not isinstance(rows, pl.DataFrame | str | bytes) and not _is_pandas(rows):
        for frame in rows:
            if isinstance(frame, pl.LazyFrame):
                yield from frames_of(frame, what)
            else:
                yield frame_of(frame, what)
    else:
        yield frame_of(rows, what)


def _is_pandas(rows: Any) -> bool:
    return type(rows).__module__.partition(".")[0] == "pandas"


def cut(table: str, frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Join and cut frames so that each is a part: where it is cut depends on the rows alone, not on how they came."""
    held: list[pl.DataFrame] = []
    rows, size = 0, 0
    schema: pl.Schema | None = None
    given = False
    for frame in frames:
        schema = schema or frame.schema
        if not frame.height:
            continue
        held.append(frame if frame.schema == schema else conformed(table, frame, schema))
        rows += frame.height
        size += _bytes_of(frame)
        while rows >= parts.PART_ROWS or size >= parts.PART_BYTES:
            joined = pl.concat(held)
            stop = _end_of_part(joined)
            if stop is None:
                break
            yield joined.head(stop)
            given = True
            held = [joined.slice(stop)] if stop < joined.height else []
            rows, size = joined.height - stop, sum(map(_bytes_of, held))
    if held:
        yield pl.concat(held)
    elif schema is not None and not given:
        yield pl.DataFrame(schema=schema)


def _end_of_part(frame: pl.DataFrame) -> int | None:
    """Where the first part of a frame ends: at a whole leaf; None while it may still grow."""
    starts = range(LEAF_ROWS, min(frame.height, parts.PART_ROWS) + 1, LEAF_ROWS)
    if not starts:
        return parts.PART_ROWS if frame.height >= parts.PART_ROWS else None
    sizes = np.cumsum([_bytes_of(frame.slice(stop - LEAF_ROWS, LEAF_ROWS)) for stop in starts])
    over = int(np.searchsorted(sizes, parts.PART_BYTES))
    if over < len(starts):
        return starts[over]
    return parts.PART_ROWS if frame.height >= parts.PART_ROWS else None


def _bytes_of(frame: pl.DataFrame) -> int:
    """About how many bytes the values of a frame take, the same however it is cut into chunks."""
    size = 0
    for column in frame.iter_columns():
        if isinstance(column.dtype, pl.String):
            size += int(column.str.len_bytes().sum()) + 16 * len(column)
        elif isinstance(column.dtype, pl.Binary):
            size += int(column.bin.size().sum()) + 16 * len(column)
        elif column.dtype.is_nested():
            size += int(column.rechunk().estimated_size())
        else:
            size += _WIDTHS.get(type(column.dtype), 8) * len(column)
    return size


def joined_field(old: Field, new: Field) -> Field:
    """A column that takes more rows: nullable once it was, with every category that it had."""
    added = sorted(set(new.categories) - set(old.categories))
    return Field(old.name, old.type, old.nullable or new.nullable, (*old.categories, *added))
