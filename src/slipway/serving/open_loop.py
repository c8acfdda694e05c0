"""Requests over HTTP to an endpoint on this machine: at fixed instants, or as many as it takes.

An open loop sends each request when it is due, whether or not the ones before were answered, and counts its latency from
then: a server that stops for a second is charged for every request of that second.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from slipway.errors import InvalidInput

__all__ = ["Answer", "at_rate", "one_after_another", "saturated"]

_CONNECTIONS = 256
_HEAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request.

    Args:
        status: The HTTP status, 0 where nothing came.
        took_s: Seconds from the instant at which it was due.
        late_s: How much later than that it was sent.
        body: The answer's bytes, or why there are none.
    """

    status: int
    took_s: float
    late_s: float
    body: bytes

    @property
    def is_good(self) -> bool:
        """Whether it was answered with 200."""
        return self.status == 200

    @property
    def words(self) -> str:
        """What came instead of an answer, for a sentence."""
        return f"{self.status or 'no answer'}: {self.body[:300].decode(errors='replace')}"


def at_rate(
    url: str, path: str, bodies: Sequence[bytes], *, rate: float, seconds: float, timeout_s: float = 10.0
) -> list[Answer]:
    """Send requests at a fixed rate for some seconds.

    Args:
        url: Where the endpoint answers: "http://127.0.0.1:41001".
        path: Where the requests go.
        bodies: Their bodies, taken in turn.
        rate: Requests a second, above 0.
        seconds: For how long, above 0.
        timeout_s: How long each may take.

    Raises:
        InvalidInput: The rate, the time or the bodies are none.
    """
    for value, what in ((rate, "rate"), (seconds, "seconds")):
        if not (math.isfinite(value) and value > 0):
            raise InvalidInput(
                f"{value:g} is no {what} at which an endpoint could be asked.",
                fix=f"Give a {what} above 0: --{what} {200 if what == 'rate' else 5}",
                field=what,
            )
    if not bodies:
        raise InvalidInput("There is no request to send.", fix="Give at least one row.", field="rows")
    return asyncio.run(_at_rate(url, path, bodies, max(1, round(rate * seconds)), rate, timeout_s))


def saturated(
    url: str, path: str, bodies: Sequence[bytes], *, connections: int, seconds: float, timeout_s: float = 10.0
) -> float:
    """How many requests a second are answered when each connection sends the next as soon as it has its answer."""
    return asyncio.run(_saturated(url, path, bodies, connections, seconds, timeout_s))


def one_after_another(url: str, path: str, bodies: Sequence[bytes], *, timeout_s: float = 60.0) -> list[Answer]:
    """Send requests one after another on one connection; none is sent after one that was not answered in time."""

    async def ask() -> list[Answer]:
        pool, answers = _Pool(url, path), list[Answer]()
        try:
            for body in bodies:
                answers.append(await _asked(pool, body, time.perf_counter(), timeout_s))
                if not answers[-1].status and answers[-1].took_s >= timeout_s:
                    break
            return answers
        finally:
            await pool.close()

    return asyncio.run(ask())


async def _at_rate(
    url: str, path: str, bodies: Sequence[bytes], count: int, rate: float, timeout_s: float
) -> list[Answer]:
    pool, began = _Pool(url, path), time.perf_counter() + 0.05
    try:
        under_way: list[Awaitable[Answer]] = []
        for turn in range(count):
            due = began + turn / rate
            if (left := due - time.perf_counter()) > 0:
                await asyncio.sleep(left)
            under_way.append(asyncio.create_task(_asked(pool, bodies[turn % len(bodies)], due, timeout_s)))
        return list(await asyncio.gather(*under_way))
    finally:
        await pool.close()


async def _saturated(
    url: str, path: str, bodies: Sequence[bytes], connections: int, seconds: float, timeout_s: float
) -> float:
    pool, began = _Pool(url, path), time.perf_counter()
    until = began + seconds

    async def send(first: int) -> int:
        good, turn = 0, first
        while time.perf_counter() < until:
            answer = await _asked(pool, bodies[turn % len(bodies)], time.perf_counter(), timeout_s)
            if answer.status == 0:  # nobody listens any more, or it hangs
                break
            good, turn = good + answer.is_good, turn + connections
        return good

    try:
        answered = await asyncio.gather(*(send(first) for first in range(connections)))
    finally:
        await pool.close()
    return sum(answered) / (time.perf_counter() - began)


async def _asked(pool: _Pool, body: bytes, due: float, timeout_s: float) -> Answer:
    sent = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_s):
            status, said = await pool.send(body)
    except TimeoutError:
        status, said = 0, f"nothing came within {timeout_s:g} s".encode()
    except (OSError, EOFError, ValueError) as problem:
        status, said = 0, str(problem).encode() or type(problem).__name__.encode()
    return Answer(status, time.perf_counter() - due, sent - due, said)


class _Pool:
    """Connections to one place that stay open; one that failed is not used again."""

    def __init__(self, url: str, path: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nContent-Length: "
        ).encode()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._opened: list[asyncio.StreamWriter] = []
        self._room = asyncio.Semaphore(_CONNECTIONS)

    async def send(self, body: bytes) -> tuple[int, bytes]:
        """Send a request; gives the status and the body of its answer."""
        async with self._room:
            reader, writer = self._idle.pop() if self._idle else await self._connect()
            try:
                writer.write(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))
                await writer.drain()
                status, said, stays = await _read_answer(reader)
            except BaseException:
                writer.close()
                raise
            if stays:
                self._idle.append((reader, writer))
            else:
                writer.close()
            return status, said

    async def close(self) -> None:
        """Close all connections."""
        for writer in self._opened:
            writer.close()
        for writer in self._opened:
            with contextlib.suppress(OSError):  # the other side was quicker
                await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=_HEAD_BYTES)
        self._opened.append(writer)
        return reader, writer


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """Status, body, and whether the connection stays open; endpoints always say how long a body is."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    named = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(named.get("content-length", "0")))
    return int(first.split()[1]), body, named.get("connection", "").lower() != "close"
