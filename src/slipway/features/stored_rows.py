"""A stored training set: a versioned table, written as its rows are made and read again in batches.

Neither writing nor reading holds all of it in memory. A step hands on a reference, never the rows.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import polars as pl

from slipway.hashing import digest
from slipway.ports.workspace import Workspace
from slipway.records.tables import TableVersion
from slipway.schema.frame_digests import BLOCK_ROWS
from slipway.tables import versions
from slipway.tables.commits import again_on_conflict
from slipway.tables.parts import PART_ROWS
from slipway.tables.row_batches import Batches, batches_of, referred
from slipway.tables.staging import stage

__all__ = ["TrainingBatches", "rows_at_once", "store"]

_BATCH_BYTES = 1 << 28
_TIMES = 24  # about what the values of a batch take while they are made, in sizes of the batch
_ATTEMPTS = 5

TrainingBatches = Batches
"""The name by which results of steps were kept before rows of any table came in batches."""


def rows_at_once(columns: int, spare_bytes: int) -> int:
    """How many rows of a training set are made at once: whole blocks, fewer of wide rows and where memory is scarce."""
    bytes_at_once = min(_BATCH_BYTES, spare_bytes // _TIMES)
    blocks = bytes_at_once // (8 * max(columns, 1)) // BLOCK_ROWS
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
) -> Batches:
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
        return referred(workspace, table, version, staged.fingerprint, manifest)

    def attempt() -> TableVersion:  # where somebody else wrote it meanwhile, what is staged is the content all the same
        return versions.overwrite(workspace, table, staged, key=key, time=time, origin=origin)

    return batches_of(workspace, again_on_conflict(table, attempt, attempts=_ATTEMPTS))
