"""Which submitted steps run now: on a bounded number of threads, as far as the machine has what they need.

A step waits for its arguments without a thread. One that asks for a future's result while it runs gives its place to
others until it is there. Steps begin in the order of their calls, those that do not fit yet are passed by.
"""

from __future__ import annotations

import contextvars
import os
import threading
from bisect import insort
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slipway.context import Slot
from slipway.errors import InvalidInput
from slipway.ledger.step_scope import NO_LIMITS, StepLimits
from slipway.pipelines.futures import LOOK_UP_S, StepFuture
from slipway.processes import cores

__all__ = ["Machine", "Scheduler", "Task"]


@dataclass(frozen=True, slots=True)
class Machine:
    """What steps may take at one time.

    Args:
        cpus: Cores.
        memory_bytes: Memory.
        gpus: GPUs.
    """

    cpus: float
    memory_bytes: float
    gpus: float

    @classmethod
    def here(cls) -> Machine:
        """What this machine has, as far as this process may use it."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if visible is None:
            gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
        else:
            gpus = len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
        return cls(cpus_here(), memory, gpus)


def cpus_here() -> int:
    """The cores that this process may use."""
    return cores()


@dataclass(slots=True, eq=False)
class Task:
    """A submitted step.

    Args:
        position: Orders the calls of a run.
        limits: What it needs.
        work: Runs it; called in the context in which it was submitted.
        future: Gets what `work` returns or raises.
        after: What must be there before it begins.
        passed_over: Is called when it will never begin, with the reason.
    """

    position: int
    limits: StepLimits
    work: Callable[[], Any]
    future: StepFuture[Any]
    after: list[Future[Any]]
    passed_over: Callable[[BaseException], None]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    left: int = 0
    has_begun: bool = False
    waits_for: Task | None = None


_current: Slot[Task | None] = Slot("slipway.task")


class Scheduler:
    """Runs the submitted steps of one run.

    Args:
        workers: How many of them may run at one time.
        machine: What they may take together.
        beside: Runs steps of another run on this machine: what both take counts together, against its `machine`.
    """

    def __init__(self, workers: int, machine: Machine, beside: Scheduler | None = None) -> None:
        self._workers = workers
        self._machine = Machine(max(machine.cpus, workers), machine.memory_bytes, machine.gpus)
        self._lock = threading.Condition(threading.Lock())
        self._taken = [0.0, 0.0, 0.0]
        if beside is not None:  # one list and one lock: whoever gives something back wakes who waits in any of them
            self._machine, self._lock, self._taken = beside._machine, beside._lock, beside._taken
        self._queue: list[tuple[int, Task]] = []
        self._open: dict[Future[Any], Task] = {}
        self._free = workers
        self._idle = self._threads = 0
        self._stopped: BaseException | None = None
        self._is_closed = False

    @property
    def has_room(self) -> bool:
        """Whether a step that needs nothing special would begin now."""
        return self._free > 0 and not self._queue

    @property
    def stopped(self) -> BaseException | None:
        """Why no further step begins, None while steps do."""
        return self._stopped

    def submit(self, task: Task) -> None:
        """Let a task run when what it waits for is there and the machine has what it needs.

        Raises:
            InvalidInput: It needs what this machine never has.
        """
        self.check(task.future.step, task.limits)
        with self._lock:
            self._open[task.future] = task
            task.left = len(task.after) + 1
        for one in task.after:
            one.add_done_callback(lambda _: self._one_less(task))
        self._one_less(task)

    def stop(self, reason: BaseException) -> None:
        """Begin no further task: their futures raise the reason. Those that run come to their end."""
        with self._lock:
            if self._stopped is None:
                self._stopped = reason
            over = [task for task in self._open.values() if not task.has_begun]
            self._queue.clear()
            self._lock.notify_all()
        for task in sorted(over, key=lambda task: task.position):
            self._pass_over(task)

    def go_on(self) -> None:
        """Take tasks again after a stop."""
        self._stopped = None

    def drain(self) -> None:
        """Wait until every task has ended."""
        with self._lock:
            while self._open:
                self._lock.wait(LOOK_UP_S)

    def close(self) -> None:
        """Let the threads end."""
        with self._lock:
            self._is_closed = True
            self._lock.notify_all()

    @contextmanager
    def waiting(self, future: Future[Any]) -> Iterator[None]:
        """Around a wait for a future: the task that waits leaves its place to others.

        Raises:
            InvalidInput: The tasks would wait for each other forever.
        """
        task = _current.get()
        if task is None or future.done():
            yield
            return
        with self._lock:
            task.waits_for = self._open.get(future)
            if circle := self._circle(task):
                task.waits_for = None
                raise _circular(circle)
        try:
            with self.aside():
                yield
        finally:
            task.waits_for = None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The task of this thread leaves its place to others inside the block."""
        task = _current.get()
        if task is None:
            yield
            return
        self._give_back(task)
        try:
            yield
        finally:
            with self._lock:  # it goes on at once, beside whoever took its place
                self._take(task.limits)

    @contextmanager
    def held(self, limits: StepLimits) -> Iterator[None]:
        """Around a step that is called in the pipeline's own thread: what it says that it needs is kept for it."""
        if limits is NO_LIMITS or (limits.cpus == 1 and not limits.memory_bytes and not limits.gpus):
            yield
            return
        with self._lock:
            while not self._fits(limits):
                self._lock.wait(LOOK_UP_S)
            self._take(limits)
            self._free += 1
        try:
            yield
        finally:
            with self._lock:
                self._put_back(limits)
                self._free -= 1
                self._wake()

    def check(self, step: str, limits: StepLimits) -> None:
        """Refuse what can never be had here.

        Raises:
            InvalidInput: It needs more GPUs than there are.
        """
        if limits.gpus > self._machine.gpus:
            raise InvalidInput(
                f"The step {step!r} needs {limits.gpus:g} GPUs, and this machine has {self._machine.gpus:g}.",
                fix="Run it where there are enough, for example by an environment whose executor has them.",
            )

    def _one_less(self, task: Task) -> None:
        with self._lock:
            task.left -= 1
            if task.left:
                return
            if self._stopped is None:
                insort(self._queue, (task.position, task))
                self._wake()
                return
        self._pass_over(task)

    def _pass_over(self, task: Task) -> None:
        with self._lock:
            if self._open.pop(task.future, None) is None:
                return
            self._lock.notify_all()
        assert self._stopped is not None
        task.passed_over(self._stopped)
        task.future.set_exception(self._stopped)

    def _wake(self) -> None:
        """Let a thread look into the queue. The lock is held."""
        self._lock.notify_all()
        if self._queue and self._free > 0 and not self._idle:
            self._threads += 1
            self._idle += 1  # until it has looked
            name = f"slipway-step-{self._threads}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        with self._lock:
            while True:
                task = self._next()
                if task is None:
                    if self._is_closed or self._idle > self._workers:
                        self._idle -= 1
                        self._threads -= 1
                        return
                    self._lock.wait()
                    continue
                self._idle -= 1
                task.has_begun = True
                self._take(task.limits)
                self._wake()
                self._lock.release()
                try:
                    self._run(task)
                finally:
                    self._lock.acquire()
                    self._put_back(task.limits)
                    self._open.pop(task.future, None)
                    self._idle += 1
                    self._lock.notify_all()

    def _run(self, task: Task) -> None:
        def work() -> Any:
            with _current.filled(task):
                return task.work()

        try:
            value = task.context.run(work)
        except BaseException as error:
            task.future.set_exception(error)
        else:
            task.future.set_result(value)

    def _next(self) -> Task | None:
        for number, (_, task) in enumerate(self._queue):
            if self._free > 0 and self._fits(task.limits):
                del self._queue[number]
                return task
        return None

    def _needs(self, limits: StepLimits) -> tuple[float, float, float]:
        """What is kept for a step; one that needs more than there is has it all, and runs alone."""
        has = self._machine
        return min(limits.cpus, has.cpus), min(limits.memory_bytes, has.memory_bytes), min(limits.gpus, has.gpus)

    def _fits(self, limits: StepLimits) -> bool:
        has = (self._machine.cpus, self._machine.memory_bytes, self._machine.gpus)
        return all(
            taken + needed <= most or (taken <= 0 and needed <= most)
            for taken, needed, most in zip(self._taken, self._needs(limits), has, strict=True)
        )

    def _take(self, limits: StepLimits) -> None:
        self._free -= 1
        self._taken[:] = [taken + needed for taken, needed in zip(self._taken, self._needs(limits), strict=True)]

    def _put_back(self, limits: StepLimits) -> None:
        self._free += 1
        self._taken[:] = [
            round(taken - needed, 6) for taken, needed in zip(self._taken, self._needs(limits), strict=True)
        ]

    def _give_back(self, task: Task) -> None:
        with self._lock:
            self._put_back(task.limits)
            self._wake()

    def _circle(self, task: Task) -> list[Task]:
        """The tasks that wait for each other, beginning with one that is about to wait; [] for none. The lock is held."""

        def follow(one: Task, path: list[Task]) -> list[Task]:
            if one in path:
                return path[path.index(one) :]
            nexts = [one.waits_for] if one.waits_for is not None else []
            if not one.has_begun:
                nexts += [self._open[future] for future in one.after if future in self._open]
            return next((found for each in nexts if (found := follow(each, [*path, one]))), [])

        return follow(task, [])


def _circular(circle: list[Task]) -> InvalidInput:
    names = [task.future.step for task in (*circle, circle[0])]
    return InvalidInput(
        f"The step {names[0]!r} waits for itself: {' -> '.join(names)}.",
        why="Steps that wait for each other never end.",
        fix="Give a step what it needs as an argument; then it begins when that is there.",
    )
