"""What all looks at a roll-out's evidence share: their deadline, and how they say figures."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from slipway.records.rollouts import CanarySpec, ShadowSpec
from slipway.schema.durations import in_words

__all__ = ["dated", "in_days", "is_overdue", "plain", "points", "side"]


def is_overdue(spec: ShadowSpec | CanarySpec, since: datetime, now: datetime) -> bool:
    """Whether a phase, or a canary's step, has had all the time that was declared for it.

    Args:
        spec: The phase.
        since: When it, or its present step, began.
        now: Business time.
    """
    return now - since >= timedelta(microseconds=spec.deadline_us)


def dated(sentence: str, spec: ShadowSpec | CanarySpec, since: datetime, now: datetime) -> str:
    """A look's sentence, with the deadline where that has passed."""
    if not is_overdue(spec, since, now):
        return sentence
    return f"{sentence} The deadline of {in_words(spec.deadline_us)} has passed."


def points(share: float) -> str:
    """A share in percentage points."""
    return f"{100 * share:.3g} percentage points"


def in_days(number: int) -> str:
    """A number of days."""
    return f"{number:,} day{'' if number == 1 else 's'}"


def side(difference: float) -> str:
    """A difference in words, by its side."""
    return f"{abs(difference):.3g} {'lower' if difference < 0 else 'higher'}"


def plain(value: float) -> float | None:
    """A figure as the ledger keeps it, None where it is not finite."""
    # The ledger keeps JSON, which has no NaN and no infinity.
    return float(value) if math.isfinite(value) else None
