"""What `slipway doctor --security` answers."""

from typing import Literal

from msgspec import Struct

__all__ = ["Point"]


class Point(Struct, frozen=True, kw_only=True):
    """One point of the question whether data and code are protected.

    Args:
        about: What was looked at.
        state: Whether it is well, is to be mended, or is nothing that can be seen from here.
        found: One sentence.
        fix: The command, or what to do, "" where nothing is to be done.
    """

    about: str
    state: Literal["good", "to mend", "cannot tell"]
    found: str
    fix: str = ""
