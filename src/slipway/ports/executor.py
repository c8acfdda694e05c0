"""Where a step's task runs."""

from pathlib import Path
from typing import Protocol

from msgspec import Struct

__all__ = ["OUTPUT_FILE", "Ending", "Executor"]

OUTPUT_FILE = "output.log"
"""The file of a task's folder to which an executor appends what the task prints; whoever reads it may empty it meanwhile."""


class Ending(Struct, frozen=True, kw_only=True):
    """How the execution of a task ended. What it came to is in the folder's `result.json`.

    Args:
        problem: How it broke off, as the end of a sentence ("was killed by signal 9", "took longer than 5 seconds"); "" when
            it came to its end.
        output: The last lines that it printed.
    """

    problem: str = ""
    output: str = ""


class Executor(Protocol):
    """Runs tasks that lie in folders (see `records/tasks.py`). Safe for threads.

    Guarantees: after `execute` nothing of the task runs any more; a task that crashes, is killed or takes too long is an
    ending with a problem, never an exception; the task sees neither the ledger nor the store, only its folder.
    """

    def execute(self, folder: Path, *, timeout_s: float | None = None) -> Ending:
        """Run the task in a folder to its end.

        Args:
            folder: Holds `task.json` and what it names.
            timeout_s: After how many seconds it is ended, None for never.

        Raises:
            BackendError: It could not be started at all.
        """
        ...
