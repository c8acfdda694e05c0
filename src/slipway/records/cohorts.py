"""What is known of the quality of one day's decisions, as their labels come in."""

from datetime import date
from typing import Literal

from msgspec import Struct

__all__ = ["CohortRow"]


class CohortRow(Struct, frozen=True, kw_only=True):
    """One bundle's decisions of one day under one arm.

    Args:
        bundle: First 16 digits of the bundle's digest.
        arm: Which model of several.
        day: The day of the decisions, UTC.
        predictions: How many.
        labels: How many of them have a label that fits the task.
        share: The share of the two.
        usual: The share that earlier days had at this age, None where too few are known.
        state: "mature"; "provisional" while labels are still to come; "late" where clearly fewer are in than is usual;
            "waiting" before the first.
        absent: Rows without a label that count as negative, by the declared rule.
        misfits: Labels that do not fit the task, which count as none.
        early: Labels that say that they were observed before their decision.
        metric: Which figure.
        value: By the labels that are in, None where it cannot be told.
        low: Lower end of its 95 % interval, rows taken as independent.
        high: Upper end.
        adjusted: The same with the labels of a class that comes late weighed by how much of it is usually in.
        adjusted_low: Lower end of its interval.
        adjusted_high: Upper end.
        sentence: In words.
    """

    bundle: str
    arm: str
    day: date
    predictions: int
    labels: int
    share: float
    usual: float | None = None
    state: Literal["mature", "provisional", "late", "waiting"]
    absent: int = 0
    misfits: int = 0
    early: int = 0
    metric: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    adjusted: float | None = None
    adjusted_low: float | None = None
    adjusted_high: float | None = None
    sentence: str = ""
