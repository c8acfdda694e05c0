"""What is current: slots that carry the workspace and the run from a host to the user's code below it.

A slot is a typed context variable. Hosts and stages fill it around a call; `sw.run(...)`, steps and feature sets read
it. Nothing else in Slipway is ambient.
"""

from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
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

    def filled(self, value: T) -> AbstractContextManager[T]:
        """Make a value current inside a `with` block; the former one returns after it."""
        return _Filled(self._variable, value)


class _Filled(Generic[T]):
    """A class, not a generator: a step enters a dozen of these."""

    __slots__ = ("_token", "_value", "_variable")
    _token: Token[T | None]

    def __init__(self, variable: ContextVar[T | None], value: T) -> None:
        self._variable = variable
        self._value = value

    def __enter__(self) -> T:
        self._token = self._variable.set(self._value)
        return self._value

    def __exit__(self, *_: object) -> None:
        self._variable.reset(self._token)
