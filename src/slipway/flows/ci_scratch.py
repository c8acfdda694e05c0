"""A temporary folder that is gone after its process, however that ended.

Whoever uses it holds a lock on a file in it. A process that is killed leaves the folder without a holder, and the next
one removes it. A child that is given the lock's descriptor keeps it as long as it lives.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

__all__ = ["Scratch", "scratch"]

_PREFIX = "slipway-ci-"
_LOCK = "lock"


class Scratch(NamedTuple):
    """The folder, and the descriptor of its lock."""

    folder: Path
    lock: int


@contextmanager
def scratch() -> Iterator[Scratch]:
    """Make one, after those were removed that nobody holds; it is gone after the block."""
    _clean()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    lock = _held(folder / _LOCK)
    try:
        yield Scratch(folder, lock)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _held(path: Path) -> int:
    found = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return found


def _clean() -> None:
    """Remove the folders of this user whose process is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # somebody makes or removes it at this moment
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)
