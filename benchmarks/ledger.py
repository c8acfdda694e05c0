"""What keeping a run costs: its record, and the points of its metrics, beside sqlite3 by hand.

By hand: a list that is appended to for a call; a question to git, a row inserted and a row updated for a run; the same
points inserted in one transaction for a batch. Both sides are durable alike (WAL, synchronous NORMAL: what is committed
survives kill -9, not a power cut). Slipway also checks keys and values, keeps each run's environment and command, links
its lineage and writes an event of its start and of its end.
"""

import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.pairs import compare, row, seconds_of
from slipway.hosts.project import open_workspace
from slipway.ledger import run_log
from slipway.ports.workspace import Workspace
from slipway.records.runs import MetricPoint
from slipway.runs import tracking

CALLS = 900
BATCH = 1000
RUNS = 10
PAIRS = 15
REMARK = """\
A call checks key, value and clock, and takes two locks; a background thread writes what was kept within a second. A run's
time is mostly git's answer, on both sides.
"""

_PATH = "ledger"
_SCHEMA = (
    "CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT, state TEXT, started REAL, ended REAL)",
    "CREATE TABLE points (run_id TEXT, key TEXT, step INTEGER, at_us INTEGER, value REAL, "
    "PRIMARY KEY (run_id, key, step, at_us, value)) WITHOUT ROWID",
)


class ByHand:
    """Runs and points in a file of its own."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        for statement in _SCHEMA:
            self.connection.execute(statement)

    def run(self, name: str) -> None:
        subprocess.run(["git", "status", "--porcelain=v2", "--branch", "--untracked-files=no"], capture_output=True)
        done = self.connection.execute("INSERT INTO runs VALUES (NULL, ?, 'running', ?, NULL)", (name, time.time()))
        self.connection.execute("UPDATE runs SET state='finished', ended=? WHERE id=?", (time.time(), done.lastrowid))

    def add_points(self, points: list[tuple[str, str, int, int, float]]) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?)", points)
        self.connection.execute("COMMIT")


def _each(work: Callable[[int], Any], calls: int) -> None:
    for number in range(calls):
        work(number)


def _calls(workspace: Workspace, calls: int, pairs: int) -> dict[str, Any]:
    kept: list[tuple[str, float, int, int]] = []

    def raw() -> float:
        def append(step: int) -> None:
            kept.append(("loss", 0.5, step, time.time_ns() // 1000))

        return seconds_of(partial(_each, append, calls)) * 1e6 / calls

    def slipway() -> float:
        with tracking.start(workspace, "bench") as active:
            return seconds_of(partial(_each, lambda step: active.log_metric("loss", 0.5, step), calls)) * 1e6 / calls

    return row(
        _PATH, "log_metric, a call that returns once the point outlives the process, us", compare(raw, slipway, pairs)
    )


def _batches(workspace: Workspace, hand: ByHand, batch: int, pairs: int) -> dict[str, Any]:
    numbers = iter(range(10**6))
    log = run_log.start(workspace, name="bench")

    def raw() -> float:
        first = next(numbers) * batch
        points = [(log.id, "loss", first + step, first, 0.5) for step in range(batch)]
        return seconds_of(partial(hand.add_points, points)) * 1000

    def slipway() -> float:
        first = next(numbers) * batch
        points = [MetricPoint("loss", 0.5, first + step, first) for step in range(batch)]

        def commit() -> None:
            with workspace.ledger.write() as tx:
                tx.add_points(log.id, points)

        return seconds_of(commit) * 1000

    found = compare(raw, slipway, pairs)
    log.finish()
    return row(_PATH, f"a batch of {batch:,} points, committed, ms", found, goal=8.0)


def _runs(workspace: Workspace, hand: ByHand, runs: int, pairs: int) -> dict[str, Any]:
    def start_and_finish(number: int) -> None:
        with tracking.start(workspace, f"bench-{number}"):
            pass

    start_and_finish(0)  # reads what is installed, once a process
    found = compare(
        lambda: seconds_of(partial(_each, lambda number: hand.run(f"bench-{number}"), runs)) * 1000 / runs,
        lambda: seconds_of(partial(_each, start_and_finish, runs)) * 1000 / runs,
        pairs,
    )
    return row(_PATH, "a run started and finished, ms", found)


def run(calls: int = CALLS, batch: int = BATCH, runs: int = RUNS, pairs: int = PAIRS) -> list[dict[str, Any]]:
    """Rows of the table: medians of the pairs, wall-clock time in one process."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(Path(folder) / "store", project="bench")
        hand = ByHand(Path(folder) / "by-hand.db")
        try:
            return [
                _calls(workspace, calls, pairs),
                _batches(workspace, hand, batch, pairs),
                _runs(workspace, hand, runs, pairs),
            ]
        finally:
            hand.connection.close()
            workspace.ledger.close()
