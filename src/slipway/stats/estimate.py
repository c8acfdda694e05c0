"""A figure with its uncertainty."""

from msgspec import Struct

__all__ = ["Estimate", "cannot_tell"]


class Estimate(Struct, frozen=True, kw_only=True):
    """A figure with a two-sided interval.

    Args:
        value: NaN where it cannot be told.
        low: Lower bound, NaN where unknown.
        high: Upper bound, NaN where unknown.
        n: Rows.
        confidence: Of the interval.
        note: Why it cannot be told.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")
    n: int = 0
    confidence: float = 0.95
    note: str = ""


def cannot_tell(n: int, note: str) -> Estimate:
    """An estimate that says why there is none."""
    return Estimate(value=float("nan"), n=n, note=note)
