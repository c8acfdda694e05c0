"""The table of MLflow's routes, and the one place that answers them.

A route names the permission that it needs; there is none without, and what is not in the table is a 404. Each answers
under `/api` and under `/ajax-api`, and under `/projects/NAME` in front of these for another project than the store's
first one.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from slipway.errors import Denied, InvalidInput, SlipwayError
from slipway.ledger import entries, projects
from slipway.operations.permissions import allowed, roles_with
from slipway.ports.workspace import Workspace, in_project
from slipway.records.projects import Project
from slipway.server import api
from slipway.server.asking import asking
from slipway.server.errors import MethodNotAllowed
from slipway.server.mlflow import wire
from slipway.tables.personal import sees_all, veil

__all__ = ["HOME", "Area", "Declared", "MlflowRoutes", "Raw", "is_mlflow", "read_body"]

HOME = "default"
"""The project of what is logged into a store that knows no project yet."""

Work = Callable[[Workspace, Any], Mapping[str, Any]]
Raw = Callable[[Workspace, Request, str], Awaitable[Response]]

_WHERE = re.compile(
    r"(?:/projects/(?P<project>[^/]+))?"
    r"(?:/(?:ajax-)?api/(?P<api>[23]\.0/mlflow(?:-artifacts)?(?:/.*)?)|/(?P<root>version|get-artifact|"
    r"model-versions/get-artifact))\Z",
    re.DOTALL,
)
_MAX_BODY_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One route.

    Args:
        method: The HTTP method.
        path: Behind `/api/`: "2.0/mlflow/runs/create". A part in braces is a field of the request; a last part
            `{path...}` is the rest of the path, slashes included.
        permission: `noun.right`.
        request: What is read out of the body or the query.
        work: Does it in a thread and gives the answer.
        raw: Does it in the loop instead, for streams of bytes.
        conflict: The error code of a conflict.
        limit: How many bytes the body may have.
    """

    method: str
    path: str
    permission: str
    request: type[Struct] = Struct
    work: Work | None = None
    raw: Raw | None = None
    conflict: str = "RESOURCE_CONFLICT"
    limit: int = _MAX_BODY_BYTES


class Area:
    """Gathers the routes of one area as they are declared.

    Args:
        prefix: What their paths begin with: "2.0/mlflow/runs".
        noun: What their permissions are about: "runs".
    """

    def __init__(self, prefix: str, noun: str) -> None:
        self._prefix = prefix
        self._noun = noun
        self.routes: list[Declared] = []

    def reads(self, method: str, path: str, request: type[Struct], **more: Any) -> Callable[[Work], Work]:
        """Declare a route that changes nothing."""
        return self._declare(method, path, request, "read", more)

    def changes(self, method: str, path: str, request: type[Struct], **more: Any) -> Callable[[Work], Work]:
        """Declare a route that changes something."""
        return self._declare(method, path, request, "write", more)

    def _declare(
        self, method: str, path: str, request: type[Struct], right: str, more: Mapping[str, Any]
    ) -> Callable[[Work], Work]:
        def declared(work: Work) -> Work:
            self.routes.append(
                Declared(
                    method=method,
                    path=f"{self._prefix}{path}",
                    permission=f"{self._noun}.{right}",
                    request=request,
                    work=work,
                    **more,
                )
            )
            return work

        return declared


