"""`slipway up` as a process of its own: started, killed, started again where it was, stopped, or left running."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from slipway.errors import BackendError
from slipway.processes import PROC, words_of, words_of_all

__all__ = ["ServerProcess", "stop_former"]

_LOG_FILE = "server.log"
_PID_FILE = "server.pid"
_MARK = "SLIPWAY_SERVER_OF"
_LOOK_EVERY_S = 0.05
_READY_WITHIN_S = 60.0
_STOP_WITHIN_S = 60.0


class ServerProcess:
    """A control plane over a store. It outlives the process that starts it, unless it is stopped.

    Args:
        root: The store's folder.
        ports: The ports to try in turn, 0 for any free one.
        environment: Which environment the store is to it.
    """

    def __init__(self, root: Path, *, ports: Sequence[int] = (0,), environment: str = "dev") -> None:
        self._environment = environment
        self._root = root.resolve()
        self._ports = tuple(ports)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, once it was up on the port that it had; returns when it answers.

        Raises:
            BackendError: It did not start.
        """
        for port in self._ports:
            if url := self._start(port):
                self.url, self._ports = url, (int(url.rstrip("/").rpartition(":")[2]),)
                return
        log = self._root / _LOG_FILE
        raise BackendError(
            f"The control plane of {self._root} did not start.",
            why=" ".join(log.read_text().splitlines()[-5:]),
            fix=f"Read {log}.",
        )

    def kill(self) -> None:
        """End it as `kill -9` does: nothing is finished."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let it finish what it does, and end."""
        self._end(signal.SIGTERM)
        (self._root / _PID_FILE).unlink(missing_ok=True)

    def _start(self, port: int) -> str:
        path = self._root / _LOG_FILE
        with path.open("ab") as log:
            told = log.tell()
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "slipway", "up", "--root", str(self._root)),
                    *("--port", str(port), "--env", self._environment),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for its starter, which decides what becomes of it
                env={**os.environ, "PYTHONUNBUFFERED": "1", _MARK: str(self._root)},
            )
        (self._root / _PID_FILE).write_text(str(self._process.pid))
        until = time.monotonic() + _READY_WITHIN_S
        while self._process.poll() is None:
            if found := re.search(rb" at (http://\S+)", path.read_bytes()[told:]):
                return found[1].decode()
            if time.monotonic() > until:
                self.kill()
            time.sleep(_LOOK_EVERY_S)
        return ""

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def stop_former(root: Path) -> None:
    """Stop the control plane that a `ServerProcess` of an earlier process left running over a store, if there is one.

    Args:
        root: The store's folder.
    """
    file = root / _PID_FILE
    pids = _started_for(root)
    with suppress(FileNotFoundError, ValueError):
        pids.add(int(file.read_text()))
    until = time.monotonic() + _STOP_WITHIN_S
    while serving := {pid for pid in pids if _serves(pid, root)}:
        number = signal.SIGTERM if time.monotonic() < until else signal.SIGKILL
        for pid in serving:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(_LOOK_EVERY_S)
    file.unlink(missing_ok=True)


def _started_for(root: Path) -> set[int]:
    """Processes that bear a store's mark: whoever started one may have been killed before it wrote down which.

    Where the system does not show what is in a process's environment, those that were started by these words.
    """
    if not PROC.exists():
        return {pid for pid, words in words_of_all().items() if {"slipway", "up", str(root.resolve())} <= set(words)}
    mark = f"{_MARK}=".encode() + os.fsencode(root.resolve())
    found = set()
    for place in PROC.glob("[0-9]*/environ"):
        with suppress(OSError):  # somebody else's, or it has ended
            if mark in place.read_bytes().split(b"\0"):
                found.add(int(place.parent.name))
    return found


def _serves(pid: int, root: Path) -> bool:
    """Whether a process is a control plane over a store; its id may have been given anew since it was written down."""
    return {"slipway", "up", str(root.resolve())} <= set(words_of(pid))
