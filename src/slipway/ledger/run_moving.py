"""Brings what is in runs' files to where runs are kept: the ledger, or the server that keeps an environment's runs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from slipway.errors import BackendError, Corrupt, InvalidInput, NotFound
from slipway.ledger import entries
from slipway.ledger.run_absorb import absorb, forget
from slipway.ledger.run_file import RunFile, parse
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.run_server import RunServer
from slipway.ports.workspace import Workspace
from slipway.records.run_entries import ArtifactKept, Begun, CodeSaid
from slipway.records.runs import Run

__all__ = ["files_in", "files_of", "is_gone", "move", "remove"]

_PIECE_BYTES = 1 << 20
_UPLOAD_BYTES = 2 << 20


def files_of(workspace: Workspace) -> Path:
    """The folder of the files that runs write ahead."""
    return files_in(workspace.root)


def files_in(root: Path) -> Path:
    """The same, of a store's or a task's folder."""
    return root / "run-logs"


def move(
    workspace: Workspace, file: RunFile, done: int, *, then: Callable[[WriteTransaction], None] | None = None
) -> int:
    """Bring what is in a file to where runs are kept.

    Args:
        workspace: Where; with the run's project.
        file: The file.
        done: How much of it is there already, as far as is known.
        then: Adds to the last transaction; there is none with a server.

    Returns:
        How much of it is there now: all that was in it when this was called.

    Raises:
        BackendError: The ledger or server cannot be written; what is in the file stays there.
        Corrupt: The file cannot be read to its end.
    """
    end, server = file.size, workspace.run_server
    while done < end:
        data = file.read(done, _PIECE_BYTES)
        if not data:
            raise Corrupt(
                f"The run's file {file.path} cannot be read beyond byte {done:,}.", fix="Look after the disk."
            )
        is_last = done + len(data) >= end
        if server is None:
            reached = absorb(workspace, file.run_id, file.writer, done, data, then=then if is_last else None)
        else:
            reached = _send(workspace, server, file.run_id, file.writer, done, data)
        if is_last:
            then = None
        if reached == done:
            raise BackendError(
                f"The run {file.run_id} is not taken further than byte {done:,} of its file {file.path}.",
                fix="See whether the store was put back to an older state; the file is kept.",
            )
        done = reached
    if then is not None:
        absorb(workspace, file.run_id, file.writer, done, b"", then=then)
    return done


def remove(workspace: Workspace, file: RunFile) -> None:
    """Remove a file all of which is where runs are kept; then what counts its bytes there is needed no more."""
    file.remove()
    if workspace.run_server is None:
        forget(workspace, [f"{file.run_id}.{file.writer}"])


def is_gone(workspace: Workspace, run_id: str) -> bool:
    """Whether a run that was not found was deleted for good; a server's word is taken for it."""
    if workspace.run_server is not None:
        return True
    with workspace.ledger.read() as tx:
        return tx.get(entries.kind_of(Run), run_id) is None


def _send(workspace: Workspace, server: RunServer, run_id: str, writer: str, offset: int, data: bytes) -> int:
    """Send a piece, first the bytes of the artifacts that it names; returns how much of the file the server has.

    Raises:
        Unavailable: Nobody answers.
        SlipwayError: The server refuses; in its words.
    """
    if offset == 0:
        _make_known(server, workspace.project)
    for entry in parse(data, first=offset == 0):
        if isinstance(entry, ArtifactKept):
            made = entry.artifact
            _upload(workspace, server, f"the artifact {made.name!r}", made.digest, made.size_bytes)
        code = entry.run.code if isinstance(entry, Begun) else entry.code if isinstance(entry, CodeSaid) else None
        if code is not None and code.diff:
            _upload(workspace, server, "the code's difference", code.diff, code.diff_bytes)
    fields = {"run_id": run_id, "writer": writer, "offset": offset, "data": data}
    return int(server.perform("runs.sync", fields)["offset"])


def _make_known(server: RunServer, project: str) -> None:
    """Who only logs runs may not make projects; where theirs is known that is not asked for."""
    known = server.perform("projects.list", {})["projects"]
    if project not in (one["name"] for one in known):
        server.perform("projects.add", {"name": project})


def _upload(workspace: Workspace, server: RunServer, what: str, digest: str, size: int) -> None:
    """Send what the server does not have yet, from where it stopped; then the bytes need not be kept here.

    What is larger than the server takes is left here: the server says in the run that it was not taken, and the rest
    goes on.
    """
    fields: dict[str, object] = {"digest": digest, "size": size}
    try:
        kept = server.perform("runs.upload", fields | {"offset": 0, "data": b""})
    except InvalidInput as problem:
        workspace.say(f"{server.url} does not take {what}, whose bytes stay in {workspace.root}: {problem}")
        return
    if not kept["whole"]:
        with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
            path = Path(folder, "bytes")
            try:
                workspace.blobs.fetch(digest, path)
            except NotFound as problem:
                raise BackendError(
                    f"The bytes of {what} are neither here nor at {server.url}.",
                    why=f"Somebody removed them from {workspace.root} before they were sent.",
                    fix="Log the artifact again in another run.",
                ) from problem
            with path.open("rb") as file:
                _pieces(server, file, fields, int(kept["offset"]))
    workspace.blobs.delete(digest)


def _pieces(server: RunServer, file: BinaryIO, fields: dict[str, object], offset: int) -> None:
    while True:
        file.seek(offset)
        data = file.read(_UPLOAD_BYTES)
        kept = server.perform("runs.upload", fields | {"offset": offset, "data": data})
        if kept["whole"]:
            return
        if kept["offset"] == offset:
            raise BackendError(
                f"{server.url} does not take the bytes {fields['digest']}: it stays at {offset:,}.",
                fix="See what the server says; the bytes are kept here and sent again.",
            )
        offset = int(kept["offset"])
