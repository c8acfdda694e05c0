"""What a form of a page sends, and the way back to that page. Where a browser sends from is looked at before: see `guards`."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from slipway.errors import InvalidInput
from slipway.operations import declare
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.server import api
from slipway.server.asking import asking
from slipway.server.errors import TooLarge
from slipway.server.formats import below

__all__ = ["LARGEST", "form_route", "inside", "read_form"]

LARGEST = 200_000
"""In bytes: the longest comment, every letter of it escaped."""


def form_route(
    workspace: Workspace, path: str, name: str, fields: Callable[[Request, dict[str, str]], dict[str, Any]]
) -> Route:
    """A route to which a form sends, which performs an operation and goes back to the page.

    Args:
        workspace: The server's.
        path: Where the form sends to; with `{project}` where the operation belongs to one.
        name: The operation's.
        fields: Makes the operation's fields of the request's path and of what the form says.
    """

    async def sent(request: Request) -> Response:
        given = await read_form(request, LARGEST)

        def work() -> None:
            project, wanted = request.path_params.get("project"), operation(name)
            asked_by = asking(workspace, request)
            chosen = asked_by if project is None else api.in_project(asked_by, project)
            api.perform(chosen, wanted, declare.convert(wanted, fields(request, given)))

        await run_in_threadpool(work)
        return RedirectResponse(inside(given.get("back", "")), 303)

    return Route(path, sent, methods=["POST"])


def inside(address: str) -> str:
    """An address of this server's own pages; whatever else is asked for leads to the first page."""
    parts = urlsplit(address)
    is_own = address.startswith("/") and not address.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return address if is_own and "\\" not in address and address.isprintable() else below("/")


async def read_form(request: Request, largest: int) -> dict[str, str]:
    """The fields of a form, the last value of each.

    Args:
        request: What the form sent.
        largest: How many bytes it may have.

    Raises:
        InvalidInput: It is larger, or it ended before all was sent.
    """
    size, parts = 0, []
    try:
        async for part in request.stream():
            size += len(part)
            if size > largest:
                raise TooLarge(f"The form has more than {largest:,} bytes.", fix="Send less.")
            parts.append(part)
    except ClientDisconnect as problem:
        raise InvalidInput("The request ended before its body did.", fix="Send the whole form.") from problem
    fields = parse_qs(b"".join(parts).decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}
