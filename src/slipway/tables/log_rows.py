"""A log's rows, wherever they are by now: in Parquet or still in segments. Each is found exactly once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

import polars as pl

from slipway.tables.log_folder import LogFiles, reading
from slipway.tables.log_layouts import Columns
from slipway.tables.log_merged import merged_of
from slipway.tables.log_parquet import FRAME, SEGMENT, TIME, as_rows, columns_in
from slipway.tables.log_twins import without_twins
from slipway.tables.segments import Cursor, read_files

__all__ = ["Kept", "read_parts", "read_rows", "within"]

T = TypeVar("T")
_SEGMENT = ".seg"


class Kept(NamedTuple):
    """Rows out of one Parquet file, with the columns of the file, and for predictions where their values are."""

    frame: pl.DataFrame
    columns: Columns | None


def read_rows(
    folder: Path,
    kind: str,
    row_type: type[T],
    after: Mapping[str, int] | None = None,
    *,
    limit: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    where: pl.Expr | None = None,
) -> tuple[list[T], Cursor]:
    """Read the rows of one kind that were added after a cursor. It may run while others append, roll and erase.

    Args:
        folder: The endpoint's log; it need not exist.
        kind: "predictions", "labels", "shadows", "failures" or "events".
        row_type: The kind's struct, or one of its first fields.
        after: The cursor of an earlier call, None for all rows.
        limit: Stop after the file, or the frame of a segment, with which this many rows are reached.
        since: Days before this one are not opened. Rows are not filtered by it: there may be earlier ones.
        until: Nor are days after this one.
        where: Which rows of Parquet files are wanted, so that others are not read. It says nothing of segments.

    Returns:
        The rows, and the cursor behind them.

    Raises:
        Corrupt: The log is damaged.
        Unavailable: Somebody is changing its files, and does not finish.
    """
    kept, later, cursor = read_parts(folder, kind, row_type, after, limit=limit, since=since, until=until, where=where)
    rows = [row for part in kept for row in as_rows(part.frame, row_type, part.columns)]
    return rows + later, cursor


def read_parts(
    folder: Path,
    kind: str,
    row_type: type[T],
    after: Mapping[str, int] | None = None,
    *,
    limit: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    where: pl.Expr | None = None,
    wanted: Sequence[str] | None = None,
) -> tuple[list[Kept], list[T], Cursor]:
    """The same as `read_rows`, without making rows of what is columns already.

    Args:
        folder: The endpoint's log; it need not exist.
        kind: Which rows.
        row_type: The kind's struct, or one of its first fields.
        after: The cursor of an earlier call, None for all rows.
        limit: Stop after the file, or the frame of a segment, with which this many rows are reached.
        since: Days before this one are not opened.
        until: Nor are days after this one.
        where: Which rows of Parquet files are wanted. It says nothing of segments.
        wanted: Only these columns of Parquet files, where they are there; None for all.

    Returns:
        What Parquet files held, the rows of segments, and the cursor behind both.
    """
    known = after or {}
    cursor: Cursor = {}
    kept: list[Kept] = []
    height = left = 0
    with reading(folder) as files:
        for path in files.parquet(kind, since, until):
            if known.get(path.name) or limit is None or height < limit:
                cursor[path.name] = 1
                if not known.get(path.name):
                    columns = columns_in(path) if kind == "predictions" else None
                    kept.append(Kept(_frame(path, known, where, wanted), columns))
                    height += kept[-1].frame.height
            else:
                left += 1
        rest = None if limit is None else max(limit - height, 0)
        rows, read = _read_segments(files, kind, row_type, known, rest)
    if left:  # a segment that was begun may be Parquet by now that is not read yet
        cursor |= {name: place for name, place in known.items() if name.endswith(_SEGMENT)}
    return [part for part in kept if part.frame.height], rows, {**cursor, **read}


def _read_segments(
    files: LogFiles, kind: str, row_type: type[T], known: Mapping[str, int], limit: int | None
) -> tuple[list[T], Cursor]:
    """Rows of segments, each once; as many as are wanted, where that many are there."""
    found: list[T] = []
    while True:
        rows, known = read_files(files.segments(kind), row_type, known, limit=limit)
        once = without_twins(files, kind, rows)
        found += once
        if limit is None or len(once) == len(rows) or len(once) >= limit:
            return found, dict(known)
        limit -= len(once)


def _frame(
    path: Path, after: Mapping[str, int], where: pl.Expr | None, wanted: Sequence[str] | None = None
) -> pl.DataFrame:
    """The rows of a Parquet file that were not read when they still were in a segment."""
    scan = pl.scan_parquet(path, hive_partitioning=False)
    merged = merged_of(path) if after else None
    if merged is not None and (read := merged.read_before(after)):
        scan = scan.filter(~pl.col(SEGMENT).is_in(read))
    if where is not None:
        scan = scan.filter(where)
    begun = {name: place for name, place in after.items() if name.endswith(_SEGMENT) and place}
    if begun:
        first_unread = pl.col(SEGMENT).replace_strict(begun, default=0, return_dtype=pl.Int64)
        scan = scan.filter(pl.col(FRAME) >= first_unread)
    if wanted is not None:
        names = scan.collect_schema().names()
        scan = scan.select(name for name in names if name in wanted)
    return scan.collect()


def within(kind: str, since: datetime | None, until: datetime | None) -> pl.Expr | None:
    """Which rows of Parquet files are in [since, until), None for all."""
    at = pl.col(TIME[kind])
    found = []
    if since is not None:
        found.append(at >= since.astimezone(UTC))
    if until is not None:
        found.append(at < until.astimezone(UTC))
    return None if not found else pl.all_horizontal(found)
