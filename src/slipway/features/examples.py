"""Examples of scalar features: arguments and what they give, checked where the features are used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from slipway.errors import InvalidDeclaration, InvalidInput, StepFailed, near
from slipway.features.calls import MISFIT, caller, coercer
from slipway.features.scalars import Feature

__all__ = ["check_examples", "failed_examples"]


def check_examples(features: Iterable[Feature]) -> None:
    """Refuse features whose examples do not hold.

    Raises:
        InvalidDeclaration: One gives another value than its example says, raises, or takes other arguments.
    """
    for declared in features:
        failed = failed_examples(declared)
        if failed:
            raise InvalidDeclaration(
                failed[0],
                why="An example says what a feature is for some arguments, and is checked before the feature is used.",
                fix="Correct the function, or the example. All of them: slipway features test",
            )


def failed_examples(declared: Feature) -> list[str]:
    """The examples of a feature that do not hold, each as a sentence with its arguments, what it says and what came."""
    call = caller(declared.scalar(), {declared.name: declared.function})
    failed = []
    for place, example in enumerate(declared.examples, 1):
        if not isinstance(example, tuple) or len(example) != 2 or not isinstance(example[0], Mapping):
            failed.append(
                f"Example {place} of the feature {declared.name!r} is {example!r}, and not ({{argument: value}}, result)."
            )
            continue
        given, expected = example
        words = ", ".join(f"{name}={value!r}" for name, value in given.items())
        try:
            (found,) = call([[value] for value in _arguments(declared, given)])
        except (InvalidInput, StepFailed) as error:
            failed.append(
                f"The feature {declared.name!r} fails on its example {place} ({words}): {error.what} {error.why}".rstrip()
            )
            continue
        if not _same(found, expected):
            failed.append(
                f"The feature {declared.name!r} gives {found!r} for {words}, and its example {place} says {expected!r}."
            )
    return failed


def _arguments(declared: Feature, given: Mapping[str, Any]) -> list[Any]:
    """The arguments in order, brought into the form in which requests carry them."""
    names = [argument.name for argument in declared.arguments]
    for name in given:
        if name not in names:
            raise InvalidInput(
                f"It has no argument {name!r}.", why=near(name, names, what="arguments"), fix="Correct it.", field=name
            )
    values = []
    for argument in declared.arguments:
        value, change = given.get(argument.name), coercer(argument.type)
        if value is not None and change is not None:
            value = _changed(change, value)
            if value is MISFIT:
                raise InvalidInput(
                    f"The argument {argument.name!r} is {given[argument.name]!r}.",
                    why=f"It is of type {argument.type}; an instant has its time zone.",
                    fix="Give a value of this type.",
                    field=argument.name,
                )
        values.append(value)
    return values


def _changed(change: Any, value: Any) -> Any:
    try:
        return change(value)
    except (TypeError, ValueError, OverflowError):
        return MISFIT


def _same(found: Any, expected: Any) -> bool:
    if isinstance(found, float) and isinstance(expected, int | float) and not isinstance(expected, bool):
        return math.isclose(found, expected, rel_tol=1e-9) or (found != found and expected != expected)
    return bool(found == expected) and isinstance(found, bool) == isinstance(expected, bool)
