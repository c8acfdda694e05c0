"""A figure with its uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, structs

if TYPE_CHECKING:
    _Number = float
else:
    # JSON has no NaN: msgspec writes null for it, which must read back as NaN.
    _Number = float | None

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

    value: _Number
    low: _Number = float("nan")
    high: _Number = float("nan")
    n: int = 0
    confidence: float = 0.95
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("value", "low", "high"):
            if getattr(self, name) is None:
                structs.force_setattr(self, name, float("nan"))


def cannot_tell(n: int, note: str) -> Estimate:
    """An estimate that says why there is none."""
    return Estimate(value=float("nan"), n=n, note=note)
