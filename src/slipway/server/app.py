"""The control plane's application: API, OpenAPI, health and pages behind one guard."""

from collections.abc import Callable, Coroutine
from functools import cache
from importlib.metadata import version
from typing import Any, cast

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from slipway.errors import NotFound, SlipwayError
from slipway.hosts.figures import Figures
from slipway.hosts.server_log import ServerLog
from slipway.ports.workspace import Workspace
from slipway.records.log_in import OidcSettings
from slipway.records.reach import Reach
from slipway.server import access, api, errors, hooks, metrics, oidc, openapi, pages
from slipway.server.guards import Guard
from slipway.server.mlflow import openapi as mlflow_openapi
from slipway.server.mlflow import table as mlflow
from slipway.server.watched import Routed, Watched, request_id

__all__ = ["declared_routes", "make_app"]

LOCAL = Reach()
"""The loopback address, where no other machine reaches the server."""


def make_app(
    workspace: Workspace,
    reach: Reach = LOCAL,
    figures: Figures | None = None,
    provider: OidcSettings | None = None,
    log: ServerLog | None = None,
) -> ASGIApp:
    """Make the application of one store.

    Args:
        workspace: The store's, with the server's own actor; each request gets it with its own project.
        reach: Where the server answers, and under which names.
        figures: What the process counts, None for what this application counts alone.
        provider: By which people log in to the pages besides tokens, None for none.
        log: Where requests are told of, None for nowhere.
    """
    figures = Figures() if figures is None else figures
    log = ServerLog("", lambda line: None) if log is None else log

    return Starlette(
        routes=_routes(workspace, figures, provider),
        middleware=[
            Middleware(Watched, figures=figures, log=log),
            Middleware(Guard, reach=reach),
            Middleware(_LastResort),
            Middleware(access.Identified, workspace=workspace),
            Middleware(Routed),
        ],
        exception_handlers={SlipwayError: _say, HTTPException: _say_http},
    )


def declared_routes() -> frozenset[str]:
    """What a request can be called by in logs and figures: every route as it is declared; without any store."""
    nobodys = cast("Workspace", None)  # a route asks for nothing of a store before a request comes
    declared = {one.path for one in _routes(nobodys, Figures(), None) if isinstance(one, Route)}
    named = {path for path in declared if not path.startswith("/static/")}
    return frozenset({*named, "/static", oidc.BEGIN, oidc.BACK})


def _routes(workspace: Workspace, figures: Figures, provider: OidcSettings | None) -> list[BaseRoute]:
    async def health(request: Request) -> Response:
        return Response(b'{"status":"ready"}', media_type="application/json")

    return [
        Route("/health", health),
        Route("/api/v1/openapi.json", _described(lambda: openapi.document(version("slipway")))),
        Route("/api/v1/mlflow-openapi.json", _described(mlflow_openapi.document)),
        *mlflow.routes(workspace),
        *metrics.routes(workspace, figures),
        *api.routes(workspace),
        *hooks.routes(workspace),
        *access.routes(workspace, pages.log_in_page, provider),
        *pages.routes(workspace),
    ]


def _described(make: Callable[[], dict[str, Any]]) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    @cache
    def text() -> bytes:  # when it is first asked for: starting does not wait for it
        return msgspec.json.encode(make())

    async def send(request: Request) -> Response:
        return Response(text(), media_type="application/json")

    return send


class _LastResort:
    """Turns an exception that nobody meant to raise into a sentence; the traceback goes to the log only."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def watched(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as problem:
            if has_started or scope["type"] != "http":
                raise
            request = Request(scope)
            await _answer(request, errors.unexpected(request, problem))(scope, receive, send)


async def _say(request: Request, problem: Exception) -> Response:
    if not isinstance(problem, SlipwayError):
        raise problem
    return _answer(request, problem)


async def _say_http(request: Request, problem: Exception) -> Response:
    if not isinstance(problem, HTTPException) or problem.status_code not in (404, 405):
        raise problem
    path = request.url.path
    if problem.status_code == 405:
        allowed = (problem.headers or {}).get("Allow", "another method")
        refused = errors.MethodNotAllowed(f"{path} does not answer to {request.method}.", fix=f"Use {allowed}.")
        response = _answer(request, refused)
        response.headers["allow"] = allowed
        return response
    where = "See /api/v1/openapi.json for the routes." if path.startswith("/api/") else "Begin at the first page: /"
    if path.startswith("/endpoints/"):
        where = "An endpoint answers at an address of its own: slipway endpoints list"
    return _answer(request, NotFound(f"There is nothing at {path}.", fix=where))


def _answer(request: Request, error: SlipwayError) -> Response:
    if request.url.path.startswith("/api/"):
        return errors.answer(error)
    status = errors.status_of(error)
    page = pages.error_page(error, status, request_id(request.scope))
    page.headers.update(errors.retry_after(status))
    return page
