"""What `@step(...)` says of a step's needs: checked when it is declared."""

from __future__ import annotations

import math
import re

from slipway.errors import InvalidDeclaration
from slipway.ledger.step_scope import NO_LIMITS, StepLimits

__all__ = ["memory_bytes", "step_limits"]

_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]i?B)")
_UNITS = {"k": 1, "M": 2, "G": 3, "T": 4}
_MOST_RETRIES = 100


def memory_bytes(written: object) -> int:
    """An amount of memory as people write it, in bytes.

    Args:
        written: "500MB", "4GB" (10^9) or "4GiB" (2^30); a number of bytes.

    Raises:
        InvalidDeclaration: It is not written so.
    """
    if isinstance(written, int) and not isinstance(written, bool) and written > 0:
        return written
    match = _MEMORY.fullmatch(written) if isinstance(written, str) else None
    if not match or not float(match[1]):
        raise InvalidDeclaration(
            f"{written!r} is no amount of memory.", fix='Write it as "500MB", "4GB" or "4GiB", or as a number of bytes.'
        )
    return int(float(match[1]) * (1024 if "i" in match[2] else 1000) ** _UNITS[match[2][0]])


def step_limits(
    step: str,
    *,
    retries: int = 0,
    backoff_s: float = 1.0,
    timeout_s: float | None = None,
    cpus: float = 1,
    memory: str | int | None = None,
    gpus: float = 0,
) -> StepLimits:
    """The limits of a step as they are declared.

    Raises:
        InvalidDeclaration: One of them does not fit.
    """
    if type(retries) is not int or not 0 <= retries <= _MOST_RETRIES:
        raise InvalidDeclaration(
            f"@step({step}) was given retries={retries!r}.", fix=f"Give a whole number from 0 to {_MOST_RETRIES}."
        )
    _check(step, "backoff_s", backoff_s, may_be_zero=True)
    if timeout_s is not None:
        _check(step, "timeout_s", timeout_s)
    _check(step, "cpus", cpus)
    _check(step, "gpus", gpus, may_be_zero=True)
    found = StepLimits(
        retries=retries,
        backoff_s=float(backoff_s),
        timeout_s=None if timeout_s is None else float(timeout_s),
        cpus=float(cpus),
        memory_bytes=0 if memory is None else memory_bytes(memory),
        gpus=float(gpus),
    )
    return NO_LIMITS if found == NO_LIMITS else found


def _check(step: str, name: str, value: object, *, may_be_zero: bool = False) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value < 0 or (value == 0 and not may_be_zero):  # type: ignore[operator]  # it is a number here
        least = "a number that is not negative" if may_be_zero else "a number above 0"
        raise InvalidDeclaration(f"@step({step}) was given {name}={value!r}.", fix=f"Give {least}.")
