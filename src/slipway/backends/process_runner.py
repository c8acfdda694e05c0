"""Pipeline tasks as detached processes of this machine."""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from slipway.errors import BackendError
from slipway.ports.runner import LOCK_DESCRIPTOR, LOCK_FILE, LOG_FILE, RESULT_FILE, RunnerState
from slipway.processes import words_of

__all__ = ["ProcessRunner"]

_MODULE = "slipway.hosts.pipeline_run"
_LOOK_EVERY_S = 0.02
_STOP_WITHIN_S = 10.0
_GIVE_UP_AFTER_S = 30.0


class ProcessRunner:
    """Starts `python -m slipway.hosts.pipeline_run FOLDER` in a session of its own.

    Args:
        python: The interpreter; this process's own when empty.
    """

    def __init__(self, python: str = "") -> None:
        self._python = python or sys.executable
        self._children: set[int] = set()

    def start(self, folder: Path, *, python: str = "", variables: Mapping[str, str | None] | None = None) -> None:
        """See `Runner.start`."""
        self._reap()
        folder = folder.resolve()
        lock = _take(folder)
        if lock is None:
            return
        try:
            if not (folder / RESULT_FILE).exists():
                os.ftruncate(lock, 0)  # the process id of one that was killed
                self._children.add(self._spawn(folder, lock, python or self._python, variables or {}))
        except OSError as problem:
            raise BackendError(
                f"The task in {folder} cannot be started with {python or self._python}: {problem}.",
                fix="Check that this interpreter exists and that processes, memory and disk are left.",
            ) from problem
        finally:
            os.close(lock)  # the child has its own; the lock is free when the last of the two is closed

    def state(self, folder: Path) -> RunnerState:
        """See `Runner.state`."""
        self._reap()
        # The lock first: between the two looks a task may end, and must not look absent then.
        is_running = _holder(folder) is not None
        if (folder / RESULT_FILE).exists():
            return "ended"
        return "running" if is_running else "absent"

    def wait(self, folder: Path, timeout_s: float) -> RunnerState:
        """See `Runner.wait`."""
        until = time.monotonic() + timeout_s
        while (state := self.state(folder)) == "running" and time.monotonic() < until:
            time.sleep(_LOOK_EVERY_S)
        return state

    def stop(self, folder: Path) -> None:
        """See `Runner.stop`."""
        began = time.monotonic()
        told = 0
        while (holder := _holder(folder)) is not None:
            spent = time.monotonic() - began
            if holder and _is_task(holder) and (told != holder or spent > _STOP_WITHIN_S):
                _signal(holder, signal.SIGTERM if told != holder else signal.SIGKILL)
                told = holder
            if spent > _GIVE_UP_AFTER_S:
                raise BackendError(
                    f"The lock on {folder} is held by process {holder or 'unknown'}, which does not end.",
                    fix=f"Find out what holds it: fuser {folder / LOCK_FILE}",
                )
            self._reap()
            time.sleep(_LOOK_EVERY_S)
        self._reap()

    def _spawn(self, folder: Path, lock: int, python: str, variables: Mapping[str, str | None]) -> int:
        # -P and no PYTHONPATH: where the starter happens to stand, and what it imports from, is no part of the task.
        wanted = {**os.environ, "PYTHONPATH": None, **variables}
        environment = {name: value for name, value in wanted.items() if value is not None}
        return os.posix_spawn(
            python,
            [python, "-P", "-m", _MODULE, str(folder)],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(folder / LOG_FILE), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, lock, LOCK_DESCRIPTOR),
            ],
            setsid=True,
        )

    def _reap(self) -> None:
        """Collect children that have ended, so that no zombies are left in a long-lived starter."""
        for child in list(self._children):
            try:
                ended = os.waitpid(child, os.WNOHANG)[0] == child
            except ChildProcessError:
                ended = True
            if ended:
                self._children.discard(child)


def _take(folder: Path) -> int | None:
    """The folder's lock as an open file, None when somebody runs the task."""
    try:
        opened = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        # Above the numbers that the child's own files get: one that is in the way would be closed over.
        lock = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, LOCK_DESCRIPTOR + 1)
        os.close(opened)
    except OSError as problem:
        raise BackendError(
            f"The task in {folder} cannot be started: {problem}.", fix="Stage the task first, in a folder of the store."
        ) from problem
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if _holder(folder) is not None:
                os.close(lock)
                return None
            time.sleep(_LOOK_EVERY_S)  # somebody only looked, which takes the lock for a moment
        else:
            return lock


def _holder(folder: Path) -> int | None:
    """The process that holds the folder's lock, 0 when it has not said who it is yet, None when nobody holds it."""
    try:
        with (folder / LOCK_FILE).open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                said = file.read().strip()
                return int(said) if said.isdigit() else 0
            return None
    except FileNotFoundError:
        return None


def _is_task(pid: int) -> bool:
    """Whether a process runs a task, or has ended and left others of its group; an id may have been given anew."""
    return _MODULE in (words_of(pid) or [_MODULE])


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)  # also what the task started
    except ProcessLookupError:
        with suppress(ProcessLookupError):  # one that a person started by hand leads no group
            os.kill(pid, number)
    except PermissionError as problem:
        raise BackendError(
            f"Process {pid} runs the task as another user.", fix="Stop it as that user, or as root."
        ) from problem
