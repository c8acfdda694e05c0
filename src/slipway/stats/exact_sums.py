"""Sums of numbers without rounding: the same in any order, and what was added can be taken away again.

A float64 is a whole number of 53 bits times a power of two. Sums of the upper and the lower bits by power are whole
numbers, which no order changes; they are put together when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["parts_of", "total"]

_BITS = 53
_LOW = 26


def parts_of(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Powers of two, upper bits and lower bits of finite numbers, shape `(n_rows,)` each.

    2**36 numbers may be summed up part by part in 64 bits.
    """
    mantissa, exponent = np.frexp(values)
    whole = (mantissa * float(1 << _BITS)).astype(np.int64)
    return exponent.astype(np.int64), whole >> _LOW, whole & ((1 << _LOW) - 1)


def total(parts: Iterable[tuple[int, int, int]]) -> float:
    """The sum, rounded once.

    Args:
        parts: Power of two, sum of upper bits, sum of lower bits.
    """
    known = [(power, (high << _LOW) + low) for power, high, low in parts]
    if not known:
        return 0.0
    least = min(power for power, _ in known)
    whole = sum(number << (power - least) for power, number in known)
    shift = least - _BITS
    return float(whole << shift) if shift >= 0 else whole / (1 << -shift)
