"""A step's attempts: tried again after a pause that grows, and its result looked at."""

from __future__ import annotations

import inspect
import numbers
import os
import random
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from slipway.errors import InvalidInput, RunStopped, UserError
from slipway.ledger.step_scope import StepLimits

__all__ = ["attempted", "check_type", "only_here", "pause_before"]

T = TypeVar("T")

_LONGEST_PAUSE_S = 300.0
# Numbers of libraries count as what they register as: numpy.int64 is a whole number, though no `int`.
_WIDER: dict[type, type] = {int: numbers.Integral, float: numbers.Real, complex: numbers.Complex}
_own_random = random.SystemRandom()  # the program's own random numbers stay as they are


def attempted(
    limits: StepLimits,
    attempt: Callable[[], T],
    failed: Callable[[Exception, float], None],
    pause: Callable[[float], bool],
) -> T:
    """Try until it succeeds or its retries are used up.

    Args:
        limits: How often, and how long to wait.
        attempt: One attempt.
        failed: Is told of an attempt after which another follows, and of the seconds before that.
        pause: Waits; returns False where there shall be no further attempt.

    Raises:
        Exception: What the last attempt raised. What a step was given wrongly, and what ends a run, is not tried again.
    """
    number = 0
    while True:
        number += 1
        try:
            return attempt()
        except Exception as error:
            if number > limits.retries or isinstance(error, UserError | RunStopped):
                raise
            seconds = pause_before(limits, number + 1)
            failed(error, seconds)
            if not pause(seconds):
                raise


def pause_before(limits: StepLimits, number: int) -> float:
    """The seconds before an attempt: doubling from the second attempt on, at most five minutes, up to a half less.

    The part that is left to chance keeps steps that failed together from coming back together.
    """
    longest = min(limits.backoff_s * 2.0 ** (number - 2), _LONGEST_PAUSE_S)
    return longest * _own_random.uniform(0.5, 1.0)


@contextmanager
def only_here(step: str) -> Iterator[None]:
    """Around a step's own code: a process that it forks off, and that comes back from it, ends here.

    It would go on with the pipeline beside the process that it was forked from.
    """
    process = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != process:
            os.write(2, f"A process that the step {step!r} forked off came back from it, and was ended.\n".encode())
            os._exit(0)


def check_type(function: Callable[..., Any], value: object) -> None:
    """Hold a step's result against the class that its annotation names; what no class says is not looked at.

    Raises:
        InvalidInput: It is of another class.
    """
    wanted = _announced(function)
    if wanted is None or isinstance(value, wanted):
        return
    name = getattr(function, "__name__", "it")
    words = " or ".join(sorted(_word(kind) for kind in wanted if kind.__module__ != "numbers"))
    given = "None" if value is None else f"a {_word(type(value))}"
    raise InvalidInput(
        f"It returned {given}, and says that it returns {words}.",
        fix=f"Mend what {name} returns, or its annotation.",
    )


@lru_cache(maxsize=1024)
def _announced(function: Callable[..., Any]) -> tuple[type, ...] | None:
    try:
        hint = typing.get_type_hints(function).get("return", Any)
    except Exception:  # a name that exists for type checkers only: nothing can be held against it
        return None
    return None if hint is types.NoneType else _classes(hint)


def _classes(hint: Any) -> tuple[type, ...] | None:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        parts = [_classes(part) for part in typing.get_args(hint)]
        return None if None in parts else tuple(kind for part in parts if part for kind in part)
    kind = origin if origin is not None else hint
    if (
        not inspect.isclass(kind)
        or kind in (object, Any)
        or typing.is_typeddict(kind)
        or getattr(kind, "_is_protocol", False)
    ):
        return None
    if hint is types.NoneType:
        return (types.NoneType,)
    if kind is bool:
        return None  # truth values of libraries have no class in common
    return (kind, _WIDER[kind]) if kind in _WIDER else (kind,)


def _word(kind: type) -> str:
    module = kind.__module__.partition(".")[0]
    return kind.__name__ if module in ("builtins", "__main__") else f"{module}.{kind.__name__}"
