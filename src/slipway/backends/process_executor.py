"""Tasks in a process of their own."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from slipway.errors import BackendError
from slipway.ports.executor import OUTPUT_FILE, Ending

__all__ = ["ProcessExecutor"]

_TAIL_BYTES = 4000
_WORKER = "slipway.hosts.step_worker"


class ProcessExecutor:
    """Starts a worker a task, in a session of its own, so that what it started ends with it.

    Args:
        python: The interpreter of the environment in which steps run; this one when None.
    """

    def __init__(self, python: Path | None = None) -> None:
        self._python = str(python or sys.executable)

    def execute(self, folder: Path, *, timeout_s: float | None = None) -> Ending:
        """See `Executor.execute`."""
        with (folder / OUTPUT_FILE).open("ab") as output:
            try:
                # -P: the current folder is no place to import from.
                worker = subprocess.Popen(
                    [self._python, "-P", "-m", _WORKER, str(folder)],
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as problem:
                raise BackendError(
                    f"No step worker could be started with {self._python}: {problem}.",
                    fix="Check that this interpreter exists and that processes and memory are left.",
                ) from problem
        broke = ""
        try:
            code = worker.wait(timeout_s)
            if code:
                broke = f"was killed by {_signal(-code)}" if code < 0 else f"ended with exit code {code}"
        except subprocess.TimeoutExpired:
            broke = f"took longer than {timeout_s:g} seconds"
        finally:
            # Also when waiting is interrupted here: nothing of the task may outlive this call.
            _end(worker)
        return Ending(problem=broke, output=_tail(folder / OUTPUT_FILE))


def _end(worker: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the session is empty already
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return file.read().decode("utf-8", "replace").strip()
