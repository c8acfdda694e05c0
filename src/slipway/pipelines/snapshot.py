"""A project's code as one blob: what a worker or a controller needs to run it without anybody's checkout.

Files beside the code are blobs of their own, which it names (see `pipelines/beside.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from slipway.errors import BackendError, Corrupt, InvalidInput, NotFound
from slipway.ledger import archive, provenance
from slipway.pipelines.beside import PASSED_OVER, SETTINGS
from slipway.ports.workspace import Workspace
from slipway.records.schedules import ParameterSpec

__all__ = ["AboutPipeline", "Contents", "check_files", "contents_of", "fetch", "pack", "take"]

_CONTENTS = "snapshot.json"


class AboutPipeline(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline as a snapshot tells of it, to whoever has not imported the code.

    Args:
        about: The first line of its docstring.
        parameters: What it takes.
    """

    about: str = ""
    parameters: tuple[ParameterSpec, ...] = ()


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot says of itself.

    Args:
        declared: The names that the project declares: "pipeline release", "endpoint flight-delays".
        lock: "name==version" of what was installed when it was taken.
        python: The version of Python then.
        files: What belongs beside the code: the digest of each file by its path.
        pipelines: The project's pipelines by name; None in snapshots of earlier releases, and of commits.
    """

    declared: tuple[str, ...] = ()
    lock: tuple[str, ...] = ()
    python: str = ""
    files: dict[str, str] = {}
    pipelines: dict[str, AboutPipeline] | None = None


def pack(
    folder: Path,
    *,
    declared: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    pipelines: Mapping[str, AboutPipeline] | None = None,
) -> bytes:
    """A project's Python files and slipway.toml as an archive: the same content gives the same bytes anywhere.

    Hidden folders, virtual environments and caches are passed over.

    Args:
        folder: The project's folder.
        declared: The names that the project declares.
        files: What belongs beside the code: the digest of each stored file by its path.
        pipelines: Its pipelines by name, None where it was not imported.

    Raises:
        InvalidInput: There is no Python file in it.
    """
    code = {path.relative_to(folder).as_posix(): path.read_bytes() for path in _files(folder)}
    if not any(name.endswith(".py") for name in code):
        raise InvalidInput(
            f"There is no Python file in {folder}.", fix="Name the folder in which slipway.toml and the code lie."
        )
    environment = provenance.environment()
    contents = Contents(
        declared=tuple(sorted(declared)),
        lock=environment.lock,
        python=environment.python,
        files=dict(sorted((files or {}).items())),
        pipelines=None if pipelines is None else dict(sorted(pipelines.items())),
    )
    return archive.pack(code | {_CONTENTS: msgspec.json.encode(contents)})


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and name not in PASSED_OVER and not (here / name / "pyvenv.cfg").exists()
        ]
        yield from (here / name for name in names if name.endswith(".py") or (name == SETTINGS and here == folder))


def take(
    workspace: Workspace,
    folder: Path,
    *,
    declared: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    pipelines: Mapping[str, AboutPipeline] | None = None,
) -> str:
    """Store a project's snapshot; returns its digest. See `pack`.

    Raises:
        InvalidInput: There is no Python file in it.
    """
    return workspace.blobs.put(pack(folder, declared=declared, files=files, pipelines=pipelines))


def fetch(workspace: Workspace, digest: str, folder: Path, *, files: Mapping[str, str] | None = None) -> Contents:
    """Write a stored snapshot's code, and the files that belong beside it, below a folder; returns what it says of itself.

    Args:
        workspace: Where it is stored.
        digest: Its digest.
        folder: Where to; made when it is missing.
        files: More files, or others in the place of the snapshot's: the digest of each by its path.

    Raises:
        NotFound: No such snapshot is stored, or one of its files is gone.
        Corrupt: It is damaged, or no snapshot.
        BackendError: The file system failed.
    """
    data = workspace.blobs.get(digest)
    contents = _contents(digest, archive.read(data))
    try:
        archive.unpack(data, folder)
        for name, content in {**contents.files, **(files or {})}.items():
            archive.check_inside(name)
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_beside(workspace, name, content))
    except OSError as problem:
        raise BackendError(f"The snapshot {digest[:12]} cannot be unpacked in {folder}: {problem}.") from problem
    return contents


def contents_of(workspace: Workspace, digest: str) -> Contents:
    """What a snapshot says of itself, when its code is there and whole.

    Raises:
        NotFound: No such snapshot is stored.
        Corrupt: It is damaged, or no snapshot.
    """
    return _contents(digest, archive.read(workspace.blobs.get(digest)))


def check_files(workspace: Workspace, contents: Contents) -> None:
    """See that the files beside a snapshot's code are there.

    Raises:
        NotFound: One of them is gone.
    """
    for name, content in contents.files.items():
        if not workspace.blobs.has(content):
            raise _gone(name)


def _beside(workspace: Workspace, name: str, content: str) -> bytes:
    try:
        return workspace.blobs.get(content)
    except NotFound as problem:
        raise _gone(name) from problem


def _gone(name: str) -> NotFound:
    return NotFound(
        f"The file {name} beside the code, as it was then, is not stored any more.",
        why="It was erased or purged.",
        fix="Publish the project anew where a schedule or an endpoint runs it: slipway schedules apply, slipway deploy.",
    )


def _contents(digest: str, files: dict[str, bytes]) -> Contents:
    try:
        return msgspec.json.decode(files[_CONTENTS], type=Contents)
    except (KeyError, msgspec.DecodeError) as problem:
        raise Corrupt(f"The blob {digest} is no project snapshot.") from problem
