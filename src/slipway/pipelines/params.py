"""A pipeline's parameters out of text or JSON, by the annotations of its function."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from datetime import date, datetime
from types import NoneType
from typing import Any, Literal

import msgspec

from slipway.errors import InvalidInput, near
from slipway.pipelines.declare import Pipeline
from slipway.records.schedules import ParameterKind, ParameterSpec

__all__ = ["converted", "parameters_of"]

_KINDS: dict[Any, ParameterKind] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "boolean",
    date: "date",
    datetime: "instant",
}


def parameters_of(pipeline: Pipeline[..., Any]) -> tuple[ParameterSpec, ...]:
    """What a pipeline takes, so that it can be asked for and checked without the project's code."""
    hints = typing.get_type_hints(pipeline.function)
    found = []
    for name, parameter in pipeline.signature.parameters.items():
        hint = hints.get(name, Any)
        choices = [choice for choice in typing.get_args(hint) if choice is not NoneType]
        is_optional = NoneType in typing.get_args(hint)
        if is_optional and len(choices) == 1:
            hint = choices[0]
        named = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
        is_named = bool(named) and all(isinstance(one, str) for one in named)
        kind = _KINDS.get(hint, "any") if isinstance(hint, type) else "any"
        is_needed = parameter.default is parameter.empty
        found.append(
            ParameterSpec(
                name=name,
                kind="text" if is_named else kind,
                is_optional=is_optional,
                is_needed=is_needed,
                default=None if is_needed else _plain(parameter.default),
                choices=named if is_named else (),
            )
        )
    return tuple(found)


def _plain(value: object) -> Any:
    """A default as JSON carries it, None where it carries none like it."""
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, NotImplementedError, msgspec.MsgspecError):
        return None


def converted(pipeline: Pipeline[..., Any], values: Mapping[str, object]) -> dict[str, object]:
    """Values in the types that a pipeline's parameters are annotated with.

    Args:
        pipeline: Whose parameters they are.
        values: Text, as a command line gives it, or plain JSON values, by name. Dates and instants are text in ISO form.
            A parameter without annotation takes what is given.

    Raises:
        InvalidInput: A parameter is unknown, or a value does not fit its type.
    """
    hints = typing.get_type_hints(pipeline.function)
    found = {}
    for name, given in values.items():
        if name not in pipeline.signature.parameters:
            raise InvalidInput(
                f"The pipeline {pipeline.name!r} has no parameter {name!r}.",
                fix=near(name, pipeline.signature.parameters, what="parameters"),
                field=name,
            )
        found[name] = _value(name, given, hints.get(name, Any))
    return found


def _value(name: str, given: object, kind: Any) -> object:
    choices = [choice for choice in typing.get_args(kind) if choice is not NoneType]
    if NoneType in typing.get_args(kind) and len(choices) == 1:
        if given is None:
            return None
        kind = choices[0]
    if kind in (date, datetime) and isinstance(given, str):
        try:
            return kind.fromisoformat(given)
        except ValueError:
            raise InvalidInput(
                f"{given!r} is no {kind.__name__} for {name!r}.", fix="Write it as 2013-04-01.", field=name
            ) from None
    try:
        return msgspec.convert(given, kind, strict=False)
    except (msgspec.ValidationError, TypeError) as problem:
        raise InvalidInput(
            f"{given!r} does not fit the parameter {name!r}: {problem}.",
            fix=f"Give a value of type {getattr(kind, '__name__', kind)}, or call the pipeline from Python.",
            field=name,
        ) from problem
