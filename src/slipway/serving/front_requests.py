"""Requests as the front reads them: whole, within limits, and written anew for a worker.

What a worker gets is framed by the front alone: one head, one Content-Length, one body. So there is nothing that the two
could read differently. Sources: RFC 9112 sections 6 (framing) and 9 (connections), RFC 9110 sections 7.6.1 and 10.1.1.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import httptools

from slipway.errors import InvalidInput, SlipwayError, Unavailable
from slipway.ids import room_for_ids
from slipway.serving.http import TooLarge

__all__ = ["FROM", "HEAD_BYTES", "NAMED", "Reader", "Request", "Unreadable", "again"]

FROM = b"x-slipway-from"
"""The header in which the front tells a worker how a request came; nobody else's is believed."""

NAMED = b"x-slipway-named"
"""The header behind it, in which the front says what the rows of a request are called: the first one's id, and "1", or "2"
where it has given the request to another worker before, that ended on it."""

HEAD_BYTES = 64 << 10
_HEADERS = 200
_DROPPED = frozenset(
    (
        b"connection",
        b"content-length",
        b"expect",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        FROM,
        NAMED,
    )
)
_FIRST, _SECOND = (b"%b: %b " % (NAMED, n) for n in (b"1", b"2"))
_is_target = re.compile(rb"[!-~]+").fullmatch
_is_name = re.compile(rb"[!-~]{1,128}").fullmatch


class Unreadable(InvalidInput):
    """What came is no HTTP request that the front reads.

    When: an endpoint's front was sent bytes that are no HTTP/1.1 request, or headers without end.

    To do: send HTTP/1.1; a proxy before the front must speak it too.

    Args:
        status: The HTTP status that says so.
        what: The sentence.
        fix: What to do.
    """

    def __init__(self, status: int, what: str, fix: str = "Send HTTP/1.1.") -> None:
        super().__init__(what, fix=fix)
        self.status = status


class Request(NamedTuple):
    """A whole request.

    Args:
        method: "POST".
        target: Path and query.
        headers: Those for the worker, as lines.
        body: Its bytes.
        keeps: Whether its sender keeps the connection.
        id: What names it, b"" where its sender said nothing.
        is_head: Whether only the head of an answer is wanted.
        problem: Why it is not given to a worker, None for nothing.
    """

    method: bytes
    target: bytes
    headers: bytes
    body: bytes
    keeps: bool
    id: bytes
    is_head: bool
    problem: SlipwayError | None

    def encoded(self, target: bytes, origin: bytes) -> bytes:
        """The request as a worker reads it.

        Args:
            target: Path and query there.
            origin: How it came, for `FROM`.
        """
        return b"%b %b HTTP/1.1\r\n%b: %b\r\n%b%b\r\n%bcontent-length: %d\r\n\r\n%b" % (
            self.method,
            target,
            FROM,
            origin,
            _FIRST,
            room_for_ids().encode(),
            self.headers,
            len(self.body),
            self.body,
        )


def again(request: bytes) -> bytes:
    """An encoded request as it is given to a second worker: rows of the same ids, marked."""
    return request.replace(_FIRST, _SECOND, 1)


