"""What people and requests may give a pipeline, checked without the project's code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from math import isfinite
from typing import Any

import msgspec

from slipway.errors import InvalidInput, near
from slipway.records.schedules import ParameterSpec

__all__ = ["check_readable", "fitting"]

_PYTHON: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "date": (str,),
    "instant": (str,),
    "any": (object,),
}
_READ_AS: dict[str, Any] = {
    "text": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "date": date,
    "instant": datetime,
}
_EXAMPLES = {
    "date": "2013-04-01",
    "instant": "2013-04-01T06:00:00+00:00",
    "boolean": "true",
    "integer": "3",
    "number": "0.1",
}


def fitting(
    parameters: Sequence[ParameterSpec],
    given: Mapping[str, Any],
    *,
    of: str,
    allowed: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Parameters as JSON carries them, each of them known and of its kind. Text that reads as the kind becomes it.

    Args:
        parameters: What the pipeline takes.
        given: What somebody gives, by name.
        of: What takes them, for sentences: "the schedule 'nightly'".
        allowed: Which ones may be given, None for all.

    Raises:
        InvalidInput: One is unknown, may not be given, or does not fit.
    """
    known = {one.name: one for one in parameters}
    found = {}
    for name, value in given.items():
        if name not in known or (allowed is not None and name not in allowed):
            names = sorted(known) if allowed is None else list(allowed)
            raise InvalidInput(
                f"{of[:1].upper()}{of[1:]} takes no parameter {name!r}{'' if allowed is None else ' from a request'}.",
                fix=near(name, names, what="parameters that it takes"),
                field=name,
            )
        found[name] = _value(known[name], value, of)
    return found


def check_readable(parameters: Sequence[ParameterSpec], given: Mapping[str, Any], *, of: str) -> None:
    """Refuse what a pipeline's process could not read by the annotations, before there is one.

    Args:
        parameters: What the pipeline takes.
        given: What somebody gives, by name; names that are not known are passed over.
        of: What takes them, for sentences.

    Raises:
        InvalidInput: A value does not fit.
    """
    for one in parameters:
        if one.name not in given or one.kind == "any" or (given[one.name] is None and one.is_optional):
            continue
        try:
            msgspec.convert(given[one.name], _READ_AS[one.kind], strict=False)
        except msgspec.ValidationError as problem:
            raise _unfit(one, given[one.name], of) from problem


def _unfit(parameter: ParameterSpec, value: Any, of: str) -> InvalidInput:
    kind = parameter.kind
    return InvalidInput(
        f"{value!r} does not fit the parameter {parameter.name!r} of {of}.",
        why=f"It takes {'an' if kind[0] in 'aeiou' else 'a'} {kind}.",
        fix=f"For example {parameter.name}={_EXAMPLES.get(kind, 'text')}.",
        field=parameter.name,
    )


def _value(parameter: ParameterSpec, value: Any, of: str) -> Any:
    if value is None and parameter.is_optional:
        return None
    kind = parameter.kind
    unfit = _unfit(parameter, value, of)
    try:
        read = _read(kind, value) if isinstance(value, str) else value
    except ValueError:
        raise unfit from None
    is_flag = isinstance(read, bool) and kind not in ("boolean", "any")
    is_no_number = isinstance(read, float) and not isfinite(read)  # JSON has none of these
    if not isinstance(read, _PYTHON[kind]) or is_flag or is_no_number:
        raise unfit
    if parameter.choices and read not in parameter.choices:
        named = ", ".join(map(str, parameter.choices))
        raise InvalidInput(
            f"{value!r} is no choice for the parameter {parameter.name!r} of {of}.",
            fix=f"Give one of: {named}.",
            field=parameter.name,
        )
    return read


def _read(kind: str, text: str) -> Any:
    """A text as its kind; dates and instants stay text, which is checked.

    Raises:
        ValueError: It is none.
    """
    if kind == "date":
        date.fromisoformat(text)
    elif kind == "instant":
        datetime.fromisoformat(text)
    elif kind == "integer":
        return int(text)
    elif kind == "number":
        return float(text)
    elif kind == "boolean":
        return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else text
    return text
