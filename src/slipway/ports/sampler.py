"""What chooses the next trial of a search, and says when one is not worth its end."""

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct

from slipway.records.searches import Dimension

__all__ = ["Asked", "Sampler", "Samplers"]


class Asked(Struct, frozen=True):
    """A trial to be made.

    Args:
        number: From 0, in the order of asking.
        params: A value of each dimension by name.
    """

    number: int
    params: dict[str, Any]


class Sampler(Protocol):
    """Chooses the trials of one search. For one thread at a time, `is_hopeless` aside.

    Guarantees: what `ask` gives depends on the settings, and on what was asked and told before and in which order, on
    nothing else; nothing of a search is kept beyond the object.
    """

    def ask(self) -> Asked | None:
        """The next trial; None where there is nothing left to try."""
        ...

    def tell(self, number: int, value: float | None, curve: Mapping[int, float], *, pruned: bool = False) -> None:
        """Say what a trial came to.

        Args:
            number: Which.
            value: Its metric, finite; None where it failed.
            curve: The metric by step, as far as it was logged.
            pruned: Whether it was ended because it was hopeless.
        """
        ...

    def is_hopeless(self, number: int, curve: Mapping[int, float]) -> bool:
        """Whether a running trial shall be ended, judged by what had been told when it was asked for. Safe for threads.

        Args:
            number: Which.
            curve: The metric by step, as far as it was logged; its greatest step is new.
        """
        ...


class Samplers(Protocol):
    """Makes samplers."""

    def __call__(
        self,
        space: Mapping[str, Dimension],
        *,
        maximize: bool,
        seed: int,
        method: object,
        pruner: object,
    ) -> Sampler:
        """A sampler for a new search.

        Args:
            space: The dimensions by name.
            maximize: Whether a greater value is better.
            seed: Of its random numbers.
            method: How it chooses: a name, or an object of the library.
            pruner: How it ends trials: a name, an object of the library, or None for never.

        Raises:
            InvalidInput: There is no such method or pruner, or it does not fit the space.
        """
        ...
