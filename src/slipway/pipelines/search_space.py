"""What a search may choose: `uniform`, `integers` and `choice`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from slipway.errors import InvalidDeclaration
from slipway.ledger.run_rules import check_key
from slipway.records.searches import Choice, Dimension, Integers, Uniform

__all__ = ["check_space", "choice", "integers", "uniform"]

_PLAIN = (str, int, float, bool, type(None))


def uniform(low: float, high: float, *, log: bool = False) -> Uniform:
    """Any number between two, both included.

    Args:
        low: The least.
        high: The greatest.
        log: Whether each factor counts alike: 0.01 to 0.1 as much as 0.1 to 1.

    Raises:
        InvalidDeclaration: The bounds do not fit.
    """
    _check_bounds("uniform", low, high, log, (int, float))
    return Uniform(float(low), float(high), log)


def integers(low: int, high: int, *, step: int = 1, log: bool = False) -> Integers:
    """Any whole number between two, both included.

    Args:
        low: The least.
        high: The greatest.
        step: Only low, low + step, ...
        log: As of `uniform`.

    Raises:
        InvalidDeclaration: The bounds do not fit.
    """
    _check_bounds("integers", low, high, log, (int,))
    if isinstance(step, bool) or not isinstance(step, int) or step < 1 or (log and step != 1):
        raise InvalidDeclaration(
            f"integers({low}, {high}) was given step={step!r}{' and log=True' if log else ''}.",
            fix="A step is a whole number from 1 on; with log=True it is 1.",
        )
    return Integers(low, high, step, log)


def choice(*options: Any) -> Choice:
    """One of several plain values, in no order.

    Args:
        options: Texts, numbers, truth values or None, each once.

    Raises:
        InvalidDeclaration: There is none, or they are not plain.

    Example:
        sw.choice("linear", "trees")
    """
    if len(options) == 1 and isinstance(options[0], Iterable) and not isinstance(options[0], str):
        raise InvalidDeclaration(
            f"choice({options[0]!r}) was given one {type(options[0]).__name__}.",
            fix="Give the values one by one: sw.choice(*values).",
        )
    strange = [one for one in options if not isinstance(one, _PLAIN)]
    if strange or not options or len({(type(one), one) for one in options}) < len(options):
        raise InvalidDeclaration(
            f"choice({', '.join(map(repr, options))}) does not fit.",
            why="It takes plain values, each once: texts, numbers, truth values or None.",
            fix="Name larger things by a text, and look them up in the function that is trained.",
        )
    return Choice(options)


def check_space(space: Mapping[str, object]) -> dict[str, Dimension]:
    """The dimensions of a space by name; a plain list or range stands for a choice.

    Raises:
        InvalidDeclaration: It is empty, or holds something else.
    """
    if not isinstance(space, Mapping) or not space:
        raise InvalidDeclaration(
            f"The space of a search was {space!r}.",
            why="It says what may be chosen, by the name of a parameter.",
            fix='For example {"learning_rate": sw.uniform(0.01, 0.3, log=True), "depth": sw.integers(3, 12)}.',
        )
    found: dict[str, Dimension] = {}
    for name, one in space.items():
        check_key(name, "parameter")
        if isinstance(one, list | tuple | range):
            found[name] = choice(*one)
        elif isinstance(one, Uniform | Integers | Choice):
            found[name] = one
        else:
            raise InvalidDeclaration(
                f"The space's {name!r} is {one!r}, a {type(one).__name__}.",
                why="A value that is the same in all trials is no dimension.",
                fix=f"Give sw.uniform, sw.integers, sw.choice or a list; a fixed value goes to fixed={{{name!r}: ...}}.",
            )
    return found


def _check_bounds(name: str, low: Any, high: Any, log: bool, kinds: tuple[type, ...]) -> None:
    fits = _is_number(low, kinds) and _is_number(high, kinds)
    if fits and low < high and (not log or low > 0):
        return
    raise InvalidDeclaration(
        f"{name}({low!r}, {high!r}{', log=True' if log else ''}) does not fit.",
        why=f"It takes two finite {'whole ' if kinds == (int,) else ''}numbers, the lower one first"
        f"{', above 0 where factors count' if log else ''}.",
        fix=f"For example sw.{name}(1, 10).",
    )


def _is_number(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)  # type: ignore[arg-type]
