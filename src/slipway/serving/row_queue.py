"""The log's queues: rows leave the request's path at once, and one thread a queue appends them.

Durability: a row is safe against kill -9 of the process once the thread has appended it (the bytes are with the
operating system), which happens within about `LINGER_S` of the answer. What is still queued when the process is killed
is lost. In sync mode an answer waits for its rows, which are on the disk then, those of all requests that wait at the
time by one fsync: nothing answered is lost.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, NamedTuple, TypeVar

from slipway.errors import Unavailable
from slipway.serving.counters import Counters

__all__ = ["LINGER_S", "Counted", "RowQueue"]

T = TypeVar("T")
LINGER_S = 0.02
_BATCH_ROWS = 256
_COMPLAIN_EVERY_S = 10.0
_logger = logging.getLogger("slipway.serving")


class Counted(NamedTuple):
    """Where a queue counts what became of its rows: each of them once, in one of the three.

    Args:
        written: The counter of those that were appended; only the queue's thread adds to it.
        dropped: Of those that found the queue full or closed; only the request's thread adds to it.
        failed: Of those that could not be appended; only the queue's thread adds to it.
    """

    written: int
    dropped: int
    failed: int


class RowQueue(Generic[T]):
    """A bounded queue of rows and the thread that appends them.

    Args:
        append: Appends rows to the log; when it returns they are with the operating system. Called by one thread. May
            return how many of them it has taken; the others are counted as failed.
        counters: This worker's.
        counted: Which of them count this queue's rows.
        what: What the rows are, for the log's sentence: "predictions".
        capacity_rows: How many rows may wait; what comes on top is dropped and counted.
        batch_rows: After how many rows no more are taken into one call of `append`.
    """

    def __init__(
        self,
        append: Callable[[list[T]], int | None],
        counters: Counters,
        counted: Counted,
        *,
        what: str,
        capacity_rows: int = 50_000,
        batch_rows: int = _BATCH_ROWS,
    ) -> None:
        self._append = append
        self._counters = counters
        self._counted = counted
        self._what = what
        self._capacity = capacity_rows
        self._batch = batch_rows
        self._queue: deque[tuple[list[T], Future[None] | None]] = deque()
        self._put_rows = 0  # counted by the request's thread
        self._taken_rows = 0  # counted by the writing thread
        self._wake = threading.Event()
        self._urgent = threading.Event()
        self._closing = False
        self._complained_at = -_COMPLAIN_EVERY_S
        self._thread = threading.Thread(target=self._run, name=f"{what}-log", daemon=True)
        self._thread.start()

    @property
    def waiting_rows(self) -> int:
        """How many rows are queued or being written."""
        return self._put_rows - self._taken_rows

    @property
    def is_half_full(self) -> bool:
        """Whether so much waits that who has many rows had better wait too."""
        return self.waiting_rows > self._capacity // 2

    def put(self, rows: list[T]) -> bool:
        """Queue rows without waiting; False when the queue is full and they were dropped and counted."""
        if self._closing or self._put_rows - self._taken_rows + len(rows) > self._capacity:
            self._counters.add(self._counted.dropped, len(rows))
            return False
        self._enqueue(rows, None)
        return True

    def put_and_tell(self, rows: list[T]) -> Future[None]:
        """Queue rows, whatever waits already; the future is done once they are written.

        Raises (through the future):
            Unavailable: They could not be written.
        """
        done: Future[None] = Future()
        if self._closing:
            self._counters.add(self._counted.dropped, len(rows))
            done.set_exception(_unwritten("the endpoint is stopping"))
        else:
            self._enqueue(rows, done)
            self._urgent.set()
        return done

    def hurry(self) -> None:
        """Have what waits appended now: somebody is looking at the counters."""
        if self.waiting_rows:
            self._urgent.set()

    @property
    def is_closing(self) -> bool:
        """Whether nothing more is taken."""
        return self._closing

    def close(self, within_s: float | None = None) -> None:
        """Write what waits, then stop the thread.

        Args:
            within_s: After that long the thread is left to end with its process; None to wait for it.
        """
        self._closing = True
        self._urgent.set()
        self._wake.set()
        self._thread.join(within_s)

    def _enqueue(self, rows: list[T], done: Future[None] | None) -> None:
        self._put_rows += len(rows)
        self._queue.append((rows, done))
        if not self._wake.is_set():
            self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._urgent.wait(LINGER_S)  # one wake-up for many answers, unless somebody waits for them
            self._urgent.clear()
            self._wake.clear()
            closing = self._closing
            while self._queue:
                self._write(*self._take())
            if closing:
                return

    def _take(self) -> tuple[list[T], list[Future[None]]]:
        rows: list[T] = []
        waiting: list[Future[None]] = []
        while self._queue and len(rows) < self._batch:
            some, done = self._queue.popleft()
            rows += some
            if done is not None:
                waiting.append(done)
        return rows, waiting

    def _write(self, rows: list[T], waiting: list[Future[None]]) -> None:
        try:
            taken = self._append(rows)
        except Exception:
            # A log that cannot be written must not stop the answers: counted, said, and told to whoever waits.
            self._counters.add(self._counted.failed, len(rows))
            if time.monotonic() - self._complained_at > _COMPLAIN_EVERY_S:
                self._complained_at = time.monotonic()
                _logger.exception("%d rows could not be appended to the log of %s.", len(rows), self._what)
            for done in waiting:
                done.set_exception(_unwritten("the log could not be written"))
        else:
            written = len(rows) if taken is None else taken
            self._counters.add(self._counted.written, written)
            self._counters.add(self._counted.failed, len(rows) - written)
            for done in waiting:
                done.set_result(None)
        finally:
            self._taken_rows += len(rows)


def _unwritten(why: str) -> Unavailable:
    return Unavailable(
        "The prediction was made but could not be written to the prediction log.",
        why=f"This endpoint answers only what it has logged, and {why}.",
        fix="Ask again later; look into the endpoint's front.log.",
    )
