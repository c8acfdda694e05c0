"""Clients that each send the next request as soon as they have an answer, on connections that stay open.

They are as light as they can be in Python, and count nothing but time, so that on a machine of few cores they take little
from the server that they ask: about 20 us a request.
"""

import asyncio
import contextlib
import gc
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from slipway.serving.footprint import cpu_seconds, family

__all__ = ["Load", "cpu_ns", "request", "send"]

_LONGEST_S = 60.0


@dataclass
class Load:
    """What came of some clients' requests.

    Args:
        took_s: Of each answered request, in seconds.
        lasted_s: From the first request to the last answer.
    """

    took_s: list[float] = field(default_factory=list)
    lasted_s: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.took_s) / self.lasted_s

    @property
    def p50_ms(self) -> float:
        """The median latency."""
        return statistics.median(self.took_s) * 1000

    @property
    def p99_ms(self) -> float:
        """The latency that one request of a hundred exceeds."""
        return sorted(self.took_s)[int(0.99 * (len(self.took_s) - 1))] * 1000


def request(path: str, body: bytes) -> bytes:
    """A POST as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def send(
    port: int, requests: Sequence[bytes], clients: int, *, seconds: float | None = None, times: int | None = None
) -> Load:
    """Send requests by some clients at once.

    Args:
        port: On this machine.
        requests: Whole requests, taken in turn.
        clients: How many send at once, each on its own connection.
        seconds: After this time no client sends another.
        times: Or after this many requests in all.

    Raises:
        RuntimeError: An answer is none with status 200, or a connection ended.
    """
    load = Load()

    async def all_clients() -> None:
        loop, done = asyncio.get_running_loop(), []
        started = time.perf_counter()
        until = started + seconds if seconds is not None else None
        for number in range(clients):
            each = None if times is None else times // clients
            done.append(loop.create_future())
            await loop.create_connection(
                lambda done=done[-1], turn=number, each=each: _Client(load, requests, turn, until, each, done),
                "127.0.0.1",
                port,
            )
        async with asyncio.timeout(_LONGEST_S + (seconds or 0.0)):
            await asyncio.gather(*done)
        load.lasted_s = time.perf_counter() - started

    gc.collect()
    gc.disable()  # a client that collects is no slow server
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(all_clients())
    finally:
        gc.enable()
    return load


class _Client(asyncio.Protocol):
    def __init__(
        self,
        load: Load,
        requests: Sequence[bytes],
        turn: int,
        until: float | None,
        times: int | None,
        done: "asyncio.Future[None]",
    ) -> None:
        self._load, self._requests, self._turn = load, requests, turn
        self._until, self._left, self._done = until, times, done
        self._got, self._length = b"", 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._got = self._got + data if self._got else data
        if not self._length and not self._read_head():
            return
        if len(self._got) < self._length:
            return
        now = time.perf_counter()
        self._load.took_s.append(now - self._sent)
        self._got, self._length = b"", 0
        if self._left is not None:
            self._left -= 1
        if (self._until is not None and now >= self._until) or self._left == 0:
            self._done.set_result(None)
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, problem: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(RuntimeError(f"The connection ended before its answer: {problem}"))

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._requests[self._turn % len(self._requests)])
        self._turn += 1

    def _read_head(self) -> bool:
        end = self._got.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not self._got.startswith(b"HTTP/1.1 200"):
            if not self._done.done():
                self._done.set_exception(RuntimeError(self._got.decode(errors="replace")))
            self._transport.close()
            return False
        said = self._got[:end].lower().partition(b"content-length: ")[2]
        self._length = end + 4 + int(said.partition(b"\r\n")[0])
        return True


def cpu_ns(pid: int) -> int:
    """CPU time of a process and all that descend from it, those of its threads among them that have ended.

    The scheduler tells of living threads to the nanosecond, the kernel of the whole process to some milliseconds; whichever
    is greater knows more.
    """
    tick_ns = 10**9 // os.sysconf("SC_CLK_TCK")
    total = 0
    for one in family(pid):
        living = 0
        for thread in Path(f"/proc/{one}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                living += int(thread.read_text().split()[0])
        total += max(living, round((cpu_seconds([one]) or 0.0) * 1e9) - tick_ns)
    return total
