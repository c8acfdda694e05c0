"""The files of a store's folder beside ledger, blobs and parts of tables: keys, endpoints with their logs and online stores.

Ledger, blobs and parts are copied by what keeps them. What only tells of processes of this machine is left out.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import blake3

from slipway.errors import BackendError
from slipway.hosts.blob_places import BLOBS_FILE
from slipway.hosts.environment_use import MARK
from slipway.ids import new_id
from slipway.serving.reach_file import SERVER_REACH_FILE

__all__ = ["ASIDE", "COPY_FILE", "Took", "compare", "listed", "take"]

COPY_FILE = "copied.json"
"""In the folder of a copy: what was copied, and what comparing found."""

ASIDE = ".copying"
"""A folder in that of a copy, for what is on its way."""

_LEFT_OUT = frozenset(
    {
        *("ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.url", "blobs", BLOBS_FILE, "blobs.proven"),
        *("environments", "step-locks", "server.pid", SERVER_REACH_FILE, MARK, ".gitignore", COPY_FILE, ASIDE),
    }
)
"""The ledger and the blobs; what is made again; what tells of this folder or of a process; what is the copy's own."""

_DIGEST = 64
_CHUNK_BYTES = 1 << 20
_PART = ".copying-"

Notice = Callable[[int, int], None]


class Took(NamedTuple):
    """What was read of a file when it was copied: its bytes' digest, and how many they are."""

    digest: str
    size_bytes: int


def listed(root: Path) -> dict[str, int]:
    """The files that are copied, by their path below the folder, with their sizes."""
    return {os.path.relpath(path, root): size for path, size in _walked(root)}


def take(source: Path, target: Path, notice: Notice) -> dict[str, Took]:
    """Let a store's folder have the files of another, and no others.

    Args:
        source: The other folder. What is written there meanwhile is had as it was when it was read.
        target: Nobody else writes to it.
        notice: Is told how many are done, of how many.

    Returns:
        What was read, by paths below the folder.
    """
    names = sorted(listed(source))
    for left in set(listed(target)) - set(names):
        (target / left).unlink()
    found: dict[str, Took] = {}
    notice(0, len(names))
    for done, name in enumerate(names, 1):
        try:
            found[name] = _take(source / name, target / name)
        except FileNotFoundError:  # it was removed meanwhile
            (target / name).unlink(missing_ok=True)
            continue
        notice(done, len(names))
    _sync(target)
    return found


def compare(took: dict[str, Took], target: Path, notice: Notice) -> list[str]:
    """Read all files of a copy again; what differs from what was read at the source, each by its name."""
    there = listed(target)
    differences = [f"files: {name} is not in the copy" for name in sorted(took.keys() - there.keys())]
    differences += [f"files: {name} is only in the copy" for name in sorted(there.keys() - took.keys())]
    names = sorted(there.keys() & took.keys())
    notice(0, len(names))
    for done, name in enumerate(names, 1):
        if _look(target / name) != took[name]:
            differences.append(f"files: {name} has other bytes in the copy")
        notice(done, len(names))
    return differences


def _walked(root: Path) -> Iterator[tuple[str, int]]:
    for folder, folders, files in os.walk(root):
        if folder == str(root):
            folders[:] = [name for name in folders if name not in _LEFT_OUT]
            files = [name for name in files if name not in _LEFT_OUT]
        is_table = Path(folder).parent.parent == root / "tables"
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in [*files, *links]:
            if name.endswith("-shm") or (is_table and _is_part(name)):  # a database's shared memory is made again
                continue
            path = os.path.join(folder, name)
            try:
                found = os.lstat(path)
            except FileNotFoundError:  # it was removed meanwhile
                continue
            if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
                yield path, found.st_size


def _is_part(name: str) -> bool:
    stem, _, ending = name.partition(".")
    return ending == "parquet" and len(stem) == _DIGEST


def _take(source: Path, target: Path) -> Took:
    _make_folder(source.parent, target.parent)
    if source.is_symlink():
        text = os.readlink(source)
        if not target.is_symlink() or os.readlink(target) != text:
            target.unlink(missing_ok=True)
            target.symlink_to(text)
        return _look(target)
    if target.is_file() and not target.is_symlink() and target.stat().st_size == source.stat().st_size:
        found = _look(source)
        if _look(target) == found:
            return found
    part = target.with_name(f"{_PART}{new_id()}")
    hasher, size = blake3.blake3(), 0
    mode = stat.S_IMODE(source.stat().st_mode)
    with source.open("rb") as file, os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        while piece := file.read(_CHUNK_BYTES):
            hasher.update(piece)
            size += len(piece)
            out.write(piece)
        about = os.fstat(file.fileno())
        os.fchmod(out.fileno(), mode)
    os.utime(part, ns=(about.st_atime_ns, about.st_mtime_ns))
    part.replace(target)
    return Took(hasher.hexdigest(), size)


def _sync(folder: Path) -> None:
    """Wait once until all is on the disk: who was stopped before compares everything again."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        whole = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if whole is None:
            os.sync()
        elif whole(handle):
            raise BackendError(
                f"The disk did not take what was written into {folder}: {os.strerror(ctypes.get_errno())}."
            )
    finally:
        os.close(handle)


def _look(path: Path) -> Took:
    if path.is_symlink():
        text = os.fsencode(os.readlink(path))
        return Took(blake3.blake3(text).hexdigest(), len(text))
    hasher, size = blake3.blake3(), 0
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            hasher.update(piece)
            size += len(piece)
    return Took(hasher.hexdigest(), size)


def _make_folder(source: Path, target: Path) -> None:
    if target.is_dir():
        return
    _make_folder(source.parent, target.parent)
    target.mkdir(mode=stat.S_IMODE(source.stat().st_mode) | 0o700, exist_ok=True)
