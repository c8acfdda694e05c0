"""Who asks: a bearer token, a token as the password of basic authentication, or a browser's session.

Until the store knows somebody, whoever reaches the server may do everything, and it answers on the loopback address only.
From then on nothing but a few routes answers to somebody who is not known: this stands before all routes, so that none
can be forgotten. Sources: RFC 6750 (bearer tokens), RFC 7617 (basic authentication, for clients of MLflow), RFC 6265
(cookies).
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from slipway.errors import BackendError, SlipwayError, Unauthenticated
from slipway.flows.business_links import SHARED
from slipway.governance import tokens
from slipway.governance.people import somebody_is_known
from slipway.hashing import digest
from slipway.operations.people import RevokeToken
from slipway.ports.workspace import Workspace
from slipway.records.log_in import OidcSettings
from slipway.records.people import Identity
from slipway.server import errors, oidc
from slipway.server.asking import IDENTITY, asking
from slipway.server.formats import below
from slipway.server.forms import inside, read_form
from slipway.server.mlflow import wire
from slipway.server.mlflow.routes import is_mlflow

__all__ = ["COOKIE", "Identified", "routes"]

COOKIE = "slipway_session"
LOG_IN = "/login"
_OPEN = frozenset({"/health", LOG_IN, oidc.BEGIN, oidc.BACK})
_OPEN_BELOW = ("/static/", "/api/v1/hooks/", SHARED)  # a hook and a link are known by their own secrets
_LARGEST_FORM = 4096
_LOOK_EVERY_S = 1.0
"""How often a store that knows nobody is asked whether it still does: each request of a team of one would pay for it."""
_FIGURES = "/metrics"
_REMEMBERED_S = 3600.0
_MOST_REMEMBERED = 100


class Identified:
    """Finds out who asks, and refuses whom nobody knows.

    Args:
        app: What stands behind it.
        workspace: The server's.
    """

    def __init__(self, app: ASGIApp, workspace: Workspace) -> None:
        self._app = app
        self._workspace = workspace
        self._has_people = False
        self._looked_at: float | None = None
        self._collectors: dict[str, tuple[Identity, float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._is_for_all(scope["path"]):
            await self._app(scope, receive, send)
            return
        find = self._collector if scope["path"] == _FIGURES else self._identity
        try:
            scope[IDENTITY] = await run_in_threadpool(find, Headers(scope=scope))
        except SlipwayError as problem:
            await _refused(scope, problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_for_all(self, path: str) -> bool:
        """Whether nobody is asked who they are: of an open path, or where nobody was known a moment ago."""
        if path in _OPEN or path.startswith(_OPEN_BELOW):
            return True
        looked_at = self._looked_at
        return not self._has_people and looked_at is not None and monotonic() - looked_at < _LOOK_EVERY_S

    def _collector(self, headers: Headers) -> Identity | None:
        """Who collects figures. While the ledger is away, which figures are to tell, it is who it was a while ago.

        A token is remembered, by its digest, for an hour after the ledger said whose it is, and not after its end; where
        nobody was known at the last look, nobody is asked for one.
        """
        shown = _shown(headers)
        key = digest((shown or "").encode())
        try:
            found = self._identity(headers)
        except BackendError:
            if not self._has_people and self._looked_at is not None:
                return None
            known, proven_at = self._collectors.get(key, (None, 0.0))
            if known is None or monotonic() - proven_at >= _REMEMBERED_S:
                raise
            if known.expires_at is not None and known.expires_at <= self._workspace.clock.now():
                raise
            return known
        except Unauthenticated:
            self._collectors.pop(key, None)
            raise
        if found is not None:
            self._collectors.pop(key, None)  # the one that was proven longest ago comes first
            self._collectors[key] = found, monotonic()
            for oldest in list(self._collectors)[:-_MOST_REMEMBERED]:
                self._collectors.pop(oldest, None)
        return found

    def _identity(self, headers: Headers) -> Identity | None:
        if not self._has_people:
            began = monotonic()
            with self._workspace.ledger.read() as tx:
                self._has_people = somebody_is_known(tx)  # there is always an admin left, so never back
            self._looked_at = began  # a ledger that is away says nothing
        if not self._has_people:
            return None
        shown = _shown(headers)
        if shown is None:
            raise Unauthenticated(
                "This server does not know who asks.",
                why="It knows people, and answers only to them.",
                fix="Send the header 'Authorization: Bearer TOKEN' (the command line: SLIPWAY_TOKEN, clients of MLflow: "
                "MLFLOW_TRACKING_TOKEN), or log in at /login. An admin makes tokens: slipway tokens add.",
            )
        return tokens.identified(self._workspace.ledger, shown, self._workspace.clock.now())


def routes(
    workspace: Workspace, page: Callable[[dict[str, Any], int], Response], provider: OidcSettings | None = None
) -> list[Route]:
    """The routes of logging in and out.

    Args:
        workspace: The server's.
        page: Makes the log-in page of a context and a status.
        provider: By which people log in besides tokens, None for none.
    """

    def show(context: dict[str, Any], status: int) -> Response:
        return page({**context, "provider": provider and provider.issuer}, status)

    async def form(request: Request) -> Response:
        return show({"next": inside(request.query_params.get("next", "")), "refused": None}, 200)

    async def enter(request: Request) -> Response:
        given = await read_form(request, _LARGEST_FORM)
        after = inside(given.get("next", ""))

        def work() -> tuple[str, int]:
            now = workspace.clock.now()
            identity = tokens.identified(workspace.ledger, given.get("token", ""), now)
            session, text = tokens.log_in(replace(workspace, actor=identity.actor_in("")), identity)
            return text, int((session.expires_at - now).total_seconds())

        try:
            text, seconds = await run_in_threadpool(work)
        except Unauthenticated as problem:
            return show({"next": after, "refused": problem}, 401)
        return _signed_in(request, text, seconds, after)

    async def leave(request: Request) -> Response:
        def work() -> None:
            asked_by = asking(workspace, request)
            if asked_by.identity is not None and asked_by.identity.token:
                tokens.revoke_token(asked_by, RevokeToken(id=asked_by.identity.token))

        await run_in_threadpool(work)
        response = RedirectResponse(below(LOG_IN), 303)
        response.delete_cookie(COOKIE)
        return response

    return [
        Route(LOG_IN, form, methods=["GET"]),
        Route(LOG_IN, enter, methods=["POST"]),
        Route("/logout", leave, methods=["POST"]),
        *(() if provider is None else oidc.routes(workspace, provider, show, _signed_in, inside)),
    ]


def _signed_in(request: Request, text: str, seconds: int, after: str) -> Response:
    """The answer that begins a browser's session."""
    response = RedirectResponse(after, 303)
    is_https = request.scope["scheme"] == "https"  # then the cookie is sent that way alone
    response.set_cookie(COOKIE, text, max_age=seconds, httponly=True, samesite="lax", secure=is_https)
    return response


def _shown(headers: Headers) -> str | None:
    """The token that a request shows."""
    kind, _, rest = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return rest
    if kind.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return cookie_parser(headers.get("cookie", "")).get(COOKIE)


def _refused(scope: Scope, problem: SlipwayError) -> Response:
    """A refusal in the words of whoever asks: a browser is led to the log-in."""
    path = scope["path"]
    if is_mlflow(path):
        response = wire.error_answer(problem, conflict="RESOURCE_CONFLICT")
    elif path.startswith(("/api/", "/metrics")) or not isinstance(problem, Unauthenticated):
        response = errors.answer(problem)
    else:
        query = scope.get("query_string", b"").decode("latin-1")
        asked = below(quote(path)) + (f"?{query}" if query else "")
        return RedirectResponse(f"{below(LOG_IN)}?{urlencode({'next': asked})}", 303)
    if isinstance(problem, Unauthenticated):
        response.headers["www-authenticate"] = "Bearer"
    return response
