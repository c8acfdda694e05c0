"""Filling the embedded online store from stored tables, beside the same rows put into SQLite by hand.

By hand: rows that lie ready in memory, sorted by key and time, written by `executemany` into a table of the same shape in
transactions of 50,000; of events with their running sums computed before the clock starts. Slipway reads the stored
table, divides and sorts it, settles ties, folds the running sums of each key and writes with each chunk the mark from
which a killed load goes on. The peak of memory is that of a fresh process which loads the table.
"""

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

import slipway.features.windows as w
from benchmarks.pairs import Compared
from benchmarks.training_batches import peak_mb
from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.features.materialise import materialise
from slipway.features.sets import FeatureSet
from slipway.features.views import feature_view
from slipway.hosts.project import open_workspace
from slipway.ports.workspace import current_workspace
from slipway.tables import versions

ROWS = 1_000_000
PAIRS = 3
GOAL_ROWS_S = 150_000
REMARK = """\
Of the time, about a third is SQLite's inserting, which by hand takes the same; the rest is making Python's rows of
columns, checking their order and folding the sums. Memory is that of a part of the table, whatever its size.
"""

_PATH = "materialise"
_CHUNK = 50_000
UNTIL = datetime(2014, 1, 1, tzinfo=UTC)
_START_US = int(datetime(2013, 1, 1, tzinfo=UTC).timestamp()) * 10**6
_GRID = 2**20


@feature_view(entity="key", time="known_at")
def seen(view: pl.LazyFrame) -> pl.LazyFrame:
    """The latest row of a key."""
    return view


SETS = {
    "events": FeatureSet(
        w.windows(
            "events", time="known_at", by=["key"], mean=w.mean("x0", "6h"), sum=w.sum_("x1", "7d"), n=w.count("6h")
        )
    ),
    "view": FeatureSet(seen),
}


