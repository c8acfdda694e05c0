"""Recognising the rows that taught a model among others, without keeping them: by the smallest of their hashes.

Of at most 65,536 rows all hashes are kept, of more the smallest: those of other rows that are smaller than the greatest
kept one are then looked up, an unbiased sample of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import polars as pl

from slipway.errors import InvalidInput
from slipway.models.frames import is_frame
from slipway.models.state import Taught
from slipway.records.models import Overlap
from slipway.schema.types import frame_of
from slipway.tables.row_batches import Batches

__all__ = ["overlap_of", "taught_by"]

_KEPT = 65_536
_HASHING = f"polars {pl.__version__}"
_TEXTS = (pl.Categorical, pl.Enum)


def taught_by(rows: Any) -> Taught | None:
    """By what training rows are recognised later.

    Args:
        rows: As they were given: a Polars or pandas DataFrame, or batches of a stored table, which are read once; of
            anything else nobody can tell.
    """
    columns: tuple[str, ...] | None = None
    kept, twice = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint64)
    count, whole = 0, True
    for frame in _frames(rows if isinstance(rows, Batches) else [rows]):
        columns = tuple(sorted(frame.columns))
        hashes, times = np.unique(_hashes(frame, columns), return_counts=True)
        twice = np.union1d(twice, np.union1d(hashes[times > 1], np.intersect1d(hashes, kept, assume_unique=True)))
        kept = np.union1d(kept, hashes)
        whole = whole and kept.size <= _KEPT
        kept = kept[:_KEPT]
        twice = twice[twice <= kept[-1]]
        count += frame.height
    if columns is None:
        return None
    return Taught(
        columns=columns,
        rows=count,
        distinct=not twice.size,
        hashes=kept.astype("<u8").tobytes(),
        whole=whole,
        hashing=_HASHING,
    )


def overlap_of(taught: Taught | None, rows: pl.DataFrame | Batches) -> Overlap | None:
    """How many of the rows had taught a model.

    Args:
        taught: By what its training rows are recognised.
        rows: The rows; batches of a stored table are read once.

    Returns:
        None where nobody can tell: a column is missing or of another kind, or another release of Polars hashed them.
    """
    if taught is None or taught.hashing != _HASHING or not set(taught.columns) <= set(rows.columns):
        return None
    known = np.frombuffer(taught.hashes, dtype="<u8")
    looked_up = found = 0
    wanted = list(taught.columns)
    for frame in _frames(rows.select(wanted) if isinstance(rows, Batches) else [rows.select(wanted)]):
        if set(frame.columns) != set(taught.columns):
            return None
        hashes = _hashes(frame, taught.columns)
        mine = hashes if taught.whole else hashes[hashes <= known[-1]]
        looked_up += mine.size
        found += int(np.isin(mine, known).sum())
    return Overlap(rows=looked_up, taught=found, columns=taught.columns, distinct=taught.distinct)


def _frames(parts: Iterable[Any]) -> Iterator[pl.DataFrame]:
    """Of each part what can be hashed; nothing of one that has no such rows or columns."""
    for part in parts:
        frame = _plain(part)
        if frame is not None:
            yield frame


def _plain(rows: Any) -> pl.DataFrame | None:
    """The columns that can be hashed, texts in categories as texts; None without any row or column."""
    if not is_frame(rows):
        return None
    try:
        frame = frame_of(rows)
    except InvalidInput:  # a pandas column that mixes types: its rows are not recognised
        return None
    frame = frame.select(
        pl.col(name).cast(pl.String) if isinstance(kind, _TEXTS) else pl.col(name)
        for name, kind in frame.schema.items()
        if not kind.is_nested() and kind != pl.Object
    )
    return frame if frame.height and frame.width else None


def _hashes(frame: pl.DataFrame, columns: tuple[str, ...]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return frame.select(columns).hash_rows(seed=0).to_numpy()
