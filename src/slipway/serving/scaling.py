"""How many workers an endpoint needs now: a pure rule over what its front counts.

Workers follow the mean number of requests under way (Little's law: rate times duration), two to a worker. More come as soon
as a second asks for them; fewer only when for the whole idle time no second did, so that waves do not start and stop
processes.
"""

import math
from collections import deque
from dataclasses import dataclass, field

__all__ = ["PER_WORKER", "Scaler"]

PER_WORKER = 2.0
"""Requests under way at the same time for which one worker is meant: one that is answered, one that comes or goes."""

_SPAN_S = 1.0


@dataclass
class Scaler:
    """The rule's memory.

    Args:
        least: Workers that stay; 0 lets the endpoint sleep.
        most: Workers at most.
        idle_s: For how long fewer must have been enough before one goes.
        now: Machine time: an endpoint begins as if it had just been used.
    """

    least: int
    most: int
    idle_s: float
    now: float
    _asked: deque[tuple[float, int]] = field(default_factory=deque)
    _seen: tuple[float, int] | None = None

    def __post_init__(self) -> None:
        self.use(self.now)

    def use(self, now: float, workers: int = 1) -> None:
        """So many workers are needed now, and count for the idle time."""
        while self._asked and self._asked[-1][1] <= workers:
            self._asked.pop()
        self._asked.append((now, workers))

    def is_quiet(self, now: float, load_ns: int) -> bool:
        """Whether nothing was asked since the load was last told."""
        if self._seen is None or load_ns != self._seen[1]:
            return False
        if now - self._seen[0] >= _SPAN_S:
            self._seen = (now, load_ns)
        return True

    def target(self, now: float, *, load_ns: int, waiting: int, has_workers: bool) -> int:
        """How many workers there should be.

        Args:
            now: Machine time in seconds.
            load_ns: The integral over time of how many requests are under way, in nanoseconds.
            waiting: How many wait for a worker at this moment.
            has_workers: Whether there is any.
        """
        if waiting and not has_workers:
            self.use(now)
        if self._seen is None or load_ns < self._seen[1]:
            self._seen = (now, load_ns)
        elif now - self._seen[0] >= _SPAN_S:
            mean = (load_ns - self._seen[1]) / 1e9 / (now - self._seen[0])
            if mean > 0:
                self.use(now, math.ceil(mean / PER_WORKER))
            self._seen = (now, load_ns)
        while self._asked and now - self._asked[0][0] > self.idle_s:
            self._asked.popleft()
        needed = self._asked[0][1] if self._asked else 0
        return min(max(needed, self.least), self.most)
