"""The ledger in a PostgreSQL database, which several servers and people may share.

Writers of one ledger come one after the other, by an advisory lock that a transaction holds until it has ended: what
was read inside it is still so when it commits, events follow each other without a gap, and nothing is ever run again.
Tables lie in the connection's current schema: "public", unless the URL or the role names another.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from slipway.backends import postgres_copy
from slipway.backends.postgres_link import Link
from slipway.backends.postgres_schema import LONGEST, MIGRATIONS, SCHEMA_VERSION
from slipway.backends.sql_driver import Dialect, Rows, Sql, TookTooLong
from slipway.backends.sql_ledger import SqlTransaction
from slipway.errors import BackendError
from slipway.patterns import like, regex

__all__ = ["PostgresDriver", "PostgresLedger"]

_LOCK = 20_803
"""Slipway's among the advisory locks of a database; the second number is the schema's."""
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_ROWS = 2000


class PostgresLedger:
    """A ledger store in one schema of a PostgreSQL database.

    Args:
        url: "postgresql://user:password@host:5432/name", or what tells it when a connection is made. Its tables are made when they are missing.
        upgrade: Whether tables of an older schema are brought up to this one's, in one transaction; they are refused
            otherwise, for servers of an older release may share them.
    """

    def __init__(self, url: str | Callable[[], str], *, upgrade: bool = False) -> None:
        self._upgraded_from = 0
        self._link = Link(url)
        self._local = threading.local()
        self._fields: dict[tuple[str, str, str, str], int] = {}
        self._write = ""
        try:
            with self._link.sentences():
                self._migrate(upgrade)
        except BaseException:
            self._link.close()
            raise

    @classmethod
    def look_at(cls, url: str | Callable[[], str]) -> int:
        """Ask a database whether it can have a ledger, and which schema the one there is of; nothing is written.

        Args:
            url: See above.

        Returns:
            The schema, 0 where there is no ledger yet.

        Raises:
            Unavailable: It cannot be reached.
            BackendError: It cannot have one, or has one of a newer release.
        """
        link = Link(url)
        try:
            with link.sentences(), link.begun(_READ) as connection:
                _check_database(connection, link.shown)
                return _version(connection, link.shown)
        finally:
            link.close()

    @contextmanager
    def read(self) -> Iterator[SqlTransaction]:
        """See `LedgerStore.read`."""
        with self._link.sentences():
            around: PostgresDriver | None = getattr(self._local, "driver", None)
            if around is not None:
                yield SqlTransaction(around, self._fields)
                return
            with self._link.begun(_READ) as connection, self._driver(connection) as driver:
                yield SqlTransaction(driver, self._fields)

    @contextmanager
    def write(self) -> Iterator[SqlTransaction]:
        """See `LedgerStore.write`."""
        with self._link.sentences():
            if getattr(self._local, "driver", None) is not None:
                raise BackendError(
                    "A ledger transaction was opened inside another one.", fix="Pass the open transaction down instead."
                )
            with self._link.turn(), self._link.begun(self._write) as connection:
                with self._driver(connection) as driver:
                    self._check_schema(connection)
                    transaction = SqlTransaction(driver, self._fields)
                    yield transaction
                if connection.info.transaction_status == TransactionStatus.INERROR:
                    raise BackendError(
                        "A ledger transaction went on after one of its statements had failed.",
                        why="PostgreSQL keeps nothing of it.",
                        fix="Let the error of the statement end the transaction.",
                    )
                connection.execute("COMMIT")
            transaction.fields.keep()

    @property
    def database(self) -> str:
        """See `LedgerStore.database`."""
        return "postgres"

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
        with self._link.sentences(), self._link.begun(_READ) as connection:
            postgres_copy.write(connection, path)

    def fill_from(self, path: Path) -> None:
        """See `LedgerStore.fill_from`."""
        with self._link.sentences(), self._link.turn(), self._link.begun(self._write) as connection:
            postgres_copy.read(connection, path, self._link.shown)
            connection.execute("COMMIT")
        self._fields.clear()

    def close(self) -> None:
        """See `LedgerStore.close`."""
        self._link.close()

    @contextmanager
    def _driver(self, connection: Any) -> Iterator["PostgresDriver"]:
        self._local.driver = driver = PostgresDriver(connection)
        try:
            yield driver
        finally:
            self._local.driver = None

    def _check_schema(self, connection: Any) -> None:
        """A newer Slipway may have brought the tables to its schema while this process had them open."""
        found = int(connection.execute("SELECT version FROM slipway_schema").fetchone()[0])
        if found != SCHEMA_VERSION:
            raise _newer(self._link.shown, found)

    def _migrate(self, upgrade: bool) -> None:
        with self._link.begun(_READ) as connection:
            lock = _check_database(connection, self._link.shown)
            self._write = f"{_WRITE}; SELECT pg_advisory_xact_lock({_LOCK}, {lock})"
            found = _version(connection, self._link.shown)
            if found == SCHEMA_VERSION:
                return
            if found and not upgrade:
                raise BackendError(
                    f"The ledger in the {self._link.shown} was written by an older Slipway (schema {found}, this one "
                    f"writes {SCHEMA_VERSION}).",
                    why="Servers of the older release, which may share it, cannot write to it once it is of the new schema.",
                    fix="Stop them, copy the database (pg_dump, or slipway backup of that release), and type: "
                    "slipway env upgrade NAME",
                )
        with self._link.begun(self._write) as connection:
            found = _version(connection, self._link.shown)  # another process may have migrated it meanwhile
            if found == 0:
                connection.execute("CREATE TABLE slipway_schema (version INTEGER NOT NULL)")
                connection.execute("INSERT INTO slipway_schema VALUES (0)")
            for statements in MIGRATIONS[found:]:
                for statement in statements:
                    connection.execute(statement)
            connection.execute(f"UPDATE slipway_schema SET version={SCHEMA_VERSION}")
            connection.execute("COMMIT")
        self._upgraded_from = found if found < SCHEMA_VERSION else 0


def _check_database(connection: Any, shown: str) -> int:
    """Whether a database can have a ledger; returns the number of its schema's lock."""
    schema, lock, encoding = connection.execute(
        "SELECT current_schema(), hashtext(current_schema()), current_setting('server_encoding')"
    ).fetchone()
    if schema is None:
        raise BackendError(
            f"The {shown} has no schema for the ledger's tables.",
            why="None of the connection's search path exists.",
            fix='Make one: CREATE SCHEMA slipway; and name it: ALTER ROLE ... SET search_path = "slipway".',
        )
    if encoding != "UTF8":
        raise BackendError(
            f"The {shown} keeps texts as {encoding}, which not every text can be written in.",
            fix="Make a database with the encoding UTF8: CREATE DATABASE slipway ENCODING 'UTF8'.",
        )
    return int(lock)


