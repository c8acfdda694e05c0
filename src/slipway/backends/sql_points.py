"""Metric points in SQL: one row a series with its latest point, and blocks of points behind it.

A write makes one block. Small blocks are merged when there are many, and what fills a whole block is never touched
again; so each point is written at most a few times, in the transaction that brought it or a later one.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

from slipway.backends.point_blocks import Columns, Row, pack, point_of, row_of, rows_of
from slipway.backends.sql_driver import Driver, Execute
from slipway.records.runs import Bucket, MetricPoint

__all__ = ["latest", "read", "sample", "write"]

_BLOCK = 1024
"""Points of a whole block: large enough to compress, small enough that a chart's edges are cheap to open."""
_SMALL = 64
_MOST = 64
_WHOLE = 2
_AT_ONCE = 500
_by_key = attrgetter("key")
_HEADER = "first_step, first_at, first_value, last_step, last_at, last_value, low, high"


def write(
    driver: Driver, key_of: Callable[[str], int], no: int, created_us: int, points: Iterable[MetricPoint]
) -> None:
    """Add points of a run.

    Args:
        driver: Of an open transaction.
        key_of: The number under which a metric's name is kept.
        no: The run's number.
        created_us: The run's creation.
        points: Of any metrics.
    """
    by_name: dict[str, list[Row]] = {}
    for point in points:
        by_name.setdefault(point.key, []).append(row_of(point))
    found = {key_of(name): rows_of(unsorted) for name, unsorted in by_name.items()}
    _keep_latest(driver, no, created_us, {key: rows[-1] for key, rows in found.items()})
    small = {key: rows for key, rows in found.items() if len(rows) < _SMALL}
    for key, number in _insert(driver, no, 0, small).items():
        if number >= _MOST:
            _place(driver, no, key, _take(driver.execute, no, key, 0))
    for key in found.keys() - small.keys():
        _place(driver, no, key, found[key])


def latest(execute: Execute, numbers: Iterable[int]) -> dict[int, list[MetricPoint]]:
    """For each of some runs the latest point of each of its metrics, by key; a name is looked up once for all of them."""
    names: dict[int, str] = {}
    found: dict[int, list[MetricPoint]] = {}
    for no in numbers:
        rows = execute("SELECT key, number, step, at_us FROM series WHERE no=?", (no,)).fetchall()
        unknown = [row[0] for row in rows if row[0] not in names]
        for begin in range(0, len(unknown), _AT_ONCE):
            part = unknown[begin : begin + _AT_ONCE]
            names.update(execute(f"SELECT key, name FROM fields WHERE key IN ({','.join('?' * len(part))})", part))
        found[no] = [
            MetricPoint(names[key], math.nan if value is None else value, step, at) for key, value, step, at in rows
        ]
        found[no].sort(key=_by_key)
    return found


def read(execute: Execute, no: int, key: int, name: str, after: MetricPoint | None, limit: int) -> list[MetricPoint]:
    """Points in order, those behind `after`; the blocks may overlap, and identical points come once."""
    begin = None if after is None else row_of(after)
    blocks = _headers(execute, no, key)
    waiting = [block for block in blocks if begin is None or _last(block) > begin]
    return [point_of(name, row) for row in islice(_ordered(execute, no, key, waiting, begin), limit)]


def sample(execute: Execute, no: int, key: int, name: str, buckets: int, steps: tuple[int, int]) -> list[Bucket]:
    """See `LedgerStore.sampled`: from the headers of blocks that lie inside a bucket, and by opening the others."""
    low, high = steps
    blocks = [block for block in _headers(execute, no, key) if block[3] >= low and block[0] <= high]
    if not blocks:
        return []
    # By step, or by time where there is one step only.
    axis = 0 if max(blocks[0][0], low) < min(max(block[3] for block in blocks), high) else 1
    bounds = [(max(block[0], low), min(block[3], high)) if axis == 0 else (block[1], block[4]) for block in blocks]
    edges = _edges(bounds, buckets)
    marks: dict[int, _Mark] = {}
    for block, (begin, end) in zip(blocks, bounds, strict=True):
        place = bisect_right(edges, begin)
        mark = _Mark(_first(block), _last(block), block[6], block[7])
        if low <= block[0] and block[3] <= high and place == bisect_right(edges, end):
            marks[place] = mark if place not in marks else marks[place].with_(mark)
            continue
        body = _body(execute, no, key, block)
        assert body is not None  # a block of one point lies in one bucket
        columns = Columns.of(body)
        positions = (columns.steps, columns.times)[axis]
        begun, ended = bisect_left(columns.steps, low), bisect_right(columns.steps, high)
        while begun < ended:
            place = bisect_right(edges, positions[begun])
            until = bisect_left(positions, edges[place], begun, ended) if place < len(edges) else ended
            mark = _Mark(columns.row(begun), columns.row(until - 1), *columns.bounds(begun, until))
            marks[place] = mark if place not in marks else marks[place].with_(mark)
            begun = until
    return [marks[place].bucket(name) for place in sorted(marks)]


