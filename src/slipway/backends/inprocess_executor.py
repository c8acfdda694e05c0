"""Tasks in this process: nothing is isolated, nothing has to start."""

from collections.abc import Callable
from pathlib import Path

from slipway.ports.executor import Ending

__all__ = ["InProcessExecutor"]


class InProcessExecutor:
    """Runs a task by calling what a worker would run. A time-out is not kept: a thread cannot be ended.

    Args:
        perform: Carries out the task in a folder and writes its result.
    """

    def __init__(self, perform: Callable[[Path], None]) -> None:
        self._perform = perform

    def execute(self, folder: Path, *, timeout_s: float | None = None) -> Ending:
        """See `Executor.execute`."""
        try:
            self._perform(folder)
        except SystemExit as leaving:
            return Ending(problem=f"left with {leaving.code!r}")
        return Ending()
