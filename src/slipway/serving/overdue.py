"""What ends a model that does not come back where it runs in the loop itself, and tells the supervisor of one beside it.

A model without a fallback is asked in the loop's own thread: that costs nothing, and one that hangs holds all that this
worker has. So another thread looks at how long it has been. First a signal interrupts it, which ends Python code, sleeps
and waits: its request is told 504, the others are answered. Code that no signal reaches ends with the process, which the
supervisor replaces.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from slipway.serving.aside import LIMIT_S
from slipway.serving.http import TooSlow

__all__ = ["Overdue"]

_GRACE_S = 5.0
_logger = logging.getLogger("slipway.serving")


class Overdue:
    """How long the loop's thread has been asking a model.

    Args:
        limit_s: How long it may.
        grace_s: How long after that the process has, where a signal does not end it.

    Attributes:
        begun_ns: When it began, by `time.perf_counter_ns`; 0 while no model is asked.
        aside: A sentence where a call beside the loop does not come back, "" otherwise.
    """

    __slots__ = ("_signalled", "_was_ended", "aside", "begun_ns", "grace_s", "limit_s")

    def __init__(self, limit_s: float = LIMIT_S, grace_s: float = _GRACE_S) -> None:
        self.limit_s, self.grace_s = limit_s, grace_s
        self.aside: Callable[[], str] = str
        self.begun_ns = 0
        self._signalled = 0
        self._was_ended = False

    @property
    def trouble(self) -> str:
        """Why this worker should be replaced, "" where nothing is wrong."""
        if self._was_ended:
            return "Its model did not come back from a call and was interrupted."
        return self.aside()

    def install(self) -> None:
        """Let the signal interrupt; for the main thread, before the loop runs."""
        signal.signal(signal.SIGUSR1, self._interrupt)

    def look(self) -> None:
        """Interrupt what is overdue, or end the process; for another thread than the loop's, now and then."""
        begun = self.begun_ns
        took_s = (time.perf_counter_ns() - begun) / 1e9
        if not begun or took_s < self.limit_s:
            return
        if took_s > self.limit_s + self.grace_s:
            _logger.error("The model has not come back for %.0f seconds; the worker ends, to be replaced.", took_s)
            os._exit(1)
        if self._signalled != begun:
            self._signalled = begun
            ident = threading.main_thread().ident
            if ident is not None:
                signal.pthread_kill(ident, signal.SIGUSR1)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.begun_ns and (time.perf_counter_ns() - self.begun_ns) / 1e9 >= self.limit_s:
            self._was_ended = True
            raise TooSlow(f"The model had not answered after {self.limit_s:g} seconds.")
