"""Declared limits of retraining: a budget, and how many labels have to be new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from slipway.records.loop import Retraining, RetrainSpec
from slipway.schema.durations import in_words

__all__ = ["against", "began_with"]


def against(
    spec: RetrainSpec, *, now: datetime, earlier: Sequence[Retraining], new_labels: Callable[[], tuple[int, str]]
) -> str:
    """Why a declared limit stands in the way of a retraining, "" where none does.

    Args:
        spec: What is declared.
        now: Business time.
        earlier: The endpoint's retrainings so far, those by hand among them: they cost as much.
        new_labels: Counts the labels that the model which serves has not learnt from, and says since when; it is asked
            only where that matters.
    """
    if spec.at_most:
        span = timedelta(microseconds=spec.per_us)
        lately = sorted(one.created_at for one in earlier if now - one.created_at < span)
        if len(lately) >= spec.at_most:
            free = lately[-spec.at_most] + span
            return (
                f"{len(lately)} retrainings began within the last {in_words(spec.per_us)}, and the budget is "
                f"{spec.at_most}; there is room again on {free:%Y-%m-%d}."
            )
    if spec.min_labels:
        found, since = new_labels()
        if found < spec.min_labels:
            return f"{found:,} labels are new since {since}, and {spec.min_labels:,} are needed."
    return ""


def began_with(spec: RetrainSpec, until: datetime, *, is_recent: bool) -> datetime | None:
    """The business day from which rows are to count, None for all that there are.

    Args:
        spec: What is declared.
        until: The business day up to which they count.
        is_recent: Whether the world changed, so that only recent rows teach what holds now.
    """
    span = spec.recent_us if is_recent and spec.recent_us else spec.window_us
    if not span or not spec.since:
        return None
    began = until - timedelta(microseconds=span)
    return began.replace(hour=0, minute=0, second=0, microsecond=0)
