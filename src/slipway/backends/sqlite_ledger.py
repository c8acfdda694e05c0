"""The ledger in one SQLite file: write-ahead log, `BEGIN IMMEDIATE`, forward-only migrations.

Durable means kill -9 of every process. Surviving power loss is a setting: `synchronous=FULL` instead of `NORMAL`.
"""

import math
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from slipway.backends.sqlite_ledger_schema import MIGRATIONS, SCHEMA_VERSION
from slipway.errors import BackendError, Conflict, Corrupt, Unavailable
from slipway.records.events import Event, Root
from slipway.records.record import Entry, Link
from slipway.records.runs import MetricPoint

__all__ = ["SqliteLedger"]

T = TypeVar("T")

_BUSY_S = 30.0
_ENTRY = "kind, id, project, name, number, state, parent, created_us, etag, body"


class SqliteLedger:
    """A ledger store in one file. One connection a thread; writers queue on SQLite's lock.

    Args:
        path: The file; made and migrated when it is missing or old.
        power_safe: Whether each commit also survives power loss (slower).
    """

    def __init__(self, path: Path, *, power_safe: bool = False) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise BackendError(
                f"The store {path.parent} cannot be opened: {problem.strerror or problem}.",
                fix="Name a folder that exists or can be made, and that you may write.",
            ) from problem
        self._path = path
        self._power_safe = power_safe
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        with _sentences(path):
            self._migrate()

    @contextmanager
    def read(self) -> Iterator["_Transaction"]:
        """See `LedgerStore.read`."""
        with _sentences(self._path):
            connection = self._connection()
            if connection.in_transaction:
                yield _Transaction(connection)
                return
            connection.execute("BEGIN")
            try:
                yield _Transaction(connection)
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator["_Transaction"]:
        """See `LedgerStore.write`."""
        with _sentences(self._path):
            connection = self._connection()
            if connection.in_transaction:
                raise BackendError(
                    "A ledger transaction was opened inside another one.", fix="Pass the open transaction down instead."
                )
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield _Transaction(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def close(self) -> None:
        """See `LedgerStore.close`."""
        with self._lock:
            for connection in self._open:
                connection.close()
            self._open.clear()
            self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={'FULL' if self._power_safe else 'NORMAL'}")
            connection.execute("PRAGMA foreign_keys=ON")
            self._local.connection = connection
            with self._lock:
                self._open.append(connection)
        return connection

    def _migrate(self) -> None:
        connection = self._connection()
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > SCHEMA_VERSION:
            raise BackendError(
                f"{self._path} was written by a newer Slipway (schema {found}, this one knows {SCHEMA_VERSION}).",
                fix="Upgrade Slipway, or open another store.",
            )
        if found == SCHEMA_VERSION:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            for statements in MIGRATIONS[found:]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


class _Transaction:
    """All verbs over one connection inside one SQLite transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany

    def get(self, kind: str, id: str) -> Entry | None:
        row = self._execute(f"SELECT {_ENTRY} FROM entries WHERE kind=? AND id=?", (kind, id)).fetchone()
        return None if row is None else _entry(row)

    def find(
        self,
        kind: str,
        *,
        project: str | None = None,
        name: str | None = None,
        number: int | None = None,
        state: str | None = None,
        parent: str | None = None,
        before: tuple[int, str] | None = None,
        limit: int = 100,
    ) -> list[Entry]:
        wanted = {"project": project, "name": name, "number": number, "state": state, "parent": parent}
        given = [(column, value) for column, value in wanted.items() if value is not None]
        where = "kind=?" + "".join(f" AND {column}=?" for column, _ in given)
        values: list[str | int] = [kind, *(value for _, value in given)]
        if before is not None:
            where += " AND (created_us, id) < (?, ?)"
            values += before
        rows = self._execute(
            f"SELECT {_ENTRY} FROM entries WHERE {where} ORDER BY created_us DESC, id DESC LIMIT ?", (*values, limit)
        )
        return [_entry(row) for row in rows]

    def put(self, entry: Entry, *, expect: int | None = None) -> int:
        row = self._execute("SELECT etag FROM entries WHERE kind=? AND id=?", (entry.kind, entry.id)).fetchone()
        stored: int = row[0] if row else 0
        if expect is not None and expect != stored:
            raise Conflict(
                f"The {entry.kind} {entry.id} was changed by somebody else meanwhile.",
                why=f"Its edition is {stored}, expected was {expect}.",
                fix="Read it again and repeat the change.",
            )
        self._execute(
            f"INSERT INTO entries ({_ENTRY}) VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT (kind, id) DO UPDATE SET "
            "project=excluded.project, name=excluded.name, number=excluded.number, state=excluded.state, "
            "parent=excluded.parent, created_us=excluded.created_us, etag=excluded.etag, body=excluded.body",
            (
                entry.kind,
                entry.id,
                entry.project,
                entry.name,
                entry.number,
                entry.state,
                entry.parent,
                entry.created_us,
                stored + 1,
                entry.body,
            ),
        )
        return stored + 1

    def ref(self, project: str, kind: str, name: str) -> str | None:
        row = self._execute(
            "SELECT target FROM refs WHERE project=? AND kind=? AND name=?", (project, kind, name)
        ).fetchone()
        return None if row is None else row[0]

    def refs(self, project: str, kind: str) -> dict[str, str]:
        return dict(
            self._execute("SELECT name, target FROM refs WHERE project=? AND kind=? ORDER BY name", (project, kind))
        )

    def set_ref(self, project: str, kind: str, name: str, target: str, *, expect: str | None) -> None:
        found = self.ref(project, kind, name)
        if found != expect:
            raise Conflict(
                f"The {kind} {name!r} of {project!r} was moved by somebody else meanwhile.",
                why=f"It points at {found or 'nothing'}, expected was {expect or 'nothing'}.",
                fix="Look at where it points now and repeat the change.",
            )
        if target:
            self._execute(
                "INSERT INTO refs (project, kind, name, target) VALUES (?,?,?,?) "
                "ON CONFLICT (project, kind, name) DO UPDATE SET target=excluded.target",
                (project, kind, name, target),
            )
        else:
            self._execute("DELETE FROM refs WHERE project=? AND kind=? AND name=?", (project, kind, name))

    def link(self, links: Iterable[Link]) -> None:
        self._executemany(
            "INSERT OR IGNORE INTO links (source, target, role) VALUES (?,?,?)",
            [(link.source, link.target, link.role) for link in links],
        )

    def links(self, node: str, *, towards: bool) -> list[Link]:
        column = "target" if towards else "source"
        rows = self._execute(
            f"SELECT source, target, role FROM links WHERE {column}=? ORDER BY source, target, role", (node,)
        )
        return [Link(*row) for row in rows]

    def add_points(self, run_id: str, points: Iterable[MetricPoint]) -> None:
        rows = [(run_id, p.key, p.step, p.at_us, _rank(p.value), _special(p.value)) for p in points]
        self._executemany(
            "INSERT OR IGNORE INTO points (run_id, key, step, at_us, value, special) VALUES (?,?,?,?,?,?)", rows
        )

    def points(self, run_id: str, key: str, *, limit: int = 25_000) -> list[MetricPoint]:
        rows = self._execute(
            "SELECT key, value, special, step, at_us FROM points WHERE run_id=? AND key=? "
            "ORDER BY step, at_us, special, value LIMIT ?",
            (run_id, key, limit),
        )
        return [MetricPoint(key, _value(value, special), step, at) for key, value, special, step, at in rows]

    def latest_points(self, run_ids: Sequence[str]) -> dict[str, list[MetricPoint]]:
        latest: dict[str, list[MetricPoint]] = {run_id: [] for run_id in run_ids}
        for run_id in latest:
            rows = self._execute(
                "SELECT key, value, special, step, at_us FROM (SELECT *, row_number() OVER "
                "(PARTITION BY key ORDER BY step DESC, at_us DESC, special DESC, value DESC) AS place "
                "FROM points WHERE run_id=?) WHERE place=1 ORDER BY key",
                (run_id,),
            )
            latest[run_id] = [
                MetricPoint(key, _value(value, special), step, at) for key, value, special, step, at in rows
            ]
        return latest

    def append_event(self, event: Event) -> int:
        seq = int(self._execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]) + 1
        self._execute(
            "INSERT INTO events (seq, project, subject, verb, body) VALUES (?,?,?,?,?)",
            (
                seq,
                event.project,
                event.subject,
                event.verb,
                msgspec.json.encode(msgspec.structs.replace(event, seq=seq)),
            ),
        )
        return seq

    def events(
        self, *, after: int = 0, limit: int = 1000, project: str | None = None, subject: str | None = None
    ) -> list[Event]:
        where = "seq>?"
        values: list[str | int] = [after]
        for column, value in (("project", project), ("subject", subject)):
            if value is not None:
                where += f" AND {column}=?"
                values.append(value)
        rows = self._execute(
            f"SELECT seq, project, subject, verb, body FROM events WHERE {where} ORDER BY seq LIMIT ?", (*values, limit)
        )
        return [_event(*row) for row in rows]

    def append_root(self, root: Root) -> None:
        try:
            self._execute('INSERT INTO roots ("index", body) VALUES (?,?)', (root.index, msgspec.json.encode(root)))
        except sqlite3.IntegrityError:
            raise Conflict(f"The audit log's root {root.index} exists already.", fix="Read the roots again.") from None

    def roots(self) -> list[Root]:
        rows = self._execute('SELECT "index", body FROM roots ORDER BY "index"')
        return [_decode(body, Root, f"root {index}") for index, body in rows]

    def take_lease(self, name: str, holder: str, *, seconds: float) -> bool:
        now = time.time()
        changed = self._execute(
            "INSERT INTO leases (name, holder, until) VALUES (?,?,?) ON CONFLICT (name) DO UPDATE SET "
            "holder=excluded.holder, until=excluded.until WHERE leases.holder=excluded.holder OR leases.until<?",
            (name, holder, now + seconds, now),
        )
        return changed.rowcount == 1


def _entry(row: tuple[str, str, str, str, int, str, str, int, int, bytes]) -> Entry:
    kind, id, project, name, number, state, parent, created_us, etag, body = row
    return Entry(
        kind=kind,
        id=id,
        project=project,
        name=name,
        number=number,
        state=state,
        parent=parent,
        created_us=created_us,
        etag=etag,
        body=body,
    )


def _event(seq: int, project: str, subject: str, verb: str, body: bytes) -> Event:
    event = _decode(body, Event, f"event {seq}")
    if (event.seq, event.project, event.subject, event.verb) != (seq, project, subject, verb):
        raise Corrupt(
            f"The ledger's event {seq} was altered: its columns do not say what it says.",
            fix="Restore the ledger from a backup; keep the damaged one.",
        )
    return event


def _decode(body: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as problem:
        raise Corrupt(
            f"The ledger's {what} cannot be read: {problem}.", fix="Restore the ledger from a backup."
        ) from None


def _rank(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _special(value: float) -> int:
    # NaN sorts below every number, and SQLite would store it as NULL.
    return 0 if math.isnan(value) else 1


def _value(value: float, special: int) -> float:
    return value if special else math.nan


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turn the driver's errors into sentences."""
    try:
        yield
    except sqlite3.OperationalError as problem:
        text = str(problem)
        if "locked" in text or "busy" in text:
            raise Unavailable(
                f"The ledger {path} stayed locked for {_BUSY_S:.0f} seconds.",
                fix="See which process holds it, and try again.",
            ) from problem
        if "full" in text:
            raise Unavailable(
                f"No space is left to write the ledger {path}.", fix="Free some space and try again."
            ) from problem
        raise BackendError(f"The ledger {path} failed: {text}.") from problem
    except sqlite3.DatabaseError as problem:
        raise Corrupt(
            f"The ledger {path} cannot be read: {problem}.", fix="Restore it from a backup; keep the damaged file."
        ) from problem
