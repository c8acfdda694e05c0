"""The background thread that brings what open runs keep to where runs are kept."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

from slipway.errors import SlipwayError
from slipway.ports.workspace import Workspace

__all__ = ["Flusher"]

_INTERVAL_S = 1.0


class _Open(Protocol):
    """A run that is under way."""

    workspace: Workspace
    id: str

    def write(self) -> None: ...

    def forked(self) -> None: ...


class Flusher:
    """One background thread a process; it writes what open runs keep, and ends when nothing was kept for a while."""

    def __init__(self) -> None:
        self._runs: weakref.WeakSet[_Open] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._said: dict[str, str] = {}
        self.known: weakref.WeakSet[_Open] = weakref.WeakSet()
        os.register_at_fork(after_in_child=self._forked)

    def notice(self, run: _Open) -> None:
        """A run keeps something: write it within a second."""
        with self._lock:
            self._runs.add(run)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="slipway-runs", daemon=True)
                self._thread.start()

    def _forked(self) -> None:
        self._runs, self._lock, self._thread = weakref.WeakSet(), threading.Lock(), None
        for run in self.known:
            run.forked()

    def _work(self) -> None:
        idle = 0
        while idle < 10:
            threading.Event().wait(_INTERVAL_S)
            with self._lock:
                runs = list(self._runs)
                self._runs.clear()
                idle = 0 if runs else idle + 1
                if idle >= 10:
                    self._thread = None
            while runs:
                self._write(runs.pop())

    def _write(self, run: _Open) -> None:
        try:
            run.write()
        except (SlipwayError, OSError) as problem:  # kept in the file, and tried again
            if self._said.get(run.id) != str(problem):
                run.workspace.say(f"The run {run.id} could not be written yet: {problem}")
            self._said[run.id] = str(problem)
        else:
            self._said.pop(run.id, None)
