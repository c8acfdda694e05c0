"""A median of few values, and how far it can be told: by the order of the values, whatever they are distributed like."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from slipway.stats.binomial import upper_tail

__all__ = ["median_interval"]


def median_interval(values: Sequence[float], alpha: float = 0.05) -> tuple[float, float, float] | None:
    """The median with an interval that holds the true one: two of the ordered values (the sign test's).

    Below six values no two of them hold it with 95 %.

    Source: G. Hahn and W. Meeker, "Statistical Intervals", 1991, section 5.2.

    Args:
        values: In any order.
        alpha: How likely the true median may lie outside.

    Returns:
        Median, lower and upper end; None where the values are too few.
    """
    ordered, count = sorted(values), len(values)
    place = 0
    while place + 1 <= count // 2 and 2 * (1.0 - upper_tail(place + 1, count, 0.5)) <= alpha:
        place += 1  # the chance that at most `place` values lie below the median is small enough
    if not place:
        return None
    return median(ordered), ordered[place - 1], ordered[count - place]
