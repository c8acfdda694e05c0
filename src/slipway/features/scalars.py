"""Scalar features: plain functions of one row, declared with `@sw.feature`."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, overload

from slipway.errors import InvalidDeclaration
from slipway.features.about import about_of
from slipway.features.defaults import checked_default
from slipway.records.features import AboutFeature, Scalar
from slipway.records.schema import Field
from slipway.schema.annotations import field_of_annotation

__all__ = ["Example", "Feature", "feature"]

Example = tuple[Mapping[str, Any], Any]
"""Arguments by name, those that are left out being null, and what the feature is for them."""

_WORDS = "bool, int, float, str, datetime, date, timedelta or a Literal of strings, with `| None` where it may be null"


class Feature:
    """A scalar feature: the user's function, and what its annotations say. Calling it calls the function.

    Its arguments are fields of the request, or other features of the same set by name. Where an argument that is not
    declared `| None` is null, the feature is null and the function is not called.

    Args:
        function: Annotated; one row in, one value out.
        default: What the feature is where the function is not called; None for null.
        examples: Arguments and what they give, checked whenever a training set is made.
        about: Owner, description and tags.

    Raises:
        InvalidDeclaration: An annotation is missing or no plain type, or the default is of another type.

    Attributes:
        name: The function's name, and the feature's.
        function: The user's function.
        arguments: Names and types, in order.
        returns: The type of the result.
        twin: The same over columns, see `vectorised`; None where there is none.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        default: Any = None,
        examples: Iterable[Example] = (),
        about: AboutFeature | None = None,
    ) -> None:
        _check_plain(function)
        functools.update_wrapper(self, function)
        self.function = function
        self.name: str = function.__name__
        if self.name == "<lambda>":
            raise InvalidDeclaration(
                "A lambda cannot be a feature.",
                why="A feature is known by its function's name, and by the types of its arguments.",
                fix="Write `@sw.feature` over a `def` with annotations.",
            )
        hints = _hints(function)
        self.arguments = tuple(_argument(function, parameter, hints) for parameter in _parameters(function))
        if not self.arguments:
            raise InvalidDeclaration(
                f"The feature {self.name!r} has no arguments.",
                why="A feature is computed from fields of the request or from other features.",
                fix=f"Name what it is computed from: `def {self.name}(distance: int) -> ...`.",
            )
        if "return" not in hints:
            raise InvalidDeclaration(
                f"The feature {self.name!r} does not say what it returns.",
                why="The model's signature needs the type, and both paths keep to it.",
                fix=f"Annotate it with {_WORDS}: `def {self.name}(...) -> float:`.",
            )
        self.returns = _field(function, "return", hints["return"]).type
        self.default = checked_default(default, self.returns, f"the feature {self.name!r}")
        self.examples: tuple[Example, ...] = _listed(examples, self.name)
        self.about = about or about_of(function)
        self.twin: Callable[..., Any] | None = None

    def scalar(self, definition: str = "") -> Scalar:
        """The feature as data.

        Args:
            definition: The fingerprint of the function's code closure.
        """
        return Scalar(
            name=self.name,
            arguments=self.arguments,
            returns=self.returns,
            module=self.function.__module__,
            definition=definition,
            default=self.default,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the user's function."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<feature {self.name}({', '.join(f'{a.name}: {a.type}' for a in self.arguments)}) -> {self.returns}>"


@overload
def feature(function: Callable[..., Any], /) -> Feature: ...


@overload
def feature(
    *,
    default: Any = None,
    examples: Sequence[Example] = (),
    owner: str = "",
    description: str = "",
    tags: str | Iterable[str] = (),
) -> Callable[[Callable[..., Any]], Feature]: ...


def feature(
    function: Callable[..., Any] | None = None,
    /,
    *,
    default: Any = None,
    examples: Sequence[Example] = (),
    owner: str = "",
    description: str = "",
    tags: str | Iterable[str] = (),
) -> Feature | Callable[[Callable[..., Any]], Feature]:
    """Declare a scalar feature: one row in, one value out; the same function for training rows and live requests.

    Args:
        function: With annotated arguments (fields of the request, or names of other features) and result. Nulls arrive
            as None in arguments declared `| None`; instants arrive as aware UTC. NaN and infinities in fields of the
            request and in values of views are nulls too, in training as live: JSON does not carry them.
        default: What the feature is where an argument that is not declared `| None` is null; None for null. It is part
            of the definition. What the function itself returns stays, None too.
        examples: Arguments and what they give, such as `[({"distance": 2475}, True)]`; an argument that is left out is
            null. A training set is not made where one fails; `slipway features test` checks them too. Floats may differ
            by a billionth.
        owner: Who answers for it: a person or a team.
        description: What it means, in a sentence; the first line of the function's docstring where it is "".
        tags: Words to find it by. Owner, description, tags and examples are no part of the definition.

    Raises:
        InvalidDeclaration: An annotation is missing or no plain type, or the default is of another type.

    Example:
        >>> @feature(owner="desk", examples=[({"distance": 2475}, True)])
        ... def is_long(distance: int) -> bool:
        ...     return distance > 1500
        >>> is_long(2475)
        True
    """

    def declare(given: Callable[..., Any]) -> Feature:
        about = about_of(given, owner=owner, description=description, tags=tags)
        return Feature(given, default=default, examples=examples, about=about)

    return declare if function is None else declare(function)


def _check_plain(function: object) -> None:
    """Refuse what is no function that gives its value when it is called."""
    name = getattr(function, "__name__", None)
    if not callable(function) or isinstance(function, type | Feature) or not isinstance(name, str):
        raise InvalidDeclaration(
            f"@sw.feature was given {function!r}.",
            why="A feature is a plain function of one row.",
            fix="Write `@sw.feature` over a `def` with annotations.",
        )
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidDeclaration(
            f"The feature {name!r} is {'an async function' if inspect.iscoroutinefunction(function) else 'a generator'}.",
            why="It is called for each row, and what it returns is the feature's value.",
            fix="Make it a plain function that returns the value.",
        )


def _listed(examples: object, name: str) -> tuple[Example, ...]:
    if isinstance(examples, str | Mapping) or not isinstance(examples, Iterable):
        raise InvalidDeclaration(
            f"The examples of the feature {name!r} are {examples!r}.",
            why="They are a list: of each, its arguments by name and what the feature is for them.",
            fix="For example examples=[({'distance': 2475}, True)].",
        )
    return tuple(examples)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except NameError as error:
        raise InvalidDeclaration(
            f"The annotations of the feature {function.__name__!r} name {error.name!r}, which is not defined here.",
            why="They are read when the function is declared.",
            fix=f"Import {error.name!r} above it, outside `if TYPE_CHECKING`.",
        ) from error


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    parameters = list(inspect.signature(function).parameters.values())
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY):
            raise InvalidDeclaration(
                f"The feature {function.__name__!r} takes {parameter.name!r} as {parameter.kind.description}.",
                why="Each argument is one field, given in order.",
                fix="Name the arguments one by one.",
            )
    return parameters


def _argument(function: Callable[..., Any], parameter: inspect.Parameter, hints: dict[str, Any]) -> Field:
    if parameter.name not in hints:
        raise InvalidDeclaration(
            f"The argument {parameter.name!r} of the feature {function.__name__!r} has no type.",
            why="The endpoint's contract is made of these types.",
            fix=f"Annotate it with {_WORDS}.",
        )
    return _field(function, parameter.name, hints[parameter.name])


def _field(function: Callable[..., Any], name: str, hint: object) -> Field:
    try:
        return field_of_annotation(name, hint)
    except InvalidDeclaration as error:
        what = "result" if name == "return" else f"argument {name!r}"
        raise InvalidDeclaration(
            f"The {what} of the feature {function.__name__!r} has the type {getattr(hint, '__name__', None) or hint}.",
            why="A feature works on one row of plain values.",
            fix=f"Use {_WORDS}.",
        ) from error
