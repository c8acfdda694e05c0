"""Connections to a PostgreSQL database: a few are kept open, dead ones are replaced, and its errors become sentences."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.adapt import Dumper, Loader
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Format, TransactionStatus
from psycopg.types.numeric import Int8BinaryDumper

from slipway.errors import BackendError, Corrupt, InvalidSetting, Unavailable

__all__ = ["Link"]

_BUSY_S = 30
_CONNECT_WITHIN_S = 10
_STALLED_S = 600
_MOST = 20
_IDLE = 4

_SESSION = f"""
SET lock_timeout = '{_BUSY_S}s'; SET idle_in_transaction_session_timeout = '{_STALLED_S}s';
SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
SET enable_sort = off; SET jit = off;
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""
"""Of every connection: nobody waits for ever, what is committed is on the disk, and indexes are walked as each search
wants it (see `sql_search`) instead of what the planner guesses."""

_PASSING = (
    "starting up",
    "shutting down",
    "connection slots",
    "too many clients",
    "recovery",
    "too many connections",
    "accepting connections",
    "no more connections",
    "try again later",
)


class _TextDumper(Dumper):  # type: ignore[misc]  # psycopg is optional
    """Texts of which PostgreSQL refuses NUL: it is kept as two characters, in the order and with the equality it has."""

    oid = 25
    format = Format.BINARY

    def dump(self, obj: str) -> bytes:
        if "\x00" in obj or "\x01" in obj:
            obj = obj.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")
        return obj.encode()


class _TextLoader(Loader):  # type: ignore[misc]
    format = Format.BINARY

    def load(self, data: Any) -> str:
        text = bytes(data).decode()
        return text.replace("\x01\x01", "\x00").replace("\x01\x02", "\x01") if "\x01" in text else text


