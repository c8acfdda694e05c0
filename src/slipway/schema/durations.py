"""Durations as people write them in declarations: "30m", "6h", "12d"."""

import re

from slipway.errors import InvalidDeclaration

__all__ = ["in_words", "microseconds"]

_UNITS_US = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_NAMES = {"m": "minute", "h": "hour", "d": "day"}


def microseconds(duration: object, what: str = "") -> int:
    """A written duration as a number.

    Args:
        duration: "30m", "6h" or "1d".
        what: What it is the duration of, for the sentence: "keep of a log".

    Raises:
        InvalidDeclaration: It is not written so.
    """
    match = re.fullmatch(r"(\d{1,5})([mhd])", duration, re.ASCII) if isinstance(duration, str) else None
    if not match:
        raise InvalidDeclaration(
            f"{duration!r}{f', given for {what},' if what else ''} is not a duration.",
            fix="Write it as '30m', '6h' or '1d'.",
        )
    return int(match[1]) * _UNITS_US[match[2]]


def in_words(duration_us: int) -> str:
    """A duration for a sentence, in the largest unit of which it is at least one: "12 days", "1.5 hours"."""
    unit = next((unit for unit in "dhm" if duration_us >= _UNITS_US[unit]), "m")
    number = f"{duration_us / _UNITS_US[unit]:.1f}".removesuffix(".0")
    return f"{number} {_NAMES[unit]}{'' if number == '1' else 's'}"
