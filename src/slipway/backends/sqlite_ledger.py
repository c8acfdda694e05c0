"""The ledger in one SQLite file: write-ahead log, `BEGIN IMMEDIATE`, forward-only migrations.

Durable means kill -9 of every process. Surviving power loss is a setting: `synchronous=FULL` instead of `NORMAL`.
"""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from slipway.backends.sql_driver import Dialect, Execute, Sql, TookTooLong
from slipway.backends.sql_ledger import SqlTransaction
from slipway.backends.sqlite_copy import copy_database
from slipway.backends.sqlite_ledger_schema import MIGRATIONS, SCHEMA_VERSION
from slipway.errors import BackendError, Conflict, Corrupt, Unavailable
from slipway.patterns import like, regex
from slipway.whole_files import settle

__all__ = ["SqliteDriver", "SqliteLedger"]

_BUSY_S = 30.0
_LOOKS = 50_000


class SqliteLedger:
    """A ledger store in one file. One connection a thread; a process's writers take turns, and those of several queue on SQLite's lock.

    One of an older schema is brought up to this one's when it is opened, after a copy of it was put beside it, whole:
    `ledger.schema-1.db`. All of it is one transaction: who is killed leaves the ledger as it was.

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
        self._open: weakref.WeakSet[_Held] = weakref.WeakSet()
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._upgraded_from = 0
        self._fields: dict[tuple[str, str, str, str], int] = {}
        try:
            with _sentences(path):
                self._migrate()
        except BaseException:
            self.close()
            raise
        self._file = self._found()

    @contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        """See `LedgerStore.read`."""
        self._check_place()
        with _sentences(self._path):
            connection = self._connection()
            if connection.in_transaction:
                yield SqlTransaction(SqliteDriver(connection), self._fields)
                return
            connection.execute("BEGIN")
            try:
                self._check_schema(connection)
                yield SqlTransaction(SqliteDriver(connection), self._fields)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        """See `LedgerStore.write`."""
        self._check_place()
        with _sentences(self._path):
            connection = self._connection()
            if connection.in_transaction:
                raise BackendError(
                    "A ledger transaction was opened inside another one.", fix="Pass the open transaction down instead."
                )
            # This process's other threads are woken when it is their turn; SQLite would let them sleep for a while.
            if not self._turn.acquire(timeout=_BUSY_S):
                raise _locked(self._path)
            try:
                connection.execute("BEGIN IMMEDIATE")
                transaction = SqlTransaction(SqliteDriver(connection), self._fields)
                try:
                    self._check_schema(connection)
                    yield transaction
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:  # a full disk has undone it already
                        connection.execute("ROLLBACK")
                    raise
                transaction.fields.keep()
            finally:
                self._turn.release()

    @property
    def database(self) -> str:
        """See `LedgerStore.database`."""
        return "sqlite"

    @property
    def schema(self) -> int:
        """See `LedgerStore.schema`."""
        return SCHEMA_VERSION

    @property
    def upgraded_from(self) -> int:
        """See `LedgerStore.upgraded_from`."""
        return self._upgraded_from

    def copy_to(self, path: Path) -> None:
        """See `LedgerStore.copy_to`."""
        self._check_place()
        with _sentences(self._path):
            copy_database(self._path, path)

    def fill_from(self, path: Path) -> None:
        """See `LedgerStore.fill_from`."""
        with _sentences(path), closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as copy:
            found = copy.execute("PRAGMA user_version").fetchone()[0]
            if found > SCHEMA_VERSION:
                raise _newer(path, found)
            if not found or copy.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise Corrupt(f"{path} is no copy of a ledger.", fix="Name another backup.")
            connection = self._connection()
            if connection.execute("SELECT 1 FROM entries UNION ALL SELECT 1 FROM events LIMIT 1").fetchone():
                raise Conflict(
                    f"The ledger {self._path} is not empty.", fix="Name a folder that is empty, or does not exist."
                )
            copy.backup(connection)
            connection.execute("PRAGMA journal_mode=WAL")
        self._fields.clear()
        with _sentences(self._path):
            self._migrate()

    def close(self) -> None:
        """See `LedgerStore.close`."""
        with self._lock:
            for held in list(self._open):
                held.connection.close()
            self._open.clear()
            self._local = threading.local()

    def _found(self) -> tuple[int, int]:
        try:
            at = os.stat(self._path)
        except FileNotFoundError:
            return 0, 0
        return at.st_dev, at.st_ino

    def _check_place(self) -> None:
        """An open file that was moved or replaced still takes what is written, and loses it when this process ends."""
        if self._found() != self._file:
            raise Unavailable(
                f"The ledger {self._path} was moved or replaced while it was open.",
                why="What was written now would be lost.",
                fix="Put it back, or stop every process that has it open and start them again.",
            )

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        """A newer Slipway may have brought the file to its schema while this process had it open."""
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found != SCHEMA_VERSION:
            raise _newer(self._path, found)

    def _connection(self) -> sqlite3.Connection:
        held: _Held | None = getattr(self._local, "held", None)
        if held is None:
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            self._local.held = held = _Held(connection)
            with self._lock:
                self._open.add(held)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(f"PRAGMA synchronous={'FULL' if self._power_safe else 'NORMAL'}")
                connection.execute("PRAGMA foreign_keys=ON")
                connection.create_function("fits", 3, _fits, deterministic=True)
            except BaseException:
                del self._local.held  # closes it: what is half set up is never taken again
                raise
        return held.connection

    def _migrate(self) -> None:
        connection = self._connection()
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found > SCHEMA_VERSION:
            raise _newer(self._path, found)
        if found == SCHEMA_VERSION:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            found = connection.execute("PRAGMA user_version").fetchone()[0]  # another process may have been first
            if 0 < found < SCHEMA_VERSION:
                self._keep_copy(found)
            for steps in MIGRATIONS[found:]:
                for step in steps:
                    if isinstance(step, str):
                        connection.execute(step)
                    else:
                        step(SqliteDriver(connection))
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        self._upgraded_from = found if found < SCHEMA_VERSION else 0

    def _keep_copy(self, schema: int) -> None:
        """Put the ledger as it is beside itself; the caller's transaction keeps writers out, so nothing of it is missed."""
        kept = self._path.with_name(f"{self._path.stem}.schema-{schema}{self._path.suffix}")
        part = kept.with_suffix(".part")  # of one that was killed: only who has the turn is here
        part.unlink(missing_ok=True)
        copy_database(self._path, part)
        settle(part, kept)


