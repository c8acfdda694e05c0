"""A thread's connection to a Redis: commands packed here, answers read by redis-py, errors as sentences.

redis-py keeps the connection: address, TLS, password, reading of answers. Its packing and its pipelines cost more than
the look-up of a request does, so both are done here: one buffer out, its answers back.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import redis
from redis.exceptions import AuthenticationError, NoScriptError, RedisError, ResponseError
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import TimeoutError as Late

from slipway.errors import BackendError, InvalidSetting, SlipwayError, Unavailable

__all__ = ["Address", "Link", "Script", "pack", "shown_address"]

_CONNECT_S = 2.0
_REST_S = 0.2
_UNREADABLE = "://..."


def pack(*parts: bytes) -> bytes:
    """A command as it goes over the wire."""
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


class Script:
    """A Lua script, which Redis runs as one moment; called by its hash, and sent whole where Redis does not know it."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()

    def call(self, keys: Sequence[bytes], arguments: Sequence[bytes], *, whole: bool = False) -> bytes:
        """The packed command."""
        name, body = (b"EVAL", self.text) if whole else (b"EVALSHA", self.digest)
        return pack(name, body, b"%d" % len(keys), *keys, *arguments)


def shown_address(url: str) -> str:
    """Where a URL leads, without user, password and options: for messages and logs."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:  # what stands there for a port may be a part of a password
        return f"{url.partition(':')[0]}{_UNREADABLE}"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


Address = str | Callable[[], str]
"""A URL, or what tells it: its user and password are asked for whenever a connection is made."""


class _Kept(redis.CredentialProvider):  # type: ignore[misc]
    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url

    def get_credentials(self) -> tuple[str, ...]:
        parts = urlsplit(self._url())
        words = [unquote(word) for word in (parts.username, parts.password) if word]
        return tuple(words)


class Link:
    """Connections to one Redis, one a thread.

    Args:
        url: redis://, rediss:// or unix://, with password and database as redis-py reads them.
        patience_s: How long an answer may take.

    Raises:
        InvalidSetting: It is no such URL.
    """

    def __init__(self, url: Address, *, patience_s: float) -> None:
        tell: Callable[[], str] = (lambda: url) if isinstance(url, str) else url
        bare = tell()
        self.address = shown_address(bare)
        self._patience_s = patience_s
        options: dict[str, Any] = {"socket_timeout": patience_s, "socket_connect_timeout": _CONNECT_S, "protocol": 2}
        try:
            parts = urlsplit(bare)
            if parts.password:
                options["credential_provider"] = _Kept(tell)
                bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
            self._pool = redis.ConnectionPool.from_url(bare, **options)
            self._pool.make_connection()  # reaches nothing, and takes or refuses the URL's options
        except _UNFIT as problem:
            raise self._unfit(problem) from problem
        self._local = threading.local()
        self._all: list[Any] = []
        self._lock = threading.Lock()
        self._rests_until = 0.0

    def ask(self, command: bytes) -> Any:
        """Send one packed command that may be sent twice, and return its answer."""
        return self.ask_all(command, 1)[0]

    def ask_all(self, commands: bytes, count: int, *, again: bool = True) -> list[Any]:
        """Send packed commands and return their answers.

        Args:
            commands: One buffer.
            count: How many commands it holds.
            again: Whether to send them once more where the connection turns out to be closed since its last use.

        Raises:
            Unavailable: Redis cannot be reached, does not answer in time, or is loading.
            BackendError: It refused a command.
        """
        connection, began = self._connection(), time.monotonic()
        again = again and connection.is_connected
        while True:
            try:
                return self._exchange(connection, commands, count)
            except (Lost, Late) as problem:
                connection.disconnect()
                if isinstance(problem, AuthenticationError):
                    raise self._refused(problem) from problem
                if not again or isinstance(problem, Late):
                    raise self._gone(problem, began) from problem
                again = False
            except RedisError as problem:
                raise self._refused(problem) from problem
            except SlipwayError:  # of where the password is kept
                raise
            except _UNFIT as problem:
                connection.disconnect()
                raise self._unfit(problem) from problem

    def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Any:
        """Run a script that may be run twice, and return its answer."""
        try:
            return self.ask(script.call(keys, arguments))
        except BackendError as problem:
            if not isinstance(problem.__cause__, NoScriptError):
                raise
            return self.ask(script.call(keys, arguments, whole=True))

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            while self._all:
                self._all.pop().disconnect()
            self._local = threading.local()

    def _exchange(self, connection: Any, commands: bytes, count: int) -> list[Any]:
        if self._rests_until and time.monotonic() < self._rests_until:
            raise Lost("it could not be reached a moment ago")
        connection.send_packed_command([commands], check_health=False)
        read = connection.read_response
        answers: list[Any] = []
        refused: ResponseError | None = None
        for _ in range(count):  # all are read, also after an error: the next answer must be the next command's
            try:
                answers.append(read(disable_decoding=True))
            except ResponseError as problem:
                refused = refused or problem
        if refused is not None:
            raise refused
        return answers

    def _connection(self) -> Any:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._pool.make_connection()
            with self._lock:
                self._all.append(connection)
        return connection

    def _gone(self, problem: Exception, began: float) -> Unavailable:
        # Whoever asks next is told at once, for as long as this one waited: a host that does not answer must not hold up
        # everything else that a worker does.
        now = time.monotonic()
        if now >= self._rests_until:
            self._rests_until = now + max(_REST_S, now - began)
        if isinstance(problem, Late) and "connect" not in str(problem).lower():
            return Unavailable(
                f"The online store at {self.address} did not answer within {self._patience_s:g} seconds.",
                why="Redis is busy, for example with a large load or somebody's slow command, or the network is down; "
                "nothing was written in part.",
                fix="Try again in a moment; `redis-cli SLOWLOG GET` says what took long.",
            )
        return Unavailable(
            f"The online store at {self.address} cannot be reached: {str(problem).rstrip('.')}.",
            why="Redis is stopped or loading, or the network is down; nothing was written in part.",
            fix="Start it, for example: redis-server --port 6379 --appendonly yes",
        )

    def _unfit(self, problem: Exception) -> InvalidSetting:
        is_readable = not self.address.endswith(_UNREADABLE)
        return InvalidSetting(
            f"The URL of the online store, {self.address}, does not name a Redis, or has an option that does not fit.",
            why=f"redis-py says: {str(problem).rstrip('.')}." if is_readable else "Its host or port cannot be read.",
            fix="Correct the setting `online` in slipway.toml, or the URL where it is kept. For example "
            "redis://127.0.0.1:6379/0; rediss:// for TLS, unix:// for a socket.",
        )

    def _refused(self, problem: Exception) -> BackendError:
        said = f"{type(problem).__name__} {problem}"  # redis-py takes some of Redis's code words out of the text
        kind, why, fix = next(((kind, why, fix) for word, kind, why, fix in _REFUSALS if word in said), _OTHERWISE)
        return kind(f"The online store at {self.address} answered: {str(problem).rstrip('.')}.", why=why, fix=fix)


_UNFIT = (ValueError, TypeError, AttributeError, LookupError, RedisError)
"""What redis-py raises of a URL's options, some of them when the first connection is made."""
_FULL = (BackendError, "Its memory is full.", "Give it more memory (maxmemory), or materialise less.")
_OTHERWISE = (BackendError, "It refused the command.", "Look into Redis's own log for the reason.")
_REFUSALS: tuple[tuple[str, type[BackendError], str, str], ...] = (
    ("OOM", *_FULL),
    ("used memory", *_FULL),
    (
        "BUSY ",
        Unavailable,
        "It writes a large load, or runs somebody's long script, and takes nothing else meanwhile; nothing was written "
        "in part.",
        "Try again in a moment.",
    ),
    (
        "MISCONF",
        BackendError,
        "It cannot write to its disk, and takes no changes until it can.",
        "Free space there, or look into Redis's own log.",
    ),
    (
        "read only replica",
        BackendError,
        "It is a replica, which takes no changes.",
        "Name the primary's address in `online`.",
    ),
    (
        "permissions",
        BackendError,
        "The user may not run this command, or not on these keys.",
        "Give the user read and write commands, scripts included, on the keys of its namespace: ACL SETUSER.",
    ),
    (
        "AuthenticationError",
        BackendError,
        "It takes nobody without the right user and password.",
        "Check the user and the password in the URL, and where it is kept.",
    ),
)
