"""A project's code as one blob: what a worker or a controller needs to run it without anybody's checkout."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from slipway.errors import BackendError, Corrupt, InvalidInput
from slipway.ids import new_id
from slipway.ledger import archive, provenance
from slipway.ports.workspace import Workspace

__all__ = ["PASSED_OVER", "SETTINGS", "Contents", "fetch", "pack", "take", "unpacked"]

_CONTENTS = "snapshot.json"
SETTINGS = "slipway.toml"
PASSED_OVER = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist", "venv"})


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot says of itself.

    Args:
        declared: The names that the project declares: "pipeline release", "endpoint flight-delays".
        lock: "name==version" of what was installed when it was taken.
        python: The version of Python then.
    """

    declared: tuple[str, ...] = ()
    lock: tuple[str, ...] = ()
    python: str = ""


def pack(folder: Path, *, declared: Sequence[str] = ()) -> bytes:
    """A project's Python files and slipway.toml as an archive: the same content gives the same bytes anywhere.

    Hidden folders, virtual environments and caches are passed over.

    Args:
        folder: The project's folder.
        declared: The names that the project declares.

    Raises:
        InvalidInput: There is no Python file in it.
    """
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in _files(folder)}
    if not any(name.endswith(".py") for name in files):
        raise InvalidInput(
            f"There is no Python file in {folder}.", fix="Name the folder in which slipway.toml and the code lie."
        )
    environment = provenance.environment()
    contents = Contents(declared=tuple(sorted(declared)), lock=environment.lock, python=environment.python)
    return archive.pack(files | {_CONTENTS: msgspec.json.encode(contents)})


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and name not in PASSED_OVER and not (here / name / "pyvenv.cfg").exists()
        ]
        yield from (here / name for name in names if name.endswith(".py") or (name == SETTINGS and here == folder))


def take(workspace: Workspace, folder: Path, *, declared: Sequence[str] = ()) -> str:
    """Store a project's snapshot; returns its digest.

    Raises:
        InvalidInput: There is no Python file in it.
    """
    return workspace.blobs.put(pack(folder, declared=declared))


def fetch(workspace: Workspace, digest: str, folder: Path) -> Contents:
    """Write a stored snapshot's files below a folder; returns what it says of itself.

    Raises:
        NotFound: No such snapshot is stored.
        Corrupt: It is damaged, or no snapshot.
    """
    data = workspace.blobs.get(digest)
    contents = _contents(digest, archive.read(data))
    archive.unpack(data, folder)
    return contents


def unpacked(workspace: Workspace, digest: str) -> Path:
    """The folder in the store where a snapshot lies unpacked: whole, with nothing added or altered.

    It is unpacked the first time; each time every byte is compared with what is stored. A folder that was tampered with
    is set aside and unpacked anew.

    Raises:
        NotFound: No such snapshot is stored.
        Corrupt: It is damaged, or no snapshot.
        BackendError: The file system failed.
    """
    data = workspace.blobs.get(digest)
    files = archive.read(data)
    _contents(digest, files)
    home = workspace.root / "snapshots"
    target = home / digest
    try:
        if target.exists():
            if _lies_there(target, files):
                return target
            target.rename(home / f"{digest}.altered-{new_id()}")
        part = home / f".{digest}.{new_id()}.part"
        archive.unpack(data, part)
        try:
            part.rename(target)
        except OSError:
            shutil.rmtree(part, ignore_errors=True)
            if not _lies_there(target, files):  # or else another process was first
                raise
    except OSError as problem:
        raise BackendError(f"The snapshot {digest[:12]} cannot be unpacked in {home}: {problem}.") from problem
    return target


def _lies_there(folder: Path, files: dict[str, bytes]) -> bool:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    if found.keys() != files.keys() or any(path.is_symlink() for path in folder.rglob("*")):
        return False
    return all(path.read_bytes() == files[name] for name, path in found.items())


def _contents(digest: str, files: dict[str, bytes]) -> Contents:
    try:
        return msgspec.json.decode(files[_CONTENTS], type=Contents)
    except (KeyError, msgspec.DecodeError) as problem:
        raise Corrupt(f"The blob {digest} is no project snapshot.") from problem
