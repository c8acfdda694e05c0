"""How many false pages a month are bearable, and what that leaves for one look, one column and one question.

A month's budget is spent evenly: a look gets the share of it that its window has of the month. Within a look, Holm's
correction keeps the chance of any false alarm below the look's share. The expected number of false pages of a month is
then at most the sum of the shares, the budget, however looks, columns and windows depend on each other: expectations add
up. That is the alpha-spending of a clinical trial with the spending as straight as time (Lan and DeMets, Biometrika 70,
1983), without the gain that its trials get from knowing how looks depend, which nobody knows of traffic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CLEAR", "chance", "holm", "is_alarm", "look_level", "quantile"]

MONTH = timedelta(days=30)
CLEAR = 3.0
"""An effect that is so many times its floor needs no second window."""
_MOST = 0.05
_LAST, _OF_THEM = 3, 2
_LARGEST = 700.0
_NORMAL = NormalDist()


def look_level(pages_a_month: float, window: timedelta) -> float:
    """The chance of a false alarm that one look may have.

    Args:
        pages_a_month: How many false pages a month are bearable.
        window: How much time passes from look to look.
    """
    return min(_MOST, pages_a_month * (window / MONTH))


def chance(excess: float, freedom: float) -> float:
    """How likely a Student-t variable lies above a value, by its normal equivalent.

    Args:
        excess: The value: how many deviations an effect lies above its floor.
        freedom: The degrees of freedom with which the deviation is known.

    Source: D. Wallace, Annals of Mathematical Statistics 30, 1959.
    """
    if math.isinf(excess):
        return 0.0 if excess > 0 else 1.0
    z = math.sqrt(freedom * math.log1p(excess * excess / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
    return _NORMAL.cdf(-math.copysign(z, excess))


def quantile(level: float, freedom: float) -> float:
    """The value that a Student-t variable exceeds with a chance of `level`: `chance`, turned round."""
    z = _NORMAL.inv_cdf(1 - level) * (8 * freedom + 3) / (8 * freedom + 1)
    power = z * z / freedom
    # Beyond this the power of e is no float; with so little freedom no effect is certain.
    return math.copysign(math.sqrt(freedom * math.expm1(power)) if power < _LARGEST else math.inf, z)


def holm(chances: ArrayLike, level: float) -> NDArray[np.float64]:
    """The level at which each of several questions is judged, so that any false alarm has a chance of at most `level`.

    Args:
        chances: One a question, shape `(n_questions,)`; NaN for one that cannot be answered, which costs nothing.
        level: Of all together.

    Returns:
        Levels of shape `(n_questions,)`. A question whose chance is below its level is an alarm.

    Source: S. Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    given = np.asarray(chances, dtype=np.float64)
    asked = int(np.isfinite(given).sum())
    levels = np.full(given.shape, level / max(asked, 1))
    for rank, place in enumerate(np.argsort(given, kind="stable")[:asked]):
        levels[place] = level / (asked - rank)
        if given[place] >= levels[place]:
            levels[np.isfinite(given) & (given >= given[place])] = levels[place]
            break
    return levels


def is_alarm(moved: Sequence[bool], effects: Sequence[float], floor: float) -> bool:
    """Whether windows that moved are an alarm: two of the last three, or the last one by a clear effect.

    Args:
        moved: By window, the newest last, whether the effect's lower bound lies above its floor.
        effects: Their effects.
        floor: The question's.
    """
    if not moved:
        return False
    return sum(moved[-_LAST:]) >= _OF_THEM or (moved[-1] and effects[-1] >= CLEAR * floor)
