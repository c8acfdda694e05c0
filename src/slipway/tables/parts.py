"""Immutable Parquet parts: written whole or not at all, named by their digest, read by an exact list."""

from __future__ import annotations

import math
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from slipway.errors import BackendError, Corrupt, InvalidInput
from slipway.hashing import digest_file
from slipway.ids import check_name, new_id
from slipway.ports.workspace import Workspace
from slipway.records.tables import ColumnStats, Manifest, Part
from slipway.schema.fingerprints import BLOCK_ROWS

__all__ = ["PART_ROWS", "scan_parts", "table_folder", "verify_parts", "write_parts"]

PART_ROWS = 16 * BLOCK_ROWS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BOUNDED = (pl.String, pl.Date, pl.Datetime, pl.Duration, pl.Boolean)
_TEXT_LIMIT = 128


def table_folder(workspace: Workspace, table: str, *, project: str | None = None) -> Path:
    """The folder of a table's parts: `<root>/tables/<project>/<table>`."""
    return workspace.root / "tables" / (project or workspace.project) / table


def write_parts(workspace: Workspace, table: str, frame: pl.DataFrame) -> tuple[Part, ...]:
    """Write a frame as parts of at most `PART_ROWS` rows; a frame without rows becomes one part, to keep its types.

    What it acknowledges survives kill -9 and power loss. Until a manifest names them, the parts are orphans that
    nobody reads. Equal rows give equal bytes, whatever the frame's chunks.

    Args:
        workspace: Says where.
        table: The table's name.
        frame: What to write.

    Raises:
        InvalidInput: Parquet cannot hold a column's type, or does not give it back as it went.
        BackendError: The file system failed.
    """
    folder = table_folder(workspace, check_name(table, "table"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        starts = range(0, max(frame.height, 1), PART_ROWS)
        parts = tuple(_write_part(folder, frame.slice(start, PART_ROWS).rechunk()) for start in starts)
        _sync(folder)
        _sync(folder.parent)
    except pl.exceptions.PolarsError as problem:
        raise InvalidInput(
            f"The rows of the table {table!r} cannot be written as Parquet: {problem}.",
            fix="Cast the column of that type to a plain one.",
        ) from problem
    except OSError as problem:
        raise BackendError(
            f"The table {table!r} could not be written to {folder}: {problem}.",
            fix="Make room or give this user the right to write there, then try again.",
        ) from problem
    return parts


def scan_parts(folder: Path, manifest: Manifest, what: str) -> pl.LazyFrame:
    """The rows of a manifest's parts, in order, lazily.

    Args:
        folder: Where the parts lie.
        manifest: Names them.
        what: The version in words, for errors.

    Raises:
        Corrupt: A part is missing or has another size than it was written with.
    """
    paths = []
    for part in manifest.parts:
        path = _path(folder, part.digest)
        size = path.stat().st_size if path.exists() else None
        if size != part.size_bytes:
            state = "is missing" if size is None else f"has {size} bytes where {part.size_bytes} were written"
            raise _damaged(what, path, state)
        paths.append(path)
    names = [field.name for field in manifest.fields]
    return pl.scan_parquet(paths, glob=False, hive_partitioning=False).select(names)


def verify_parts(folder: Path, manifest: Manifest, what: str) -> None:
    """Read every part's bytes and compare their digests.

    Raises:
        Corrupt: A part is missing or is not what was written.
    """
    scan_parts(folder, manifest, what)
    for part in manifest.parts:
        path = _path(folder, part.digest)
        if digest_file(path) != part.digest:
            raise _damaged(what, path, "has other bytes than its digest says")


def _write_part(folder: Path, rows: pl.DataFrame) -> Part:
    temporary = folder / f".{new_id()}.tmp"
    try:
        rows.write_parquet(temporary, compression="zstd", statistics=True)
        _check_round_trip(rows, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        digest = digest_file(temporary)
        size = temporary.stat().st_size
        temporary.replace(_path(folder, digest))
    finally:
        temporary.unlink(missing_ok=True)
    return Part(digest=digest, rows=rows.height, size_bytes=size, stats=_stats(rows))


def _check_round_trip(rows: pl.DataFrame, path: Path) -> None:
    read = pl.scan_parquet(path, glob=False, hive_partitioning=False).collect_schema()
    for name, dtype in rows.schema.items():
        if read[name] != dtype:
            raise InvalidInput(
                f"Column {name!r} has the type {dtype}, which comes back from Parquet as {read[name]}.",
                fix=f"Cast it first: pl.col({name!r}).cast(...).",
                field=name,
            )


def _stats(rows: pl.DataFrame) -> dict[str, ColumnStats]:
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
    plain = (_plain_bound(low), _plain_bound(high))
    return plain if None not in plain else (None, None)


def _plain_bound(value: Any) -> Any:
    """Instants and durations in microseconds, dates as text; None for what JSON does not keep exactly."""
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


def _path(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.parquet"


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damaged(what: str, path: Path, state: str) -> Corrupt:
    return Corrupt(
        f"{what} cannot be read: its part {path.name} {state}.",
        why=f"Parts under {path.parent} are never changed or removed by Slipway while a version names them.",
        fix="Restore that file from a backup, or ingest the table again.",
    )
