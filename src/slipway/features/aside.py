"""Rows put aside on disk by their keys, so that what is in memory at once is bounded whatever there is in all.

The folder lives as long as the work does. A process that was killed leaves its folder behind; the next one that puts
rows aside removes it.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from operator import xor
from pathlib import Path

import numpy as np
import polars as pl

from slipway.errors import BackendError
from slipway.ids import new_id

__all__ = ["BUFFER_BYTES", "Aside", "all_of", "aside_folder", "partition_of", "put_aside", "taken_back"]

BUFFER_BYTES = 1 << 26
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


class Aside:
    """Rows by part, in files of a folder; a bounded number of them is in memory meanwhile.

    Args:
        folder: Where the files go.
        partitions: How many parts there are.
        buffer_bytes: How much is gathered before it is written.

    Raises:
        BackendError: The disk is full or not writable.

    Attributes:
        rows: How many rows each part was given.
    """

    def __init__(self, folder: Path, partitions: int, *, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._folder = folder
        self._limit = buffer_bytes
        self._held = 0
        self._buffers: list[list[pl.DataFrame]] = [[] for _ in range(partitions)]
        self._files: list[list[Path]] = [[] for _ in range(partitions)]
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
                path = self._folder / f"{part:03}-{len(self._files[part]):06}.arrow"
                put_aside(pl.concat(frames), path)
                self._files[part].append(path)
                frames.clear()
        self._held = 0

    def read(self, part: int) -> Iterator[pl.DataFrame]:
        """What was put aside of a part, in order. Call `flush` first."""
        for path in self._files[part]:
            yield taken_back(path)

    def drop(self, part: int) -> None:
        """Remove what was put aside of a part."""
        for path in self._files[part]:
            path.unlink(missing_ok=True)
        self._files[part].clear()


def put_aside(rows: pl.DataFrame, path: Path) -> None:
    """Write rows to a file.

    Raises:
        BackendError: The disk is full or not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows.write_ipc(path, compression="uncompressed")
    except (OSError, pl.exceptions.PolarsError) as problem:
        raise _full(path.parent, problem) from problem


def taken_back(path: Path) -> pl.DataFrame:
    """Read a file that `put_aside` wrote."""
    try:
        return pl.read_ipc(path)
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
