"""Where a step's task runs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from slipway.records.runs import WorkerTime

__all__ = ["OUTPUT_FILE", "THREADS", "Ending", "Executor", "Placement", "Resources"]

OUTPUT_FILE = "output.log"
"""The file of a task's folder to which an executor appends what the task prints; whoever reads it may empty it meanwhile."""


class Resources(Struct, frozen=True, kw_only=True):
    """What a task may take. What an executor cannot hold it to is said at that executor.

    Args:
        timeout_s: After how many seconds it is ended, None for never. They count from when its function begins: waiting for
            a worker, importing the project and reading the arguments do not count.
        begin_s: Within how many seconds its function begins once it has a worker, where there is a time-out.
        memory_bytes: How much memory it and what it starts may hold, None for no limit.
        cpus: How many processors it wants; for placing it, nothing stops it from using more.
        gpus: How many graphics processors it wants.
    """

    timeout_s: float | None = None
    begin_s: float = 300.0
    memory_bytes: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0


class Ending(Struct, frozen=True, kw_only=True):
    """How the execution of a task ended. What it came to is in the folder's `result.json`.

    Args:
        problem: How it broke off, as the end of a sentence ("was killed by SIGKILL", "took longer than 5 seconds"); "" when
            it came to its end.
        output: The last lines that it printed.
        is_lost: Whether the place where it ran went away, and not the task by itself: it may be tried again elsewhere.
    """

    problem: str = ""
    output: str = ""
    is_lost: bool = False


class Executor(Protocol):
    """Runs tasks that lie in folders (see `records/tasks.py`). Safe for threads.

    Guarantees: workers start when the first task needs them; after `execute` nothing of the task runs any more; a task
    that crashes, is killed or takes too long is an ending with a problem, never an exception; the task sees neither the
    ledger nor the store, only its folder; what a task changes in its process is unknown to the next one. What it logs
    appears in its folder while it runs.
    """

    def execute(self, folder: Path, needs: Resources = ...) -> Ending:
        """Run the task in a folder to its end.

        Args:
            folder: Holds `task.json` and what it names.
            needs: What it may take.

        Raises:
            BackendError: It could not be started at all.
            InvalidInput: It needs more than any worker can have.
        """
        ...

    def time(self) -> WorkerTime:
        """How long workers were held so far, and how long they carried out tasks."""
        ...

    def close(self) -> None:
        """Release all workers. Closing twice is fine; a task that comes later is refused with a `BackendError`."""
        ...


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the steps of pipelines are carried out, as an environment's settings say.

    Args:
        open: Opens the executor of one run; None for threads of the run's own process.
        workers: How many steps run at one time, 0 for as many as there is room for.
        is_elsewhere: Whether other machines carry them out, so that what this one has limits nothing.
        setting: The environment's setting `executor` that says so.
    """

    open: Callable[[], Executor] | None = None
    workers: int = 0
    is_elsewhere: bool = False
    setting: str = "threads"


THREADS = Placement()
"""In threads of the run's own process, one a core."""
