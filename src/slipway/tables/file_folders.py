"""File sets and folders: take a folder as a version, check a version out to a folder, read one file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from slipway.errors import BackendError, Conflict, Corrupt, InvalidInput
from slipway.hashing import digest_file
from slipway.ids import check_name, new_id
from slipway.ports.workspace import Workspace
from slipway.records.filesets import FileEntry, FileSetVersion
from slipway.tables.filesets import (
    FileDiff,
    commit,
    current_version,
    entries_of,
    find_file,
    noted,
    resolve,
    store_lists,
)

__all__ = ["CheckedOut", "add_folder", "check_out", "read_file"]

_SHOWN = 3
_LARGE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedOut:
    """What a checkout did.

    Args:
        written: How many files it wrote.
        linked: How many of them share the store's bytes.
        unchanged: How many were there already, as they should be.
    """

    written: int
    linked: int
    unchanged: int


def add_folder(workspace: Workspace, name: str, folder: Path, *, run_id: str = "") -> FileSetVersion:
    """Make the files of a folder, and of the folders in it, the current version of a file set.

    Args:
        workspace: Where the version goes.
        name: The set's name.
        folder: Holds the files; it is left as it is.
        run_id: The run that does it, or "".

    Returns:
        The new version, or the current one when nothing has changed.

    Raises:
        InvalidInput: It is no folder, it is empty, or something in it is no plain file that can be read, with a name in
            UTF-8.
        Conflict: A file was written while it was read, or somebody else wrote the set meanwhile.
        BackendError: The store could not be written.
    """
    check_name(name, "file set")
    found = _files_in(workspace, folder)
    told = _stored(workspace, found)
    with workspace.ledger.read() as tx:
        former = current_version(tx, workspace.project, name)
    files = [FileEntry(one.path, digest, one.size) for one, (digest, _) in zip(found, told, strict=True)]
    new_bytes = sum(one.size for one, (_, new) in zip(found, told, strict=True) if new)
    index, list_bytes = store_lists(workspace, files)
    made = commit(
        workspace,
        name,
        index,
        parent=former,
        told=_differences(workspace, former, files),
        files=len(files),
        size_bytes=sum(one.size_bytes for one in files),
        stored_bytes=new_bytes + list_bytes,
        source=str(folder),
        run_id=run_id,
    )
    if former is not None and made.version == former.version:
        workspace.say(f"{name}: unchanged, version {made.number} ({made.version[:12]})")
    else:
        workspace.say(
            f"{name}: version {made.number} ({made.version[:12]}), {made.files:,} files: {made.added:,} added, "
            f"{made.changed:,} changed, {made.removed:,} removed; {new_bytes + list_bytes:,} bytes stored"
        )
    return made


def check_out(
    workspace: Workspace,
    version: FileSetVersion,
    folder: Path,
    *,
    paths: Sequence[str] = (),
    link: bool = False,
    force: bool = False,
) -> CheckedOut:
    """Write a version's files into a folder. Other files that are there stay.

    Args:
        workspace: Whose store is read.
        version: Which version.
        folder: Where to; made when it is missing.
        paths: Only these files, and those in these folders; () for all.
        link: Whether files share the store's bytes on the disk, where it can: no space is needed, and they are
            read-only.
        force: Whether files with another content are overwritten.

    Raises:
        NotFound: The version has no such file or folder, or a file's bytes are gone.
        Conflict: Files with another content are there; nothing was written.
        InvalidInput: A path would lead out of the folder.
        Corrupt: Stored bytes are damaged.
        BackendError: The folder could not be written.
    """
    wanted = _chosen(workspace, version, paths)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        targets = list(_targets(folder, wanted))
        fresh = [(entry, target) for entry, target in targets if not _is_there(entry, target)]
        taken = [entry.path for entry, target in fresh if target.exists() or target.is_symlink()]
        if taken and not force:
            raise Conflict(
                f"{len(taken):,} files in {folder} have another content than version {version.number} of "
                f"{version.name!r}: {', '.join(taken[:_SHOWN])}{', ...' if len(taken) > _SHOWN else ''}.",
                why="Nothing was written.",
                fix="Check out to another folder, or overwrite them: --force",
            )
        linked = sum(_place(workspace, entry, target, link) for entry, target in fresh)
    except OSError as problem:
        if isinstance(problem, BackendError):
            raise
        raise BackendError(
            f"{folder} could not be written: {problem}.", fix="Make room or give this user the right to write there."
        ) from problem
    noted(version)
    return CheckedOut(written=len(fresh), linked=linked, unchanged=len(targets) - len(fresh))


def read_file(workspace: Workspace, name: str, path: str, version: str | None = None, *, project: str = "") -> bytes:
    """The bytes of one file. The version is an input of the run that reads it.

    Raises:
        NotFound: There is no such file set, version or file.
        Corrupt: Stored bytes are damaged.
    """
    found = resolve(workspace, name, version, project=project)
    data = workspace.blobs.get(find_file(workspace, found, path).digest)
    noted(found)
    return data


@dataclass(frozen=True, slots=True)
class _Found:
    path: str
    place: Path
    size: int
    stamp: tuple[int, int, int, int]


def _files_in(workspace: Workspace, folder: Path) -> list[_Found]:
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is no folder.", fix="Name the folder that holds the files.", field="folder")
    if workspace.root.resolve().is_relative_to(folder.resolve()):
        raise InvalidInput(
            f"{folder} holds the store {workspace.root} itself.", fix="Name a folder beside it.", field="folder"
        )
    found = []
    for place in _walk(folder):
        info = place.lstat()
        relative = place.relative_to(folder).as_posix()
        if not stat.S_ISREG(info.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(info.st_mode) else "no plain file"
            raise InvalidInput(
                f"{relative!r} in {folder} is {kind}.",
                why="A version keeps bytes; where a link leads may change.",
                fix="Put the file itself there, or take it out of the folder.",
                field="folder",
            )
        try:
            relative.encode()
        except UnicodeEncodeError as problem:
            raise InvalidInput(
                f"{os.fsencode(relative)!r} in {folder} has a name that is not in UTF-8.",
                fix="Rename the file.",
                field="folder",
            ) from problem
        found.append(_Found(relative, place, info.st_size, _stamp(info)))
    if not found:
        raise InvalidInput(f"{folder} has no files.", fix="Name the folder that holds the files.", field="folder")
    return found


def _walk(folder: Path) -> Iterator[Path]:
    def fail(problem: OSError) -> None:
        raise _unreadable(Path(problem.filename or folder), problem)

    for place, inside, names in os.walk(folder, onerror=fail):
        inside.sort()
        for name in sorted([*names, *(one for one in inside if os.path.islink(os.path.join(place, one)))]):
            yield Path(place, name)


def _stored(workspace: Workspace, found: list[_Found]) -> list[tuple[str, bool]]:
    try:
        told = workspace.blobs.put_files([one.place for one in found])
        changed = [one.path for one in found if _stamp(one.place.lstat()) != one.stamp]
    except BackendError:
        raise
    except OSError as problem:
        raise _unreadable(Path(problem.filename or ""), problem) from problem
    if changed:
        raise Conflict(
            f"{changed[0]!r} was written while it was read, and {len(changed) - 1:,} others."
            if len(changed) > 1
            else f"{changed[0]!r} was written while it was read.",
            why="No version was made: it might hold half a file.",
            fix="Do it again when nothing writes into the folder.",
        )
    return told


def _unreadable(place: Path, problem: OSError) -> InvalidInput:
    return InvalidInput(
        f"{str(place)!r} cannot be read: {problem.strerror or problem}.",
        fix="Give this user the right to read it, or take it out of the folder.",
        field="folder",
    )


def _stamp(info: os.stat_result) -> tuple[int, int, int, int]:
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino


def _differences(workspace: Workspace, former: FileSetVersion | None, files: list[FileEntry]) -> FileDiff:
    old = {} if former is None else {entry.path: entry.digest for entry in entries_of(workspace, former)}
    new = {entry.path: entry.digest for entry in files}
    return FileDiff(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(path for path in new.keys() & old.keys() if new[path] != old[path])),
    )


def _chosen(workspace: Workspace, version: FileSetVersion, paths: Sequence[str]) -> list[FileEntry]:
    files = list(entries_of(workspace, version))
    if not paths:
        return files
    chosen = {}
    for path in paths:
        inside = path.rstrip("/") + "/"
        part = [entry for entry in files if entry.path == path or entry.path.startswith(inside)]
        for entry in part or [find_file(workspace, version, path)]:
            chosen[entry.path] = entry
    return list(chosen.values())


def _targets(folder: Path, files: Iterable[FileEntry]) -> Iterator[tuple[FileEntry, Path]]:
    """Where each file goes; every folder on the way is a real one inside."""
    root = folder.resolve()
    seen: set[PurePosixPath] = set()
    for entry in files:
        path = PurePosixPath(entry.path)
        if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in entry.path:
            raise InvalidInput(
                f"The path {entry.path!r} would lead out of {folder}.", why="Nothing was written.", field="path"
            )
        if path.parent not in seen:
            parent = root / path.parent
            parent.mkdir(parents=True, exist_ok=True)
            if not parent.resolve().is_relative_to(root):
                raise InvalidInput(
                    f"{parent} leads out of {folder} by a symbolic link.", fix="Remove the link.", field="path"
                )
            seen.add(path.parent)
        yield entry, root / path


def _is_there(entry: FileEntry, target: Path) -> bool:
    if target.is_symlink() or not target.is_file() or target.stat().st_size != entry.size_bytes:
        return False
    return digest_file(target) == entry.digest


def _place(workspace: Workspace, entry: FileEntry, target: Path, link: bool) -> bool:
    """Put one file in its place, whole or not at all; whether it shares the store's bytes."""
    temporary = target.with_name(f".{new_id()}.tmp")
    try:
        if link and workspace.blobs.link(entry.digest, temporary):
            if digest_file(temporary) != entry.digest:
                raise Corrupt(
                    f"The blob {entry.digest} is damaged: its bytes do not match its digest.",
                    fix="Restore the store's `blobs` folder from a backup.",
                )
            temporary.replace(target)
            return True
        if entry.size_bytes > _LARGE_BYTES:
            workspace.blobs.fetch(entry.digest, temporary)
        else:  # without waiting for the disk: whoever checks out can do it again
            temporary.write_bytes(workspace.blobs.get(entry.digest))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return False