class _Mark(NamedTuple):
    """What a bucket comes to so far."""

    first: Row
    last: Row
    low: float | None
    high: float | None

    def with_(self, other: "_Mark") -> "_Mark":
        """Both together."""
        low, high = self.low, self.high
        if other.low is not None and (low is None or other.low < low):
            low = other.low
        if other.high is not None and (high is None or other.high > high):
            high = other.high
        return _Mark(min(self.first, other.first), max(self.last, other.last), low, high)

    def bucket(self, name: str) -> Bucket:
        """As it is shown."""
        return Bucket(
            first=point_of(name, self.first),
            last=point_of(name, self.last),
            low=math.nan if self.low is None else self.low,
            high=math.nan if self.high is None else self.high,
        )


def _of_keys(execute: Execute, query: str, no: int, keys: Iterable[int], end: str = "") -> dict[int, tuple[Any, ...]]:
    """What a query of a run's rows finds, by its first column, for some keys."""
    waiting = list(keys)
    found: dict[int, tuple[Any, ...]] = {}
    for begin in range(0, len(waiting), _AT_ONCE):
        part = waiting[begin : begin + _AT_ONCE]
        rows = execute(f"{query} AND key IN ({','.join('?' * len(part))}){end}", (no, *part))
        found |= {key: tuple(rest) for key, *rest in rows}
    return found


def _keep_latest(driver: Driver, no: int, created_us: int, latest: dict[int, Row]) -> None:
    known = _of_keys(driver.execute, "SELECT key, step, at_us, number FROM series WHERE no=?", no, latest)
    changed = [
        (no, key, row[0], row[1], row[3] if row[2] else None, created_us)
        for key, row in latest.items()
        if key not in known or _row(*known[key]) < row
    ]
    if changed:
        driver.execute_many(
            "INSERT INTO series (no, key, step, at_us, number, created_us) VALUES (?,?,?,?,?,?) "
            "ON CONFLICT (no, key) DO UPDATE SET step=excluded.step, at_us=excluded.at_us, number=excluded.number",
            changed,
        )


def _place(driver: Driver, no: int, key: int, rows: list[Row]) -> None:
    """Store rows as whole blocks and a middle one of the rest; with what waits there, where that fills a whole one."""
    execute = driver.execute
    count, points = execute(
        "SELECT count(*), coalesce(sum(points), 0) FROM blocks WHERE no=? AND key=? AND level=1", (no, key)
    ).fetchone()
    if points + len(rows) >= _BLOCK or count + 1 >= _MOST:
        # The small ones too: what was written before stands before, so that whole blocks do not overlap.
        rows = rows_of([*_take(execute, no, key, 0), *_take(execute, no, key, 1), *rows])
    whole = len(rows) - len(rows) % _BLOCK
    for begin in range(0, whole, _BLOCK):
        _insert(driver, no, _WHOLE, {key: rows[begin : begin + _BLOCK]})
    if whole < len(rows):
        _insert(driver, no, 1, {key: rows[whole:]})