class MlflowRoutes(BaseRoute):
    """All of MLflow's routes as one: found by one look into a table, however many there are.

    Args:
        workspace: The server's; each request gets it with its own project.
        declared: The table.
    """

    def __init__(self, workspace: Workspace, declared: list[Declared]) -> None:
        self._workspace = workspace
        self._home = ""
        self._fixed: dict[str, dict[str, Declared]] = {}
        self._open: list[tuple[re.Pattern[str], dict[str, Declared]]] = []
        for one in declared:
            if "{" in one.path:
                pattern = re.compile(_pattern(one.path), re.DOTALL)
                found = next((methods for known, methods in self._open if known == pattern), None)
                if found is None:
                    found = {}
                    self._open.append((pattern, found))
                found[one.method] = one
            else:
                self._fixed.setdefault(one.path, {})[one.method] = one

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a request is for one of these routes."""
        found = _WHERE.match(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            return Match.NONE, {}
        return Match.FULL, {"mlflow": (found["project"], found["api"] or found["root"])}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        project, path = scope["mlflow"]
        conflict = "RESOURCE_CONFLICT"
        try:
            declared, fields = self._find(scope["method"], path)
            conflict = declared.conflict
            response = await self._answered(declared, request, project, fields)
        except SlipwayError as problem:
            response = wire.error_answer(problem, conflict=conflict)
        except ClientDisconnect:
            gone = InvalidInput("The request ended before its body did.", fix="Send the whole body.")
            response = wire.error_answer(gone)
        except Exception as problem:
            response = wire.unexpected(request, problem)
        await response(scope, receive, send)

    def _find(self, method: str, path: str) -> tuple[Declared, dict[str, str]]:
        method = "GET" if method == "HEAD" else method
        fields: dict[str, str] = {}
        methods = self._fixed.get(path)
        if methods is None:
            for pattern, known in self._open:
                found = pattern.match(path)
                if found is not None:
                    methods, fields = known, found.groupdict()
                    break
            else:
                raise wire.Unknown(
                    f"There is nothing at {path[:200]!r}.",
                    why="This server speaks the part of MLflow's API that is about experiments, runs, artifacts, "
                    "logged models and the registry.",
                    fix="See docs/mlflow.md for what is there.",
                )
        if method not in methods:
            raise MethodNotAllowed(
                f"{path[:200]!r} does not answer to {method[:20]}.", fix=f"Use {', '.join(sorted(methods))}."
            )
        return methods[method], fields

    async def _answered(
        self, declared: Declared, request: Request, project: str | None, fields: dict[str, str]
    ) -> Response:
        if any("\0" in value for value in fields.values()):
            raise InvalidInput("The path holds the character NUL.", fix="Leave it out.")
        if declared.raw is not None:
            chosen = await run_in_threadpool(self._chosen, request, project, declared)
            return await declared.raw(chosen, request, fields.get("path", ""))
        body = await read_body(request, declared.limit)

        def work() -> Response:
            assert declared.work is not None
            chosen = self._chosen(request, project, declared)
            if request.method in ("GET", "HEAD"):
                asked: Any = wire.read_query(request.query_params.multi_items(), declared.request)
            else:
                asked = wire.read_json(body, declared.request)
            if fields:
                asked = msgspec.structs.replace(asked, **fields)
            told = declared.work(chosen, asked) if sees_all(chosen) else veil().through(chosen, declared.work, asked)
            return wire.answer(told)

        return await run_in_threadpool(work)

    def _chosen(self, request: Request, project: str | None, declared: Declared) -> Workspace:
        asked_by = asking(self._workspace, request)
        chosen = self._of_store(asked_by, declared) if project is None else api.in_project(asked_by, project)
        if not allowed(chosen.actor, declared.permission):
            raise Denied(
                f"{chosen.actor.name} may not ask for {declared.path} in {chosen.project!r}.",
                why=f"It needs the permission {declared.permission!r}, which these roles have: "
                f"{', '.join(roles_with(declared.permission))}.",
                fix="Ask an admin for one of these roles, or somebody who has it to do this.",
            )
        return chosen

    def _of_store(self, workspace: Workspace, declared: Declared) -> Workspace:
        """The workspace of the store's first project: which one that is never changes."""
        if not self._home:
            with workspace.ledger.read() as tx:
                first = oldest_project(entries.find(tx, Project, limit=10_000))
            if first is None:
                empty = in_project(workspace, HOME)
                if not declared.permission.endswith(".write") or not allowed(empty.actor, declared.permission):
                    return empty
                projects.register(empty)
                first = HOME
            self._home = first
        return in_project(workspace, self._home)


def is_mlflow(path: str) -> bool:
    """Whether a path is one of MLflow's API, with or without a project before it."""
    return _WHERE.match(path) is not None


def oldest_project(known: list[Project]) -> str | None:
    """The name of the project that a store has had longest, None for none."""
    return min(known, key=lambda one: (one.created_at, one.name)).name if known else None


def _pattern(path: str) -> str:
    parts = re.split(r"\{(\w+)(\.\.\.)?\}", path)
    out = re.escape(parts[0])
    for name, rest, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        out += f"(?P<{name}>{'.*' if rest else '[^/]+'})" + re.escape(text)
    return out + r"\Z"


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request, which is JSON.

    Raises:
        InvalidInput: It is announced as something else, or it is larger than `limit`.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > limit:
            raise InvalidInput(
                f"The request has more than {limit:,} bytes.", fix="Send less at once, in several requests."
            )
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    # A form in a foreign page cannot send this type without asking first.
    if size and kind != "application/json":
        raise InvalidInput(
            f"The request's body is announced as {kind[:80] or 'nothing in particular'}.",
            why="This API takes JSON.",
            fix="Send the header 'Content-Type: application/json'.",
        )
    return b"".join(parts)
