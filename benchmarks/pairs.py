"""Measuring two sides in turns, so that what disturbs the machine disturbs both."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Compared", "compare", "row", "seconds_of"]


class Compared(NamedTuple):
    """Medians over the pairs: of each side, and of the ratio within each pair (not the ratio of the medians)."""

    raw: float
    slipway: float
    ratio: float

    @classmethod
    def of(cls, pairs: list[tuple[float, float]]) -> "Compared":
        """Summarise pairs of (raw, Slipway)."""
        raw, slipway = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        return cls(raw, slipway, statistics.median(ours / theirs for theirs, ours in pairs))


def compare(raw: Callable[[], float], slipway: Callable[[], float], pairs: int) -> Compared:
    """Call both in turns, who goes first alternating; each returns what it measured."""
    found = []
    for number in range(pairs):
        if number % 2:
            ours = slipway()
            found.append((raw(), ours))
        else:
            theirs = raw()
            found.append((theirs, slipway()))
    return Compared.of(found)


def seconds_of(work: Callable[[], Any]) -> float:
    """Wall-clock seconds that a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def row(path: str, what: str, compared: Compared, **goal: float) -> dict[str, Any]:
    """A row of the table; `goal_ratio` or `goal` where there is one."""
    return {"path": path, "what": what, **compared._asdict(), **goal}
