"""Points of a metric written and charted, beside one row a point in SQLite.

By hand: a table whose key is run, metric, step, time and value, filled by one statement a transaction, as trackers keep
points; a chart by grouping the points of a stretch. Slipway groups points by metric, checks nothing twice, keeps the
latest point for searches, and packs the rest into compressed blocks. Both commit durably alike (WAL, synchronous
NORMAL). A point has a step, a time that trembles, and a value of a noisy curve.
"""

import math
import random
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.pairs import Compared, compare, row, seconds_of
from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.records.record import Entry
from slipway.records.runs import MetricPoint

POINTS = 1_000_000
CHARTED = 10_000_000
BATCH = 10_000
BUCKETS = 250
REMARK = """\
A chart of 250 buckets has 1,000 figures: first, last, least and greatest of each. It is drawn from the headers of blocks;
by hand every point is read. By hand the charts' points are counted up from those of one million, in proportion.
"""

_PATH = "metric points"
_RUN = "r" * 32
_SCHEMA = (
    "CREATE TABLE points (run_id TEXT NOT NULL, key TEXT NOT NULL, step INTEGER NOT NULL, at_us INTEGER NOT NULL, "
    "value REAL NOT NULL, PRIMARY KEY (run_id, key, step, at_us, value)) WITHOUT ROWID"
)
_CHART = "SELECT step * ? / ? AS bucket, min(value), max(value), min(step), max(step) FROM points WHERE run_id=? AND key=? GROUP BY bucket"


def _next(stream: Iterator[MetricPoint], count: int) -> list[MetricPoint]:
    return list(islice(stream, count))


def made_points(key: str = "loss", first: int = 0) -> Iterator[MetricPoint]:
    """Points without end, the same every time."""
    chance = random.Random(first)
    at = 1_767_225_600_000_000
    step = first
    while True:
        at += 20_000 + chance.randrange(4000)
        yield MetricPoint(key, 2.0 / math.sqrt(step + 1) + 0.05 * chance.random(), step, at)
        step += 1


def _opened(folder: str) -> tuple[SqliteLedger, sqlite3.Connection]:
    store = SqliteLedger(Path(folder) / "ledger.db")
    with store.write() as tx:
        tx.put(
            Entry(
                kind="run",
                id=_RUN,
                project="bench",
                name="",
                number=0,
                state="",
                parent="",
                created_us=1,
                etag=0,
                body=b"{}",
            )
        )
    hand = sqlite3.connect(Path(folder) / "by-hand.db", isolation_level=None)
    hand.execute("PRAGMA journal_mode=WAL")
    hand.execute("PRAGMA synchronous=NORMAL")
    hand.execute(_SCHEMA)
    return store, hand


def _by_hand(hand: sqlite3.Connection, points: list[MetricPoint]) -> None:
    hand.execute("BEGIN IMMEDIATE")
    hand.executemany(
        "INSERT OR IGNORE INTO points VALUES (?, ?, ?, ?, ?)", [(_RUN, p.key, p.step, p.at_us, p.value) for p in points]
    )
    hand.execute("COMMIT")


def _slipway(store: SqliteLedger, points: list[MetricPoint]) -> None:
    with store.write() as tx:
        tx.add_points(_RUN, points)


def _sides(
    store: SqliteLedger, hand: sqlite3.Connection, taken: Callable[[], list[MetricPoint]], scale: float, writes: int
) -> tuple[Callable[[], float], Callable[[], float]]:
    """Mean time of a write on each side, over so many of them."""

    def side(write: Callable[[list[MetricPoint]], None]) -> float:
        batches = [taken() for _ in range(writes)]
        return seconds_of(lambda: [write(batch) for batch in batches]) * scale / writes

    return partial(side, partial(_by_hand, hand)), partial(side, partial(_slipway, store))


def run(points: int = POINTS, charted: int = CHARTED, batch: int = BATCH, pairs: int = 5) -> list[dict[str, Any]]:
    """Rows of the table: medians of the pairs, wall-clock time in one process."""
    with tempfile.TemporaryDirectory() as folder:
        store, hand = _opened(folder)
        try:
            rows = []
            for count, writes, name, goal in ((1, 256, "one", 0.3), (1000, 20, "1,000", 4.0)):
                stream = made_points(f"of {name}")
                taken = partial(_next, stream, count)
                found = compare(*_sides(store, hand, taken, 1000, writes), pairs)
                rows.append(row(_PATH, f"a write of {name}, committed, ms", found, goal=goal))
            rows += _series(store, hand, Path(folder), points, charted, batch)
            return rows
        finally:
            hand.close()
            store.close()


def _size(connection: sqlite3.Connection) -> int:
    """Bytes in use."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _series(
    store: SqliteLedger, hand: sqlite3.Connection, folder: Path, points: int, charted: int, batch: int
) -> list[dict[str, Any]]:
    """One long series: points a second, bytes a point, and a chart of it."""
    reader = sqlite3.connect(folder / "ledger.db")
    stream = made_points()
    before = _size(reader), _size(hand)
    spent: list[tuple[float, float]] = []
    for _ in range(max(1, points // batch)):
        part = _next(stream, batch)
        spent.append((seconds_of(partial(_by_hand, hand, part)), seconds_of(partial(_slipway, store, part))))
    each = Compared.of([(theirs * 1e6 / batch, ours * 1e6 / batch) for theirs, ours in spent])
    sizes = Compared.of([((_size(hand) - before[1]) / points, (_size(reader) - before[0]) / points)])
    by_hand = [
        seconds_of(lambda: hand.execute(_CHART, (BUCKETS, points, _RUN, "loss")).fetchall()) * 1000 for _ in range(3)
    ]
    written = points
    while written < charted:
        _slipway(store, list(islice(stream, batch)))
        written += batch
    reader.close()

    def chart() -> None:
        with store.read() as tx:
            assert len(tx.sampled(_RUN, "loss", buckets=BUCKETS)) <= BUCKETS

    charts = [(theirs * charted / points, seconds_of(chart) * 1000) for theirs in by_hand for _ in range(3)]
    return [
        row(_PATH, f"ingest by {batch:,} points a transaction, us a point (5 are 200,000 a second)", each, goal=5),
        row(_PATH, "bytes a point", sizes),
        row(_PATH, f"a chart of {charted:,} points, {BUCKETS} buckets, ms", Compared.of(charts), goal=50),
    ]
