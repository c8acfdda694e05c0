"""Where the steps of a run are carried out, and how long workers were held for it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

from slipway import plugins
from slipway.ledger.run_log import RunLog
from slipway.ledger.step_scope import StepCall
from slipway.pipelines import cache
from slipway.pipelines.apart import Apart
from slipway.pipelines.attempts import only_here
from slipway.pipelines.remote import Remote
from slipway.pipelines.scheduling import Machine, cpus_here
from slipway.ports.workspace import Workspace
from slipway.records.run_entries import WorkersHeld
from slipway.records.runs import WorkerTime

__all__ = ["Place", "Room", "placed", "room_of"]

_ELSEWHERE_AT_ONCE = 64

Place = Callable[[StepCall, RunLog], Any]
"""Computes a call of a step that logs to a run; see `Remote.__call__` for what it raises."""


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

    How long they were held is written into the run. Slipway's own steps need the store: they run in this process. So do
    all where the workspace says threads, but for those with a time-out: a thread cannot be ended.

    Args:
        log: The run.
        remote: Where else, for a caller that has its own executor, and closes it.
    """
    here = _Here()
    placement = log.workspace.placement
    apart = Apart(log, placement.open or (lambda: plugins.load("executor", "processes")(placement.workers)))

    def place(call: StepCall, to: RunLog) -> Any:
        if call.function is not None and remote is not None:
            return remote(call, to)
        if call.function is not None and placement.open is not None:
            return apart(call, to)
        with here:
            if call.function is not None and call.limits.timeout_s is not None:
                return apart(call, to)
            with only_here(call.name) if call.function is not None else nullcontext():
                return cache.settled(call.compute())

    try:
        yield place
    finally:
        held = apart.close()
        if placement.open is None:
            held = here.time() if here.used_s and remote is None else None
        if held is not None:
            log.later(WorkersHeld(held))


class _Here:
    """The time in which steps are computed in threads of this process, which is the one worker that it holds."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._running = 0
        self._since = 0.0
        self.used_s = 0.0

    def __enter__(self) -> None:
        with self._lock:
            self._running += 1
            if self._running == 1:
                self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1
            if not self._running:
                self.used_s += time.monotonic() - self._since

    def time(self) -> WorkerTime:
        paid = time.monotonic() - self._begun
        return WorkerTime(
            executor="threads", workers=1, used_s=self.used_s, idle_s=max(paid - self.used_s, 0.0), paid_s=paid
        )
