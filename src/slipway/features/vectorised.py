"""Vectorised twins: a scalar feature a second time, as a Polars expression, for many rows at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from slipway.errors import InvalidDeclaration
from slipway.features.scalars import Feature

__all__ = ["vectorised"]

F = TypeVar("F", bound=Callable[..., Any])


def vectorised(declared: Feature) -> Callable[[F], F]:
    """Declare a feature's twin over columns, which training uses for speed once it is proven equal to the function.

    The function stays the definition: it alone serves, and the twin changes no version. Where a training set is made,
    the twin must give what the function gives, bit for bit, on generated edge cases and on a sample of the rows; what
    differs, or fails where the function does not, is refused with the first such row. Nulls and defaults are applied
    around it: where an argument that is not declared `| None` is null, what it gives does not count.

    Args:
        declared: The feature. The twin takes its arguments by the same names, as Polars expressions of columns, and
            returns one expression. Instants are in UTC.

    Returns:
        A decorator that leaves the function as it is.

    Raises:
        InvalidDeclaration: It is not over a feature, its arguments are others, or there is a twin already.

    Example:
        >>> from slipway.features.scalars import feature
        >>> @feature
        ... def is_long(distance: int) -> bool:
        ...     return distance > 1500
        >>> @vectorised(is_long)
        ... def is_long_in_columns(distance):
        ...     return distance > 1500
    """
    if not isinstance(declared, Feature):
        raise InvalidDeclaration(
            f"@sw.vectorised(...) was given {declared!r}.",
            why="It is the twin of a scalar feature.",
            fix="Write @sw.vectorised(hour) over a function, below the feature `hour`.",
        )
    names = [argument.name for argument in declared.arguments]

    def declare(function: F) -> F:
        taken = list(inspect.signature(function).parameters)
        if taken != names:
            raise InvalidDeclaration(
                f"The twin of the feature {declared.name!r} takes {', '.join(taken) or 'nothing'}.",
                why=f"The feature takes {', '.join(names)}.",
                fix="Give it the same arguments in the same order.",
            )
        if declared.twin is not None and declared.twin.__code__ is not function.__code__:
            raise InvalidDeclaration(
                f"The feature {declared.name!r} has a twin already: {declared.twin.__name__}.",
                why="Training uses one.",
                fix="Remove one of them.",
            )
        declared.twin = function
        return function

    return declare
