"""The native API: one route an operation."""

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from slipway.errors import InvalidInput
from slipway.ledger.projects import check_known
from slipway.operations import declare, wire
from slipway.operations.declare import Operation
from slipway.operations.table import OPERATIONS
from slipway.ports import workspace as ports
from slipway.ports.workspace import Workspace, current_workspace
from slipway.server.asking import asking
from slipway.server.errors import NotJson, TooLarge
from slipway.tables.catalog import simulated_tables

__all__ = ["in_project", "perform", "routes"]

_MAX_BODY_BYTES = 4 << 20


def routes(workspace: Workspace) -> list[Route]:
    """The routes of all operations.

    Args:
        workspace: The server's; each request gets it with its own project.
    """
    return [
        Route(operation.path, _endpoint(workspace, operation), methods=[operation.method], name=operation.name)
        for operation in OPERATIONS.values()
    ]


def in_project(workspace: Workspace, project: str) -> Workspace:
    """The server's workspace for one project.

    Raises:
        NotFound: The store holds no such project.
    """
    chosen = ports.in_project(workspace, project)
    check_known(chosen)
    return chosen


def perform(workspace: Workspace, operation: Operation, request: object) -> Any:
    """Call an operation with the workspace current, as a project's own process has it."""
    with current_workspace.filled(workspace):
        return declare.call(workspace, operation, request)


def _endpoint(workspace: Workspace, operation: Operation) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def endpoint(request: Request) -> Response:
        if operation.changes:
            values, texts = _json_object(await _body(request)), False
        else:
            values, texts = _fields(request.query_params), True

        def work() -> bytes:
            project = request.path_params.get("project")
            asked_by = asking(workspace, request)
            chosen = asked_by if project is None else in_project(asked_by, project)
            body = wire.encode(perform(chosen, operation, declare.convert(operation, values, texts=texts)))
            is_told = project is not None and not operation.changes
            return wire.marked(body, simulated_tables(chosen)) if is_told else body

        return Response(await run_in_threadpool(work), media_type="application/json")

    return endpoint


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > _MAX_BODY_BYTES:
                raise TooLarge(
                    f"The request's body has more than {_MAX_BODY_BYTES:,} bytes.",
                    fix="Send less; data goes in by tables and endpoints, not by this API.",
                )
    except ClientDisconnect as problem:
        raise NotJson("The request ended before its body did.", fix="Send the whole body.") from problem
    # A form in a foreign page cannot send this type without asking first.
    if size and kind != "application/json":
        raise NotJson(
            f"The request's body is announced as {kind or 'nothing in particular'}.",
            why="This API takes JSON.",
            fix="Send the header 'Content-Type: application/json'.",
        )
    return b"".join(parts)


def _json_object(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.ValidationError as problem:
        raise NotJson("The request's body is not a JSON object.", fix='Send fields by name: {"name": "..."}.') from (
            problem
        )
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:  # the latter of a text within that is not UTF-8
        raise NotJson(f"The request's body is not JSON: {problem}.", fix='Send {"name": "..."}.') from problem
    except RecursionError as problem:
        raise NotJson("The request's body is nested too deeply.", fix="Send plain fields.") from problem


def _fields(query: QueryParams) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in query.multi_items():
        if name in fields:
            raise InvalidInput(f"The field {name!r} is given twice.", fix="Give it once.", field=name)
        fields[name] = value
    return fields
