"""Prices within the limits that a bundle states: one rule for one answer and for many, to the same bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from slipway.records.models import Decision

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["within", "within_all"]


def within(decision: Decision) -> Callable[[float], float] | None:
    """What becomes of one score, None where the decision is no price. What is no number stays what it is."""
    if decision.low is None or decision.high is None:
        return None
    low, high, step = decision.low, decision.high, decision.step

    def limited(score: float) -> float:
        if not math.isfinite(score):
            return score
        if not step or not low < score < high:  # beyond the limits a step may not even be a number
            return min(max(score, low), high)
        return min(max(low + round((score - low) / step) * step, low), high)

    return limited


def within_all(decision: Decision) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
    """The same for many scores at once."""
    if decision.low is None or decision.high is None:
        return None
    low, high, step = decision.low, decision.high, decision.step

    def all_limited(scores: NDArray[np.float64]) -> NDArray[np.float64]:
        limited = np.clip(scores, low, high)
        if step:
            stepped = np.clip(low + np.round((limited - low) / step) * step, low, high)
            limited = np.where((scores > low) & (scores < high), stepped, limited)
        found: NDArray[np.float64] = np.where(np.isfinite(scores), limited, scores)
        return found

    return all_limited