class _Held:
    """A thread's connection, closed when its thread has ended: a server makes threads for as long as it runs."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


class SqliteDriver:
    """See `sql_driver.Driver`; writers are one after the other by `BEGIN IMMEDIATE`.

    Args:
        connection: Of an open transaction.
    """

    # With a plus before it a column is no reason for SQLite to take an index.
    dialect = Dialect(
        indexed=" INDEXED BY {}",
        aside="+",
        fence="",
        beside="CROSS JOIN {} g ON g.no=c.entry AND g.key=?",
        longest=None,
    )

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.execute: Execute = connection.execute

    def execute_many(self, statement: str, values: Iterable[Sequence[object]]) -> None:
        """See `sql_driver.Driver`."""
        self._connection.executemany(statement, values)

    def insert(self, statement: str, values: Sequence[object], number: str) -> int:
        """See `sql_driver.Driver`."""
        return self._connection.execute(statement, values).lastrowid or 0

    def now(self) -> float:
        """See `sql_driver.Driver`."""
        return time.time()

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """See `sql_driver.Driver`."""
        until = time.monotonic() + seconds
        self._connection.set_progress_handler(lambda: time.monotonic() > until, _LOOKS)
        try:
            yield
        except sqlite3.OperationalError as problem:
            if "interrupted" not in str(problem):
                raise
            raise TookTooLong from None
        finally:
            self._connection.set_progress_handler(None, 0)

    def fits(self, key: int, operator: str, pattern: str, row: str) -> Sql:
        """See `sql_driver.Driver`."""
        return Sql(f"fits(?, ?, {row}.text)", [operator, pattern])


def _fits(operator: str, pattern: str, text: str | None) -> bool:
    if text is None:
        return False
    return regex(pattern)(text) if operator == "MATCHES" else like(pattern, operator == "ILIKE")(text)


def _newer(path: Path, found: int) -> BackendError:
    return BackendError(
        f"{path} was written by a newer Slipway (schema {found}, this one knows {SCHEMA_VERSION}).",
        fix="Upgrade Slipway, or open another store.",
    )


def _locked(path: Path) -> Unavailable:
    return Unavailable(
        f"The ledger {path} stayed locked for {_BUSY_S:.0f} seconds.",
        fix="See which process holds it, and try again.",
    )


@contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """Turn the driver's errors into sentences."""
    try:
        yield
    except sqlite3.OperationalError as problem:
        text = str(problem)
        if "locked" in text or "busy" in text:
            raise _locked(path) from problem
        if "full" in text or "disk I/O error" in text:  # SQLite says the latter where a file cannot grow
            raise Unavailable(
                f"The ledger {path} cannot be written: {text}.",
                fix="See that the disk has space and works, and try again.",
            ) from problem
        if "decode to UTF-8" in text:
            raise Corrupt(
                f"The ledger {path} holds a text that is none: {text}.",
                fix="Restore it from a backup; keep the damaged file.",
            ) from problem
        raise BackendError(f"The ledger {path} failed: {text}.") from problem
    except sqlite3.DatabaseError as problem:
        raise Corrupt(
            f"The ledger {path} cannot be read: {problem}.", fix="Restore it from a backup; keep the damaged file."
        ) from problem
