"""Clients' connections, beyond what uvicorn does with them: patience that ends, half-closed sockets, and a bound.

Nothing here is called for a request: once a second it is looked at how far each connection has come.
"""

import resource
import time
from asyncio import Transport
from collections.abc import Collection
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slipway.errors import InvalidInput, SlipwayError, Unavailable
from slipway.serving.http import error_body

__all__ = ["SLOW_S", "Connection", "look_at", "most_connections"]

SLOW_S = 30.0
"""How long a client may take over the head of a request, and as long again over its body."""
_KEPT_FILES = 128
_MOST = 10_000
_encode = msgspec.json.Encoder().encode


class Connection(HttpToolsProtocol):
    """One client's connection.

    Attributes:
        phase: What it waits for, as it was when it was looked at last, and since when.
        is_half_closed: Whether the client has said that nothing more comes.
    """

    phase: tuple[str, int, float] = ("", 0, 0.0)
    is_half_closed = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take a client in, or tell it that there are too many."""
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self.refuse(
                503,
                Unavailable(
                    "The endpoint has as many connections as it may hold.",
                    fix="Connect again in a moment; a client needs one connection for many requests.",
                ),
                b"retry-after: 1\r\n",
            )

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Keep a connection whose request is whole until it is answered: its client only said that no other comes."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body or self.scheme == "https":
            return None
        self.is_half_closed = True
        return True

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with bytes that are no HTTP, as every other error is told."""
        self.refuse(
            400,
            InvalidInput("The request is not HTTP.", why=msg, fix="Let a library for HTTP write requests."),
        )

    def refuse(self, status: int, error: SlipwayError, more: bytes = b"") -> None:
        """Write an answer without the app, and close."""
        body = _encode(error_body(error))
        head = b"HTTP/1.1 %d \r\ncontent-type: application/json\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n"
        self.transport.write(head % (status, len(body), more) + body)
        self.transport.close()


def most_connections() -> int:
    """How many connections a worker may hold: what the system lets it open, less what it needs itself."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(min(soft - _KEPT_FILES, _MOST), 1) if soft > 0 else _MOST


def look_at(connections: Collection[Any], slow_s: float = SLOW_S) -> None:
    """Close connections whose clients let others wait: too slow with a request, or half closed and answered.

    Args:
        connections: A server's.
        slow_s: How long the head of a request may take, and as long again its body.
    """
    now = time.monotonic()
    for one in list(connections):
        if not isinstance(one, Connection) or one.transport.is_closing():
            continue
        phase, place = _phase(one), id(one.cycle)
        if phase != one.phase[0] or place != one.phase[1]:
            one.phase = (phase, place, now)
        elif phase == "answered" and one.is_half_closed and not one.pipeline:
            one.transport.close()
        elif phase in ("head", "body") and now - one.phase[2] > slow_s:
            what = f"The {phase} of the request was not whole after {slow_s:g} seconds."
            one.refuse(408, InvalidInput(what, fix="Send it at once."))


def _phase(one: Connection) -> str:
    cycle = one.cycle
    if cycle is not None and not cycle.response_complete:
        is_asked = cycle.more_body and not cycle.response_started
        return "body" if is_asked else "busy"
    is_idle = one.timeout_keep_alive_task is not None
    return "answered" if is_idle or one.is_half_closed else "head"
