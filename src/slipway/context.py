"""What is current: slots that carry the workspace and the run from a host to the user's code below it.

A slot is a typed context variable. Hosts and stages fill it around a call; `sw.run(...)`, steps and feature sets read
it. Nothing else in Slipway is ambient.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

__all__ = ["Slot"]

T = TypeVar("T")


class Slot(Generic[T]):
    """A typed context variable that may be empty.

    Args:
        name: What it holds, for debugging.
    """

    def __init__(self, name: str) -> None:
        self._variable: ContextVar[T | None] = ContextVar(name, default=None)

    def get(self) -> T | None:
        """What is current here, or None."""
        return self._variable.get()

    @contextmanager
    def filled(self, value: T) -> Iterator[T]:
        """Make a value current inside a `with` block; the former one returns after it."""
        token = self._variable.set(value)
        try:
            yield value
        finally:
            self._variable.reset(token)
