"""Closed segments become Parquet: exactly, and off everybody's path.

One folder a kind and one in it a day, flat typed columns, one file a roll and layout. A row that stands twice comes once. A segment goes in the same step in
which its rows appear there: see `log_folder`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from slipway.errors import BackendError, Corrupt, InvalidInput
from slipway.ids import new_id
from slipway.tables.durable import sync_file
from slipway.tables.log_erasing import finish_journals
from slipway.tables.log_folder import PARQUET, LogFiles, changing, commit, day_of, note_dropped
from slipway.tables.log_layouts import Columns, columns_of, read_layouts, taken_names
from slipway.tables.log_parquet import KINDS, OWN, TIME, as_table, to_write, without_double
from slipway.tables.log_twins import without_twins
from slipway.tables.segments import frames_of, is_closed

__all__ = ["Rolled", "drop_days", "oldest_kept", "roll"]

_BATCH_ROWS = 20_000
_ROLL_BYTES = 64 << 20
_Key = tuple[date, Columns | None]


class Rolled(msgspec.Struct, frozen=True):
    """What a roll did.

    Args:
        rows: How many rows moved into Parquet.
        segments: How many segments went.
        files: How many Parquet files came.
        left: A sentence for each segment that stays because it cannot be rolled.
    """

    rows: int = 0
    segments: int = 0
    files: int = 0
    left: tuple[str, ...] = ()


def roll(folder: Path) -> Rolled:
    """Make Parquet of a log's segments that nobody appends to any more.

    Args:
        folder: The endpoint's log.

    Raises:
        Unavailable: Somebody else is changing the log's files.
        BackendError: The file system failed.
        Corrupt: A layout cannot be read.
    """
    total = Rolled()
    with changing(folder) as files:
        finish_journals(folder)
        for kind in KINDS:
            for segments in _chunks(files, kind):
                done = _roll(files, folder, kind, segments)
                total = Rolled(
                    total.rows + done.rows, total.segments + done.segments, total.files + done.files,
                    total.left + done.left,
                )  # fmt: skip
    return total


def drop_days(folder: Path, kinds: Sequence[str], before: date) -> list[date]:
    """Remove the days of some kinds that are earlier.

    Returns:
        The days of which something was removed.

    Raises:
        Unavailable: Somebody else is changing the log's files.
        BackendError: The file system failed.
    """
    with changing(folder) as files:
        gone = [path for kind in kinds for path in files.parquet(kind) if day_of(path.parent) < before]
        if gone:
            note_dropped(folder, before)
            commit(folder, [], gone)
        for home in (home for kind in kinds for home in files.days(kind)):
            if day_of(home) < before and not any(home.iterdir()):
                home.rmdir()
    return sorted({day_of(path.parent) for path in gone})


def _chunks(files: LogFiles, kind: str) -> list[list[Path]]:
    """Closed segments, so many together as are rolled at once."""
    chunks: list[list[Path]] = []
    size = _ROLL_BYTES
    for path in files.segments(kind):
        if not is_closed(path):
            continue
        if size >= _ROLL_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(path)
        size += path.stat().st_size
    return chunks


def _roll(files: LogFiles, folder: Path, kind: str, segments: Sequence[Path]) -> Rolled:
    gather = _Gather(files, folder, kind)
    gone, left = [], []
    for path in segments:
        try:
            gather.take(path)
        except (InvalidInput, Corrupt) as problem:
            left.append(f"{path.name} stays a segment: {problem}")
        else:
            gone.append(path)
    if not gone:
        return Rolled(left=tuple(left))
    try:
        add = gather.write(gone[0].stem)
    except (OSError, pl.exceptions.PolarsError) as problem:
        for part in (folder / PARQUET).glob("*/*/.*.part"):  # room that somebody may need now
            part.unlink(missing_ok=True)
        raise BackendError(
            f"The log in {folder} could not be rolled to Parquet: {problem}.",
            fix="Make room or give this user the right to write there; its rows stay in their segments meanwhile.",
        ) from problem
    commit(folder, add, gone)
    return Rolled(gather.rows, len(gone), len(add), tuple(left))


class _Gather:
    """Rows of segments by day and layout. A segment counts whole or not at all."""

    def __init__(self, files: LogFiles, folder: Path, kind: str) -> None:
        self._files = files
        self._folder = folder
        self._kind = kind
        self._columns = _column_finder(folder) if kind == "predictions" else None
        row_type: Any = KINDS[kind]
        self._decoder: msgspec.msgpack.Decoder[list[Any]] = msgspec.msgpack.Decoder(list[row_type])
        self._frames: dict[_Key, list[pl.DataFrame]] = {}
        self.rows = 0

    def take(self, path: Path) -> None:
        """Take the rows of a segment.

        Raises:
            Corrupt: It is damaged.
            InvalidInput: A row does not fit its layout, or nobody knows that.
        """
        found: dict[_Key, list[pl.DataFrame]] = {}
        waiting: dict[tuple[int, str], tuple[list[object], list[tuple[str, int]]]] = {}

        def flush() -> None:
            for of, (rows, places) in waiting.items():
                columns = None if self._columns is None else self._columns(*of)
                table = as_table(self._kind, rows, places, columns)
                day = pl.col(TIME[self._kind]).dt.date().alias("log_day")
                for part in table.with_columns(day).partition_by("log_day", maintain_order=True):
                    found.setdefault((part["log_day"][0], columns), []).append(part.drop("log_day"))
            waiting.clear()

        count = 0
        for offset, _, payload in frames_of(path):
            try:
                decoded = self._decoder.decode(payload)
            except msgspec.DecodeError as problem:
                raise Corrupt(f"{path} has a frame at {offset:,} that is no row: {problem}.", fix="") from problem
            for row in without_twins(self._files, self._kind, decoded):
                of = (0, "") if self._columns is None else (row.revision, row.bundle)
                rows, places = waiting.setdefault(of, ([], []))
                rows.append(row)
                places.append((path.name, offset))
                count += 1
            if sum(len(rows) for rows, _ in waiting.values()) >= _BATCH_ROWS:
                flush()
        flush()
        for key, frames in found.items():
            self._frames.setdefault(key, []).extend(frames)
        self.rows += count

    def write(self, stem: str) -> list[tuple[Path, Path]]:
        """Write what was taken, durably, under names that nobody reads; gives them with the names that they get."""
        add = []
        for (day, columns), frames in self._frames.items():
            table = pl.concat(frames)
            if columns is not None:
                table = without_double(table, columns)
            home = self._folder / PARQUET / self._kind / f"log_day={day.isoformat()}"
            home.mkdir(parents=True, exist_ok=True)
            name = f"{stem}-{new_id()[-8:]}.parquet"
            part = home / f".{name}.part"
            table.write_parquet(part, metadata=to_write(columns))
            sync_file(part)
            add.append((part, home / name))
        return add


def _column_finder(folder: Path) -> Callable[[int, str], Columns]:
    layouts = read_layouts(folder)
    taken = taken_names(layouts.values(), OWN)
    known: dict[tuple[int, str], Columns] = {}

    def find(revision: int, bundle: str) -> Columns:
        if (revision, bundle) not in known:
            if (revision, bundle) not in layouts:
                raise InvalidInput(
                    f"Nobody has written down what rows of revision {revision} and bundle {bundle} consist of.",
                    fix="They are read as before; deploy the endpoint's model again to have later ones rolled.",
                )
            known[revision, bundle] = columns_of(layouts[revision, bundle], OWN, taken)
        return known[revision, bundle]

    return find


def oldest_kept(now: datetime, keep: timedelta) -> date:
    """The first day that stays: one of which every row is older goes."""
    return (now - keep).astimezone(UTC).date()
