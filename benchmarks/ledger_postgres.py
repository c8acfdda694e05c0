"""What the ledger in PostgreSQL costs beside the one in a SQLite file: the same calls of the same store's port.

Raw is the ledger in SQLite, Slipway the one in PostgreSQL on the same machine, over TCP, each commit on the disk
(`synchronous_commit=on`; SQLite's, `synchronous=NORMAL`, is safe from killed processes, not from a power cut). A write
replaces one record and appends an event; with eight threads it is the time of all writes by their number. Runs are
those of the section on searches: a figure is the 95th percentile of searches with other bounds. Needs a PostgreSQL:
SLIPWAY_TEST_POSTGRES, or the one on this machine.
"""

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any

from benchmarks import metric_ingest, run_search
from benchmarks.pairs import compare, row, seconds_of
from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.ledger import entries
from slipway.ledger.search import search
from slipway.ports.ledger_store import LedgerStore
from slipway.records.events import Event
from slipway.records.people import Actor
from slipway.records.record import Entry
from slipway.records.runs import Run

RUNS = 2_000
WRITES = 100
SEARCHES = 20
REMARK = """\
PostgreSQL is for sharing, not for speed: each statement goes to the server and back, and each commit waits for the disk
while the next writer waits for it. What many threads write is bounded by that, and so is a search, which asks two to
five statements.
"""

_PATH = "the ledger in PostgreSQL"
_URL = os.environ.get("SLIPWAY_TEST_POSTGRES", "postgresql://127.0.0.1:5432/test").replace("+psycopg", "")
_EVENT = Event(
    id="e", at=datetime(2026, 1, 1, tzinfo=UTC), project="bench", actor=Actor("ada"), verb="v", subject="s", body={}
)


@contextmanager
def _opened() -> Iterator[LedgerStore | None]:
    """An empty ledger in PostgreSQL; None where none answers."""
    import psycopg

    from slipway.backends.postgres_ledger import PostgresLedger

    schema = f"slipway_bench_{uuid.uuid4().hex}"
    try:
        connection = psycopg.connect(_URL, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError:
        yield None
        return
    with connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        store = PostgresLedger(f"{_URL}{'&' if '?' in _URL else '?'}options=-csearch_path%3D{schema}")
        try:
            yield store
        finally:
            store.close()
            connection.execute(f"DROP SCHEMA {schema} CASCADE")


def _entry(number: int) -> Entry:
    return Entry(
        kind="thing", id=str(number % 50), project="bench", name="", number=0, state="", parent="", created_us=number,
        etag=0, body=b"{}",
    )  # fmt: skip


def _written(store: LedgerStore, numbers: Iterator[int]) -> None:
    with store.write() as tx:
        tx.put(_entry(next(numbers)))
        tx.append_event(_EVENT)


def _each(work: Callable[[], object], times: int, threads: int = 1) -> float:
    """Milliseconds a call."""
    if threads == 1:
        return seconds_of(lambda: [work() for _ in range(times)]) * 1000 / times
    with ThreadPoolExecutor(threads) as pool:
        return seconds_of(lambda: list(pool.map(lambda _: work(), range(times)))) * 1000 / times


def _read(store: LedgerStore) -> None:
    with store.read() as tx:
        tx.get("thing", "1")


def _fill(store: LedgerStore, runs: int) -> None:
    chance = Random(7)
    for begin in range(0, runs, 500):
        with store.write() as tx:
            for number in range(begin, min(runs, begin + 500)):
                made, points = run_search.made_run(number, chance)
                entries.put(tx, made)
                tx.add_points(made.id, points)


def _searched(store: LedgerStore, where: str, order: str, best_per: str, bound: float) -> None:
    with store.read() as tx:
        search(tx, Run, project="bench", where=where.format(bound), order=order, best_per=best_per, limit=50)


def run(runs: int = RUNS, writes: int = WRITES, searches: int = SEARCHES, pairs: int = 3) -> list[dict[str, Any]]:
    """Rows of the table; none where no PostgreSQL answers."""
    with tempfile.TemporaryDirectory() as folder, _opened() as postgres:
        if postgres is None:
            return []
        sqlite = SqliteLedger(Path(folder) / "ledger.db")
        try:
            return _measured((sqlite, postgres), runs, writes, searches, pairs)
        finally:
            sqlite.close()


def _measured(
    stores: tuple[LedgerStore, LedgerStore], runs: int, writes: int, searches: int, pairs: int
) -> list[dict[str, Any]]:
    rows = []

    def add(what: str, side: Callable[[LedgerStore], float]) -> None:
        rows.append(row(_PATH, what, compare(partial(side, stores[0]), partial(side, stores[1]), pairs)))

    numbers = count()
    add("a small write, ms", lambda store: _each(partial(_written, store, numbers), writes))
    add("a small write of eight threads, ms", lambda store: _each(partial(_written, store, numbers), writes, 8))
    add("a record read, ms", lambda store: _each(partial(_read, store), writes))
    for store in stores:
        _fill(store, runs)
    with stores[1].read() as tx:
        (newest,) = tx.find("run", limit=1)
    for points, times in ((1, writes), (1000, max(1, writes // 10))):
        stream = metric_ingest.made_points(f"of {points}")

        def point(store: LedgerStore, size: int = points, stream: Any = stream) -> None:
            with store.write() as tx:
                tx.add_points(newest.id, list(islice(stream, size)))

        add(
            f"a write of {points:,} points, ms",
            lambda store, point=point, times=times: _each(partial(point, store), times),
        )  # type: ignore[misc]
    for name, where, order, best_per, _ in run_search.CASES:

        def found(store: LedgerStore, asked: tuple[str, str, str] = (where, order, best_per)) -> float:
            return run_search.twentieth(partial(_searched, store, *asked), max(1, searches // (10 if asked[2] else 1)))

        add(f"{runs:,} runs, {name}, ms", found)
    return rows
