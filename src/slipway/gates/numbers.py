"""The numbers of a check: what is none is refused where it is declared."""

from __future__ import annotations

import math

from slipway.errors import InvalidDeclaration

__all__ = ["finite"]


def finite(value: object, what: str, *, least: float = -math.inf) -> None:
    """Refuse what is no number, or too small.

    Raises:
        InvalidDeclaration: It is.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < least:
        expected = "a number" if least == -math.inf else f"a number of at least {least:g}"
        raise InvalidDeclaration(f"{value!r} is given as the {what} of a check.", why=f"It must be {expected}.")
