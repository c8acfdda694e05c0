"""Groups of a stream's values, merged ahead of time in tiles: what a window that holds many events is put together from.

A tile is a span of time of one key: a minute, 16 minutes or 256 minutes. It keeps the groups of each column that asks
for them, as counts and exact sums, which add up in any order; a window is the tiles that lie in it and the events at its
two ends. What is known of an event may change, so that its former values are taken out again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from slipway.records.features import EventRow, Stream, StreamColumn

__all__ = ["Tiles"]

_LEVELS_US = (60 * 10**6, 960 * 10**6, 15_360 * 10**6)
_FEW = 500  # events: so many are grouped as fast as their tiles are found
_HALF = 2**32
_Groups = tuple[tuple[int, int, int], ...]


class Tiles:
    """The tiles of one stream.

    Args:
        stream: The stream.
        events: The name of its table of events, quoted.

    Attributes:
        create: The statement that makes their table, "" for a stream without groups.
        clear: The statement that forgets them.
        columns: The places of the columns that have groups.
    """

    def __init__(self, stream: Stream, events: str) -> None:
        self._kept = [(index, column) for index, column in enumerate(stream.columns) if column.groups]
        self.columns = [index for index, _ in self._kept]
        table = f'"t_{stream.name}"'
        self.create = self.clear = ""
        if self._kept:
            self.create = (
                f"CREATE TABLE IF NOT EXISTS {table} (key TEXT NOT NULL, place INTEGER NOT NULL, level INTEGER NOT NULL, "
                "start_us INTEGER NOT NULL, part INTEGER NOT NULL, n INTEGER NOT NULL, high INTEGER NOT NULL, "
                "low INTEGER NOT NULL, PRIMARY KEY (key, place, level, start_us, part)) WITHOUT ROWID"
            )
            self.clear = f"DELETE FROM {table}"
        self._add = (
            f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
            "SET n = n + excluded.n, high = high + excluded.high, low = low + excluded.low"
        )
        where = f"FROM {table} WHERE key = ? AND place = ? AND level = ? AND start_us >= ? AND start_us < ?"
        self._tile = {"value": f"SELECT part, n {where}", "time": f"SELECT part, n, high, low {where}"}
        self._sorts = {index: column.groups for index, column in self._kept}
        self._raw = {index: _grouped(index, column, events) for index, column in self._kept}
        self._statements: dict[tuple[int, int, int], str] = {}

    def change(
        self,
        connection: sqlite3.Connection,
        came: Iterable[EventRow],
        went: Iterable[EventRow] = (),
    ) -> None:
        """Take up events, and take out what was known of them before."""
        if not self._kept:
            return
        changes: dict[tuple[str, int, int, int, int], list[int]] = {}
        for sign, rows in ((1, came), (-1, went)):
            for key, time_us, _, values in rows:
                for index, column in self._kept:
                    value = values[index]
                    if value is None:
                        continue
                    by_time = column.groups == "time"
                    part = time_us // column.step_us if by_time else value
                    high, low = (value >> 32, value & _HALF - 1) if by_time else (0, 0)
                    for level, width_us in enumerate(_LEVELS_US):
                        cell = (key, index, level, time_us - time_us % width_us, part)
                        sums = changes.get(cell)
                        if sums is None:
                            sums = changes[cell] = [0, 0, 0]
                        sums[0] += sign
                        sums[1] += sign * high
                        sums[2] += sign * low
        connection.executemany(self._add, ((*cell, *changes[cell]) for cell in sorted(changes)))

    def groups(
        self, run: Callable[..., sqlite3.Cursor], index: int, rows: int, window: tuple[str, int, int]
    ) -> _Groups:
        """The groups of a column in a window (since, until] of a key.

        Args:
            run: Executes a statement.
            index: The column's place.
            rows: How many events the window holds.
            window: Key, since and until, in microseconds.
        """
        key, since_us, until_us = window
        tiles, ends = _pieces(since_us + 1, until_us + 1) if rows > _FEW else ([], [(since_us + 1, until_us + 1)])
        shape = (index, len(tiles), len(ends))
        statement = self._statements.get(shape)
        if statement is None:
            parts = [self._tile[self._sorts[index]]] * len(tiles) + [self._raw[index]] * len(ends)
            sums = "sum(n)" if self._sorts[index] == "value" else "sum(n), sum(high), sum(low)"
            statement = self._statements[shape] = (
                f"SELECT part, {sums} FROM ({' UNION ALL '.join(parts)}) GROUP BY 1 HAVING sum(n) > 0 ORDER BY 1"
            )
        values: list[Any] = []
        for level, first_us, end_us in tiles:
            values += (key, index, level, first_us, end_us)
        for first_us, end_us in ends:
            values += (key, first_us, end_us)
        found = run(statement, values)
        if self._sorts[index] == "value":
            return tuple([(part, n, part * n) for part, n in found])
        return tuple([(part, n, high * _HALF + low) for part, n, high, low in found])


def _grouped(index: int, column: StreamColumn, events: str) -> str:
    """The events of a span as groups; sums in halves of 32 bits, since SQLite's own end at 64."""
    value, step = f"v{index}", column.step_us
    where = f"FROM {events} WHERE key = ? AND time_us >= ? AND time_us < ? AND {value} IS NOT NULL"
    if column.groups == "value":
        return f"SELECT {value} AS part, 1 AS n {where}"
    # SQLite's division rounds towards zero, and time may lie before the epoch.
    part = f"(time_us - ((time_us % {step}) + {step}) % {step}) / {step}"
    return (
        f"SELECT {part} AS part, count(*) AS n, sum({value} >> 32) AS high, sum({value} & {_HALF - 1}) AS low {where} "
        "GROUP BY 1"
    )


def _pieces(first_us: int, end_us: int) -> tuple[list[tuple[int, int, int]], list[tuple[int, int]]]:
    """A span [first, end) as tiles (level, first, end), the longest in the middle, and the rest at its two ends."""
    tiles: list[tuple[int, int, int]] = []
    ends: Sequence[tuple[int, int]] = [(first_us, end_us)]
    for level in range(len(_LEVELS_US) - 1, -1, -1):
        width_us, left = _LEVELS_US[level], []
        for begin, stop in ends:
            inner, outer = -(-begin // width_us) * width_us, stop // width_us * width_us
            if inner >= outer:
                left.append((begin, stop))
                continue
            tiles.append((level, inner, outer))
            left += [(begin, inner), (outer, stop)]
        ends = [(begin, stop) for begin, stop in left if begin < stop]
    return tiles, list(ends)
