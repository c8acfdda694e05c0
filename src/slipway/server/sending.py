"""Bytes that people stored, sent to browsers so that they are never a document of this server.

What is stored may be hostile, and comes from the same origin as the pages. A download is an attachment of no known kind;
an image has the type that its bytes begin with; and both say to the browser that they are to be opened, if at all, in a
sandbox that may load nothing.
"""

import os
import re
from collections.abc import AsyncIterator
from typing import BinaryIO
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from slipway.charts.text import clean
from slipway.ledger import uploads
from slipway.ports.workspace import Workspace
from slipway.records.runs import Artifact
from slipway.tables.personal import sees_all, veil

__all__ = ["attachment", "disposition", "image", "page", "stored"]

_HELD_BYTES = 8 << 20
_CHUNK_BYTES = 1 << 20
_NAME_LENGTH = 150
_UNKNOWN = "application/octet-stream"
_HEADERS = {
    "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
_IN_A_FRAME = _HEADERS | {
    "content-security-policy": (
        "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
        "frame-ancestors 'self'"
    ),
    "x-frame-options": "SAMEORIGIN",
}
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._ -]")


def stored(workspace: Workspace, artifact: Artifact) -> Response:
    """A stored file as a download, verified against its digest before the first of its bytes is sent.

    Raises:
        Denied: It holds what the workspace's actor may not see.
    """
    if not sees_all(workspace):
        veil().check_file(workspace, artifact)
    if artifact.size_bytes <= _HELD_BYTES:
        return attachment(artifact.name, workspace.blobs.get(artifact.digest))
    path = uploads.new_file(workspace)
    workspace.blobs.fetch(artifact.digest, path)
    file = path.open("rb")
    path.unlink()  # the open file keeps the bytes until they are sent
    headers = _named("attachment", artifact.name) | {"content-length": str(os.fstat(file.fileno()).st_size)}
    return StreamingResponse(_chunks(file), headers=headers, media_type=_UNKNOWN)


def attachment(name: str, data: bytes) -> Response:
    """Bytes as a download."""
    return Response(data, headers=_named("attachment", name), media_type=_UNKNOWN)


def image(name: str, data: bytes, kind: str) -> Response:
    """A picture, whose content type its bytes said."""
    return Response(data, headers=_named("inline", name), media_type=kind)


def page(data: bytes) -> Response:
    """A stored page, for a frame of this server's own pages: a document of no origin, without scripts, forms and requests."""
    return Response(data, headers=_IN_A_FRAME, media_type="text/html")


def _named(kind: str, name: str) -> dict[str, str]:
    return _HEADERS | {"content-disposition": disposition(kind, name)}


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


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    try:
        while chunk := await run_in_threadpool(file.read, _CHUNK_BYTES):
            yield chunk
    finally:
        file.close()
