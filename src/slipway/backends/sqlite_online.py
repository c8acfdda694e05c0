"""The online store in one SQLite file, embedded in the endpoint's process.

How its tables look is in `sqlite_streams.py`. A late event rewrites the rows of its key that come after it, in one
transaction.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from slipway.backends.running_sums import LOWEST, columns_between, is_news, once, place_of
from slipway.backends.sqlite_streams import StreamPlan, ViewPlan, fold, is_in_order, looked_inside
from slipway.errors import BackendError, Conflict, InvalidInput, NotFound, Unavailable, near
from slipway.ports.online_store import Asked, FoundRow, WindowsAsked, precedence
from slipway.records.features import EventRow, StoredView, Stream, ViewRow, WindowState

__all__ = ["SqliteOnlineStore"]

_BUSY_MS = 10_000
_CACHE_KIB = 16_000
_NAME = re.compile(r"[A-Za-z0-9_]{1,120}\Z")
_encode_values = msgspec.msgpack.Encoder().encode
_decode_values = msgspec.msgpack.Decoder(tuple[Any, ...]).decode

_SCHEMA = """
CREATE TABLE IF NOT EXISTS definitions (name TEXT PRIMARY KEY, kind TEXT NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class SqliteOnlineStore:
    """An online store in one file, for any number of threads and processes on one machine.

    Args:
        path: The file; it is made, with its folder, where it does not exist.

    Raises:
        BackendError: The file cannot be opened or is not a database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._streams: dict[str, StreamPlan] = {}
        self._views: dict[str, ViewPlan] = {}
        self._seeks: dict[tuple[str, ...], str] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._writing() as connection:
            for statement in _SCHEMA.strip().splitlines():
                connection.execute(statement)

    def define(self, streams: Sequence[Stream], views: Sequence[StoredView]) -> None:
        """See the port."""
        with self._writing() as connection:
            for stream in streams:
                self._register(connection, stream.name, "stream", stream)
                plan = StreamPlan(stream)
                connection.execute(plan.create)
                if plan.tiles.create:
                    connection.execute(plan.tiles.create)
            for view in views:
                self._register(connection, view.name, "view", view)
                connection.execute(ViewPlan(view).create)

    def _register(self, connection: sqlite3.Connection, name: str, kind: str, what: Stream | StoredView) -> None:
        if not _NAME.match(name):
            raise InvalidInput(
                f"{name!r} cannot name a {kind} of an online store.",
                why="Names use letters, digits and '_', at most 120.",
                fix="Name it after its source and key.",
                field="name",
            )
        body = msgspec.json.encode(what).decode()
        found = connection.execute("SELECT kind, body FROM definitions WHERE name = ?", (name,)).fetchone()
        if found is None:
            connection.execute("INSERT INTO definitions VALUES (?, ?, ?)", (name, kind, body))
        elif found != (kind, body):
            raise Conflict(
                f"The online store has a {found[0]} {name!r} already, with another definition.",
                why="Rows of two definitions cannot share one table.",
                fix="Give the new definition another name.",
            )

    def push_events(self, stream: str, rows: Iterable[EventRow], *, replacing_until_us: int | None = None) -> int:
        """See the port."""
        plan = self._stream(stream)
        given = list(rows)
        if not given and replacing_until_us is None:
            return 0
        changed = 0
        fresh: list[tuple[Any, ...]] = []
        with self._writing() as connection:
            if replacing_until_us is not None:
                # Running sums of the rows that stay contain those that go: all are folded again.
                kept = connection.execute(plan.after, (replacing_until_us,)).fetchall()
                connection.execute(plan.clear)
                if plan.tiles.clear:
                    connection.execute(plan.tiles.clear)
                changed -= len(kept)
                given += [EventRow(row[0], row[1], row[2], row[3:]) for row in kept]
            if not is_in_order(given):
                given = once(sorted(given, key=itemgetter(0, 1, 2)))
            for key, group in groupby(given, itemgetter(0)):
                changed += self._merge(connection, plan, key, list(group), fresh)
            connection.executemany(plan.insert, fresh)
        return max(changed, 0)

    def _merge(
        self,
        connection: sqlite3.Connection,
        plan: StreamPlan,
        key: str,
        rows: list[EventRow],
        fresh: list[tuple[Any, ...]],
    ) -> int:
        """Fold one key's rows, sorted, into `fresh`; rows that must follow them are cut and folded again."""
        tail = connection.execute(plan.tail, (key,)).fetchone()
        if tail is None or place_of(rows[0]) > tail[:2]:
            fold(plan, rows, tail[2:] if tail else None, fresh)
            plan.tiles.change(connection, rows)
            return len(rows)
        former = [self._known(connection, plan, row) for row in rows]
        kept = [(row, known) for row, known in zip(rows, former, strict=True) if is_news(row, known)]
        if not kept:
            return 0
        rows = [row for row, _ in kept]
        plan.tiles.change(connection, rows, [known for _, known in kept if known is not None])
        first = (key, *place_of(rows[0]))
        before = connection.execute(plan.before, first).fetchone()
        later = {place_of(row): row for row in self._onward(connection, plan, first)}
        later.update((place_of(row), row) for row in rows)
        connection.execute(plan.cut, first)
        fold(plan, [later[place] for place in sorted(later)], before, fresh)
        return len(rows)

    def _known(self, connection: sqlite3.Connection, plan: StreamPlan, row: EventRow) -> EventRow | None:
        """What is known of an event, if anything."""
        found = connection.execute(plan.one, row[:3]).fetchone()
        return None if found is None else EventRow(row.key, row.time_us, row.event_id, found[1:])

    def _onward(
        self, connection: sqlite3.Connection, plan: StreamPlan, first: tuple[str, int, str]
    ) -> Iterator[EventRow]:
        for time_us, event_id, *values in connection.execute(plan.onward, first):
            yield EventRow(first[0], time_us, event_id, tuple(values))

    def put_rows(self, view: str, rows: Iterable[ViewRow], *, replacing_until_us: int | None = None) -> int:
        """See the port."""
        plan = self._view(view)
        packed = [(key, at_us if plan.timed else 0, _encode_values(values)) for key, at_us, values in rows]
        if not packed and replacing_until_us is None:
            return 0
        with self._writing() as connection:
            if replacing_until_us is not None:
                connection.execute(plan.forget, (replacing_until_us,))
            if not plan.timed:
                connection.executemany(plan.replace, packed)
            elif connection.executemany(plan.add, packed).rowcount < len(packed):
                for row in packed:
                    (kept,) = connection.execute(plan.one, row[:2]).fetchone()
                    if kept != row[2] and precedence(_decode_values(row[2])) > precedence(_decode_values(kept)):
                        connection.execute(plan.replace, row)
        return len(packed)

    def look_up(self, asked: Sequence[Asked], at_us: int) -> list[list[list[Any]]]:
        """See the port."""
        found: list[list[list[Any]]] = []
        with _Reading(self._connection(), self._path):
            for one in asked:
                if isinstance(one, WindowsAsked):
                    found.append(self.window_states(one[0], one[1], at_us, one[2]))
                else:
                    found.append(self.view_rows(one[0], one[1], at_us))
        return found

    def window_states(
        self, stream: str, keys: Sequence[str], at_us: int, widths_us: Sequence[int]
    ) -> list[list[WindowState]]:
        """See the port."""
        plan = self._stream(stream)
        found = []
        connection = self._connection()
        with _Reading(connection, self._path):
            run = connection.execute
            for key in keys:
                upper = run(plan.seek, (key, at_us)).fetchone()
                if upper is None:
                    found.append([plan.nothing] * len(widths_us))
                    continue
                states = []
                for width_us in widths_us:
                    since_us = max(at_us - width_us, LOWEST)
                    lower = run(plan.seek, (key, since_us)).fetchone() or plan.zeros
                    rows = upper[0] - lower[0]
                    columns = columns_between(upper, lower) if rows else plan.nothing.columns
                    if rows and plan.looks_inside:
                        columns = looked_inside(run, plan, columns, rows, (key, since_us, at_us))
                    states.append(WindowState(rows, columns))
                found.append(states)
        return found

    def view_rows(self, views: tuple[str, ...], keys: Sequence[str], at_us: int) -> list[list[FoundRow | None]]:
        """See the port."""
        seek = self._seeks.get(views)
        if seek is None:
            parts = [self._view(view).seek.format(place=place) for place, view in enumerate(views)]
            seek = self._seeks[views] = " UNION ALL ".join(parts)
        connection = self._connection()
        try:
            if len(keys) == 1:  # one statement is one moment
                return [_placed(connection.execute(seek, (keys[0], at_us)), len(views))]
            with _Reading(connection, self._path):
                return [_placed(connection.execute(seek, (key, at_us)), len(views)) for key in keys]
        except sqlite3.Error as error:
            raise _ours(error, self._path) from error

    def mark(self, name: str) -> str:
        """See the port."""
        found = self._all("SELECT value FROM marks WHERE name = ?", name)
        return str(found[0][0]) if found else ""

    def set_mark(self, name: str, value: str) -> None:
        """See the port."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (name, value))

    def identity(self) -> str:
        """See the port: a file goes with its endpoint's folder."""
        return ""

    def drop(self) -> None:
        """See the port."""
        with self._writing() as connection:
            for name, kind in connection.execute("SELECT name, kind FROM definitions").fetchall():
                connection.execute(f'DROP TABLE "{"e" if kind == "stream" else "v"}_{name}"')
            connection.execute("DELETE FROM definitions")
            connection.execute("DELETE FROM marks")
        self._streams, self._views, self._seeks = {}, {}, {}

    def close(self) -> None:
        """See the port."""
        with self._lock:
            while self._connections:
                self._connections.pop().close()
            self._local = threading.local()

    def _stream(self, name: str) -> StreamPlan:
        plan = self._streams.get(name)
        if plan is None:
            found = self._definition(name)
            if found is None or found[0] != "stream":
                raise self._unknown(name, "stream")
            plan = self._streams[name] = StreamPlan(msgspec.json.decode(found[1], type=Stream))
        return plan

    def _view(self, name: str) -> ViewPlan:
        plan = self._views.get(name)
        if plan is None:
            found = self._definition(name)
            if found is None or found[0] != "view":
                raise self._unknown(name, "view")
            plan = self._views[name] = ViewPlan(msgspec.json.decode(found[1], type=StoredView))
        return plan

    def _definition(self, name: str) -> tuple[str, str] | None:
        found = self._all("SELECT kind, body FROM definitions WHERE name = ?", name)
        return (str(found[0][0]), str(found[0][1])) if found else None

    def _unknown(self, name: str, kind: str) -> NotFound:
        known = [str(row[0]) for row in self._all("SELECT name FROM definitions WHERE kind = ?", kind)]
        return NotFound(
            f"The online store {self._path.name} has no {kind} {name!r}.",
            why=near(name, known, what=f"{kind}s"),
            fix="Define it first: `store.define(streams, views)`.",
        )

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute(f"PRAGMA cache_size = {-_CACHE_KIB}")
            except BaseException:
                connection.close()
                raise
            with self._lock:
                self._connections.append(connection)
            self._local.connection = connection
        return connection

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See the port."""
        with self._writing():
            yield

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with _as_ours(self._path):
            connection = self._connection()
            if connection.in_transaction:  # a part of the one that is open: see `writing`
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def _all(self, statement: str, *values: str) -> list[tuple[Any, ...]]:
        connection = self._connection()
        with _Reading(connection, self._path):
            return connection.execute(statement, values).fetchall()


class _Reading:
    """A read transaction, or a part of the one that is open. A class, since a generator costs as much as a look-up."""

    __slots__ = ("_connection", "_is_outer", "_path")

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._is_outer = False

    def __enter__(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN")
            self._is_outer = True

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._is_outer:
            self._connection.execute("COMMIT")
        if isinstance(error, sqlite3.Error):
            raise _ours(error, self._path) from error


def _placed(rows: Iterable[tuple[int, int, bytes]], views: int) -> list[FoundRow | None]:
    """The rows found under one key, each at its view's place."""
    found: list[FoundRow | None] = [None] * views
    for place, time_us, body in rows:
        found[place] = (time_us, _decode_values(body))
    return found


@contextmanager
def _as_ours(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _ours(error, path) from error


def _ours(error: sqlite3.Error, path: Path) -> BackendError:
    busy = "locked" in str(error) or "busy" in str(error)
    kind = Unavailable if busy else BackendError
    return kind(
        f"The online store {path} answered: {error}.",
        why="Another process holds it for too long." if busy else "The file cannot be read or written as a database.",
        fix="Try again." if busy else "Check the folder's rights and space, or materialise into a new file.",
    )
