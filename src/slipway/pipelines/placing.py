"""Where the steps of a run are carried out, and how long workers were held for it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from slipway.errors import NotFound
from slipway.ledger.run_log import RunLog
from slipway.ledger.step_scope import StepCall
from slipway.pipelines import cache
from slipway.pipelines.apart import Apart
from slipway.pipelines.remote import Remote
from slipway.pipelines.scheduling import Machine, cpus_here
from slipway.ports.workspace import Workspace
from slipway.records.run_entries import WorkersHeld
from slipway.records.runs import WorkerTime

__all__ = ["Place", "Room", "placed", "room_of"]

_ELSEWHERE_AT_ONCE = 64

Place = Callable[[StepCall], Any]
"""Computes a step's call; see `Remote.__call__` for what it raises."""


class Room(NamedTuple):
    """How many submitted steps run at one time, and what they may take together."""

    workers: int
    machine: Machine


def room_of(workspace: Workspace, workers: int | None = None, machine: Machine | None = None) -> Room:
    """The room for the steps of a run.

    Args:
        workspace: Says where they are carried out.
        workers: How many at one time; None for what the workspace says.
        machine: What they may take together; None for what there is.
    """
    placement = workspace.placement
    if placement.is_elsewhere:  # whoever has the machines places them by what they need
        return Room(
            workers or placement.workers or _ELSEWHERE_AT_ONCE, machine or Machine(math.inf, math.inf, math.inf)
        )
    return Room(workers or placement.workers or cpus_here(), machine or Machine.here())


@contextmanager
def placed(log: RunLog, remote: Remote | None = None) -> Iterator[Place]:
    """Open where a run's steps are carried out, as its workspace says; workers are released when the block ends.

    How long they were held is written into the run. Slipway's own steps need the store: they run in this process.

    Args:
        log: The run.
        remote: Where else, for a caller that has its own executor, and closes it.
    """
    opening = log.workspace.placement.open
    with closing(_Here(log)) as here:
        if remote is not None:
            yield lambda call: here(call) if call.function is None else remote(call, log)
        elif opening is None:
            try:
                yield here
            finally:
                if here.used_s:
                    log.later(WorkersHeld(here.time()))
        else:
            executor = opening()
            try:
                own = Remote(executor, code=_code(log), folder=log.workspace.root / "tasks")
                yield lambda call: here(call) if call.function is None else own(call, log)
            finally:
                executor.close()
                if (held := executor.time()).workers:
                    log.later(WorkersHeld(held))


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
    """Computes steps in threads of this process, which is the one worker that it holds. Safe for threads.

    A step with a time-out is computed in a process of its own: a thread cannot be ended.
    """

    def __init__(self, log: RunLog) -> None:
        self._apart = Apart(log)
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
            if call.function is not None and call.limits.timeout_s is not None:
                return self._apart(call)
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

    def close(self) -> None:
        self._apart.close()