class Link:
    """Connections to one database. Safe for threads, and for processes that fork.

    Args:
        url: "postgresql://user@host:5432/name" with its password; it is never shown. Or what tells it: it is asked
            whenever a connection is made, so that a changed password counts from then on.
    """

    def __init__(self, url: str | Callable[[], str]) -> None:
        self._url: Callable[[], str] = (lambda: url) if isinstance(url, str) else url
        self.shown = _shown(self._url())
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pid = os.getpid()
        self._idle: list[Any] = []
        self._slots = threading.BoundedSemaphore(_MOST)
        self._writing = threading.Lock()
        self._lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the one of this process's threads that writes: the others wait here, not each in a connection."""
        self._look_who_this_is()
        if not self._writing.acquire(timeout=_BUSY_S):
            raise self._stayed_locked()
        try:
            yield
        finally:
            self._writing.release()

    @contextmanager
    def begun(self, words: str) -> Iterator[Any]:
        """A connection whose transaction was begun with these words; rolled back where the block does not commit it.

        Raises:
            Unavailable: The database cannot be reached, or it, or its connections, stayed in use.
        """
        self._look_who_this_is()
        slots = self._slots
        if not slots.acquire(timeout=_BUSY_S):
            raise Unavailable(
                f"All {_MOST} connections to the {self.shown} stayed in use for {_BUSY_S} seconds.",
                fix="Try again when less is asked at once.",
            )
        try:
            connection = self._begin(words)
            try:
                yield connection
            finally:
                self._give_back(connection)
        finally:
            slots.release()

    def close(self) -> None:
        """Close what is open and not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _begin(self, words: str) -> Any:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                break
            try:
                connection.execute(words)
            except psycopg.Error:
                self._give_back(connection)
                if not connection.closed:
                    raise
            else:
                return connection
        connection = self._connect()
        try:
            connection.execute(words)
        except BaseException:
            self._give_back(connection)
            raise
        return connection

    def _connect(self) -> Any:
        try:
            connection = psycopg.connect(
                self._url(),
                autocommit=True,  # transactions are begun and ended in words
                connect_timeout=_CONNECT_WITHIN_S,
                client_encoding="utf8",
                application_name="slipway",
                keepalives_idle=30,
                keepalives_interval=10,
                keepalives_count=3,
                tcp_user_timeout=60_000,
            )
        except psycopg.OperationalError as problem:
            text = _first_line(problem)
            if "FATAL" in text and not any(passing in text for passing in _PASSING):
                raise BackendError(
                    f"The {self.shown} does not let Slipway in: {text}.",
                    fix="Correct the URL's user, password or database, or make that database.",
                ) from None
            raise Unavailable(
                f"The {self.shown} cannot be reached: {text}.", fix="Start it, or see what it says, and try again."
            ) from None
        adapters = connection.adapters
        adapters.register_dumper(str, _TextDumper)
        adapters.register_dumper(int, Int8BinaryDumper)  # one type, so that a statement is prepared once
        for kind in ("text", "varchar", "name"):
            adapters.register_loader(kind, _TextLoader)
        try:
            connection.execute(_SESSION)
        except BaseException:
            connection.close()
            raise
        return connection

    def _give_back(self, connection: Any) -> None:
        status = connection.info.transaction_status
        if not connection.closed and status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            try:
                connection.execute("ROLLBACK")
            except psycopg.Error:
                connection.close()  # the server rolls back whom it does not hear from any more
        if connection.closed or connection.info.transaction_status != TransactionStatus.IDLE:
            connection.close()
            return
        with self._lock:
            if len(self._idle) < _IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _look_who_this_is(self) -> None:
        if self._pid != os.getpid():  # forked: these connections are its parent's
            _of_parents.append(self._idle)
            self._begin_anew()

    def _stayed_locked(self) -> Unavailable:
        return Unavailable(
            f"The ledger in the {self.shown} stayed locked for {_BUSY_S} seconds.",
            fix="See which process writes, and try again.",
        )

    @contextmanager
    def sentences(self) -> Iterator[None]:
        """Turn the driver's errors into sentences."""
        try:
            yield
        except psycopg.Error as problem:
            raise self._told(problem, problem.sqlstate or "", _first_line(problem)) from problem

    def _told(self, problem: psycopg.Error, state: str, text: str) -> BackendError | Corrupt:
        if state == "55P03":
            return self._stayed_locked()
        if state == "53100":
            return Unavailable(f"No space is left to write in the {self.shown}.", fix="Free some space and try again.")
        is_lost = isinstance(problem, psycopg.OperationalError | psycopg.InterfaceError) and not state
        if is_lost or state[:2] in ("08", "53") or state[:3] == "57P" or state == "25P03":
            return Unavailable(
                f"The {self.shown} broke off: {text}.",
                why="What was being written is there whole or not at all.",
                fix="See whether it is up, and try again.",
            )
        if state in ("XX001", "XX002"):
            return Corrupt(f"The {self.shown} is damaged: {text}.", fix="Restore it from a backup.")
        if state == "42501":
            return BackendError(
                f"The {self.shown} does not let Slipway do that: {text}.",
                fix="Let its user make and write tables: the owner of the database may.",
            )
        return BackendError(f"The {self.shown} failed: {text}.")


def _shown(url: str) -> str:
    """What a URL leads to, without its password."""
    try:
        parts: dict[str, Any] = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        parts = {"host": "@"}
    host, port = str(parts.get("host") or parts.get("hostaddr") or "the local socket"), str(parts.get("port") or 5432)
    name = str(parts.get("dbname") or parts.get("user") or "")
    if "@" in host + name or not port.replace(",", "").isdecimal():  # a password that ends where its sign / or @ stands
        raise InvalidSetting(
            "The ledger's URL cannot be read.",
            why="It is shown nowhere, because it may hold a password; signs such as / and @ end one that is not quoted.",
            fix='For example "postgresql://slipway:${PGPASSWORD}@host:5432/slipway", where the variable needs no quoting.',
        )
    return f"PostgreSQL database {name} at {host}:{port}"


_of_parents: list[list[Any]] = []
"""Kept, because a connection that is let go says so to the server, and to the parent's harm."""


def _first_line(problem: psycopg.Error) -> str:
    lines = str(problem).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(problem).__name__
