"""What stands before every route: who may be asked for by name, from where, and what browsers may do with an answer.

Any page that a browser has open could send requests to a server that the browser reaches: a foreign name that resolves to
its address is refused by the Host header, a foreign page's POST by the Origin header.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway.errors import Denied
from slipway.records.reach import Reach
from slipway.server import errors
from slipway.server.formats import PREFIX
from slipway.serving.reach import Asked, asked

__all__ = ["Guard"]

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "frame-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_ONLY_HTTPS = "max-age=31536000"  # RFC 6797: a year without plain HTTP to this name


class Guard:
    """Checks Host and Origin, and adds the security headers to every answer.

    What stands behind it sees the request as its sender sent it: by which scheme, for which host; and the path without the
    prefix that a proxy shows the server under, whether the proxy takes that off or leaves it.

    Args:
        app: What stands behind it.
        reach: Where the server answers.
    """

    def __init__(self, app: ASGIApp, reach: Reach) -> None:
        self._app = app
        self._reach = reach

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_https = False

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if is_https:
                    headers.setdefault("strict-transport-security", _ONLY_HTTPS)
            await send(message)

        try:
            found = asked(scope, self._reach)
            is_https = found.is_https
            _check_origin(scope["method"], Headers(scope=scope), found)
        except Denied as refusal:
            await errors.answer(refusal)(scope, receive, send_guarded)
            return
        PREFIX.set(self._reach.prefix)
        await self._app(_without(_as_sent(scope, found), self._reach.prefix), receive, send_guarded)


def _check_origin(method: str, headers: Headers, found: Asked) -> None:
    origin = headers.get("origin")
    if method in _SAFE_METHODS:
        return
    if origin is None and headers.get("sec-fetch-site", "none") in ("none", "same-origin"):  # Fetch Metadata, W3C
        return
    if origin == f"{'https' if found.is_https else 'http'}://{found.host}":
        return
    raise Denied(
        f"A request that changes something may not come from a page of {origin or 'another site'!r}.",
        fix="Send it from this server's own pages, or without an Origin header from a program.",
    )


def _without(scope: Scope, prefix: str) -> Scope:
    path = scope["path"]
    if not prefix or not (path == prefix or path.startswith(f"{prefix}/")):
        return scope
    return {**scope, "path": path[len(prefix) :] or "/", "raw_path": b""}


def _as_sent(scope: Scope, found: Asked) -> Scope:
    if not found.is_https:
        return scope
    others = [(name, value) for name, value in scope["headers"] if name != b"host"]
    return {**scope, "scheme": "https", "headers": [(b"host", found.host.encode("latin-1")), *others]}
