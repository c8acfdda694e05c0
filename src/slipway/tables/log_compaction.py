"""Small Parquet files of a log become larger ones, day by day, and whoever reads meanwhile finds each row once.

A day's folder is made anew beside the log's Parquet: its large files as they are, by a second name on the disk, and one
file in the place of many small ones. Then the two folders change names in one step of the system. So there is nothing to
complete after a kill, and who lists the folder by a glob finds the old files or the new ones, never both. Who had listed
it before is told that a file is missing, and reads again.

A larger file keeps which files it was made of, so that who remembers those goes on where he was: see `log_merged`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import polars as pl

from slipway.errors import BackendError
from slipway.ids import new_id
from slipway.tables.durable import exchange, sync_file, sync_folder
from slipway.tables.log_folder import STAGED, changing, reading, taking
from slipway.tables.log_layouts import Columns
from slipway.tables.log_merged import merged_of, put_together
from slipway.tables.log_parquet import KINDS, SEGMENT, columns_in, to_write, with_double, without_double

__all__ = ["Compacted", "compact"]

_SMALL_BYTES = 8 << 20
_TOGETHER_BYTES = 32 << 20
_MANY = 8
_QUIET_S = 86_400.0
_PAUSE_S = 0.02


class Compacted(msgspec.Struct, frozen=True):
    """What a compaction did.

    Args:
        files: How many small files went.
        into: How many came in their place.
        left: Why files stay small, "" where they do not.
    """

    files: int = 0
    into: int = 0
    left: str = ""


def compact(folder: Path, *, many: int = _MANY) -> Compacted:
    """Put small Parquet files of a log together, those of a day and a kind that have the same columns.

    A day is due when it has many of them, or more than one of which none came for a day.

    Args:
        folder: The endpoint's log.
        many: From how many on they are put together at once.

    Raises:
        Unavailable: Somebody else is changing the log's files.
        BackendError: The file system failed; the day's files are as they were.
        Corrupt: A file of the log cannot be read.
    """
    total = Compacted()
    with reading(folder) as files:
        days = [(kind, day) for kind in KINDS for day in files.days(kind) if _due(_small(day), many)]
    for kind, day in days:
        with changing(folder):
            try:
                done = _compact_day(folder, kind, day, many)
            except (OSError, pl.exceptions.PolarsError) as problem:
                raise BackendError(
                    f"Small files in {day} could not be put together: {problem}.",
                    fix="Make room or give this user the right to write there; they are read as they are meanwhile.",
                ) from problem
        total = Compacted(total.files + done.files, total.into + done.into, done.left)
        if done.left:
            break
        time.sleep(_PAUSE_S)  # somebody else may want to change the log
    return total


def _small(day: Path) -> list[Path]:
    """The small files of a day, in the order of their coming; those that go at this moment are none."""
    found = []
    for path in sorted(day.glob("*.parquet")):
        try:
            if path.stat().st_size < _SMALL_BYTES:
                found.append(path)
        except FileNotFoundError:
            continue
    return found


def _due(small: Sequence[Path], many: int) -> bool:
    if len(small) < 2:
        return False
    return len(small) >= many or max(path.stat().st_mtime for path in small) < time.time() - _QUIET_S


def _compact_day(folder: Path, kind: str, day: Path, many: int) -> Compacted:
    small = _small(day)
    groups: dict[tuple[Columns | None, tuple[tuple[str, pl.DataType], ...]], list[Path]] = {}
    if _due(small, many):
        for path in small:
            columns = columns_in(path) if kind == "predictions" else None
            frame = pl.scan_parquet(path, hive_partitioning=False).head(0).collect()
            whole = frame if columns is None else with_double(frame, columns)
            groups.setdefault((columns, tuple(sorted(whole.schema.items()))), []).append(path)
    chunks = [(of[0], chunk) for of, group in groups.items() for chunk in _chunks(group) if len(chunk) > 1]
    if not chunks:
        return Compacted()
    staged = folder / STAGED / new_id()
    staged.mkdir(parents=True)
    gone = set()
    for columns, chunk in chunks:
        _write(staged / f"{chunk[0].stem.rpartition('-')[0]}-{new_id()[-8:]}.parquet", columns, chunk)
        gone |= set(chunk)
    for path in day.iterdir():
        if path not in gone:
            os.link(path, staged / path.name)
    sync_folder(staged)
    with taking(folder):
        if not exchange(staged, day):
            return Compacted(left=f"Small files stay in {folder}: its file system lets no two folders change names.")
    sync_folder(day.parent)
    sync_folder(staged.parent)
    shutil.rmtree(staged)
    return Compacted(len(gone), len(chunks))


def _chunks(paths: Sequence[Path]) -> list[list[Path]]:
    """Files, so many together as are read at once."""
    found: list[list[Path]] = []
    size = _TOGETHER_BYTES
    for path in paths:
        if size >= _TOGETHER_BYTES:
            found.append([])
            size = 0
        found[-1].append(path)
        size += path.stat().st_size
    return found


def _write(path: Path, columns: Columns | None, parts: Sequence[Path]) -> None:
    frames = [pl.read_parquet(part, hive_partitioning=False) for part in parts]
    merged = put_together(
        (part.name, frame[SEGMENT].unique(maintain_order=True).to_list(), merged_of(part))
        for part, frame in zip(parts, frames, strict=True)
    )
    if columns is None:
        table = pl.concat([frame.select(frames[0].columns) for frame in frames])
    else:
        whole = [with_double(frame, columns) for frame in frames]
        table = without_double(pl.concat([frame.select(whole[0].columns) for frame in whole]), columns)
    table.write_parquet(path, metadata=to_write(columns, merged))
    sync_file(path)
