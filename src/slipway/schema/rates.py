"""Rates as people write them in declarations: "100/s", "600/m", "50/h"."""

import re

from slipway.errors import InvalidDeclaration

__all__ = ["per_second"]

_SECONDS = {"s": 1, "m": 60, "h": 3600}


def per_second(rate: object, what: str) -> float:
    """A written rate as a number a second.

    Args:
        rate: "100/s", "600/m" or "50/h".
        what: What it is the rate of, for the sentence: "per_caller of the endpoint 'delays'".

    Raises:
        InvalidDeclaration: It is not written so, or nothing.
    """
    match = re.fullmatch(r"(\d{1,6})/([smh])", rate, re.ASCII) if isinstance(rate, str) else None
    if not match or not int(match[1]):
        raise InvalidDeclaration(
            f"{rate!r}, given for {what}, is not a rate.",
            fix="Write requests a second, a minute or an hour: '100/s', '600/m' or '50/h'.",
        )
    return int(match[1]) / _SECONDS[match[2]]
