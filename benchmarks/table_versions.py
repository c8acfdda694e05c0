"""What a new version of a table costs: bytes on disk, and the time of a small append, beside Parquet by hand and Delta.

By hand: the new rows written as one Parquet file, fsync of the file and of its folder, and a row in SQLite (WAL,
synchronous NORMAL). Delta: `write_deltalake(mode="append")`, which does not fsync. Slipway also hashes what comes, keeps
statistics and a manifest, and writes record, lineage and event; part, manifest and both folders are fsynced. Bytes are
all that the store's folder grows by, ledger included. `python -m benchmarks.table_versions --full` measures one gigabyte.
"""

import argparse
import os
import sqlite3
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import polars as pl

from benchmarks.pairs import Compared, compare, row, seconds_of
from slipway.hosts.project import open_workspace
from slipway.ports.workspace import Workspace
from slipway.tables.versions import append, overwrite

MEGABYTES = 100
SMALL_ROWS = 1000
PAIRS = 21
REMARK = """\
The bytes beyond those of the new rows are the manifest, which names every part with its statistics, and the ledger's
pages. The time of a small append is mostly two fsyncs, of which one runs beside the hashing; where the disk is slow or
busy both sides are.
"""

_PATH = "table versions"
_COLUMNS = 8
_MARGIN = 1.05  # 10.5 MB for the 1 % of a gigabyte


class ByHand:
    """Parquet files in a folder, and a row in SQLite for each."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._number = 0
        self._ledger = sqlite3.connect(folder / "ledger.db", isolation_level=None)
        self._ledger.execute("PRAGMA journal_mode=WAL")
        self._ledger.execute("PRAGMA synchronous=NORMAL")
        self._ledger.execute("CREATE TABLE files (name TEXT PRIMARY KEY, rows INTEGER)")

    def append(self, rows: pl.DataFrame) -> None:
        self._number += 1
        path = self.folder / f"{self._number}.parquet"
        rows.write_parquet(path, compression="zstd")
        for each in (path, self.folder):
            handle = os.open(each, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        self._ledger.execute("INSERT INTO files VALUES (?, ?)", (path.name, rows.height))

    def close(self) -> None:
        self._ledger.close()


def made(rows: int, seed: int) -> pl.DataFrame:
    """Rows that do not compress: a key and columns of random numbers."""
    random = np.random.default_rng(seed)
    numbers = {f"x{n}": random.random(rows) for n in range(_COLUMNS - 1)}
    return pl.DataFrame({"id": np.arange(seed * 10**9, seed * 10**9 + rows), **numbers})


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _grown(folder: Path, work: Callable[[], Any]) -> float:
    before = size_of(folder)
    work()
    return (size_of(folder) - before) / 1e6


def _sizes(workspace: Workspace, hand: ByHand, delta: Path, megabytes: int) -> list[dict[str, Any]]:
    rows = megabytes * 1_000_000 // (8 * _COLUMNS)
    whole, more = made(rows, 1), made(rows // 100, 2)
    overwrite(workspace, "big", whole, key=("id",))
    deltalake.write_deltalake(delta / "big", whole)
    by_hand = _grown(hand.folder, lambda: hand.append(more))
    by_delta = _grown(delta, lambda: deltalake.write_deltalake(delta / "big", more, mode="append"))
    ours = _grown(workspace.root, lambda: append(workspace, "big", more))
    what = f"new version of {megabytes:,} MB and 1 % more rows, MB on disk"
    return [
        row(_PATH, what, Compared(by_hand, ours, ours / by_hand), goal=megabytes / 100 * _MARGIN),
        row(_PATH, "the same beside Delta", Compared(by_delta, ours, ours / by_delta)),
    ]


def _times(workspace: Workspace, hand: ByHand, delta: Path, pairs: int) -> list[dict[str, Any]]:
    numbers = iter(range(10, 10**6))
    start = made(100_000, 3)
    overwrite(workspace, "small", start, key=("id",))
    deltalake.write_deltalake(delta / "small", start)
    write_delta = partial(deltalake.write_deltalake, delta / "small", mode="append")

    def timed(work: Callable[[pl.DataFrame], Any]) -> Callable[[], float]:
        def once() -> float:
            rows = made(SMALL_ROWS, next(numbers))
            return seconds_of(partial(work, rows)) * 1000

        return once

    ours = timed(lambda rows: append(workspace, "small", rows))
    what = f"durable append of {SMALL_ROWS:,} rows, ms"
    return [
        row(_PATH, what, compare(timed(hand.append), ours, pairs), goal=10.0),
        row(_PATH, "the same beside Delta, which is not durable", compare(timed(write_delta), ours, pairs)),
    ]


def run(megabytes: int = MEGABYTES, pairs: int = PAIRS) -> list[dict[str, Any]]:
    """Rows of the table: bytes counted once, times as medians of the pairs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        delta = folder / "delta"
        delta.mkdir()
        workspace = open_workspace(folder / "store", project="bench")
        hand = ByHand(folder / "by-hand")
        try:
            return [*_sizes(workspace, hand, delta, megabytes), *_times(workspace, hand, delta, pairs)]
        finally:
            hand.close()
            workspace.ledger.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table_versions", description=__doc__)
    parser.add_argument("--full", action="store_true", help="one gigabyte")
    for found in run(1000 if parser.parse_args().full else MEGABYTES):
        print(found)
