"""Requests that fire a schedule: outside the operations, for who sends them is known by the hook's secret alone."""

from typing import Any

from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from slipway.loop import hooks
from slipway.operations import wire
from slipway.ports.workspace import Workspace, current_workspace
from slipway.server.errors import NotJson, TooLarge

__all__ = ["PATH", "Delivered", "Delivery", "routes"]

PATH = "/api/v1/hooks/{hook}"


class Delivery(Struct, frozen=True, kw_only=True):
    """What a request to a hook may say: parameters that the hook names. All other fields are let be."""

    params: dict[str, Any] = {}


class Delivered(Struct, frozen=True, kw_only=True):
    """What came of a request to a hook.

    Args:
        firing: The id of the firing.
        schedule: The schedule's name.
        state: How the firing stands: "due", "started" and so on.
        is_new: Whether this request made it; False for a delivery that came before.
        sentence: What became of it, in words.
    """

    firing: str
    schedule: str
    state: str
    is_new: bool
    sentence: str


def routes(workspace: Workspace) -> list[Route]:
    """The one route of all hooks.

    Args:
        workspace: The server's.
    """

    async def deliver(request: Request) -> Response:
        body = await _body(request)

        def work() -> bytes:
            with current_workspace.filled(workspace):
                found = hooks.deliver(workspace, request.path_params["hook"], body, dict(request.headers))
            one = found.firing
            told = Delivered(
                firing=one.id, schedule=one.name, state=one.state, is_new=found.is_new, sentence=one.sentence
            )
            return wire.encode(told)

        return Response(await run_in_threadpool(work), media_type="application/json")

    return [Route(PATH, deliver, methods=["POST"])]


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > hooks.LARGEST_BODY:
                raise TooLarge(
                    f"The request's body has more than {hooks.LARGEST_BODY:,} bytes.",
                    fix='Send less: {"params": {"until": "2013-04-01"}}, or nothing.',
                )
    except ClientDisconnect as problem:
        raise NotJson("The request ended before its body did.", fix="Send the whole body.") from problem
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if size and kind != "application/json":
        raise NotJson(
            f"The request's body is announced as {kind or 'nothing in particular'}.",
            why="A hook takes JSON.",
            fix="Send the header 'Content-Type: application/json'; at GitHub choose that content type.",
        )
    return b"".join(parts)
