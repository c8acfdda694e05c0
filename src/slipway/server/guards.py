"""What stands before every route: who may be asked for by name, from where, and what browsers may do with an answer.

A server without tokens answers on the loopback address only. Any page that a browser has open could still send requests
there: a foreign name that resolves to the loopback address is refused by the Host header, a foreign page's POST by the
Origin header.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway.errors import Denied
from slipway.server import errors

__all__ = ["LOOPBACK", "Guard"]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Checks Host and Origin, and adds the security headers to every answer.

    Args:
        app: What stands behind it.
        hosts: The names under which the server may be asked, without port.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str] = LOOPBACK) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        app = self._app if refusal is None else errors.answer(refusal)
        await app(scope, receive, send_guarded)

    def _refusal(self, method: str, headers: Headers) -> Denied | None:
        host = _host_of(f"//{headers.get('host', '')}")
        if host not in self._hosts:
            return Denied(
                f"This server does not answer for the host {headers.get('host', '')!r}.",
                why="Without tokens it answers only as localhost, so that no web page can reach it under another name.",
                fix="Ask for http://localhost or http://127.0.0.1, with the server's port.",
            )
        origin = headers.get("origin")
        if origin is None or method in _SAFE_METHODS:
            return None
        if origin == f"http://{headers.get('host')}":
            return None
        return Denied(
            f"A request that changes something may not come from a page of {origin!r}.",
            fix="Send it from this server's own pages, or without an Origin header from a program.",
        )


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # an unbalanced bracket
        return ""
