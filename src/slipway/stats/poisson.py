"""How often something happens, from few events: exact Poisson limits, without a table and without SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["mean_interval"]

_STEPS = 60


def mean_interval(events: int, alpha: float = 0.05) -> tuple[float, float]:
    """The interval of the mean number of events that a count of them leaves possible.

    Source: F. Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28, 1936.

    Args:
        events: How many were counted.
        alpha: How likely the true mean may lie outside.
    """
    top = events + 10.0 * math.sqrt(events + 1.0) + 10.0
    low = 0.0 if events == 0 else _where(lambda mean: 1.0 - _at_most(events - 1, mean) >= alpha / 2, top)
    return low, _where(lambda mean: _at_most(events, mean) <= alpha / 2, top)


def _at_most(events: int, mean: float) -> float:
    """How likely at most so many events are."""
    logs = (
        [count * math.log(mean) - mean - math.lgamma(count + 1) for count in range(events + 1)] if mean > 0 else [0.0]
    )
    return min(1.0, math.fsum(math.exp(one) for one in logs))


def _where(holds: Callable[[float], bool], top: float) -> float:
    """The least mean from 0 to `top` at which something holds that goes on holding from there."""
    low, high = 0.0, top
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
