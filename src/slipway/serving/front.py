"""The front: it owns clients' connections, so that workers, versions and environments come and go behind them.

A request is taken in whole, within limits, before a worker is asked: slow senders cost no worker anything, and a request
whose worker ends can be given to another one. Answers are passed on as they are. It judges nothing: contract, tokens and
names are the worker's matter. It loads no model and no numerical library.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from typing import NamedTuple, cast

import msgspec

from slipway.errors import SlipwayError, Unavailable
from slipway.ids import new_id
from slipway.serving.front_links import Backend, Job
from slipway.serving.front_requests import Reader, Request, Unreadable
from slipway.serving.http import error_body, status_of

__all__ = ["Found", "Front"]

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    408: "Request Timeout",
    413: "Content Too Large",
    417: "Expectation Failed",
    422: "Unprocessable Content",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
_CONNECTIONS = 10_000
_HELD_BYTES = 512 << 20
_NOBODYS_BYTES = 4 << 20
_IDLE_S = 75.0
_RECEIVE_S = 60.0
_STALLED_S = 60.0
_LINGER_S = 2.0
_LOOK_S = 0.05
_SWEEP_S = 0.25
_JSON = "application/json"
_encode = msgspec.json.Encoder().encode
_logger = logging.getLogger("slipway.serving")


class Found(NamedTuple):
    """Who answers a request.

    Args:
        backend: The endpoint's workers, None where the front itself answers.
        target: Path and query as the endpoint knows them.
        answer: What the front itself answers.
        counts: Whether the request is use of the endpoint.
    """

    backend: Backend | None = None
    target: bytes = b""
    answer: tuple[int, bytes, str] | SlipwayError | None = None
    counts: bool = True


class Front:
    """Clients' connections on one address.

    Args:
        find: Who answers a path with its query.
        backends: The endpoints behind it, at this moment.
        look: Looks for endpoints that came or went; called some times a second.
        tls: What clients speak TLS with, None for plain HTTP.

    Attributes:
        closing: Whether it is about to stop: answers then end their connections.
    """

    def __init__(
        self,
        find: Callable[[bytes], Found],
        backends: Callable[[], list[Backend]],
        look: Callable[[], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.find = find
        self.closing = False
        self.is_tls = tls is not None
        self._tls = tls
        self._backends = backends
        self._look = look
        self._clients: set[_Client] = set()
        self._held = 0

    async def serve(
        self, listener: object, stop: asyncio.Event, *, ready: Callable[[], None], drain_s: Callable[[], float]
    ) -> None:
        """Answer on a listening socket until told to stop, then until clients have gone, at most so many seconds.

        Args:
            listener: The socket; closed when this returns.
            stop: Set when it is to end.
            ready: Called once connections are accepted.
            drain_s: Says then how long idle clients are waited for; requests that were begun are always finished.
        """
        loop = asyncio.get_running_loop()
        self._look()
        server = await loop.create_server(lambda: _Client(self), sock=listener, ssl=self._tls, backlog=2048)  # type: ignore[call-overload]
        ready()
        beat = loop.create_task(self._beat())
        await stop.wait()
        self.closing = True
        server.close()
        since = time.monotonic()
        while self._clients and (
            time.monotonic() - since < drain_s() or any(client.is_busy for client in self._clients)
        ):
            await asyncio.sleep(0.02)
        for client in list(self._clients):
            client.end()
        beat.cancel()
        for backend in self._backends():
            backend.close()

    def held(self, size: int) -> bool:
        """Count bytes that requests hold; whether these are not too many."""
        self._held += size
        return self._held <= _HELD_BYTES

    def max_bytes(self, target: bytes) -> int:
        """How large the body of a request to a target may be."""
        found = self.find(target)
        if found.backend is None:
            return _NOBODYS_BYTES
        routes = found.backend.routes
        is_bulk = target.partition(b"?")[0].endswith(b"/predict")
        return max(routes.bulk_bytes, routes.max_bytes) if is_bulk else routes.max_bytes

    def come(self, client: "_Client") -> bool:
        """Take a client in; whether there is room."""
        if len(self._clients) >= _CONNECTIONS:
            return False
        self._clients.add(client)
        return True

    def go(self, client: "_Client") -> None:
        """A client has gone."""
        self._clients.discard(client)

    async def _beat(self) -> None:
        swept = 0.0
        while True:
            try:
                self._look()
                for backend in self._backends():
                    backend.look()
                if time.monotonic() - swept > _SWEEP_S:
                    swept = time.monotonic()
                    for backend in self._backends():
                        backend.sweep()
                    for client in list(self._clients):
                        client.sweep(swept)
            except Exception:
                _logger.exception("The front could not look after its workers; it tries again.")
            await asyncio.sleep(_LOOK_S)


class _Client(asyncio.Protocol):
    """One client's connection: its requests are answered one after the other, in their order."""

    __slots__ = (
        "_front",
        "_is_cut",
        "_job",
        "_origin",
        "_reader",
        "_since",
        "_stalled",
        "_transport",
        "_turn",
        "_unsent",
    )

    def __init__(self, front: Front) -> None:
        self._front = front
        self._reader = Reader(front.max_bytes, front.held)
        self._transport: asyncio.Transport | None = None
        self._origin = b""
        self._job: Job | None = None
        self._turn: Request | None = None
        self._since = time.monotonic()
        self._stalled = 0.0
        self._unsent = 0
        self._is_cut = False

    @property
    def is_busy(self) -> bool:
        """Whether a request is here, whole or in part, that is not answered."""
        return self._turn is not None or self._reader.begun or bool(self._reader.whole)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by class
        self._origin = _origin(self._transport, is_tls=self._front.is_tls)
        if not self._front.come(self):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if not reader.begun and self._turn is None:
            self._since = time.monotonic()
        reader.feed(data)
        if reader.continues and self._turn is None and not reader.whole:
            reader.continues = False
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if reader.whole and self._turn is None:
            self._next()
        if self._turn is not None and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        reader = self._reader
        reader.is_done = True
        if self._turn is None and not reader.whole:
            return False  # half a request, or none: nobody is to be answered
        return not self._front.is_tls

    def connection_lost(self, problem: Exception | None) -> None:
        self._front.go(self)
        self._transport = None
        self._reader.drop()
        if self._turn is not None:
            self._reader.free(len(self._turn.body))
        if self._job is not None:
            self._job.is_gone = True
        self._job = self._turn = None

    def pause_writing(self) -> None:
        self._stalled = time.monotonic()
        self._unsent = self._transport.get_write_buffer_size() if self._transport is not None else 0

    def resume_writing(self) -> None:
        self._stalled = 0.0
        if self._turn is None:
            self._next()

    def sweep(self, now: float) -> None:
        """What is done now and then: too long is too long."""
        if self._stalled and self._transport is not None:
            unsent = self._transport.get_write_buffer_size()
            if unsent < self._unsent:
                self._unsent, self._stalled = unsent, now
            elif now - self._stalled > _STALLED_S:
                self.end()
        elif self._turn is not None:
            return
        elif self._reader.begun and now - self._since > _RECEIVE_S:
            late = Unreadable(408, f"The request was not whole within {_RECEIVE_S:g} seconds.", "Send it faster.")
            self._reader.drop()
            self._say(Request(b"", b"", b"", b"", False, b"", False, late), late)
        elif not self._reader.begun and now - self._since > _IDLE_S:
            self.end()

    def end(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close() if not self._stalled else self._transport.abort()

    def _next(self) -> None:
        """Begin with the next request that is whole, if nothing stands against it."""
        reader = self._reader
        while reader.whole and self._turn is None and self._transport is not None and not self._stalled:
            turn = reader.whole.pop(0)
            self._turn = turn
            if turn.problem is not None:
                self._is_cut = True
                self._say(turn, turn.problem)
            else:
                self._ask(turn)
        if self._turn is None and self._transport is not None:
            if reader.is_done and not reader.whole:
                self._hang_up()
            elif not self._stalled:
                self._transport.resume_reading()

    def _ask(self, turn: Request) -> None:
        found = self._front.find(turn.target)
        if found.backend is None:
            self._say(turn, found.answer)
            return
        job = Job(turn.encoded(found.target, self._origin), self._answered, self._failed, counts=found.counts)
        self._job = job
        found.backend.submit(job)

    def _answered(self, answer: bytes, closes: bool) -> None:
        turn = self._turn
        assert turn is not None
        keeps = turn.keeps and not self._front.closing
        if closes or not keeps or turn.is_head:
            answer = _with_connection(answer, keeps=keeps, is_head=turn.is_head)
        self._finish(turn, answer, keeps=keeps)

    def _failed(self, problem: SlipwayError) -> None:
        assert self._turn is not None
        self._say(self._turn, problem)

    def _say(self, turn: Request, said: tuple[int, bytes, str] | SlipwayError | None) -> None:
        """Answer from here."""
        extra = ""
        if isinstance(said, tuple):
            status, body, kind = said
        else:
            problem = said or Unavailable("Nobody can answer.", fix="Send it again in a moment.")
            status = problem.status if isinstance(problem, Unreadable) else status_of(problem)
            body, kind = _encode(error_body(problem)), _JSON
            extra = "retry-after: 1\r\n" if status == 503 else ""
        keeps = turn.keeps and not self._front.closing and status not in (400, 408, 413, 431)
        named = turn.id or new_id().encode()
        head = (
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\ncontent-type: {kind}\r\n"
            f"content-length: {len(body)}\r\n{extra}{'' if keeps else 'connection: close' + chr(13) + chr(10)}x-request-id: "
        )
        self._finish(turn, head.encode() + named + b"\r\n\r\n" + (b"" if turn.is_head else body), keeps=keeps)

    def _finish(self, turn: Request, answer: bytes, *, keeps: bool) -> None:
        self._reader.free(len(turn.body))
        self._turn = self._job = None
        self._since = time.monotonic()
        self._write(answer)
        if not keeps:
            self._reader.drop()
        self._next()

    def _hang_up(self) -> None:
        """Close, and let a client that is still sending read first what it was told."""
        assert self._transport is not None
        if not self._is_cut:
            self._transport.close()
            return
        self._is_cut = False
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()  # what comes is thrown away: unread bytes would make the system reset the connection
        asyncio.get_running_loop().call_later(_LINGER_S, self.end)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def _origin(transport: asyncio.Transport, *, is_tls: bool) -> bytes:
    """How a connection came, for the worker: scheme, client and our own address."""
    client, server = (transport.get_extra_info(name) or ("", 0) for name in ("peername", "sockname"))
    return f"{'https' if is_tls else 'http'} {client[0]} {client[1]} {server[0]} {server[1]}".encode()


def _with_connection(answer: bytes, *, keeps: bool, is_head: bool) -> bytes:
    """An answer that says of the connection what holds for the client's, and not what held for the worker's."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if line[:11].lower() != b"connection:"]
    if not keeps:
        lines.append(b"connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if is_head else body)
