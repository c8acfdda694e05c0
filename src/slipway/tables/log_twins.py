"""Rows that stand twice in a log: their worker ended after it had logged them, and another one answered their request.

A front names the rows of each request, so both rows have one id, and the later one is marked. It asks the second worker
when the first is gone for good. So whoever finds a marked row finds its unmarked twin too, if there is one; the twin is
the one that counts. Rows that are not marked need no look at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import polars as pl

from slipway.records.predictions import PredictionRow, ShadowRow
from slipway.tables.log_folder import LogFiles
from slipway.tables.segments import frames_of

__all__ = ["is_second", "without_twins"]

T = TypeVar("T")
_ID = {"predictions": "id", "shadows": "prediction"}
_SLACK_MS = 3_600_000
"""How far a machine's clock may have gone back between the naming of a row and the writing of a file."""


def is_second(row: object) -> bool:
    """Whether an unmarked twin of a row counts instead of it, if there is one."""
    return isinstance(row, PredictionRow | ShadowRow) and row.log_again


def without_twins(files: LogFiles, kind: str, rows: list[T]) -> list[T]:
    """Rows out of segments without those that the log has unmarked too, wherever.

    Args:
        files: The log's, while nobody changes them.
        kind: Of the rows.
        rows: Those whose struct does not tell the mark are left as they are.

    Raises:
        Corrupt: The log is damaged.
    """
    marked = {_name(row) for row in rows if is_second(row)}
    if not marked:
        return rows
    # What names a row begins with the milliseconds of its request: files of before do not hold it.
    since_ns = (min(int(name[0][:12], 16) for name in marked) - _SLACK_MS) * 1_000_000
    known = _in_parquet(_later(files.parquet(kind), since_ns), kind, marked)
    known |= _in_segments(_later(files.segments(kind), since_ns), kind, marked - known)
    return [row for row in rows if not (is_second(row) and _name(row) in known)]


def _later(paths: Iterable[Path], since_ns: int) -> list[Path]:
    return [path for path in paths if path.stat().st_mtime_ns >= since_ns]


def _name(row: Any) -> tuple[str, ...]:
    """What is the same of twins: of a shadow's answer also whose it is."""
    return (row.id,) if isinstance(row, PredictionRow) else (row.prediction, row.arm, row.bundle)


def _in_parquet(paths: Sequence[Path], kind: str, wanted: Collection[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Which names have a row there; what is Parquet has no twin, marked or not."""
    names = [_ID[kind]] if kind == "predictions" else [_ID[kind], "arm", "bundle"]
    ids = [name[0] for name in wanted]
    found: set[tuple[str, ...]] = set()
    for path in paths:
        table = pl.scan_parquet(path, hive_partitioning=False).filter(pl.col(_ID[kind]).is_in(ids)).select(names)
        found |= set(table.collect().rows())
    return found & set(wanted)


def _in_segments(paths: Sequence[Path], kind: str, wanted: Collection[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Which names have an unmarked row there."""
    if not wanted:
        return set()
    row_type: Any = PredictionRow if kind == "predictions" else ShadowRow
    decode = msgspec.msgpack.Decoder(list[row_type]).decode
    rows = (row for path in paths for _, _, payload in frames_of(path) for row in decode(payload) if not row.log_again)
    return {_name(row) for row in rows} & set(wanted)
