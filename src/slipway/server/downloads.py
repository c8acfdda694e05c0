"""Bytes that people stored, sent to browsers: artifacts and diffs as downloads, pictures as images.

What is stored may be hostile, and comes from the same origin as the pages. So nothing of it is ever a document here: a
download is an attachment of no known kind; an image has the type that its bytes begin with, from a short list; and both
say to the browser that they are to be opened, if at all, in a sandbox that may load nothing.
"""

import re
from collections.abc import AsyncIterator, Callable
from typing import Any, BinaryIO
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from slipway.charts.text import clean
from slipway.errors import InvalidInput, NotFound
from slipway.ledger import uploads
from slipway.operations import declare
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.runs.browse import artifact_named
from slipway.server import api, pictures

__all__ = ["disposition", "routes"]

_HELD_BYTES = 8 << 20
_CHUNK_BYTES = 1 << 20
_NAME_LENGTH = 150
_HEADERS = {
    "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._ -]")


def routes(workspace: Workspace) -> list[Route]:
    """The routes of what is downloaded from the pages of runs."""
    return [
        Route(f"/projects/{{project}}/runs/{{id}}/{name}", _endpoint(workspace, send))
        for name, send in (("download", _download), ("image", _image), ("diff", _diff))
    ]


def disposition(kind: str, name: str) -> str:
    """The header that says what to do with bytes and what the file is called, as RFC 6266 and RFC 5987 have it.

    Args:
        kind: "attachment" or "inline".
        name: Whatever somebody called it; its last part is used. Control characters, line ends and marks that turn the
            direction of writing are replaced, so that no name poses as another or ends the header.
    """
    called = clean(name.replace("\\", "/").rpartition("/")[2])[-_NAME_LENGTH:]
    if not called.strip(". "):
        called = "artifact"
    return f"{kind}; filename=\"{_NOT_PLAIN.sub('_', called)}\"; filename*=UTF-8''{quote(called, safe='')}"


def _endpoint(workspace: Workspace, send: Callable[[Workspace, str, str], Response]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        def work() -> Response:
            chosen = api.in_project(workspace, request.path_params["project"])
            return send(chosen, request.path_params["id"], request.query_params.get("name", ""))

        return await run_in_threadpool(work)

    return endpoint


def _ask(workspace: Workspace, asked: str, /, **fields: str) -> Any:
    wanted = operation(asked)
    return api.perform(workspace, wanted, declare.convert(wanted, fields))


def _download(workspace: Workspace, id: str, name: str) -> Response:
    found = artifact_named(_ask(workspace, "runs.get", id=id).run, name)
    headers = _HEADERS | {"content-disposition": disposition("attachment", found.name)}
    if found.size_bytes <= _HELD_BYTES:
        return Response(workspace.blobs.get(found.digest), headers=headers, media_type="application/octet-stream")
    path = uploads.new_file(workspace)
    workspace.blobs.fetch(found.digest, path)  # verified before the first byte of it is sent
    file = path.open("rb")
    path.unlink()  # the open file keeps the bytes until they are sent
    headers["content-length"] = str(found.size_bytes)
    return StreamingResponse(_chunks(file), headers=headers, media_type="application/octet-stream")


def _image(workspace: Workspace, id: str, name: str) -> Response:
    content = _ask(workspace, "runs.artifact", id=id, name=name)
    kind = pictures.kind_of(content.data)
    if not content.is_whole:
        raise InvalidInput(f"{name!r} is too large to be shown.", fix="Download it.", field="name")
    if not kind:
        raise NotFound(
            f"{name!r} is no picture.", why="PNG, JPEG, GIF and WebP are known by their bytes.", fix="Download it."
        )
    return Response(
        content.data, headers=_HEADERS | {"content-disposition": disposition("inline", name)}, media_type=kind
    )


def _diff(workspace: Workspace, id: str, _: str) -> Response:
    found = _ask(workspace, "runs.diff", id=id)
    if not found.text:
        raise NotFound(
            f"The run {id!r} has no diff.",
            why="Nothing differed from its commit, or it is not known.",
            fix="See the run's page.",
        )
    headers = _HEADERS | {"content-disposition": disposition("attachment", f"{id[:12]}.diff")}
    return Response(found.text.encode(), headers=headers, media_type="application/octet-stream")


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    try:
        while chunk := await run_in_threadpool(file.read, _CHUNK_BYTES):
            yield chunk
    finally:
        file.close()
