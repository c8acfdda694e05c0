"""Recognising the rows that taught a model among others, without keeping them: by the smallest of their hashes.

Of at most 65,536 rows all hashes are kept, of more the smallest: those of other rows that are smaller than the greatest
kept one are then looked up, an unbiased sample of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from slipway.errors import InvalidInput
from slipway.models.frames import is_frame
from slipway.models.state import Taught
from slipway.records.models import Overlap
from slipway.schema.types import frame_of

__all__ = ["overlap_of", "taught_by"]

_KEPT = 65_536
_HASHING = f"polars {pl.__version__}"
_TEXTS = (pl.Categorical, pl.Enum)


def taught_by(rows: Any) -> Taught | None:
    """By what training rows are recognised later.

    Args:
        rows: As they were given: a Polars or pandas DataFrame; of anything else nobody can tell.
    """
    frame = _plain(rows)
    if frame is None:
        return None
    columns = tuple(sorted(frame.columns))
    hashes = np.unique(_hashes(frame, columns))
    return Taught(
        columns=columns,
        rows=frame.height,
        distinct=hashes.size == frame.height,
        hashes=hashes[:_KEPT].astype("<u8").tobytes(),
        whole=hashes.size <= _KEPT,
        hashing=_HASHING,
    )


def overlap_of(taught: Taught | None, rows: pl.DataFrame) -> Overlap | None:
    """How many of the rows had taught a model.

    Args:
        taught: By what its training rows are recognised.
        rows: The rows.

    Returns:
        None where nobody can tell: a column is missing or of another kind, or another release of Polars hashed them.
    """
    if taught is None or taught.hashing != _HASHING or not set(taught.columns) <= set(rows.columns):
        return None
    frame = _plain(rows.select(taught.columns))
    if frame is None or set(frame.columns) != set(taught.columns):
        return None
    known = np.frombuffer(taught.hashes, dtype="<u8")
    hashes = _hashes(frame, taught.columns)
    looked_up = hashes if taught.whole else hashes[hashes <= known[-1]]
    found = int(np.isin(looked_up, known).sum())
    return Overlap(rows=looked_up.size, taught=found, columns=taught.columns, distinct=taught.distinct)


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
