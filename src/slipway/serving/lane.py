"""A thread beside the loop, in which code runs that may take long or never come back.

Whoever waits for it does so until a moment that was set before. A call that is not back by then keeps its thread and goes
on without anybody: the next calls get another one, of a few. That a call never came back is for the worker to tell its
supervisor, which replaces the process: nothing less ends it.

While a call runs, calls that can be made together wait, and are then made as one.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NamedTuple

from slipway.errors import Unavailable

__all__ = ["Join", "Lane", "Late"]

_MOST_WAITING = 512
_MOST_THREADS = 4
_MOST_TOGETHER = 256


class Late(Exception):
    """A call was not back in time."""


class Join(NamedTuple):
    """What a call may be made together with.

    Args:
        key: Calls whose keys are the same object may.
        what: What it is about, for `together`.
        size: How much of it that is; a few hundred are made at once.
        together: Makes calls as one: an outcome each, or what it raised.
    """

    key: object
    what: Any
    size: int
    together: Callable[[Sequence[Any]], Sequence[Any]]


class _Job:
    __slots__ = ("call", "future", "is_given_up", "join", "loop", "runs_in")

    def __init__(
        self, call: Callable[[], Any], join: Join | None, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]
    ) -> None:
        self.call, self.join, self.loop, self.future = call, join, loop, future
        self.is_given_up = False
        self.runs_in: _Thread | None = None


class _Thread:
    """One thread: since when it runs a call, 0 for idle, and whether it ends when that is back."""

    __slots__ = ("is_retired", "since")

    def __init__(self) -> None:
        self.since = 0.0
        self.is_retired = False


class Lane:
    """Makes calls one after the other, in the order in which they came. Its callers all live in one loop.

    Args:
        name: Of its threads.
        most_waiting: How many calls may wait; more are refused.
    """

    def __init__(self, name: str, *, most_waiting: int = _MOST_WAITING) -> None:
        self._name = name
        self._most = most_waiting
        self._waiting: deque[_Job] = deque()
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._threads: list[_Thread] = []
        self.joined = 0

    async def run(self, call: Callable[[], Any], until: float, join: Join | None = None) -> Any:
        """Make a call.

        Args:
            call: What is called.
            until: How long it is waited for, in time of `time.monotonic`.
            join: With what it may be made together, None for by itself.

        Returns:
            What it returns.

        Raises:
            Late: It was not back in time.
            Unavailable: Too many wait already.
            Exception: What it raised.
        """
        if len(self._waiting) >= self._most:
            raise Unavailable(
                "The endpoint has as many requests as it may hold; this one was not looked at.",
                why=f"{self._most} wait for the model already.",
                fix="Send it again in a moment; more workers answer more requests at once.",
            )
        if not self._threads:
            self._start()
        loop = asyncio.get_running_loop()
        job = _Job(call, join, loop, loop.create_future())
        self._waiting.append(job)
        self._tokens.put(None)
        timer = loop.call_later(max(until - time.monotonic(), 0.0), self._give_up, job)
        try:
            return await job.future
        finally:
            timer.cancel()

    def longest_s(self) -> float:
        """How long the call takes by now that has been running longest, 0 where none runs."""
        begun = [thread.since for thread in list(self._threads) if thread.since]
        return time.monotonic() - min(begun) if begun else 0.0

    def _give_up(self, job: _Job) -> None:
        if job.future.done():
            return
        job.is_given_up = True
        job.future.set_exception(Late())
        if job.runs_in is not None:
            job.runs_in.is_retired = True
        if all(thread.is_retired for thread in self._threads) and len(self._threads) < _MOST_THREADS:
            self._start()

    def _start(self) -> None:
        mine = _Thread()
        self._threads.append(mine)
        # A daemon: a call that never comes back must not keep the process from ending.
        threading.Thread(target=self._work, args=(mine,), name=self._name, daemon=True).start()

    def _work(self, mine: _Thread) -> None:
        while not mine.is_retired:
            self._tokens.get()
            jobs = self._take()
            if jobs:
                mine.since = time.monotonic()
                for job in jobs:
                    job.runs_in = mine
                outcomes = _made(jobs)
                mine.since = 0.0
                with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                    jobs[0].loop.call_soon_threadsafe(_deliver, jobs, outcomes)
        self._threads.remove(mine)
        if not self._threads:
            self._start()
        self._tokens.put(None)  # for another thread to look, should something wait by now

    def _take(self) -> list[_Job]:
        """The next call, and those that wait too and can be made together with it."""
        taken: list[_Job] = []
        size = 0
        while True:
            try:
                job = self._waiting.popleft()
            except IndexError:
                break
            if job.is_given_up:
                continue
            join = job.join
            first = taken[0].join if taken else join
            fits = not taken or (
                join is not None and first is not None and join.key is first.key and size + join.size <= _MOST_TOGETHER
            )
            if not fits:
                self._waiting.appendleft(job)
                break
            taken.append(job)
            if join is None:
                break
            size += join.size
        if len(taken) > 1:
            self.joined += len(taken)
        return taken


def _made(jobs: Sequence[_Job]) -> Sequence[Any]:
    first = jobs[0]
    try:
        if len(jobs) == 1 or first.join is None:
            return [first.call()]
        return first.join.together([job.join.what for job in jobs if job.join is not None])
    except Exception as problem:
        return [problem] * len(jobs)
    except BaseException as problem:  # a call that wants the process to end ends nothing but itself
        return [RuntimeError(f"It raised {type(problem).__name__}.")] * len(jobs)


def _deliver(jobs: Sequence[_Job], outcomes: Sequence[Any]) -> None:
    for job, outcome in zip(jobs, outcomes, strict=True):
        if job.future.done():
            continue
        if isinstance(outcome, BaseException):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)
