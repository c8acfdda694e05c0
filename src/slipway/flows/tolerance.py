"""How far apart two answers may be that count as the same: a number that a record can keep."""

from __future__ import annotations

import math

from slipway.errors import InvalidInput

__all__ = ["check_tolerance"]


def check_tolerance(tolerance: float) -> None:
    """Refuse a tolerance that is no finite number from 0: within infinity everything agrees, and JSON cannot keep it.

    Raises:
        InvalidInput: It is none.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise InvalidInput(
            f"{tolerance:g} is no tolerance.", fix="Give a finite number from 0, as 1e-6 or 0.01.", field="tolerance"
        )
