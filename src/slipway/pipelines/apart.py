"""Steps that an executor carries out, each with its project's code: such as a setting sends away, or a time-out must end."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slipway.errors import NotFound
from slipway.ledger.run_log import RunLog
from slipway.ledger.step_scope import StepCall
from slipway.pipelines import snapshot
from slipway.pipelines.beside import around
from slipway.pipelines.remote import Remote
from slipway.ports.executor import Executor
from slipway.records.runs import WorkerTime

__all__ = ["Apart"]


class Apart:
    """Runs steps of one run by an executor, which is opened when the first one comes. Safe for threads.

    Args:
        log: The run. Its project's snapshot is the code; without one, what lies around the step's module.
        opening: Opens the executor.
    """

    def __init__(self, log: RunLog, opening: Callable[[], Executor]) -> None:
        self._workspace = log.workspace
        self._snapshot = log.run.code.snapshot
        self._opening = opening
        self._lock = threading.Lock()
        self._executor: Executor | None = None
        self._remotes: dict[Path | None, Remote] = {}

    def __call__(self, call: StepCall, log: RunLog) -> Any:
        """The step's result; see `Remote.__call__`."""
        assert call.function is not None
        folder = around(call.function) if self._snapshot else _project_of(call.function)
        with self._lock:
            if self._executor is None:
                self._executor = self._opening()
            if folder not in self._remotes:
                self._remotes[folder] = Remote(
                    self._executor,
                    code=self._code(call.function),
                    folder=self._workspace.root / "tasks",
                    beside=folder,
                )
        return self._remotes[folder](call, log)

    def close(self) -> WorkerTime | None:
        """Release the workers; returns how long they were held, None where there were none."""
        if self._executor is None:
            return None
        self._executor.close()
        return self._executor.time()

    def _code(self, function: Callable[..., Any]) -> bytes:
        try:
            if self._snapshot:
                return self._workspace.blobs.get(self._snapshot)
        except NotFound:  # it was purged: the code that runs here is at hand
            pass
        return snapshot.pack(_project_of(function))


def _project_of(function: Callable[..., Any]) -> Path:
    """The folder from which a function's module is imported."""
    file = Path(function.__code__.co_filename).resolve()
    module = sys.modules.get(function.__module__)
    depth = function.__module__.count(".") if function.__module__ != "__main__" else 0
    if module is not None and hasattr(module, "__path__"):
        depth += 1
    return file.parents[depth]
