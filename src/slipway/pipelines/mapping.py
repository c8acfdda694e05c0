"""`step.map` with `each`: one call a value."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, TypeVar, cast

from slipway.errors import InvalidInput
from slipway.ledger.step_scope import Given

__all__ = ["each", "parts", "zipped"]

T = TypeVar("T")

_MOST_CHARACTERS = 24


@dataclass(frozen=True, slots=True)
class _Each:
    values: list[Any]


def each(values: Iterable[T]) -> T:
    """Let `step.map` make one call a value of an argument; several arguments with `each` go side by side.

    For a type checker it is one of the values: it stands where the step takes one.

    Args:
        values: The values, in order; futures among them are waited for.

    Example:
        models = train.map(rows, kind=slipway.each(["linear", "trees", "boosting"]))
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidInput(
            f"each({values!r}) was given a {type(values).__name__}.",
            why="It takes several values, one a call.",
            fix='For example each(["linear", "trees"]).',
        )
    return cast("T", _Each(list(values)))


def zipped(step: str, given: Given) -> list[Given]:
    """The arguments of each call that a `map` makes.

    Args:
        step: The step's name, for sentences.
        given: The arguments, some of them by `each`.

    Raises:
        InvalidInput: None is given by `each`, or they have different lengths.
    """
    args, kwargs = given
    named = [*enumerate(args, 1), *kwargs.items()]
    lengths = {name: len(value.values) for name, value in named if isinstance(value, _Each)}
    if not lengths:
        raise InvalidInput(
            f"{step}.map(...) was given no argument by `each`.",
            why="It makes one call a value of `each`.",
            fix=f"Write {step}.map(..., name=sw.each([...])), or call {step}(...) for one call.",
        )
    if len(set(lengths.values())) > 1:
        told = ", ".join(
            f"argument {name} has {length}" if isinstance(name, int) else f"{name} has {length}"
            for name, length in lengths.items()
        )
        raise InvalidInput(
            f"{step}.map(...) was given lists of different lengths: {told}.",
            why="Arguments by `each` go side by side: the first with the first, the second with the second.",
            fix="Give lists of one length; for every combination use itertools.product.",
        )
    (count,) = set(lengths.values())
    return [
        (
            tuple(_at(value, number) for value in args),
            {name: _at(value, number) for name, value in kwargs.items()},
        )
        for number in range(count)
    ]


def parts(signature: inspect.Signature, given: Given, calls: list[Given]) -> list[str]:
    """How to tell the calls of a `map` apart: "3/100 carrier=AA"; a value that is no short text is left out.

    Args:
        signature: The step's parameters.
        given: The arguments, some of them by `each`.
        calls: As `zipped` makes them.
    """
    chosen = [
        name for name, value in signature.bind(*given[0], **given[1]).arguments.items() if isinstance(value, _Each)
    ]
    told = []
    for number, (args, kwargs) in enumerate(calls, 1):
        values = signature.bind(*args, **kwargs).arguments
        named = [f"{name}={_short(values[name])}" for name in chosen if _short(values[name])]
        told.append(" ".join([f"{number}/{len(calls)}", *named]))
    return told


def _short(value: Any) -> str:
    """A plain value as it fits into a line; "" for every other."""
    if not isinstance(value, str | int | float | date | timedelta | None):
        return ""
    text = " ".join(str(value).split())
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."


def _at(value: Any, number: int) -> Any:
    return value.values[number] if isinstance(value, _Each) else value
