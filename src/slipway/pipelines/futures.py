"""What a submitted step gives at once: a future. Futures among arguments are waited for and replaced by their values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from slipway.errors import InvalidInput
from slipway.ledger.step_scope import Given

__all__ = ["LOOK_UP_S", "StepFuture", "done", "pending", "values"]

R = TypeVar("R")

LOOK_UP_S = 0.2
"""How long a wait lasts before the next: a signal that the system gives to another thread is heard between two of them."""


class StepFuture(Future[R]):
    """The result of a submitted step, there or not yet.

    Args:
        step: The step's name.
        waiting: Is called before a wait that may take long, as a context manager around it; None outside a pipeline.
    """

    def __init__(self, step: str, waiting: Callable[[StepFuture[Any]], Any] | None = None) -> None:
        super().__init__()
        self.step = step
        self._waiting = waiting

    def result(self, timeout: float | None = None) -> R:
        """What the step returned, waited for.

        Args:
            timeout: Seconds after which waiting is given up.

        Raises:
            StepFailed: The step failed, or was not started because another one had.
            TimeoutError: It is not there yet.
        """
        if self._waiting is None:
            return super().result(timeout)
        with self._waiting(self):
            while timeout is None and not self.done():
                wait((self,), LOOK_UP_S)
            return super().result(timeout)

    def cancel(self) -> bool:
        """A step that was submitted is not taken back."""
        return False

    def __bool__(self) -> bool:
        raise InvalidInput(
            f"The result of the step {self.step!r} was used as a condition before it was there.",
            why="What `submit` returns is a future: it stands for the value, and is not the value.",
            fix="Write `if future.result():`.",
        )

    def __repr__(self) -> str:
        return f"<future of step {self.step}: {'done' if self.done() else 'not done yet'}>"


def done(step: str, compute: Callable[[], R]) -> StepFuture[R]:
    """A future of what is computed at once, in this thread."""
    future: StepFuture[R] = StepFuture(step)
    try:
        future.set_result(compute())
    except Exception as error:  # whoever asks for the result gets it
        future.set_exception(error)
    return future


def pending(given: Given) -> list[Future[Any]]:
    """The futures among arguments: an argument itself, or an item of a list, tuple or dictionary."""
    args, kwargs = given
    return [one for value in (*args, *kwargs.values()) for one in _in(value)]


def _in(value: Any) -> Iterator[Future[Any]]:
    if isinstance(value, Future):
        yield value
    elif type(value) in (list, tuple):
        yield from (item for item in value if isinstance(item, Future))
    elif type(value) is dict:
        yield from (item for item in value.values() if isinstance(item, Future))


def values(given: Given) -> Given:
    """The arguments with each future's value in its place; waits for what is not there yet."""
    args, kwargs = given
    return tuple(map(_value, args)), {name: _value(value) for name, value in kwargs.items()}


def _value(value: Any) -> Any:
    if isinstance(value, Future):
        return value.result()
    if not any(True for _ in _in(value)):
        return value
    if type(value) is dict:
        return {key: _own(item) for key, item in value.items()}
    return type(value)(map(_own, value))


def _own(item: Any) -> Any:
    return item.result() if isinstance(item, Future) else item
