"""Immutable Parquet parts: written whole or not at all, named by their digest, with statistics for pruning."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any

import polars as pl

from slipway.errors import BackendError, InvalidInput, SlipwayError
from slipway.hashing import digest as digest_of
from slipway.ids import check_name, new_id
from slipway.ports.workspace import Workspace
from slipway.records.tables import ColumnStats, Part
from slipway.schema.frame_digests import BLOCK_ROWS
from slipway.tables.part_folders import PartFolder, folder_of, part_path

__all__ = ["PART_BYTES", "PART_ROWS", "PartWriter", "plain_bound", "stats_of"]

PART_ROWS = 16 * BLOCK_ROWS
PART_BYTES = 128 << 20
"""How many bytes of values a part holds at most, about, before they are compressed."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BOUNDED = (pl.String, pl.Date, pl.Datetime, pl.Duration, pl.Boolean)
_TEXT_LIMIT = 128


class PartWriter:
    """Writes frames as parts into a table's folder, one in the background while the next is made.

    Until a manifest names them, parts are orphans that nobody reads. Equal rows give equal bytes, whatever the frame's
    chunks. A part is written also where its file is there already, so that its age says when it was last wanted.

    Args:
        workspace: Says where.
        table: The table's name.
    """

    def __init__(self, workspace: Workspace, table: str) -> None:
        self.folder = folder_of(workspace, check_name(table, "table"))
        self._table = table
        self._pool: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None
        self._checked = False
        self._is_new = False

    def __enter__(self) -> PartWriter:
        """Nothing is made before the first part."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is being written; where no error is on its way, it is then durable."""
        try:
            if kind is None:
                self.finish()
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=True)
                self._pool = None

    def write(self, rows: pl.DataFrame) -> Part:
        """Write rows as one part; it is durable after `finish`.

        Raises:
            InvalidInput: Parquet cannot hold a column's type, or does not give it back as it went.
            BackendError: The file system failed, now or for the part before.
        """
        data = self._encoded(rows.rechunk())
        digest = digest_of(data)
        with self._sentences():
            if self._pool is None:
                self._is_new = not self.folder.path.is_dir()
                self.folder.path.mkdir(parents=True, exist_ok=True)
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="slipway-parts")
            if self._pending is not None:
                self._pending.result()
            self._pending = self._pool.submit(_store, self.folder, digest, data)
        return Part(digest=digest, rows=rows.height, size_bytes=len(data), stats=stats_of(rows))

    def finish(self) -> None:
        """Wait until every part survives kill -9 and power loss.

        Raises:
            BackendError: The file system failed.
        """
        if self._pending is None:
            return
        with self._sentences():
            self._pending.result()
            self._pending = None
            if self._is_new:
                _sync(self.folder.path.parent)

    def _encoded(self, rows: pl.DataFrame) -> bytes:
        buffer = BytesIO()
        try:
            rows.write_parquet(buffer, compression="zstd", statistics=True)
            if not self._checked:
                buffer.seek(0)
                _check_round_trip(rows, pl.read_parquet_schema(buffer))
                self._checked = True
        except pl.exceptions.PolarsError as problem:
            raise InvalidInput(
                f"The rows of the table {self._table!r} cannot be written as Parquet: {problem}.",
                fix="Cast the column of that type to a plain one.",
            ) from problem
        return buffer.getvalue()

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except SlipwayError:  # of the object store, which says it itself
            raise
        except OSError as problem:
            raise BackendError(
                f"The table {self._table!r} could not be written to {self.folder.path}: {problem}.",
                why="Nothing of it is visible; the version that was current still is.",
                fix="Make room or give this user the right to write there, then try again.",
            ) from problem


def _store(folder: PartFolder, digest: str, data: bytes) -> None:
    path = part_path(folder.path, digest)
    temporary = path.parent / f".{new_id()}.tmp"
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o444)  # whoever finds it may read it: versions share it
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    folder.keep((path,))


def _check_round_trip(rows: pl.DataFrame, read: dict[str, pl.DataType]) -> None:
    for name, dtype in rows.schema.items():
        if read[name] != dtype:
            raise InvalidInput(
                f"Column {name!r} has the type {dtype}, which comes back from Parquet as {read[name]}.",
                fix=f"Cast it first: pl.col({name!r}).cast(...).",
                field=name,
            )


def stats_of(rows: pl.DataFrame) -> dict[str, ColumnStats]:
    """The statistics of a part's columns: nulls, and bounds where they are plain."""
    bounded = [n for n, dtype in rows.schema.items() if dtype.is_numeric() or isinstance(dtype, _BOUNDED)]
    found = rows.select(
        pl.all().null_count().name.prefix("nulls:"),
        pl.col(bounded).min().name.prefix("low:"),
        pl.col(bounded).max().name.prefix("high:"),
    ).row(0, named=True)
    return {
        name: ColumnStats(found[f"nulls:{name}"], *_bounds(found.get(f"low:{name}"), found.get(f"high:{name}")))
        for name in rows.columns
    }


def _bounds(low: Any, high: Any) -> tuple[Any, Any]:
    plain = (plain_bound(low), plain_bound(high))
    return plain if None not in plain else (None, None)


def plain_bound(value: Any) -> Any:
    """A value as statistics keep it: instants and durations in microseconds, dates as text; None where JSON is not exact."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value if len(value) <= _TEXT_LIMIT else None
    if isinstance(value, datetime):
        return (value - _EPOCH) // timedelta(microseconds=1) if value.tzinfo else None
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    return value.isoformat() if isinstance(value, date) else None


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
