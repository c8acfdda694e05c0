"""Python annotations as fields; light, because declarations and endpoints need it."""

from datetime import date, datetime, timedelta
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from slipway.errors import InvalidDeclaration
from slipway.records.schema import Field, FieldType

__all__ = ["field_of_annotation"]

_TYPES: dict[Any, FieldType] = {
    bool: "bool",
    int: "int",
    float: "float",
    str: "string",
    datetime: "datetime",
    date: "date",
    timedelta: "duration",
}


def field_of_annotation(name: str, annotation: object) -> Field:
    """The field that an argument, or a result, with an annotation stands for.

    Args:
        name: The argument's name; it becomes the field's.
        annotation: bool, int, float, str, datetime, date, timedelta, or a `Literal` of strings (a category), each
            possibly `| None`, which makes the field nullable. Resolved, as `typing.get_type_hints` gives it.

    Raises:
        InvalidDeclaration: It is something else.
    """
    plain, nullable = _without_none(annotation)
    if plain in _TYPES:
        return Field(name, _TYPES[plain], nullable)
    choices = get_args(plain)
    if get_origin(plain) is Literal and all(isinstance(choice, str) for choice in choices):
        return Field(name, "category", nullable, choices)
    shown = annotation.__name__ if isinstance(annotation, type) else repr(annotation).replace("typing.", "")
    raise InvalidDeclaration(
        f"{name!r} is annotated with {shown}.",
        why="Fields are bool, int, float, str, datetime, date, timedelta or a Literal of strings, each with '| None'.",
        fix=f"Annotate it with one of these, for example `{name}: float | None`.",
    )


def _without_none(annotation: object) -> tuple[Any, bool]:
    if get_origin(annotation) not in (Union, UnionType):
        return annotation, False
    members = [member for member in get_args(annotation) if member is not NoneType]
    nullable = len(members) < len(get_args(annotation))
    return (members[0] if len(members) == 1 else annotation), nullable
