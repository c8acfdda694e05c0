"""What a call of `log_metric` costs, beside the least that could do: appending to a list, and a bare `os.write`.

The list forgets with the process; `os.write` of the same bytes to a file is what surviving kill -9 costs by itself. A
call of Slipway checks key, step and value, reads the clock, frames the point with its checksum and writes it; the
background thread brings points to the ledger meanwhile, once a second, and its share is in the figure. The last row is
that thread's work alone: points read from the file, decoded and committed to the ledger, beside `executemany` of the
same points in one transaction.
"""

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.pairs import compare, row, seconds_of
from slipway.hosts.project import open_workspace
from slipway.ledger import run_log
from slipway.ledger.run_file import framed
from slipway.ports.workspace import Workspace
from slipway.records.run_entries import Point
from slipway.runs import tracking

REMARK = """
The goal of 10 us a call is for the call that returns durable against kill -9, with all its checks.
"""
CALLS, PAIRS = 50_000, 5
_PATH = "run logging"


def _each(work: Callable[[int], Any], calls: int) -> float:
    def loop() -> None:
        for number in range(calls):
            work(number)

    return seconds_of(loop) * 1e6 / calls


def _slipway(workspace: Workspace, calls: int) -> float:
    with tracking.start(workspace, "bench") as active:
        return _each(lambda step: active.log_metric("loss", 0.5, step), calls)


def _beside_list(workspace: Workspace, calls: int, pairs: int) -> dict[str, Any]:
    def raw() -> float:
        kept: list[tuple[str, float, int, int]] = []
        return _each(lambda step: kept.append(("loss", 0.5, step, time.time_ns() // 1000)), calls)

    found = compare(raw, partial(_slipway, workspace, calls), pairs)
    return row(_PATH, "log_metric, us a call, beside appending to a list", found, goal=10.0)


def _beside_write(workspace: Workspace, folder: Path, calls: int, pairs: int) -> dict[str, Any]:
    frame = framed(Point("loss", 0.5, 1000, time.time_ns() // 1000))

    def raw() -> float:
        handle = os.open(folder / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC)
        try:
            return _each(lambda step: os.write(handle, frame), calls)
        finally:
            os.close(handle)

    found = compare(raw, partial(_slipway, workspace, calls), pairs)
    return row(_PATH, "log_metric, us a call, beside os.write of the same bytes", found, goal=10.0)


def _absorbed(workspace: Workspace, folder: Path, calls: int, pairs: int) -> dict[str, Any]:
    by_hand = sqlite3.connect(folder / "by-hand.db", isolation_level=None)
    by_hand.execute("PRAGMA journal_mode=WAL")
    by_hand.execute(
        "CREATE TABLE points (run TEXT, key TEXT, step INTEGER, at INTEGER, value REAL, special INTEGER, "
        "PRIMARY KEY (run, key, step, at, special, value)) WITHOUT ROWID"
    )
    runs = iter(range(10**6))

    def raw() -> float:
        run = str(next(runs))
        points = [(run, "loss", step, step, 0.5, 1) for step in range(calls)]

        def commit() -> None:
            by_hand.execute("BEGIN IMMEDIATE")
            by_hand.executemany("INSERT OR IGNORE INTO points VALUES (?, ?, ?, ?, ?, ?)", points)
            by_hand.execute("COMMIT")

        return seconds_of(commit) * 1e6 / calls

    def slipway() -> float:
        log = run_log.start(workspace, name="bench")
        frames = b"".join(framed(Point("loss", 0.5, step, step)) for step in range(calls))
        log._file.append(frames)
        found = seconds_of(log.write) * 1e6 / calls
        log.finish()
        return found

    try:
        return row(_PATH, "points from the file into the ledger, us a point", compare(raw, slipway, pairs))
    finally:
        by_hand.close()


def run(calls: int = CALLS, pairs: int = PAIRS) -> list[dict[str, Any]]:
    """Rows of the table: medians of the pairs, wall-clock time in one process."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(Path(folder) / "store", project="bench")
        try:
            return [
                _beside_list(workspace, calls, pairs),
                _beside_write(workspace, Path(folder), calls, pairs),
                _absorbed(workspace, Path(folder), calls, pairs),
            ]
        finally:
            workspace.ledger.close()
