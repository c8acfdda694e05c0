"""Tasks in this process: nothing is isolated, nothing has to start."""

import time
from collections.abc import Callable
from pathlib import Path

from slipway.ports.executor import Ending, Resources
from slipway.records.runs import WorkerTime

__all__ = ["InProcessExecutor"]

_NO_RESOURCES = Resources()


class InProcessExecutor:
    """Runs a task by calling what a worker would run. Time-out and memory are not held: a thread cannot be ended.

    Args:
        perform: Carries out the task in a folder and writes its result.
    """

    def __init__(self, perform: Callable[[Path], None]) -> None:
        self._perform = perform
        self._used_s = 0.0

    def execute(self, folder: Path, needs: Resources = _NO_RESOURCES) -> Ending:
        """See `Executor.execute`."""
        started = time.monotonic()
        try:
            self._perform(folder)
        except SystemExit as leaving:
            return Ending(problem=f"left with {leaving.code!r}")
        finally:
            self._used_s += time.monotonic() - started
        return Ending()

    def time(self) -> WorkerTime:
        """See `Executor.time`. This process is there anyway: what it does is what it costs."""
        return WorkerTime(executor="inprocess", workers=1, used_s=self._used_s, idle_s=0.0, paid_s=self._used_s)

    def close(self) -> None:
        """See `Executor.close`."""
