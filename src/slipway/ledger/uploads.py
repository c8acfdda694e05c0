"""Bytes that are on their way in: files beside the store's blobs until they are whole and have their digest.

Names are made here and are random; what a client calls a file is written nowhere as a path.
"""

import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from slipway.errors import InvalidInput, NotFound
from slipway.ids import new_id
from slipway.ports.workspace import Workspace
from slipway.records.runs import Artifact

__all__ = ["abort", "begin", "finish", "keep", "keep_bytes", "new_file", "new_part", "sweep", "target_of"]

_FOLDER = "uploads"
_ID = re.compile(r"[0-9a-f]{32}\Z")
_TARGET = "target"
_PARTS = 10_000
_LEFT_AFTER_S = 7 * 86_400


def new_file(workspace: Workspace) -> Path:
    """A path for bytes that are about to come; nothing is there yet."""
    return _folder(workspace) / f"{new_id()}.part"


def keep(workspace: Workspace, path: Path, name: str) -> Artifact:
    """Store a file's bytes as a blob and remove the file."""
    size = path.stat().st_size
    digest = workspace.blobs.put_file(path)
    path.unlink(missing_ok=True)
    return Artifact(name=name, digest=digest, fingerprint=digest, format="bytes", size_bytes=size)


def keep_bytes(workspace: Workspace, data: bytes, name: str) -> Artifact:
    """Store bytes as a blob."""
    digest = workspace.blobs.put(data)
    return Artifact(name=name, digest=digest, fingerprint=digest, format="bytes", size_bytes=len(data))


def begin(workspace: Workspace, target: str) -> str:
    """Begin an upload in parts; returns its id, which whoever knows may add to.

    Args:
        workspace: Where it is kept.
        target: Where the whole shall be named.
    """
    sweep(workspace)
    id = new_id()
    place = _folder(workspace) / id
    place.mkdir()
    (place / _TARGET).write_text(f"{workspace.project}\n{target}", encoding="utf-8")
    return id


def target_of(workspace: Workspace, id: str) -> str:
    """Where an upload's whole shall be named.

    Raises:
        NotFound: There is no such upload in this project.
    """
    project, _, target = (_place(workspace, id) / _TARGET).read_text("utf-8").partition("\n")
    if project != workspace.project:
        raise _missing(id)
    return target


def new_part(workspace: Workspace, id: str, number: int) -> tuple[Path, Path]:
    """Where a part is written, and the name that it gets once it is whole.

    Raises:
        NotFound: There is no such upload.
        InvalidInput: There is no such part.
    """
    place = _place(workspace, id)
    if not 1 <= number <= _PARTS:
        raise InvalidInput(f"There is no part {number}.", fix=f"Parts count from 1 to {_PARTS:,}.")
    return place / f"{new_id()}.part", place / f"{number:05d}"


def finish(workspace: Workspace, id: str, numbers: Iterable[int], name: str) -> Artifact:
    """Put the parts together and store the whole as a blob.

    Args:
        workspace: Where it is kept.
        id: The upload.
        numbers: The parts, as the client counts them.
        name: The path that the whole gets.

    Raises:
        NotFound: There is no such upload.
        InvalidInput: A part is missing.
    """
    place = _place(workspace, id)
    parts = [place / f"{number:05d}" for number in sorted(set(numbers))]
    for part in parts:
        if not part.is_file():
            raise InvalidInput(f"The part {int(part.name)} of the upload has not come.", fix="Send it, then complete.")
    whole = place / "whole"
    with whole.open("wb") as file:
        for part in parts:
            with part.open("rb") as read:
                shutil.copyfileobj(read, file, 1 << 20)
    stored = keep(workspace, whole, name)
    shutil.rmtree(place, ignore_errors=True)
    return stored


def abort(workspace: Workspace, id: str) -> None:
    """Give an upload up.

    Raises:
        NotFound: There is no such upload in this project.
    """
    target_of(workspace, id)
    shutil.rmtree(_place(workspace, id), ignore_errors=True)


def sweep(workspace: Workspace) -> None:
    """Remove what clients and servers that died left a week ago."""
    oldest = time.time() - _LEFT_AFTER_S
    for path in _folder(workspace).iterdir():
        try:
            if path.stat().st_mtime >= oldest:
                continue
        except FileNotFoundError:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _folder(workspace: Workspace) -> Path:
    folder = workspace.root / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _place(workspace: Workspace, id: str) -> Path:
    place = _folder(workspace) / id if _ID.match(id) else None
    if place is None or not (place / _TARGET).is_file():
        raise _missing(id)
    return place


def _missing(id: str) -> NotFound:
    return NotFound(f"There is no upload {id[:40]!r}.", why="It was completed or given up.", fix="Begin it again.")
