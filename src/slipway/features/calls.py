"""Calling scalar features over rows, offline and online alike: nulls, types and failures by one rule."""

from __future__ import annotations

import operator
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from slipway.errors import InvalidInput, StepFailed, near
from slipway.features.defaults import defaults_of
from slipway.features.states import finite
from slipway.records.features import FeatureSetSpec, Scalar
from slipway.records.schema import FieldType

__all__ = ["MISFIT", "Call", "RowCall", "caller", "coercer", "row_caller", "scalar_order"]

Call = Callable[[Sequence[Sequence[Any]]], list[Any]]
"""Takes the arguments as columns of equal length; gives the feature's values, one a row."""

RowCall = Callable[[tuple[Any, ...], int], Any]
"""Takes one row's arguments, and the row's number for errors; gives the feature's value."""

MISFIT: Any = object()
"""What a conversion gives for a value that is not of its type."""


def caller(scalar: Scalar, functions: Mapping[str, Callable[..., Any]]) -> Call:
    """Compile the calls of one scalar feature over columns; see `row_caller`."""
    call = row_caller(scalar, functions)
    return lambda columns: [call(arguments, row) for row, arguments in enumerate(zip(*columns, strict=True))]


def row_caller(scalar: Scalar, functions: Mapping[str, Callable[..., Any]]) -> RowCall:
    """Compile the call of one scalar feature for a row.

    Args:
        scalar: Its definition.
        functions: The functions by feature name.

    Raises:
        InvalidInput: Its function is not among them.
    """
    found = functions.get(scalar.name)
    if found is None:
        raise InvalidInput(
            f"There is no function for the feature {scalar.name!r}.",
            why=near(scalar.name, functions, what="functions"),
            fix=f"Pass the function that {scalar.module} defines.",
        )
    function: Callable[..., Any] = getattr(found, "function", found)
    required = [index for index, argument in enumerate(scalar.arguments) if not argument.nullable]
    floats = [index for index, argument in enumerate(scalar.arguments) if argument.type == "float"]
    convert, exact = _RESULTS[scalar.returns], _EXACT.get(scalar.returns)
    (default,) = defaults_of(scalar)

    def call(arguments: tuple[Any, ...], row: int) -> Any:
        if None in arguments and any(arguments[index] is None for index in required):
            return default
        if floats:
            arguments = _with_floats(arguments, floats)
        try:
            value = function(*arguments)
        except Exception as error:
            raise _failed(scalar, row, arguments, error) from error
        if value is None or type(value) is exact:
            return value
        converted = _converted(convert, value)
        if converted is MISFIT:
            raise _misfit(scalar, row, value)
        return converted

    return call


def _with_floats(arguments: tuple[Any, ...], places: Sequence[int]) -> tuple[Any, ...]:
    for place in places:
        if type(arguments[place]) is int:
            return tuple(float(v) if i in places and type(v) is int else v for i, v in enumerate(arguments))
    return arguments


def _converted(convert: Callable[[Any], Any], value: Any) -> Any:
    try:
        return convert(value)
    except (TypeError, ValueError, OverflowError):
        return MISFIT


def _failed(scalar: Scalar, row: int, arguments: tuple[Any, ...], error: Exception) -> StepFailed:
    named = ", ".join(f"{a.name}={value!r}" for a, value in zip(scalar.arguments, arguments, strict=True))
    own = error.__traceback__.tb_next if error.__traceback__ else None
    return StepFailed(
        f"The feature {scalar.name!r} raised {type(error).__name__}: {error} on row {row} ({named}).",
        step=scalar.name,
        trace="".join(traceback.format_exception(type(error), error, own)),
        fix="Let it return None where there is no answer.",
    )


def _misfit(scalar: Scalar, row: int, value: Any) -> StepFailed:
    fix = "Convert the result in the function, or change its annotation."
    if scalar.returns == "datetime" and isinstance(value, datetime):
        fix = "An instant has a time zone: give it the one that is meant, as in value.replace(tzinfo=UTC)."
    return StepFailed(
        f"The feature {scalar.name!r} returned {value!r} ({type(value).__name__}) on row {row}; "
        f"it is declared to return {scalar.returns}.",
        step=scalar.name,
        fix=fix,
    )


def _int(value: Any) -> Any:
    whole = operator.index(value)
    return whole if -(2**63) <= whole < 2**63 else MISFIT


def _float(value: Any) -> Any:
    return MISFIT if isinstance(value, str | bytes) else float(value)


def _bool(value: Any) -> Any:
    return bool(value) if isinstance(value, bool) or type(value).__name__ == "bool" else MISFIT


def _string(value: Any) -> Any:
    return str(value) if isinstance(value, str) else MISFIT


def _instant(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else MISFIT


def _day(value: Any) -> Any:
    return value if isinstance(value, date) and not isinstance(value, datetime) else MISFIT


def _duration(value: Any) -> Any:
    return value if isinstance(value, timedelta) else MISFIT


_RESULTS: dict[FieldType, Callable[[Any], Any]] = {
    "bool": _bool,
    "int": _int,
    "float": _float,
    "string": _string,
    "category": _string,
    "datetime": _instant,
    "date": _day,
    "duration": _duration,
}

_EXACT: dict[FieldType, type] = {"bool": bool, "float": float, "string": str, "category": str}
"""Types of results that need no conversion; whole numbers may be too large."""


def coercer(kind: FieldType) -> Callable[[Any], Any] | None:
    """What brings a request's value of a type into the one form that features see; None where nothing is to be done.

    Whole numbers become floats where a float is declared, NaN and infinities null, instants become UTC. It is never called with None, and gives
    `MISFIT`, or raises as Python does, for what is of another type.
    """
    if kind == "float":
        return finite
    if kind == "datetime":
        return _instant
    return None


def scalar_order(spec: FeatureSetSpec) -> list[Scalar]:
    """The scalars of a set so that each comes after those it is computed from.

    Raises:
        InvalidInput: Some are computed from each other in a circle.
    """
    waiting = {part.name: part for part in spec.parts if isinstance(part, Scalar)}
    ordered: list[Scalar] = []
    while waiting:
        ready = [s for s in waiting.values() if not any(a.name in waiting for a in s.arguments)]
        if not ready:
            raise InvalidInput(
                f"The features {', '.join(sorted(waiting))} are computed from each other in a circle.",
                why="None of them can be computed first.",
                fix="Take one of the arguments from the request instead.",
            )
        for scalar in ready:
            del waiting[scalar.name]
        ordered += ready
    return ordered
