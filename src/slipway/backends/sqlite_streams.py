"""How the online store in SQLite keeps streams and views: their tables, statements and running sums.

Each stream is one table, clustered by (key, time, event id), that keeps with every event the running sums of its key up
to and including it. A window is then the difference of two rows, each found by one seek; only least, greatest and last
values look at the rows between; groups come from tiles, see `sqlite_tiles.py`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from operator import ge, itemgetter
from typing import Any

from slipway.backends.running_sums import NOTHING, summed, zeros
from slipway.backends.sqlite_tiles import Tiles
from slipway.records.features import EventRow, StoredView, Stream, WindowState

__all__ = [
    "StreamPlan",
    "ViewPlan",
    "fold",
    "is_in_order",
    "looked_inside",
]

_whole_place = itemgetter(0, 1, 2)


class StreamPlan:
    """The statements of one stream, built once."""

    def __init__(self, stream: Stream) -> None:
        columns = stream.columns
        self.name = stream.name
        self.width = len(columns)
        self.squares = [column.squares for column in columns]
        self.extremes = [index for index, column in enumerate(columns) if column.extremes]
        table = f'"e_{stream.name}"'
        values = "".join(f", v{i}" for i in range(self.width))
        sums = "total" + "".join(f", n{i}, s{i}, q{i}" for i in range(self.width))
        latest = "ORDER BY time_us DESC, event_id DESC LIMIT 1"
        window = f"FROM {table} WHERE key = ? AND time_us > ? AND time_us <= ?"
        # Sums have no declared type: beyond 64 bits they are kept as text.
        self.create = (
            f"CREATE TABLE IF NOT EXISTS {table} (key TEXT NOT NULL, time_us INTEGER NOT NULL, event_id TEXT NOT NULL"
            f"{values}, {sums}, PRIMARY KEY (key, time_us, event_id)) WITHOUT ROWID"
        )
        places = ", ".join("?" * (4 + 4 * self.width))
        self.insert = f"INSERT INTO {table} (key, time_us, event_id{values}, {sums}) VALUES ({places})"
        self.tail = f"SELECT time_us, event_id, {sums} FROM {table} WHERE key = ? {latest}"
        self.one = f"SELECT time_us{values} FROM {table} WHERE key = ? AND time_us = ? AND event_id = ?"
        before = "key = ? AND (time_us, event_id) < (?, ?)"
        self.before = f"SELECT {sums} FROM {table} WHERE {before} {latest}"
        onward = f"FROM {table} WHERE key = ? AND (time_us, event_id) >= (?, ?)"
        self.onward = f"SELECT time_us, event_id{values} {onward} ORDER BY time_us, event_id"
        self.cut = f"DELETE {onward}"
        self.seek = f"SELECT {sums} FROM {table} WHERE key = ? AND time_us <= ? {latest}"
        ranges = ", ".join(f"min(v{i}), max(v{i})" for i in self.extremes)
        self.ranges = f"SELECT {ranges} {window}" if ranges else ""
        self.last = [
            (i, f"SELECT v{i} {window} AND v{i} IS NOT NULL {latest}")
            for i, column in enumerate(columns)
            if column.last
        ]
        self.tiles = Tiles(stream, table)
        self.looks_inside = bool(self.ranges or self.last or self.tiles.columns)
        self.after = f"SELECT key, time_us, event_id{values} FROM {table} WHERE time_us > ?"
        self.clear = f"DELETE FROM {table}"
        self.zeros = zeros(self.width)
        self.nothing = WindowState(0, (NOTHING,) * self.width)


class ViewPlan:
    """The statements of one view, built once."""

    def __init__(self, view: StoredView) -> None:
        table = f'"v_{view.name}"'
        self.timed = view.timed
        self.create = (
            f"CREATE TABLE IF NOT EXISTS {table} (key TEXT NOT NULL, time_us INTEGER NOT NULL, body BLOB NOT NULL, "
            "PRIMARY KEY (key, time_us)) WITHOUT ROWID"
        )
        self.add = f"INSERT OR IGNORE INTO {table} VALUES (?, ?, ?)"
        self.replace = f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)"
        self.one = f"SELECT body FROM {table} WHERE key = ? AND time_us = ?"
        # Several views are asked in one statement; `{place}` says whose row it is.
        self.seek = (
            f"SELECT * FROM (SELECT {{place}}, time_us, body FROM {table} WHERE key = ?1 AND time_us <= ?2 "
            "ORDER BY time_us DESC LIMIT 1)"
        )
        self.forget = f"DELETE FROM {table} WHERE time_us <= ?"


def is_in_order(rows: Sequence[EventRow]) -> bool:
    """Whether rows lie in the order of key, time and id, each place once."""
    places = list(map(_whole_place, rows))
    return not any(map(ge, places, places[1:]))


def fold(plan: StreamPlan, rows: Sequence[EventRow], start: Sequence[Any] | None, out: list[tuple[Any, ...]]) -> None:
    """Append to `out` the rows as they are stored: with running sums that begin at `start`."""
    sums = summed(plan.name, rows, plan.squares, plan.zeros if start is None else start)
    keys, times, ids, cells = zip(*rows, strict=True)
    columns = zip(*cells, strict=True) if plan.width else ()
    out.extend(zip(keys, times, ids, *columns, *sums, strict=True))


def looked_inside(
    run: Callable[..., sqlite3.Cursor],
    plan: StreamPlan,
    columns: tuple[Any, ...],
    rows: int,
    place: tuple[str, int, int],
) -> tuple[Any, ...]:
    """The columns with the least, greatest and last values of the rows in the window."""
    found = [list(column) for column in columns]
    if plan.ranges:
        ranges = run(plan.ranges, place).fetchone()
        for position, index in enumerate(plan.extremes):
            found[index][3:5] = ranges[2 * position : 2 * position + 2]
    for index, statement in plan.last:
        row = run(statement, place).fetchone()
        found[index][5] = row[0] if row else None
    for index in plan.tiles.columns:
        found[index][6] = plan.tiles.groups(run, index, rows, place)
    return tuple([tuple(column) for column in found])
