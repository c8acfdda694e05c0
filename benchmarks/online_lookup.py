"""What features from the online store cost a request, beside reading and writing the same rows with sqlite3 by hand.

Look-ups by hand: one table a view that keeps only the newest row of each entity, one prepared statement that joins the
three by key, one call an entity. Slipway keeps the history of each entity (a late row, or a decision time in the past,
finds what was known then), checks ages against the ttl and types against the request, and returns the features in the
set's order. Windows by hand: count and sum of the events between two times, by an index. Pushes by hand: the same
events inserted in the same batches, a commit each, with nothing recognised that comes twice. Both sides answer in one
process in turns; what they answer is compared before anything is measured.
"""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import slipway.features.windows as w
from benchmarks.pairs import Compared, compare, row, seconds_of
from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.features.online import build_receiver, build_resolver
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec
from slipway.features.states import stored_view_of, to_us
from slipway.features.views import FeatureView, feature_view
from slipway.records.features import FeatureSetSpec, View, ViewRow

ENTITIES = 20_000
EVENTS = 40_000
PAIRS = 15
CALLS = 300
REMARK = """\
The goals are 20 us and 0.6 ms on a machine where the reads by hand took 9.3 and 387 us, so they are ratios here. What a
request waits for is one statement for all views of an entity (of one view after the other it was 4.2x); the rest is
typed reading of the request and the assembling of 15 values. Windows take one seek for the upper end and one a width,
however many events lie between. A push keeps running sums, so that a window is two seeks, and looks at the end of each
entity's events first, to recognise what is late or comes twice: that is what its ratio buys. Distinct counts and
quantiles by hand are exact and look at every event; Slipway's are near, and put together from tiles.
"""

_PATH = "online look-up"
_FLOATS = 5
HISTORY = 3
_BATCH = 100
_CHUNK = 20
VIEWS = ("view0", "view1", "view2")
_START = datetime(2013, 1, 1, tzinfo=UTC)
AT = _START + timedelta(days=2)
WIDTHS = {"6h": timedelta(hours=6), "24h": timedelta(hours=24)}
COLUMNS = [f"x{i}" for i in range(_FLOATS)]

Rows = list[tuple[Any, ...]]


def declared_view(name: str) -> FeatureView:
    def view(table: pl.LazyFrame) -> pl.LazyFrame:
        return table

    view.__name__ = name
    declared = feature_view(entity="entity", time="known_at", ttl="3d")(view)
    declared.sources = (name,)
    return declared


def view_rows(entities: int) -> dict[str, Rows]:
    """Rows (entity, known at in microseconds, values), each entity's in the order of time; the last one is current."""
    rng = np.random.default_rng(1)
    times = [to_us(_START + timedelta(hours=8 * number)) for number in range(HISTORY)]
    return {
        name: [
            (f"e{entity}", at_us, *values)
            for entity, table in enumerate(rng.normal(size=(entities, HISTORY, _FLOATS)).tolist())
            for at_us, values in zip(times, table, strict=True)
        ]
        for name in VIEWS
    }