def make_tables(rows: int) -> dict[str, pl.DataFrame]:
    """Events and a view's rows in the order of time, about thirty a key."""
    rng = np.random.default_rng(0)

    def frame(floats: int) -> pl.DataFrame:
        at = pl.Series(np.sort(_START_US + rng.integers(0, 90 * 86_400 * 10**6, rows))).cast(pl.Datetime("us", "UTC"))
        values = {f"x{i}": rng.normal(size=rows) for i in range(floats)}
        return pl.DataFrame({"key": rng.integers(0, max(rows // 30, 2), rows), "known_at": at, **values})

    return {"events": frame(2).with_row_index("event"), "view": frame(5)}


def _event_rows(events: pl.DataFrame) -> list[tuple[Any, ...]]:
    """As the store keeps them: key, time, id, values, then total, and count, sum and squares of each value."""
    grid = [(pl.col(name) * _GRID).round(mode="half_to_even").cast(pl.Int64).alias(name) for name in ("x0", "x1")]
    key, at, one = pl.col("key").cast(pl.String), pl.col("known_at").dt.epoch("us"), pl.lit(1)
    rows = events.select(key, at, pl.col("event").cast(pl.String), *grid).sort("key", "known_at", "event")
    total = one.cum_count().over("key")
    sums = [e for n in ("x0", "x1") for e in (total.alias(f"n{n}"), pl.col(n).cum_sum().over("key").alias(f"s{n}"))]
    made = rows.with_columns(total.alias("total"), *sums, zero=pl.lit(0))
    return made.select("key", "known_at", "event", "x0", "x1", "total", "nx0", "sx0", "zero", "nx1", "sx1",
                       pl.col("zero").alias("zero1")).rows()  # fmt: skip


def _view_rows(view: pl.DataFrame) -> list[tuple[Any, ...]]:
    encode = msgspec.msgpack.Encoder().encode
    rows = view.with_columns(pl.col("key").cast(pl.String), pl.col("known_at").dt.epoch("us")).sort("key", "known_at")
    return [(row[0], row[1], encode(row[2:])) for row in rows.iter_rows()]


_SHAPES = {
    "events": (
        "CREATE TABLE rows (key TEXT NOT NULL, time_us INTEGER NOT NULL, event_id TEXT NOT NULL, v0, v1, total, n0, s0, "
        "q0, n1, s1, q1, PRIMARY KEY (key, time_us, event_id)) WITHOUT ROWID"
    ),
    "view": (
        "CREATE TABLE rows (key TEXT NOT NULL, time_us INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (key, time_us)) "
        "WITHOUT ROWID"
    ),
}


def by_hand(path: Path, shape: str, rows: list[tuple[Any, ...]]) -> None:
    """Write rows that lie ready."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(shape)
    insert = f"INSERT INTO rows VALUES ({', '.join('?' * len(rows[0]))})"
    for chunk in _chunks(rows):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, chunk)
        connection.execute("COMMIT")
    connection.close()


def _chunks(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    left = iter(rows)
    while chunk := list(islice(left, _CHUNK)):
        yield chunk


def by_slipway(folder: Path, store: Path, name: str) -> int:
    """Load a stored table; returns how many rows."""
    workspace = open_workspace(folder, project="bench")
    opened = SqliteOnlineStore(store)
    with current_workspace.filled(workspace):
        features = SETS[name]
        loaded = materialise(workspace, features.spec({"key": "int"}), opened, until=UNTIL, views=features.views).rows
    opened.close()
    workspace.ledger.close()
    return loaded


def run(rows: int = ROWS, pairs: int = PAIRS) -> list[dict[str, Any]]:
    """Rows of the table: seconds, with the rate in words, and the peak of memory at two sizes."""
    made = []
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as scratch:
        folder = Path(scratch)
        tables = make_tables(rows)
        store_tables(folder, tables)
        for name, ready in (("events", _event_rows(tables["events"])), ("view", _view_rows(tables["view"]))):
            words = {"events": "events with 2 values and their sums", "view": "rows of a view of 5 floats"}[name]
            for kind, found in _compare(folder, name, ready, pairs).items():
                rates = Compared(rows / found.raw / 1000, rows / found.slipway / 1000, found.ratio)
                what = f"{rows:,} {words}: thousand rows a second{kind} (the ratio is of times)"
                goal = {} if kind else {"goal_least": GOAL_ROWS_S / 1000}
                made.append({"path": _PATH, "what": what, **rates._asdict(), **goal})
    for size in (rows, 4 * rows):
        peak = _peak_of_loading(size)
        what = f"{size:,} events, peak of a process that loads them, MB"
        made.append({"path": _PATH, "what": what, "raw": None, "slipway": peak, "ratio": None})
    return made


def _compare(folder: Path, name: str, ready: list[tuple[Any, ...]], pairs: int) -> dict[str, Compared]:
    """Seconds, and seconds of CPU, of both sides in turns; each into a file of its own."""

    def timed(work: Callable[[Path], object]) -> tuple[float, float]:
        path = folder / "store.db"
        wall, cpu = time.perf_counter(), time.process_time()
        work(path)
        took = time.perf_counter() - wall, time.process_time() - cpu
        for left in folder.glob("store.db*"):
            left.unlink()
        return took

    both = []
    for _ in range(pairs):
        raw = timed(lambda path: by_hand(path, _SHAPES[name], ready))
        both.append((raw, timed(lambda path: by_slipway(folder, path, name))))
    return {
        kind: Compared.of([(raw[place], ours[place]) for raw, ours in both])
        for place, kind in enumerate(("", " of CPU"))
    }


def store_tables(folder: Path, tables: dict[str, pl.DataFrame]) -> None:
    workspace = open_workspace(folder, project="bench")
    versions.overwrite(workspace, "events", tables["events"], key=("event",), time="known_at")
    versions.overwrite(workspace, "view", tables["view"], time="known_at")
    workspace.ledger.close()


def _peak_of_loading(rows: int) -> float:
    home = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        for step in ("prepare", "load"):
            command = [sys.executable, "-m", __name__, step, folder, str(rows)]
            answer = subprocess.run(command, cwd=home, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(answer.stdout))


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        store_tables(Path(sys.argv[2]), make_tables(int(sys.argv[3])))
    else:
        by_slipway(Path(sys.argv[2]), Path(sys.argv[2]) / "store.db", "events")
        print(json.dumps(peak_mb()))
