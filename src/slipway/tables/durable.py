"""Files that appear whole or not at all, and stay."""

import ctypes
import errno
import os
from pathlib import Path

from slipway.errors import BackendError
from slipway.ids import new_id

__all__ = ["exchange", "put_new", "replace_file", "sync_file", "sync_folder"]

_HERE, _EXCHANGE = -100, 2
"""Of Linux's renameat2: paths are as the process sees them; each gets the other's name."""


def put_new(path: Path, content: bytes, *, mtime_s: float | None = None) -> None:
    """Write a file that must not be there yet.

    Args:
        path: Where; its folder exists.
        content: What.
        mtime_s: The time that the file is to bear, None for now.

    Raises:
        FileExistsError: The file is there; it is left as it is.
        OSError: The file system failed.
    """
    temporary = _write(path, content, mtime_s)
    try:
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file, in the place of the one that is there; whoever reads it gets the old one or the new one.

    Raises:
        OSError: The file system failed.
    """
    temporary = _write(path, content, None)
    try:
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def exchange(one: Path, other: Path) -> bool:
    """Let two folders of one file system change names, in one step: nobody finds one of the names missing.

    Returns:
        Whether they did; False where this system or file system cannot, and nothing was changed.

    Raises:
        BackendError: The file system failed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    if libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise BackendError(
        f"The folders {one} and {other} could not change names: {os.strerror(number)}.",
        fix="Give this user the right to write in both places; nothing was changed.",
    )


def sync_file(path: Path) -> None:
    """Wait until what a file holds is on the disk.

    Raises:
        OSError: The file system failed.
    """
    sync_folder(path)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk.

    Raises:
        OSError: The file system failed.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(path: Path, content: bytes, mtime_s: float | None) -> Path:
    temporary = path.with_name(f".{new_id()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if mtime_s is not None:
            os.utime(temporary, (mtime_s, mtime_s))
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
