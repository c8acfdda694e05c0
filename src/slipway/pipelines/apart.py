"""Steps that must be ended when they take too long: each runs in a process of its own, for a thread cannot be ended."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slipway import plugins
from slipway.errors import NotFound
from slipway.ledger.run_log import RunLog
from slipway.ledger.step_scope import StepCall
from slipway.pipelines import snapshot
from slipway.pipelines.remote import Remote

__all__ = ["Apart"]


class Apart:
    """Runs steps of one run in processes of their own. Safe for threads.

    Args:
        log: The run. Its project's snapshot is the code; without one, what lies around the step's module.
    """

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._remotes: dict[Path, Remote] = {}

    def __call__(self, call: StepCall) -> Any:
        """The step's result; see `Remote.__call__`."""
        assert call.function is not None
        folder = _project_of(call.function)
        with self._lock:
            if folder not in self._remotes:
                self._remotes[folder] = Remote(
                    plugins.load("executor", "process")(),
                    code=self._code(folder),
                    folder=self._log.workspace.root / "tasks",
                )
        return self._remotes[folder](call, self._log)

    def _code(self, folder: Path) -> bytes:
        digest = self._log.run.code.snapshot
        try:
            return self._log.workspace.blobs.get(digest) if digest else snapshot.pack(folder)
        except NotFound:
            return snapshot.pack(folder)


def _project_of(function: Callable[..., Any]) -> Path:
    """The folder from which a function's module is imported."""
    file = Path(function.__code__.co_filename).resolve()
    module = sys.modules.get(function.__module__)
    depth = function.__module__.count(".") if function.__module__ != "__main__" else 0
    if module is not None and hasattr(module, "__path__"):
        depth += 1
    return file.parents[depth]