def _version(connection: Any, shown: str) -> int:
    (is_there,) = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname=current_schema() AND tablename='slipway_schema')"
    ).fetchone()
    found = int(connection.execute("SELECT version FROM slipway_schema").fetchone()[0]) if is_there else 0
    if found > SCHEMA_VERSION:
        raise _newer(shown, found)
    return found


def _newer(shown: str, found: int) -> BackendError:
    return BackendError(
        f"The ledger in the {shown} was written by a newer Slipway (schema {found}, this one knows {SCHEMA_VERSION}).",
        fix="Upgrade Slipway, or open another store.",
    )


class PostgresDriver:
    """See `sql_driver.Driver`.

    Args:
        connection: Of an open transaction.
    """

    dialect = Dialect(
        indexed="",
        aside="",
        fence=" OFFSET 0",
        beside="JOIN LATERAL (SELECT * FROM {} f WHERE f.no=c.entry AND f.key=? OFFSET 0) g ON TRUE",
        longest=LONGEST,
        numbered=" OVERRIDING SYSTEM VALUE",
        settle="SELECT setval(pg_get_serial_sequence('{table}', '{key}'), "
        "(SELECT coalesce(max({key}), 0) + 1 FROM {table}), false)",
    )

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._until: float | None = None
        self._fitting: dict[tuple[int, str, str], list[int]] = {}

    def execute(self, statement: str, values: Sequence[object] = ()) -> Rows:
        """See `sql_driver.Driver`."""
        self._look_at_time()
        # A search is planned for its own values; all else is prepared when it comes again.
        prepare = None if self._until is None else False
        rows: Rows = self._connection.execute(_percent(statement), values, binary=True, prepare=prepare)
        return rows

    def execute_many(self, statement: str, values: Iterable[Sequence[object]]) -> None:
        """See `sql_driver.Driver`."""
        with self._connection.cursor() as cursor:
            cursor.executemany(_percent(statement), values)

    def insert(self, statement: str, values: Sequence[object], number: str) -> int:
        """See `sql_driver.Driver`."""
        return int(self.execute(f"{statement} RETURNING {number}", values).fetchone()[0])

    def now(self) -> float:
        """See `sql_driver.Driver`."""
        return float(self.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()[0])

    @contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """See `sql_driver.Driver`."""
        self._fitting.clear()
        # A statement that is cancelled undoes what goes back to the last savepoint, and only that.
        self._connection.execute(f"SAVEPOINT search; SET LOCAL statement_timeout={max(1, int(seconds * 1000))}")
        self._until = time.monotonic() + seconds
        try:
            yield
        except (psycopg.errors.QueryCanceled, TookTooLong):
            self._connection.execute("ROLLBACK TO search; RELEASE search")
            raise TookTooLong from None
        finally:
            self._until = None
        self._connection.execute("RELEASE search; SET LOCAL statement_timeout=DEFAULT")

    def fits(self, key: int, operator: str, pattern: str, row: str) -> Sql:
        """See `sql_driver.Driver`: plain LIKE is the database's own, all else must mean what it means in Python."""
        if operator == "LIKE" and "_" not in pattern and min(pattern, default=" ") > "\x02":
            return Sql(f"{row}.text LIKE ? ESCAPE ''", [pattern])
        asked = (key, operator, pattern)
        if asked not in self._fitting:
            self._fitting[asked] = self._that_fit(key, operator, pattern)
        return Sql(f"{row}.no = ANY(?)", [self._fitting[asked]])

    def _that_fit(self, key: int, operator: str, pattern: str) -> list[int]:
        test = regex(pattern) if operator == "MATCHES" else like(pattern, operator == "ILIKE")
        known: dict[str, bool] = {}
        found: list[int] = []
        with self._connection.cursor(name="texts", binary=True) as cursor:
            cursor.itersize = _ROWS
            cursor.execute("SELECT no, text FROM facets WHERE key=%s AND text IS NOT NULL", (key,))
            for count, (no, text) in enumerate(cursor):
                if count % 100 == 0:
                    self._look_at_time()
                    if len(known) > _ROWS:
                        known.clear()
                fits = known.get(text)
                if fits is None:
                    fits = known[text] = test(text)
                if fits:
                    found.append(no)
        return found

    def _look_at_time(self) -> None:
        if self._until is not None and time.monotonic() >= self._until:
            raise TookTooLong


@lru_cache(maxsize=1000)
def _percent(statement: str) -> str:
    return statement.replace("?", "%s")
