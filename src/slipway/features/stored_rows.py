"""How a stored training set is made: how many of its rows at once, and the name of what is kept of it."""

from __future__ import annotations

from slipway.schema.frame_digests import BLOCK_ROWS
from slipway.tables.parts import PART_ROWS
from slipway.tables.row_batches import Batches

__all__ = ["TrainingBatches", "rows_at_once"]

_BATCH_BYTES = 1 << 28
_TIMES = 24  # about what the values of a batch take while they are made, in sizes of the batch

TrainingBatches = Batches
"""The name by which results of steps were kept before rows of any table came in batches."""


def rows_at_once(columns: int, spare_bytes: int) -> int:
    """How many rows of a training set are made at once: whole blocks, fewer of wide rows and where memory is scarce."""
    bytes_at_once = min(_BATCH_BYTES, spare_bytes // _TIMES)
    blocks = bytes_at_once // (8 * max(columns, 1)) // BLOCK_ROWS
    return min(max(blocks, 1) * BLOCK_ROWS, PART_ROWS)
