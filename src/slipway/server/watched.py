"""Every request gets an id, is counted, and is told of in the log: by its route as declared, who asked, status and time."""

import re
import time
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway.hosts.figures import Figures
from slipway.hosts.server_log import ServerLog
from slipway.ids import new_id
from slipway.server.asking import IDENTITY

__all__ = ["HEADER", "NO_ROUTE", "Routed", "Watched", "request_id", "route_of"]

HEADER = "x-request-id"
NO_ROUTE = "(none)"
"""Instead of a route: there is none, or the request was refused before it was looked for."""

_NOTE = "slipway.note"
_GIVEN = re.compile(r"[A-Za-z0-9._-]{8,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_WENT_AWAY = 499


@dataclass(slots=True)
class _Note:
    id: str
    route: str = NO_ROUTE
    actor: str = ""
    status: int = 0
    is_stream: bool = False


class Watched:
    """Stands around everything else; `Routed` inside of it notes what only is known there.

    Args:
        app: What stands behind it.
        figures: Where requests are counted.
        log: Where they are told of.
    """

    def __init__(self, app: ASGIApp, figures: Figures, log: ServerLog) -> None:
        self._app = app
        self._figures = figures
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        note = scope[_NOTE] = _Note(given if _GIVEN.fullmatch(given) else new_id())
        began = time.perf_counter()

        async def watching(message: Message) -> None:
            if message["type"] == "http.response.start":
                note.status = message["status"]
                headers = message.setdefault("headers", [])
                headers.append((HEADER.encode(), note.id.encode()))
                note.is_stream = any(name == b"content-type" and b"event-stream" in value for name, value in headers)
                if note.is_stream:
                    self._figures.count("slipway_http_streams_open")
            await send(message)

        try:
            await self._app(scope, receive, watching)
        except Exception:
            note.status = note.status or 500
            raise
        finally:
            self._ended(note, scope["method"], time.perf_counter() - began)

    def _ended(self, note: _Note, method: str, seconds: float) -> None:
        status = note.status or _WENT_AWAY
        method = method if method in _METHODS else "other"
        self._figures.count("slipway_http_requests_total", route=note.route, method=method, status=str(status))
        if note.is_stream:
            self._figures.count("slipway_http_streams_open", -1)
        else:
            self._figures.observe("slipway_http_request_seconds", seconds, route=note.route)
        ms = round(seconds * 1000, 1)
        self._log.request(request=note.id, actor=note.actor, method=method, route=note.route, status=status, ms=ms)


class Routed:
    """Notes which route answered, and to whom; the last thing before the routes.

    Args:
        app: What stands behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._app(scope, receive, send)
        finally:
            note = scope.get(_NOTE)
            if note is not None:
                note.route = route_of(scope)
                identity = scope.get(IDENTITY)
                note.actor = "" if identity is None else identity.name


def route_of(scope: Any) -> str:
    """The route of a request as it is declared; all static files are one."""
    path = str(getattr(scope.get("route"), "path", "")) or NO_ROUTE
    return "/static" if path.startswith("/static/") else path


def request_id(scope: Any) -> str:
    """The id of a request, "" outside of a server."""
    note = scope.get(_NOTE)
    return "" if note is None else note.id
