"""Files that are there whole or not at all, and still there after a power cut."""

import os
from pathlib import Path

from slipway.ids import new_id

__all__ = ["settle", "write_once", "write_whole"]


def write_whole(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Write a file: a reader finds the old content or the new one, never a part.

    Args:
        path: Its folder exists.
        data: The whole content.
        mode: Who may read and write it, as far as the process lets them (umask).
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with open(part, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(data)
    settle(part, path)


def settle(part: Path, path: Path) -> None:
    """Give a file that is whole its name, in place of what has it, once the disk has both.

    Args:
        part: The file, in the same folder.
        path: Its name from now on.
    """
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_once(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file unless there is one: of several writers the first one's content stays, and it appears whole.

    Args:
        path: Its folder exists.
        data: The whole content.
        mode: Who may read and write it.
    """
    part = path.with_name(f".{new_id()}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        part.unlink()
