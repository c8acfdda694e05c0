"""Endpoints as detached processes of this machine."""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from slipway.errors import BackendError
from slipway.ports.launcher import LOCK_FILE, LOG_FILE, STATUS_FILE
from slipway.processes import words_of
from slipway.records.endpoints import EndpointStatus

__all__ = ["ProcessLauncher"]

_MODULE = "slipway.hosts.endpoint"
_LOOK_EVERY_S = 0.05
_STOP_WITHIN_S = 45.0
_MAX_LOG_BYTES = 16 << 20
_TOLD_BYTES = 4000


class ProcessLauncher:
    """Starts `python -m slipway.hosts.endpoint FOLDER` in a session of its own.

    Args:
        python: The interpreter; this process's own when empty.
        ready_within_s: How long a start may take.
        environment: Variables of what is started, where this process has no other value of them.
    """

    def __init__(
        self, python: str = "", *, ready_within_s: float = 60.0, environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._python = python or sys.executable
        self._ready_within_s = ready_within_s
        self._environment = environment
        self._children: set[int] = set()

    def ensure(self, folder: Path) -> EndpointStatus:
        """See `Launcher.ensure`."""
        folder = folder.resolve()
        child = 0
        until = time.monotonic() + self._ready_within_s
        while time.monotonic() < until:
            owner = _owner(folder)
            if owner is None and child and self._has_ended(child):
                raise _not_started(folder)
            if owner is None and not child:
                child = self._start(folder)
            status = _status(folder)
            # The lock's process id and the status may both be a killed predecessor's while a new owner is just beginning.
            if owner and status and status.pid == owner and status.state == "ready" and _is_endpoint(owner):
                return status
            if child and child != owner and self._has_ended(child):
                child = 0  # another process was first; if it goes before it is ready, start again
            time.sleep(_LOOK_EVERY_S)
        raise BackendError(
            f"The endpoint in {folder} was not ready within {self._ready_within_s:g} seconds.",
            why=_last_words(folder),
            fix=f"Read {folder / LOG_FILE}; the process is left running.",
        )

    def status(self, folder: Path) -> EndpointStatus | None:
        """See `Launcher.status`."""
        self._reap()
        owner, status = _owner(folder), _status(folder)
        if status is None or (owner is None and status.state != "failed"):
            return None
        return status if owner in (None, status.pid) else None

    def stop(self, folder: Path) -> None:
        """See `Launcher.stop`."""
        until = time.monotonic() + _STOP_WITHIN_S
        told = 0
        while (owner := _owner(folder)) is not None:
            if owner and owner != told and _is_endpoint(owner):
                told = owner
                _signal(owner, signal.SIGTERM)
            if time.monotonic() > until:
                if told != owner:
                    raise BackendError(
                        f"The lock on {folder} is held by process {owner}, which is no endpoint.",
                        fix=f"Find out what it is: ps -p {owner}.",
                    )
                _signal(owner, signal.SIGKILL)
            self._reap()
            time.sleep(_LOOK_EVERY_S)
        self._reap()

    def _start(self, folder: Path) -> int:
        log = folder / LOG_FILE
        if log.exists() and log.stat().st_size > _MAX_LOG_BYTES:
            log.rename(log.with_suffix(".log.1"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        # -P: the folder in which the starter happens to stand is no part of the endpoint.
        child = os.posix_spawn(
            self._python,
            [self._python, "-P", "-m", _MODULE, str(folder)],
            {**self._environment, **os.environ},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        self._children.add(child)
        return child

    def _has_ended(self, child: int) -> bool:
        self._reap()
        return child not in self._children

    def _reap(self) -> None:
        """Collect children that have ended, so that no zombies are left in a long-lived starter."""
        for child in list(self._children):
            try:
                ended = os.waitpid(child, os.WNOHANG)[0] == child
            except ChildProcessError:
                ended = True
            if ended:
                self._children.discard(child)


def _owner(folder: Path) -> int | None:
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


def _status(folder: Path) -> EndpointStatus | None:
    try:
        return msgspec.json.decode((folder / STATUS_FILE).read_bytes(), type=EndpointStatus)
    except FileNotFoundError:
        return None


def _is_endpoint(pid: int) -> bool:
    """Whether a process runs an endpoint; a process id may have been given anew since it was written down."""
    return _MODULE in words_of(pid)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # gone in the meantime, as wanted
    except PermissionError as problem:
        raise BackendError(
            f"Process {pid} runs the endpoint as another user.", fix="Stop it as that user, or as root."
        ) from problem


def _not_started(folder: Path) -> BackendError:
    return BackendError(
        f"The endpoint in {folder} did not start.", why=_last_words(folder), fix=f"Read {folder / LOG_FILE}."
    )


def _last_words(folder: Path) -> str:
    status = _status(folder)
    if status is not None and status.note:
        return status.note
    try:
        said = (folder / LOG_FILE).read_bytes()[-_TOLD_BYTES:].decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "Its last lines: " + "\n".join(said.splitlines()[-15:])
