"""What a custom trigger must be: a function that names what has happened."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

__all__ = ["LONGEST", "Asking"]

LONGEST = 200
"""So many characters the name of an occasion has at most."""


class Asking(Protocol):
    """Asked in the server at each look, every few seconds.

    Guarantees: it is quick and changes nothing; what has happened once has one name, however often it is asked; a far
    side that is away is an error in words (`Unavailable`), never another name.
    """

    def __call__(self, now: datetime, **options: Any) -> str:
        """The name of the newest occasion: one that is new starts what waits for it, once. "" where there is none.

        Args:
            now: Business time, aware.
            **options: What `sw.custom_trigger` was given: text, numbers, true or false.

        Raises:
            Unavailable: Where it looks does not answer.
        """
        ...
