"""How far apart two answers may be that count as the same: a number that a record can keep."""

from __future__ import annotations

import math

from slipway.errors import InvalidInput
from slipway.records.tolerances import ROUNDING

__all__ = ["check_rounding", "check_tolerance"]


def check_tolerance(tolerance: float) -> None:
    """Refuse a tolerance that is no finite number from 0: within infinity everything agrees, and JSON cannot keep it.

    Raises:
        InvalidInput: It is none.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise InvalidInput(
            f"{tolerance:g} is no tolerance.", fix="Give a finite number from 0, as 1e-6 or 0.01.", field="tolerance"
        )


def check_rounding(tolerance: float, accept: str) -> None:
    """Refuse a tolerance by which an import would be proven that is wider than rounding, unless a person says why.

    Raises:
        InvalidInput: It is, or it is none.
    """
    check_tolerance(tolerance)
    if tolerance > ROUNDING and not accept.strip():
        raise InvalidInput(
            f"A tolerance of {tolerance:g} is wider than rounding.",
            why=f"What differs by more than {ROUNDING:g}, as a share of an answer above 1, is another answer.",
            fix="Say why it counts, which is shown with the proof: --accept 'the service rounds to 2 places'",
            field="accept",
        )
