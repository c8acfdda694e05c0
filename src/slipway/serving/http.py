"""The door: bodies in, JSON out, errors as sentences. Only here errors meet HTTP numbers."""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, Literal

import msgspec

from slipway.errors import (
    BackendError,
    Denied,
    InvalidInput,
    NotFinite,
    NotFound,
    RowRefused,
    SlipwayError,
    StepFailed,
    Unauthenticated,
    Unavailable,
)
from slipway.records.reach import Reach
from slipway.serving.reach import asked

__all__ = [
    "HEADERS",
    "JSON",
    "REQUEST_ID",
    "ROWS_NAMED",
    "App",
    "ClientGone",
    "Headers",
    "Message",
    "MethodNotAllowed",
    "Receive",
    "Scope",
    "Send",
    "TooLarge",
    "TooMany",
    "TooSlow",
    "UnknownFormat",
    "check_caller",
    "for_callers",
    "is_request_name",
    "lost_by",
    "read_body",
    "send",
    "send_error",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Mapping[bytes, bytes]

REQUEST_ID: ContextVar[bytes] = ContextVar("REQUEST_ID", default=b"")
"""What names the request that is answered, in its answer and in the log: the caller's own word for it, or one made here."""

HEADERS = "slipway.headers"
"""Under this key of a request's scope stand its headers by name."""

ROWS_NAMED = "slipway.rows_named"
"""Under this key stands, behind a front, what the request's rows are called: the first one's id, and whether a worker ended
on the same request before."""

JSON = (b"content-type", b"application/json")
"""The header of an answer in JSON."""

is_request_name = re.compile(rb"[!-~]{1,128}").fullmatch
"""Whether a caller's own word for its request, from `X-Request-Id`, can be one."""

_encode = msgspec.json.Encoder().encode
_logger = logging.getLogger("slipway.serving")
_LOOPBACK = rb"(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d*)?"
_LOOPBACK_HOST = re.compile(_LOOPBACK, re.IGNORECASE).fullmatch
_LOOPBACK_ORIGIN = re.compile(b"https?://" + _LOOPBACK, re.IGNORECASE).fullmatch


class ClientGone(Exception):
    """The client closed its connection before its request was whole; nobody is left to answer."""


class TooLarge(InvalidInput):
    """A request's body is larger than the endpoint takes.

    When: a request to an endpoint has more bytes than it takes.

    To do: send fewer rows at once, or score a table by a batch endpoint.
    """


class TooMany(SlipwayError):
    """A caller sends more requests than it may.

    When: the endpoint declares `per_caller`, and this caller is over it.

    To do: wait as many seconds as the header `Retry-After` says. Rows sent together in one request count as one
        request.

    Args:
        what: The sentence for the caller.
        why: Which limit there is.
        fix: What to do.
        after_s: After how many seconds one more is taken.
    """

    def __init__(self, what: str, *, why: str, fix: str, after_s: int) -> None:
        super().__init__(what, why=why, fix=fix)
        self.after_s = after_s


class TooSlow(StepFailed):
    """A model did not answer a request within the time that it had.

    When: the model took longer than the request may take, and there is no fallback.

    To do: try again once. If it lasts: `slipway endpoints show NAME` tells the times; more workers, a compiled model
        or a `sw.Fallback` help.
    """

    def __init__(self, what: str, *, fix: str = "") -> None:
        super().__init__(what, step="predict", fix=fix)


class UnknownFormat(InvalidInput):
    """A request's body is in a format that this endpoint does not read.

    When: the header `Content-Type` names what the endpoint does not read.

    To do: send JSON, or Arrow where `slipway[arrow]` is installed: docs/endpoints.md.
    """


class MethodNotAllowed(SlipwayError):
    """The path exists, but not for this method.

    When: a path of an endpoint was asked with another method than it has.

    To do: use the one of the header `Allow`.

    Args:
        method: What was tried.
        path: Where.
        allowed: What the path answers to.
    """

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{path} does not answer to {method}.", fix=f"Use {allowed}.")
        self.allowed = allowed


def check_caller(scope: Scope, reach: Reach) -> None:
    """Refuse what a web page of elsewhere sends through a browser, and what comes in another way than it should.

    A page's request carries its `Origin`. A foreign name that was made to resolve to the endpoint's address, under which
    a page counts as our own, stands in `Host`; on the loopback address alone it is only judged where the connection came
    to that address.

    Args:
        scope: ASGI's.
        reach: Where the endpoint answers.

    Raises:
        Denied: `Origin` is no name of this machine's loopback address, `Host` is none of the endpoint's names, or the
            request came neither by TLS nor from the machine itself.
    """
    if not reach.is_local or reach.certificate:
        asked(scope, reach, "This endpoint")
    for name, value in scope["headers"]:
        if name == b"origin" and not _LOOPBACK_ORIGIN(value):
            raise Denied(
                f"This endpoint answers no web page of {_readable(value)}.",
                why="A browser would let any page that is open on this machine ask it.",
                fix="Ask from a program, which sends no Origin header.",
            )
        if name == b"host" and not (reach.names or _LOOPBACK_HOST(value)) and _is_loopback(scope.get("server")):
            raise Denied(
                f"This endpoint does not answer for the host {_readable(value)}.",
                why="It was reached on the loopback address, which a web page may have found under another name.",
                fix="Ask for http://localhost or http://127.0.0.1, with the endpoint's port.",
            )


def _is_loopback(server: tuple[str, int | None] | None) -> bool:
    return server is not None and (server[0] == "::1" or server[0].startswith(("127.", "::ffff:127.")))


def _readable(header: bytes) -> str:
    return repr(header[:200].decode("latin-1"))


async def read_body(headers: Headers, receive: Receive, limit_bytes: int) -> bytes:
    """A request's body, read no further than the limit.

    Raises:
        TooLarge: The announced or received length is over the limit.
        ClientGone: The connection ended first.
    """
    announced = headers.get(b"content-length")
    if announced is not None and int(announced) > limit_bytes:  # httptools let only digits through
        raise _too_large(f"{int(announced):,}", limit_bytes)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit_bytes:
            raise _too_large(f"{len(body):,}", limit_bytes)
        return body
    parts = [body]
    size = len(body)
    while size <= limit_bytes:
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    raise _too_large(f"more than {limit_bytes:,}", limit_bytes)


def _too_large(given: str, limit_bytes: int) -> TooLarge:
    return TooLarge(
        f"The request's body has {given} bytes.",
        why=f"This endpoint takes at most {limit_bytes:,}.",
        fix="Send fewer rows a request.",
    )


async def send(
    send: Send,
    status: int,
    body: bytes,
    *,
    closing: bool = False,
    content_type: tuple[bytes, bytes] = JSON,
    more_headers: tuple[tuple[bytes, bytes], ...] = (),
) -> None:
    """Send a whole answer, under the request's id.

    Args:
        send: ASGI's.
        status: The HTTP status.
        body: The answer's bytes.
        closing: Whether to tell the client that the connection ends with this answer.
        content_type: The header.
        more_headers: What else to say.
    """
    named = (b"x-request-id", REQUEST_ID.get())
    headers = [content_type, (b"content-length", b"%d" % len(body)), named, *more_headers]
    if closing:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_error(
    sender: Send,
    error: SlipwayError,
    *,
    closing: bool = False,
    form: Callable[[SlipwayError, int], Any] | None = None,
) -> int:
    """Send an error; returns its HTTP status.

    Args:
        sender: ASGI's.
        error: What went wrong.
        closing: Whether to tell the client that the connection ends with this answer.
        form: The error and its HTTP status as another protocol writes them; `error_body` otherwise.
    """
    status = status_of(error)
    body = _encode(error_body(error) if form is None else form(error, status))
    more: tuple[tuple[bytes, bytes], ...] = ()
    if isinstance(error, MethodNotAllowed):
        more = ((b"allow", error.allowed.encode()),)
    elif isinstance(error, TooMany):
        more = ((b"retry-after", b"%d" % error.after_s),)
    elif status in (503, 504):
        more = ((b"retry-after", b"1"),)
    elif status == 401:
        more = ((b"www-authenticate", b"Bearer"),)
    # A body that was not read to its end makes the connection useless for another request.
    await send(sender, status, body, closing=closing or status == 413, more_headers=more)
    return status


def for_callers(error: SlipwayError) -> SlipwayError:
    """What a caller is told when a store or the file system failed; the log is told the rest.

    The error itself names places of this machine, which are none of a caller's.
    """
    _logger.error("A request failed: %s [%s]", error, REQUEST_ID.get().decode())
    kind = Unavailable if isinstance(error, Unavailable) else BackendError
    return kind(
        "The endpoint's store could not be read or written.",
        fix="Send the request again later; the endpoint's operator finds the cause in its front.log.",
    )


def error_body(error: SlipwayError) -> Mapping[str, Mapping[str, str]]:
    """An error as plain values: `{"error": {code, what, why, fix, field}}`."""
    return {
        "error": {
            "code": error.code,
            "what": error.what,
            "why": error.why,
            "fix": error.fix,
            "field": getattr(error, "field", ""),
        }
    }


def lost_by(error: SlipwayError) -> Literal["none", "refused", ""]:
    """Why a request got no result though nothing of it is wrong by its contract, "" where the caller erred or is told 500."""
    return "none" if isinstance(error, NotFinite) else "refused" if isinstance(error, RowRefused) else ""


def status_of(error: SlipwayError) -> int:
    """The HTTP status that says the same as an error."""
    if isinstance(error, TooLarge):
        return 413
    if isinstance(error, UnknownFormat):
        return 415
    if isinstance(error, InvalidInput):
        return 422
    if isinstance(error, NotFound):
        return 404
    if isinstance(error, MethodNotAllowed):
        return 405
    if isinstance(error, Denied):
        return 401 if isinstance(error, Unauthenticated) else 403
    if isinstance(error, TooMany):
        return 429
    if isinstance(error, TooSlow):
        return 504
    return 503 if isinstance(error, BackendError) else 500
