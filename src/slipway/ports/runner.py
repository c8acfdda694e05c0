"""How a pipeline's task is run in a process of its own, and the files by which that process is known.

A task lives in one folder (see `records/tasks.py`). Who runs it holds an exclusive `flock` on `LOCK_FILE`, which also
holds its process id; a file with a number in it proves nothing, because its writer may have been killed. What it prints
goes to `LOG_FILE`; what came of it is in `RESULT_FILE`, which appears last and whole.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

__all__ = [
    "CANCELLED_FILE",
    "LOCK_DESCRIPTOR",
    "LOCK_FILE",
    "LOG_FILE",
    "RESULT_FILE",
    "TASK_FILE",
    "Runner",
    "RunnerState",
]

TASK_FILE = "task.json"
RESULT_FILE = "result.json"
LOCK_FILE = "run.lock"
LOG_FILE = "run.log"
CANCELLED_FILE = "cancelled"
"""Who ended the task before its end, and why, in words: written before its process is stopped."""

LOCK_DESCRIPTOR = 3
"""Where the task's process finds the lock that was taken for it, so that there is no moment without a holder."""

RunnerState = Literal["absent", "running", "ended"]


class Runner(Protocol):
    """Runs tasks beside, not below, the process that asks.

    Guarantees: at most one process runs a folder's task; what was started survives its starter; every verb may be called
    by many processes at once and after a kill -9 of any of them.
    """

    def start(self, folder: Path, *, python: str = "", variables: Mapping[str, str | None] | None = None) -> None:
        """Start the task in a folder. One that runs, or has a result, is left alone; one that was killed starts again.

        When it returns, `state` is "running" or "ended" until the task's process is gone.

        Args:
            folder: The task's.
            python: The interpreter that runs it; "" for the runner's own. It has Slipway installed.
            variables: Environment variables that it shall have, beside the runner's own; None for one that it shall not.

        Raises:
            BackendError: No process can be started for it.
        """
        ...

    def state(self, folder: Path) -> RunnerState:
        """How a task stands: "ended" when its result is there; "absent" when nobody runs it and there is no result."""
        ...

    def wait(self, folder: Path, timeout_s: float) -> RunnerState:
        """Wait until nobody runs the task any more, or until the time is over; returns how it stands then."""
        ...

    def stop(self, folder: Path) -> None:
        """End the task and what it started; returns when its folder is free. Stopping twice is fine.

        Raises:
            BackendError: It cannot be stopped.
        """
        ...