class Reader:
    """Reads one connection's requests; fed with what comes, it keeps those that are whole.

    Args:
        max_bytes: How large a body may be, asked for each request's target.
        held: Counts the bytes of bodies that all connections hold; says whether there is room for these.

    Attributes:
        whole: The requests that are whole, the oldest first.
        begun: Whether part of a request is here.
        continues: Whether a client waits for leave to send its body.
        is_done: Whether nothing more can be read from the connection.
    """

    __slots__ = (
        "_body",
        "_drop",
        "_has_body",
        "_head",
        "_headers",
        "_held",
        "_id",
        "_lines",
        "_max_bytes",
        "_parser",
        "_problem",
        "_raw",
        "_size",
        "_target",
        "begun",
        "continues",
        "is_done",
        "whole",
    )

    def __init__(self, max_bytes: Callable[[bytes], int], held: Callable[[int], bool]) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._max_bytes = max_bytes
        self._held = held
        self.whole: list[Request] = []
        self.is_done = False
        self._size = self._raw = 0
        self._begin()

    def feed(self, data: bytes) -> None:
        """Take what came."""
        if self.is_done:
            return
        before = len(self.whole)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end(None)  # the request itself is whole and is answered; what follows it is not read
        except httptools.HttpParserError as problem:
            self._end(self._problem or Unreadable(400, f"This is no HTTP/1.1 request: {problem}."))
        else:
            # What of a head is not whole yet is held by the parser, and counted here; not what came with the end of a body.
            self._raw = 0 if self._headers or len(self.whole) > before else self._raw + len(data)
            if self._raw > 2 * HEAD_BYTES:
                self._end(_too_long())

    def free(self, size: int) -> None:
        """A body of this size is held no longer."""
        self._held(-size)

    def drop(self) -> None:
        """Nothing of what is here is wanted any more."""
        self._held(-self._size - sum(len(request.body) for request in self.whole))
        self._size = 0
        self.whole.clear()
        self.is_done = True

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self.begun = True

    def _begin(self) -> None:
        self._target = b""
        self._lines: list[bytes] = []
        self._drop: set[bytes] = set()
        self._body: list[bytes] = []
        self._size = 0
        self._head = 0
        self._headers = False
        self._id = b""
        self._problem: SlipwayError | None = None
        self._has_body = False
        self.continues = False
        self.begun = False

    def on_url(self, url: bytes) -> None:
        """Called by the parser."""
        self._target += url
        if len(self._target) > HEAD_BYTES:
            self._stop(_too_long())

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        if self._headers:
            return  # a trailer: it says nothing that was not said before the body
        self._head += len(name) + len(value)
        if self._head > HEAD_BYTES or len(self._lines) >= _HEADERS:
            self._stop(_too_long())
        name = name.lower()
        if name in _DROPPED:
            self._read(name, value)
            return
        if name == b"x-request-id" and _is_name(value):
            self._id = value
        self._lines.append(b"%b: %b\r\n" % (name, value))

    def _read(self, name: bytes, value: bytes) -> None:
        if name == b"expect":
            if value.lower() != b"100-continue":
                self._stop(Unreadable(417, "Nothing else is expected here than 100-continue."))
            self.continues = True
        elif name == b"transfer-encoding" and value.strip().lower() != b"chunked":
            self._stop(Unreadable(501, "A body comes chunked, or with its length.", "Send no other Transfer-Encoding."))
        elif name == b"transfer-encoding":
            self._has_body = True
        elif name == b"content-length":
            self._has_body = int(value) > 0
            limit = self._max_bytes(self._target)
            if int(value) > limit:
                self._stop(_too_large(f"{int(value):,}", limit))
        elif name == b"connection":
            self._drop.update(token.strip().lower() for token in value.split(b","))

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._headers = True
        self._head = 0
        if not _is_target(self._target):
            self._stop(Unreadable(400, "The request's target has characters that none may have."))

    def on_body(self, data: bytes) -> None:
        """Called by the parser."""
        self.continues = False
        self._size += len(data)
        has_room = self._held(len(data))
        limit = self._max_bytes(self._target)
        if self._size > limit:
            self._stop(_too_large(f"more than {limit:,}", limit))
        if not has_room:
            self._stop(Unavailable("Too much is under way to take another body.", fix="Send it again in a moment."))
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        method, problem = self._parser.get_method(), None
        leaves = self._parser.should_upgrade()
        if leaves and method == b"CONNECT":
            problem = Unreadable(501, "This endpoint is no proxy.")
        elif leaves and self._has_body:  # the parser takes the body for the other protocol
            problem = Unreadable(400, "A request with a body cannot ask for another protocol.", "Send no Upgrade.")
        lines = self._lines
        if self._drop - {b"close", b"keep-alive"}:
            lines = [line for line in lines if line.partition(b":")[0] not in self._drop]
        is_head = method == b"HEAD"
        self.whole.append(
            Request(
                method=b"GET" if is_head else method,
                target=_path_of(self._target),
                headers=b"".join(lines),
                body=b"".join(self._body),
                keeps=not leaves and self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1",
                id=self._id,
                is_head=is_head,
                problem=problem,
            )
        )
        self._begin()

    def _stop(self, problem: SlipwayError) -> None:
        self._problem = problem
        raise _Stop

    def _end(self, problem: SlipwayError | None) -> None:
        """Nothing more is read; what is wrong is told after the answers to what came before it."""
        self._held(-self._size)
        self._size = 0
        if problem is not None:
            self.whole.append(Request(b"", b"", b"", b"", False, self._id, False, problem))
        self._body, self.is_done, self.begun = [], True, False
        self.continues = False


class _Stop(Exception):
    """Ends the parser's work; why is kept beside."""


def _path_of(target: bytes) -> bytes:
    """Path and query of a target, which may be a whole address."""
    if target.startswith(b"/") or target == b"*":
        return target
    try:
        parts = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return b"/"
    return (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")


def _too_long() -> Unreadable:
    return Unreadable(
        431, f"The request's head is longer than {HEAD_BYTES:,} bytes, or has too many headers.", "Shorten it."
    )


def _too_large(given: str, limit: int) -> TooLarge:
    return TooLarge(
        f"The request's body has {given} bytes.",
        why=f"This endpoint takes at most {limit:,}.",
        fix="Send fewer rows a request.",
    )
