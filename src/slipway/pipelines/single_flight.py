"""Equal calls at the same time compute once: a lock a key, in whatever process of this machine they are."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from slipway.errors import BackendError

__all__ = ["SingleFlight"]

_LEAST_S, _MOST_S = 0.002, 0.1


class SingleFlight:
    """Holds a key while its result is computed. The lock is the system's own: it goes with a process that is killed.

    Args:
        folder: Where the files of the locks lie; made when it is missing.
        over: Ends waiting when it is set.
    """

    def __init__(self, folder: Path, over: threading.Event) -> None:
        self._folder = folder
        self._over = over

    @contextmanager
    def alone(self, key: str, waiting: AbstractContextManager[None]) -> Iterator[bool]:
        """Be the only one that computes a key inside the block; waits for who does so now.

        Gives False where waiting was ended before it had the key.

        Args:
            key: The key, "" for a call that anybody may compute.
            waiting: Is entered while another one is waited for.

        Raises:
            BackendError: The lock's file cannot be made.
        """
        if not key:
            yield True
            return
        path = f"{self._folder}{os.sep}{key}"
        handle = self._locked(path)
        if handle is None:
            with waiting:
                pause = _LEAST_S
                while handle is None and not self._over.wait(pause):
                    pause = min(2 * pause, _MOST_S)
                    handle = self._locked(path)
        try:
            yield handle is not None
        finally:
            if handle is not None:
                with suppress(FileNotFoundError):
                    os.unlink(path)
                fcntl.flock(handle, fcntl.LOCK_UN)  # a process that was forked off has the handle too
                os.close(handle)

    def _locked(self, path: str) -> int | None:
        """The open file, locked; None where another one has it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            try:
                handle = os.open(path, flags, 0o600)
            except FileNotFoundError:
                self._folder.mkdir(parents=True, exist_ok=True)
                handle = os.open(path, flags, 0o600)
        except OSError as problem:
            raise BackendError(
                f"The lock {path} of a step's result cannot be made: {problem.strerror or problem}.",
                fix="Make room, or give this user the right to write there.",
            ) from problem
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except (BlockingIOError, FileNotFoundError):  # held; or removed by who had it, between opening and locking
            pass
        os.close(handle)
        return None
