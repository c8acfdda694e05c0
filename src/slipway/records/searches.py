"""The space of a search: what may be chosen, by name."""

from typing import Any

from msgspec import Struct

__all__ = ["Choice", "Dimension", "Integers", "Uniform"]


class Uniform(Struct, frozen=True, tag="uniform"):
    """Any number between two, both included.

    Args:
        low: The least.
        high: The greatest.
        log: Whether each factor counts alike: 0.01 to 0.1 as much as 0.1 to 1.
    """

    low: float
    high: float
    log: bool = False

    @property
    def told(self) -> str:
        """In words."""
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


class Integers(Struct, frozen=True, tag="integers"):
    """Any whole number between two, both included.

    Args:
        low: The least.
        high: The greatest.
        step: Only low, low + step, ...
        log: As of `Uniform`.
    """

    low: int
    high: int
    step: int = 1
    log: bool = False

    @property
    def told(self) -> str:
        """In words."""
        by = f" by {self.step}" if self.step != 1 else ""
        return f"{self.low} to {self.high}{by}{' (log)' if self.log else ''}"


class Choice(Struct, frozen=True, tag="choice"):
    """One of several plain values, in no order.

    Args:
        options: Texts, numbers, truth values or None.
    """

    options: tuple[Any, ...]

    @property
    def told(self) -> str:
        """In words."""
        return f"one of {', '.join(map(repr, self.options))}"


Dimension = Uniform | Integers | Choice