def _insert(driver: Driver, no: int, level: int, blocks: dict[int, list[Row]]) -> dict[int, int]:
    """Store a block of each key; returns their numbers, which are how many the level has: all are taken together."""
    numbered = f"SELECT key, max(seq) FROM blocks WHERE no=? AND level={level}"
    known = _of_keys(driver.execute, numbered, no, blocks, " GROUP BY key")
    headers: list[tuple[object, ...]] = []
    bodies: list[tuple[object, ...]] = []
    numbers: dict[int, int] = {}
    for key, rows in blocks.items():
        number = numbers[key] = int(known[key][0]) + 1 if key in known else 1
        values = [row[3] for row in rows if row[2]]
        bounds = (min(values), max(values)) if values else (None, None)
        headers.append((no, key, level, number, len(rows), *_header(rows[0]), *_header(rows[-1]), *bounds))
        if len(rows) > 1:  # what one point says stands in the header already
            bodies.append((no, key, level, number, pack(rows)))
    if headers:
        driver.execute_many(
            f"INSERT INTO blocks (no, key, level, seq, points, {_HEADER}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", headers
        )
    if bodies:
        driver.execute_many("INSERT INTO bodies (no, key, level, seq, body) VALUES (?,?,?,?,?)", bodies)
    return numbers


def _take(execute: Execute, no: int, key: int, level: int) -> list[Row]:
    """Remove a level's blocks; returns their points."""
    rows: list[Row] = []
    for step, at, value, body in execute(
        "SELECT first_step, first_at, first_value, body FROM blocks LEFT JOIN bodies USING (no, key, level, seq) "
        "WHERE no=? AND key=? AND level=?",
        (no, key, level),
    ):
        rows += Columns.of(body).rows() if body else [_row(step, at, value)]
    for table in ("blocks", "bodies"):
        execute(f"DELETE FROM {table} WHERE no=? AND key=? AND level=?", (no, key, level))
    return rows_of(rows)


def _headers(execute: Execute, no: int, key: int) -> list[tuple[int, ...]]:
    """The headers of a series by their first points."""
    rows = execute(f"SELECT {_HEADER}, level, seq FROM blocks WHERE no=? AND key=?", (no, key)).fetchall()
    return sorted(rows, key=_first)


def _ordered(execute: Execute, no: int, key: int, blocks: list[tuple[int, ...]], begin: Row | None) -> Iterator[Row]:
    held: list[Row] = []
    for block in blocks:
        first = _first(block)
        if held and held[-1] >= first:
            held = rows_of(held)
            ready = bisect_left(held, first)
            yield from held[:ready]
            held = held[ready:]
        else:
            yield from held
            held = []
        opened = _open(execute, no, key, block)
        held += opened if begin is None else opened[bisect_right(opened, begin) :]
        if len(held) > len(opened):
            held = rows_of(held)
    yield from held


def _open(execute: Execute, no: int, key: int, block: tuple[int, ...]) -> list[Row]:
    body = _body(execute, no, key, block)
    return [_first(block)] if body is None else Columns.of(body).rows()


def _body(execute: Execute, no: int, key: int, block: tuple[int, ...]) -> bytes | None:
    found = execute(
        "SELECT body FROM bodies WHERE no=? AND key=? AND level=? AND seq=?", (no, key, *block[8:10])
    ).fetchone()
    return None if found is None else found[0]


def _edges(stretches: list[tuple[int, int]], buckets: int) -> list[int]:
    """Where buckets begin, the first one aside; at the begin of a block where one is near and no other reaches over it."""
    low, high = stretches[0][0], max(until for _, until in stretches)
    width = (high - low + 1) / max(1, buckets)
    free: list[int] = []
    reached = stretches[0][1]
    for begin, until in stretches:
        if begin > reached:
            free.append(begin)
        reached = max(reached, until)
    edges = set()
    for number in range(1, max(1, buckets)):
        wanted = low + -int(-(number * (high - low + 1)) // max(1, buckets))
        place = bisect_left(free, wanted)
        nearest = min(free[max(0, place - 1) : place + 1], key=lambda one: abs(one - wanted), default=wanted)
        edges.add(nearest if abs(nearest - wanted) <= width / 2 else wanted)
    return sorted(edges - {low})


def _header(row: Row) -> tuple[int, int, float | None]:
    return row[0], row[1], row[3] if row[2] else None


def _row(step: int, at: int, value: float | None) -> Row:
    return (step, at, False, 0.0) if value is None else (step, at, True, value)


def _first(block: tuple[int, ...]) -> Row:
    return _row(block[0], block[1], block[2])


def _last(block: tuple[int, ...]) -> Row:
    return _row(block[3], block[4], block[5])
