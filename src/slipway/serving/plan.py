"""Which workers an endpoint should have now: of the environment that serves, of one that is being prepared, of the former.

A revision for another environment is prepared beside what serves: its workers are started and warm before the front
gives them anything. What served before keeps one worker warm, so that the way back is a matter of a moment.
"""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from slipway.records.endpoints import Revision
from slipway.serving import front_routes as figure
from slipway.serving.counters import MAX_WORKERS
from slipway.serving.front_keeper import FrontKeeper
from slipway.serving.front_routes import Figures, Routes, write_routes
from slipway.serving.scaling import Scaler
from slipway.serving.swap import REVISION_FILE
from slipway.serving.worker_pool import Kind, Worker, WorkerPool
from slipway.serving.worker_state import WorkerState

__all__ = ["Plan"]

_logger = logging.getLogger("slipway.serving")


class Plan:
    """What a supervisor is after.

    Args:
        folder: The endpoint's.
        pool: Its workers.
        keeper: Its front, None where it may have none.
        revision: What should serve at first.
        is_shared: Whether it is asked by way of the front that the endpoints of its store share.

    Attributes:
        number: The revision that serves now, 0 for none.
        target: How many workers are meant to answer.
        refused: The number of a revision that no worker of its environment could load, 0 for none.
        note: Why, "" for nothing.
    """

    def __init__(
        self, folder: Path, pool: WorkerPool, keeper: FrontKeeper | None, revision: Revision, *, is_shared: bool = False
    ) -> None:
        self._folder = folder
        self._pool = pool
        self._keeper = keeper
        self._goal = self._counted = revision
        self._since = 0.0
        self._stamp = _stamp(folder)
        self._is_shared = is_shared
        self._is_fronted = is_shared or _needs_front(revision)
        self._serving = self._kind_of(revision)
        self._former: Kind | None = None
        self._scaler = _scaler_of(revision)
        self._figures: Figures | None = None
        self._routes: Routes | None = None
        self.number = 0
        self.target = self._wanted_now()
        self.refused = 0
        self.note = ""

    def look(self, read: Callable[[], Revision | None]) -> Revision | None:
        """Take up another revision; returns it, None where there is none."""
        stamp = _stamp(self._folder)
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        revision = read()
        if revision is None or revision == self._goal:
            return None
        self._goal, self._since = revision, time.monotonic()
        self._pool.forgive()
        self._is_fronted = self._is_fronted or _needs_front(revision)
        self._scaler.use(time.monotonic())  # one that sleeps wakes: whoever deploys waits until it serves
        self.refused, self.note = 0, ""
        return revision

    def rests(self) -> bool:
        """Whether the endpoint sleeps and nothing has come since the last look: another one would find the same."""
        if self.target or self._pool.is_busy or self._routes is None or self._routes.workers:
            return False
        if not self._routes.revision == self.number == self._goal.number or _stamp(self._folder) != self._stamp:
            return False
        if self._told.total(figure.WAITING):
            return False
        if not self._scaler.is_quiet(time.monotonic(), self._told.total(figure.LOAD_NS)):
            return False
        if self._keeper is not None:
            self._keeper.look()
        return True

    def follow(self) -> None:
        """Have the workers that are wanted now, and give the front those that answer."""
        if self.number == self._goal.number and self._counted is not self._goal:
            if _scale(self._counted) != _scale(self._goal):
                self._scaler = _scaler_of(self._goal)
            self._counted = self._goal
        if self.number != self._goal.number and not self.refused:
            self._scaler.use(time.monotonic())  # it is not idle before it serves
        self.target = self._wanted_now()
        goal = self._kind_of(self._goal)
        wanted = {self._serving: self.target}
        if goal != self._serving and not self.refused:
            wanted[goal] = max(self.target, 1)
            states = self._states_of(goal)
            if note := next((state.note for state in states if state.refused == self._goal.number), ""):
                self.refused, self.note = self._goal.number, note
            ready = [state for state in states if state.ready and state.revision == self._goal.number]
            if len(ready) >= (1 if goal == self._former else wanted[goal]) and self._switch(goal):
                wanted = {goal: max(self.target, 1)}
        if self._former is not None:
            wanted.setdefault(self._former, 1)
        if self._serving.is_fronted:
            self._tell_front()  # before workers leave: what leaves gets nothing more
        self._pool.want(wanted)
        if self._keeper is not None and self._serving.is_fronted:
            self._keeper.look()

    def gives_up(self, worker: Worker, why: str, *, is_hopeless: bool) -> bool:
        """A worker ended: whether that is the end of what was being prepared, or of what was kept warm, and of no more."""
        kind = worker.kind
        if kind == self._serving:
            return False
        if kind == self._former and kind != self._kind_of(self._goal):
            self._former = None if is_hopeless else self._former
            return True
        if is_hopeless and not self.refused and worker.started >= self._since:  # others tried the one before
            self.refused = self._goal.number
            self.note = f"{_cannot(why)} Revision {self.number} goes on serving."
            _logger.error("%s", self.note)
        return True

    def falls_back(self, good: Revision | None, why: str) -> bool:
        """What should serve at first cannot be loaded: whether what served last, in another environment, serves instead."""
        if good is None or self.refused or good.served.environment == self._serving.environment:
            return False
        self.refused = self._goal.number
        self.note = f"{_cannot(why)} Revision {good.number}, the last good one, serves."
        self._serving = self._kind_of(good)
        return True

    def states(self) -> list[WorkerState]:
        """What those say that serve."""
        return self._states_of(self._serving)

    @property
    def is_full(self) -> bool:
        """Whether as many answer as are meant to, not counting those whose place another one takes."""
        return len([worker for worker in self._pool.staying(self._serving) if worker.state.ready]) >= self.target

    @property
    def memory_bytes(self) -> dict[Kind, int]:
        """What a worker that serves may come to take, 0 for no limit."""
        return {self._serving: self._counted.memory_bytes}

    @property
    def is_taken_up(self) -> bool:
        """Whether requests go where this plan wants them: the front, where there is one, has read of it.

        Before there was one, workers accepted on the same socket: they have to have let go of it.
        """
        if not self._serving.is_fronted:
            return True
        has_read = self._routes is not None and self._told.newest(figure.TAKEN) >= self._routes.edition
        return has_read and self._pool.is_alone

    @property
    def _told(self) -> Figures:
        if self._figures is None:
            self._figures = Figures(self._folder)
        return self._figures

    def renew_front(self) -> None:
        """Let another front process take over."""
        if self._keeper is not None and self._serving.is_fronted:
            self._keeper.start()

    def _switch(self, goal: Kind) -> bool:
        """Let another kind of worker serve."""
        former = self._serving
        self._serving = goal
        if goal.is_fronted:
            self._tell_front()
            if self._keeper is not None and not self._keeper.is_up and not self._keeper.start():
                self._serving = former
                self.refused = self._goal.number
                self.note = "The front did not start; front.log may say why."
                return False
        if former.environment != goal.environment:
            self._former = Kind(former.environment, is_fronted=True)
        _logger.info("Revision %d serves in the environment %s.", self._goal.number, goal.environment[:12] or "here")
        return True

    def _kind_of(self, revision: Revision) -> Kind:
        return Kind(revision.served.environment, self._is_fronted)

    def _states_of(self, kind: Kind) -> list[WorkerState]:
        return [self._pool.state_of(worker) for worker in self._pool.of(kind)]

    def _wanted_now(self) -> int:
        if not self._serving.is_fronted or self._counted.fewest == self._counted.workers:
            return min(max(self._counted.workers, 1), MAX_WORKERS)
        return self._scaler.target(
            time.monotonic(),
            load_ns=self._told.total(figure.LOAD_NS),
            waiting=self._told.total(figure.WAITING),
            has_workers=bool(self._pool.of(self._serving)),
        )

    def _tell_front(self) -> None:
        answer = self._pool.answering(self._serving, max(self.target, 1))
        routes = Routes(
            name=self._goal.name,
            workers=tuple(sorted(worker.serial for worker in answer)),
            revision=self.number,
            max_bytes=self._goal.contract.max_bytes,
            bulk_bytes=max(self._goal.contract.bulk_bytes, self._goal.contract.max_bytes),
            sleeps=self._goal.fewest == 0,
            is_open=not self._goal.by_token,
            is_shared=self._is_shared,
        )
        self._write(routes)

    def leave_front(self) -> None:
        """Nobody answers any more."""
        if self._routes is not None:
            self._write(msgspec.structs.replace(self._routes, workers=(), edition=0))

    def _write(self, routes: Routes) -> None:
        former = self._routes
        if former is not None and msgspec.structs.replace(former, edition=0) == routes:
            return
        routes = msgspec.structs.replace(routes, edition=time.time_ns())
        try:
            write_routes(self._folder, routes)
        except OSError as problem:  # a full disk: it is tried again at the next look
            _logger.error("The front cannot be told of its workers: %s", problem)
            return
        self._routes = routes


def _cannot(why: str) -> str:
    said = "The published revision cannot be loaded"
    return why if why.startswith(said) else f"{said}: {why}"


def _needs_front(revision: Revision) -> bool:
    return bool(revision.served.environment) or revision.fewest != revision.workers


def _scale(revision: Revision) -> tuple[int, int, int]:
    return revision.workers, revision.fewest, revision.idle_us


def _scaler_of(revision: Revision) -> Scaler:
    most = min(max(revision.workers, 1), MAX_WORKERS)
    return Scaler(min(revision.fewest, most), most, revision.idle_us / 1e6, time.monotonic())


def _stamp(folder: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(folder / REVISION_FILE)
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
