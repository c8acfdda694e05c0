"""Runs found by a metric, a parameter and a user, in the order of a metric, beside the SQL that one would write by hand.

By hand: one row a run with its record as JSON, one row a run and metric with the latest value, one row a run and
parameter; the condition as joins that SQLite plans, 50 records a page, read into structs. Slipway reads the search
in words, knows nothing of the columns beforehand, keeps every value under its own name and type, and makes a token for
the next page. Each run has 30 values: 10 metrics, 15 parameters, 5 tags. The file is in the machine's cache. A figure is
the 95th percentile of 100 searches with other bounds each (10 where the best of each user is asked for).
"""

import random
import sqlite3
import statistics
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.pairs import Compared, row, seconds_of
from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.ledger import entries
from slipway.ledger.search import search
from slipway.records.people import Actor
from slipway.records.runs import Environment, MetricPoint, Run

RUNS = 100_000
SEARCHES = 100
PAGE = 50
GOAL_MS = 30.0
REMARK = """\
The order's index is walked until the page is full, so the first page costs the same at any number of runs; where one part
of a condition fits few runs, these are sorted instead. A group's best looks at every run that fits.
"""

_PATH = "search for runs"
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_LOCK = tuple(f"package-{number}==1.{number}.0" for number in range(40))
_SCHEMA = (
    "CREATE TABLE runs (no INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    "CREATE TABLE metrics (no INTEGER, key TEXT, value REAL, PRIMARY KEY (no, key)) WITHOUT ROWID",
    "CREATE INDEX metrics_by_value ON metrics (key, value, no)",
    "CREATE TABLE params (no INTEGER, key TEXT, value, PRIMARY KEY (no, key)) WITHOUT ROWID",
    "CREATE INDEX params_by_value ON params (key, value, no)",
)


def made_run(number: int, chance: random.Random) -> tuple[Run, list[MetricPoint]]:
    """A run with 20 values in its record, and the last points of its 10 metrics."""
    began = _NOW + timedelta(minutes=number)
    run = Run(
        id=f"{chance.getrandbits(128):032x}",
        project="bench",
        name=f"run-{number}",
        created_at=began,
        started_at=began,
        ended_at=began + timedelta(minutes=chance.randrange(1, 200)),
        state="failed" if chance.random() < 0.05 else "finished",
        actor=Actor("ada"),
        params={f"p{place}": round(chance.random(), 4) for place in range(14)} | {"depth": chance.randrange(1, 11)},
        tags={"user": f"user-{chance.randrange(40)}"} | {f"t{place}": f"word {number % 7}" for place in range(4)},
        environment=Environment(python="3.11.7", platform="Linux", lock=_LOCK),
    )
    return run, [MetricPoint(f"m{place}", chance.random(), 100, number) for place in range(10)]


def fill(store: SqliteLedger, hand: sqlite3.Connection, runs: int) -> None:
    """The same runs on both sides."""
    chance = random.Random(7)
    for statement in _SCHEMA:
        hand.execute(statement)
    for begin in range(0, runs, 1000):
        made = [made_run(number, chance) for number in range(begin, min(runs, begin + 1000))]
        with store.write() as tx:
            for run, points in made:
                entries.put(tx, run)
                tx.add_points(run.id, points)
        hand.execute("BEGIN")
        for number, (run, points) in enumerate(made, begin + 1):
            hand.execute("INSERT INTO runs VALUES (?, ?)", (number, msgspec.json.encode(run)))
            values = [*run.params.items(), *run.tags.items()]
            hand.executemany("INSERT INTO metrics VALUES (?, ?, ?)", [(number, p.key, p.value) for p in points])
            hand.executemany("INSERT INTO params VALUES (?, ?, ?)", [(number, *value) for value in values])
        hand.execute("COMMIT")


_METRIC = "SELECT m.no FROM metrics m WHERE m.key='m0' AND m.value > ? ORDER BY m.value DESC, m.no DESC LIMIT 50"
_THREE = """SELECT m.no FROM metrics m JOIN params p ON p.no=m.no AND p.key='depth' JOIN params u ON u.no=m.no AND
    u.key='user' JOIN metrics o ON o.no=m.no AND o.key='m1' WHERE m.key='m0' AND m.value > ? AND p.value IN (4, 6)
    AND u.value='user-7' ORDER BY o.value, m.no DESC LIMIT 50"""
_BEST = """SELECT no FROM (SELECT m.no, m.value, row_number() OVER (PARTITION BY u.value ORDER BY m.value DESC, m.no DESC)
    AS place FROM metrics m JOIN params u ON u.no=m.no AND u.key='user' WHERE m.key='m0' AND m.value > ?)
    WHERE place=1 ORDER BY value DESC LIMIT 50"""
CASES = (
    ("a metric above a bound, ordered by it", "metrics.m0 > {:.4f}", "metrics.m0 desc", "", _METRIC),
    (
        "a metric, a parameter and a user, ordered by another metric",
        "metrics.m0 > {:.4f} and params.depth in (4, 6) and tags.user = 'user-7'",
        "metrics.m1",
        "",
        _THREE,
    ),
    ("the best of each user", "metrics.m0 > {:.4f}", "metrics.m0 desc", "tags.user", _BEST),
)


def twentieth(work: Callable[[float], Any], searches: int) -> float:
    """Milliseconds that all but a twentieth of the searches stay below; bounds from 0.05 to 0.95."""
    bounds = [0.05 + 0.9 * number / searches for number in range(searches)]
    took = [seconds_of(partial(work, bound)) * 1000 for bound in bounds]
    return statistics.quantiles(took, n=20, method="inclusive")[-1] if len(took) > 1 else took[0]


def run(runs: int = RUNS, searches: int = SEARCHES, pairs: int = 3) -> list[dict[str, Any]]:
    """Rows of the table: medians of the pairs, wall-clock time in one process."""
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteLedger(Path(folder) / "ledger.db")
        hand = sqlite3.connect(Path(folder) / "by-hand.db", isolation_level=None)
        hand.execute("PRAGMA journal_mode=WAL")
        try:
            fill(store, hand, runs)
            return measured(store, hand, runs, searches, pairs)
        finally:
            hand.close()
            store.close()


def measured(
    store: SqliteLedger, hand: sqlite3.Connection, runs: int, searches: int, pairs: int
) -> list[dict[str, Any]]:
    """The rows, out of two filled stores."""
    rows = []
    for name, where, order, best_per, sql in CASES:

        def by_hand(bound: float, sql: str = sql) -> int:
            numbers = [number for (number,) in hand.execute(sql, (bound,))]
            found = [hand.execute("SELECT body FROM runs WHERE no=?", (no,)).fetchone() for no in numbers]
            return len([msgspec.json.decode(body, type=Run) for (body,) in found])

        def slipway(bound: float, where: str = where, order: str = order, best_per: str = best_per) -> int:
            words = where.format(bound)
            with store.read() as tx:
                page = search(tx, Run, project="bench", where=words, order=order, best_per=best_per, limit=PAGE)
            return len(page.records)

        assert slipway(0.5) == by_hand(0.5)
        # The best of each looks at every run that fits, on both sides.
        count = max(1, searches // 10) if best_per else searches
        found = Compared.of([(twentieth(by_hand, count), twentieth(slipway, count)) for _ in range(pairs)])
        goal = {} if best_per else {"goal": GOAL_MS}
        rows.append(row(_PATH, f"{runs:,} runs, {name}, 95th percentile, ms", found, **goal))
    return rows