class ByHand:
    """The rows in a file of its own, as one writes it who knows SQLite."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -16000"):
            self.connection.execute(f"PRAGMA {pragma}")
        columns = ", ".join(f"{name} REAL" for name in COLUMNS)
        for name in VIEWS:
            self.connection.execute(
                f"CREATE TABLE {name} (key TEXT PRIMARY KEY, at_us INTEGER, {columns}) WITHOUT ROWID"
            )
        self.connection.execute(
            "CREATE TABLE events (key TEXT, at_us INTEGER, id TEXT, value REAL, PRIMARY KEY (key, at_us, id)) WITHOUT ROWID"
        )
        chosen = ", ".join(f"{name}.{column}" for name in VIEWS for column in COLUMNS)
        self.look_up = (
            f"SELECT {chosen} FROM view0 LEFT JOIN view1 USING (key) LEFT JOIN view2 USING (key) WHERE key = ?"
        )

    def fill(self, views: dict[str, Rows]) -> None:
        self.connection.execute("BEGIN")
        places = ", ".join("?" * (2 + _FLOATS))
        for name, rows in views.items():
            self.connection.executemany(f"INSERT OR REPLACE INTO {name} VALUES ({places})", rows)
        self.connection.execute("COMMIT")

    def views(self, keys: Sequence[str]) -> Rows:
        run = self.connection.execute
        return [run(self.look_up, (key,)).fetchone() for key in keys]

    def windows(self, key: str, at_us: int) -> list[float | None]:
        found: list[float | None] = []
        for width in WIDTHS.values():
            since_us = at_us - width // timedelta(microseconds=1)
            count, total = self.connection.execute(
                "SELECT count(*), sum(value) FROM events WHERE key = ? AND at_us > ? AND at_us <= ?",
                (key, since_us, at_us),
            ).fetchone()
            found += [count, total / count if count else None]
        return found

    def sketches(self, key: str, at_us: int) -> list[float]:
        """The exact count of different values and quantile over the longest window, with every event looked at."""
        window = (key, at_us - WIDTHS["24h"] // timedelta(microseconds=1), at_us)
        where = "FROM events WHERE key = ? AND at_us > ? AND at_us <= ?"
        ((count, different),) = self.connection.execute(f"SELECT count(*), count(DISTINCT value) {where}", window)
        place = int(0.9 * (count - 1))
        ((quantile,),) = self.connection.execute(f"SELECT value {where} ORDER BY value LIMIT 1 OFFSET {place}", window)
        return [different, quantile]

    def push(self, rows: Rows) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
        self.connection.execute("COMMIT")


def each_us(work: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> float:
    """The median microseconds of some calls, given by their arguments."""
    took = []
    for arguments in calls:
        started = time.perf_counter_ns()
        work(*arguments)
        took.append(time.perf_counter_ns() - started)
    return statistics.median(took) / 1000


def _all_of(work: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> None:
    for arguments in calls:
        work(*arguments)


def _view_look_ups(folder: Path, entities: int, pairs: int, calls: int) -> list[dict[str, Any]]:
    kind: dict[str, Any] = {
        "entity": pl.String,
        "known_at": pl.Datetime("us", "UTC"),
        **dict.fromkeys(COLUMNS, pl.Float64),
    }
    tables = FrameTables({name: pl.DataFrame(schema=kind) for name in VIEWS})
    features = FeatureSet(*map(declared_view, VIEWS))
    spec = build_spec(features, {"entity": "string"}, tables, lambda function: function.__name__)
    store, hand = SqliteOnlineStore(folder / "online.db"), ByHand(folder / "by-hand.db")
    resolve = build_resolver(spec, {}, store)
    views = view_rows(entities)
    hand.fill(views)
    for part in spec.parts:
        assert isinstance(part, View)
        store.put_rows(
            stored_view_of(part).name, (ViewRow(key, at, tuple(values)) for key, at, *values in views[part.name])
        )
    order = np.random.default_rng(2).integers(0, entities, 100_000).tolist()
    made = []
    for count, goal in ((1, 2.15), (100, 1.55)):
        keys = [[f"e{order[(n * count + i) % len(order)]}" for i in range(count)] for n in range(calls)]
        requests = [[[key] for key in some] for some in keys]
        assert [tuple(values) for values in resolve(requests[0], AT)] == hand.views(keys[0])
        found = compare(
            partial(each_us, hand.views, [(some,) for some in keys]),
            partial(each_us, resolve, [(request, AT) for request in requests]),
            pairs,
        )
        entity = "1 entity" if count == 1 else f"{count} entities"
        made.append(row(_PATH, f"{entity} x {len(VIEWS)} views x {_FLOATS} floats, us", found, goal_ratio=goal))
    store.close()
    hand.connection.close()
    return made


def events_of(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    keys = rng.integers(0, max(count // 100, 1), count).tolist()
    values = (rng.integers(-600, 6000, count) / 8).tolist()  # on the grid of windows: sums by hand are exact too
    step = timedelta(days=2) / count
    return [
        {"id": number, "entity": f"e{key}", "known_at": _START + number * step, "x": value}
        for number, (key, value) in enumerate(zip(keys, values, strict=True))
    ]


def windows_spec() -> FeatureSetSpec:
    aggregates: dict[str, w.DeclaredAggregate] = {}
    for width in WIDTHS:
        aggregates |= {f"count_{width}": w.count(width), f"mean_{width}": w.mean("x", width)}
    features = FeatureSet(w.windows("events", time="known_at", by="entity", **aggregates))
    kind: dict[str, Any] = {"id": pl.Int64, "entity": pl.String, "known_at": pl.Datetime("us", "UTC"), "x": pl.Float64}
    tables = FrameTables({"events": pl.DataFrame(schema=kind)}, {"events": ("id",)})
    return build_spec(features, {"entity": "string"}, tables, lambda function: function.__name__)


def _windows(folder: Path, events: int, pairs: int, calls: int) -> list[dict[str, Any]]:
    spec = windows_spec()
    store, hand = SqliteOnlineStore(folder / "windows.db"), ByHand(folder / "windows-by-hand.db")
    receive, resolve = build_receiver(spec, store), build_resolver(spec, {}, store)
    given = events_of(events)
    batches = [given[i : i + _BATCH] for i in range(0, len(given), _BATCH)]
    raw = [[(e["entity"], to_us(e["known_at"]), str(e["id"]), e["x"]) for e in batch] for batch in batches]
    pushed = []
    for first in range(0, len(batches), _CHUNK):
        number = sum(map(len, batches[first : first + _CHUNK]))
        theirs = partial(_all_of, hand.push, [(rows,) for rows in raw[first : first + _CHUNK]])
        ours = partial(_all_of, receive, [("events", rows) for rows in batches[first : first + _CHUNK]])
        found = compare(partial(seconds_of, theirs), partial(seconds_of, ours), 1)
        pushed.append((number / found.raw / 1000, number / found.slipway / 1000))
    rates = Compared.of(pushed)
    rng = np.random.default_rng(4)
    keys = [f"e{key}" for key in rng.integers(0, max(events // 100, 1), calls)]
    at_us = to_us(AT)
    assert resolve([[key] for key in keys], AT) == [hand.windows(key, at_us) for key in keys]
    looked = compare(
        partial(each_us, hand.windows, [(key, at_us) for key in keys]),
        partial(each_us, resolve, [([[key]], AT) for key in keys]),
        pairs,
    )
    store.close()
    hand.connection.close()
    per_key = events // max(events // 100, 1)
    return [
        row(_PATH, f"1 entity x {len(spec.features)} window features, {per_key} events an entity, us", looked),
        row(
            _PATH,
            f"pushed events in batches of {_BATCH}, a commit each: thousand events/s",
            rates._replace(ratio=1 / rates.ratio),
        ),
    ]


def _sketches(folder: Path, events: int, pairs: int, calls: int) -> list[dict[str, Any]]:
    """One entity with all events: half of them lie in the window."""
    aggregates = {"different": w.approx_distinct("n", "24h"), "high": w.quantile("x", 0.9, "24h")}
    features = FeatureSet(w.windows("events", time="known_at", by="entity", **aggregates))
    kind: dict[str, Any] = {"id": pl.Int64, "entity": pl.String, "known_at": pl.Datetime("us", "UTC"), "x": pl.Float64}
    tables = FrameTables({"events": pl.DataFrame(schema=kind | {"n": pl.Int64})}, {"events": ("id",)})
    spec = build_spec(features, {"entity": "string"}, tables, lambda function: function.__name__)
    store, hand = SqliteOnlineStore(folder / "sketches.db"), ByHand(folder / "sketches-by-hand.db")
    receive, resolve = build_receiver(spec, store), build_resolver(spec, {}, store)
    given = [event | {"entity": "e", "n": int(8 * event["x"])} for event in events_of(events)]
    receive("events", given)
    hand.push([("e", to_us(e["known_at"]), str(e["id"]), e["x"]) for e in given])
    at_us = to_us(AT)
    ((different, high),), (exactly, quantile) = resolve([["e"]], AT), hand.sketches("e", at_us)
    assert abs(different - exactly) <= max(1, 0.1 * exactly)
    assert abs(high - quantile) <= 0.01 * abs(quantile)
    found = compare(
        partial(each_us, hand.sketches, [("e", at_us)] * calls),
        partial(each_us, resolve, [([["e"]], AT)] * calls),
        pairs,
    )
    store.close()
    hand.connection.close()
    return [row(_PATH, f"1 entity x distinct count and quantile over {events // 2:,} events, us", found)]


def run(entities: int = ENTITIES, events: int = EVENTS, pairs: int = PAIRS, calls: int = CALLS) -> list[dict[str, Any]]:
    """Rows of the table: p50 of a call, median over the pairs; a ratio above 1 means that Slipway takes longer."""
    with tempfile.TemporaryDirectory() as folder:
        return [
            *_view_look_ups(Path(folder), entities, pairs, calls),
            *_windows(Path(folder), events, pairs, calls),
            *_sketches(Path(folder), events, max(1, pairs // 3), max(1, calls // 30)),
        ]
