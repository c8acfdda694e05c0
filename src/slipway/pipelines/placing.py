"""Where the steps of a run are carried out, and how long workers were held for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from slipway.errors import NotFound
from slipway.ledger.run_log import RunLog
from slipway.ledger.step_scope import StepCall
from slipway.pipelines import cache
from slipway.pipelines.remote import Remote
from slipway.records.run_entries import WorkersHeld
from slipway.records.runs import WorkerTime

__all__ = ["Place", "placed"]

Place = Callable[[StepCall], Any]
"""Computes a step's call; see `Remote.__call__` for what it raises."""


@contextmanager
def placed(log: RunLog, remote: Remote | None = None) -> Iterator[Place]:
    """Open where a run's steps are carried out, as its workspace says; workers are released when the block ends.

    How long they were held is written into the run. Slipway's own steps need the store: they run in this process.

    Args:
        log: The run.
        remote: Where else, for a caller that has its own executor, and closes it.
    """
    here = _Here()
    opening = log.workspace.open_executor
    if remote is None and opening is not None:
        executor = opening()
        try:
            own = Remote(executor, code=_code(log), folder=log.workspace.root / "step-tasks")
            yield lambda call: here(call) if call.function is None else own(call, log)
        finally:
            executor.close()
            log.later(WorkersHeld(executor.time()))
        return
    try:
        yield lambda call: here(call) if call.function is None or remote is None else remote(call, log)
    finally:
        if here.used_s and remote is None:
            log.later(WorkersHeld(here.time()))


def _code(log: RunLog) -> bytes:
    snapshot = log.run.code.snapshot
    if not snapshot:
        return b""
    try:
        return log.workspace.blobs.get(snapshot)
    except NotFound as problem:
        raise NotFound(
            f"The project's snapshot {snapshot[:12]} is not stored, and workers need its code.",
            fix="Run the pipeline again from the project's folder: slipway run PIPELINE",
        ) from problem


class _Here:
    """Computes steps in this process, which is the one worker that it holds. Safe for threads."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._running = 0
        self._since = 0.0
        self.used_s = 0.0

    def __call__(self, call: StepCall) -> Any:
        with self._lock:
            self._running += 1
            if self._running == 1:
                self._since = time.monotonic()
        try:
            return cache.settled(call.compute())
        finally:
            with self._lock:
                self._running -= 1
                if not self._running:
                    self.used_s += time.monotonic() - self._since

    def time(self) -> WorkerTime:
        paid = time.monotonic() - self._begun
        return WorkerTime(
            executor="threads", workers=1, used_s=self.used_s, idle_s=max(paid - self.used_s, 0.0), paid_s=paid
        )
