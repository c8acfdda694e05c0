"""Rows put aside on disk by their keys, so that what is in memory at once is bounded whatever there is in all.

The folder lives as long as the work does. A process that was killed leaves its folder behind; the next one that puts
rows aside removes it.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from operator import xor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from slipway.errors import BackendError
from slipway.ids import new_id

__all__ = ["BUFFER_BYTES", "Aside", "Span", "all_of", "aside_folder", "partition_of"]

BUFFER_BYTES = 1 << 26
Span = tuple[int, int]
"""The least and the greatest instant, microseconds since 1970."""
_LOCK = ".in-use"


@contextmanager
def aside_folder(parent: Path) -> Iterator[Path]:
    """A folder for the length of the block; what killed processes left beside it is removed.

    Args:
        parent: Where it is made.

    Raises:
        BackendError: It cannot be made.
    """
    folder = parent / new_id()
    try:
        folder.mkdir(parents=True)
        lock = (folder / _LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove_abandoned(parent, folder)
    except OSError as problem:
        shutil.rmtree(folder, ignore_errors=True)
        raise _full(folder, problem) from problem
    try:
        yield folder
    finally:
        lock.close()
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(parent: Path, own: Path) -> None:
    for folder in parent.iterdir():
        lock = folder / _LOCK
        if folder == own or not lock.exists():
            continue
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:  # its process lives
                continue
            shutil.rmtree(folder, ignore_errors=True)


def partition_of(keys: pl.DataFrame, partitions: int) -> pl.Series:
    """The part of each row: equal keys in one form give equal parts, nulls included.

    Args:
        keys: The key columns in the form of `point_in_time.key_columns`.
        partitions: How many parts there are.
    """
    hashes = [pl.col(name).hash(seed=place) for place, name in enumerate(keys.columns)]
    return keys.select((reduce(xor, hashes) % partitions).cast(pl.UInt16)).to_series()


class _Chunk(NamedTuple):
    """Rows that were written together: where they lie in their part's file, and from when to when they are."""

    start: int
    size: int
    span: Span | None


class Aside:
    """Rows by part, each part in one file of a folder; a bounded number of them is in memory meanwhile.

    Args:
        folder: Where the files go.
        partitions: How many parts there are.
        buffer_bytes: How much is gathered before it is written.
        span_of: From when to when rows are, None where there is none: what lies outside of a span is then not read for it.

    Raises:
        BackendError: The disk is full or not writable.

    Attributes:
        rows: How many rows each part was given.
    """

    def __init__(
        self,
        folder: Path,
        partitions: int,
        *,
        buffer_bytes: int = BUFFER_BYTES,
        span_of: Callable[[pl.DataFrame], Span | None] | None = None,
    ) -> None:
        self._folder = folder
        self._limit = buffer_bytes
        self._span_of = span_of
        self._held = 0
        self._buffers: list[list[pl.DataFrame]] = [[] for _ in range(partitions)]
        self._chunks: list[list[_Chunk]] = [[] for _ in range(partitions)]
        self.rows = [0] * partitions

    def add(self, rows: pl.DataFrame, parts: pl.Series) -> None:
        """Put rows aside, each to its part; within a part they keep their order."""
        numbers = parts.to_numpy()
        order = np.argsort(numbers, kind="stable")
        sorted_rows = rows.select(pl.all().gather(pl.Series(order)))
        start = 0
        for part, count in enumerate(np.bincount(numbers, minlength=len(self._buffers)).tolist()):
            if count:
                self._buffers[part].append(sorted_rows.slice(start, count))
                self.rows[part] += count
            start += count
        self._held += int(rows.estimated_size())
        if self._held > self._limit:
            self.flush()

    def flush(self) -> None:
        """Write what is gathered."""
        for part, frames in enumerate(self._buffers):
            if frames:
                rows = pl.concat(frames)
                span = self._span_of(rows) if self._span_of else None
                self._chunks[part].append(_Chunk(*_appended(rows, self._file(part)), span))
                frames.clear()
        self._held = 0

    def read(self, part: int, near: Span | None = None) -> Iterator[pl.DataFrame]:
        """What was put aside of a part, in order; with `near`, what may lie in that span, and more. Call `flush` first."""
        for chunk in self._chunks[part]:
            if near is None or self._span_of is None or _meet(chunk.span, near):
                yield _taken_back(self._file(part), chunk)

    def drop(self, part: int) -> None:
        """Remove what was put aside of a part."""
        self._file(part).unlink(missing_ok=True)
        self._chunks[part].clear()

    def _file(self, part: int) -> Path:
        return self._folder / f"{part:06}.arrows"


def _meet(one: Span | None, other: Span) -> bool:
    return one is not None and one[0] <= other[1] and other[0] <= one[1]


def _appended(rows: pl.DataFrame, path: Path) -> tuple[int, int]:
    """Write rows at the end of a file, as an Arrow stream of its own. Returns where they lie.

    Raises:
        BackendError: The disk is full or not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            start = file.tell()
            rows.write_ipc_stream(file, compression="uncompressed")
            file.flush()
            return start, file.tell() - start
    except (OSError, pl.exceptions.PolarsError) as problem:
        raise _full(path.parent, problem) from problem


def _taken_back(path: Path, chunk: _Chunk) -> pl.DataFrame:
    try:
        with path.open("rb") as file:
            file.seek(chunk.start)
            return pl.read_ipc_stream(file.read(chunk.size))
    except (OSError, pl.exceptions.PolarsError) as problem:
        raise BackendError(
            f"Rows that were put aside cannot be read again: {problem}.",
            why=f"Somebody removed or changed {path} meanwhile.",
            fix="Leave the store's folder `aside` alone while a training set is made, and make it again.",
        ) from problem


def all_of(frames: Sequence[pl.DataFrame], schema: pl.Schema) -> pl.DataFrame:
    """Frames one after another; an empty one of the schema where there are none."""
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)


def _full(folder: Path, problem: Exception) -> BackendError:
    return BackendError(
        f"Rows could not be put aside in {folder}: {problem}.",
        why="A training set larger than memory needs about its own size on disk while it is made.",
        fix="Make room on that disk, or move the store to a larger one, and try again: nothing was stored.",
    )
