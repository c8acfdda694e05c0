"""What people and requests may give a schedule's pipeline, checked without the project's code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from slipway.errors import InvalidInput, near
from slipway.records.schedules import ParameterSpec

__all__ = ["fitting"]

_PYTHON: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "date": (str,),
    "instant": (str,),
    "any": (object,),
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
    schedule: str,
    allowed: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Parameters as JSON carries them, each of them known and of its kind. Text that reads as the kind becomes it.

    Args:
        parameters: What the pipeline takes.
        given: What somebody gives, by name.
        schedule: The schedule's name, for sentences.
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
                f"The schedule {schedule!r} takes no parameter {name!r}{'' if allowed is None else ' from a request'}.",
                fix=near(name, names, what="parameters that it takes"),
                field=name,
            )
        found[name] = _value(known[name], value, schedule)
    return found


def _value(parameter: ParameterSpec, value: Any, schedule: str) -> Any:
    if value is None and parameter.is_optional:
        return None
    kind = parameter.kind
    unfit = InvalidInput(
        f"{value!r} does not fit the parameter {parameter.name!r} of the schedule {schedule!r}.",
        why=f"It takes {'an' if kind[0] in 'aeiou' else 'a'} {kind}.",
        fix=f"For example {parameter.name}={_EXAMPLES.get(kind, 'text')}.",
        field=parameter.name,
    )
    try:
        read = _read(kind, value) if isinstance(value, str) else value
    except ValueError:
        raise unfit from None
    is_flag = isinstance(read, bool) and kind not in ("boolean", "any")
    if not isinstance(read, _PYTHON[kind]) or is_flag:
        raise unfit
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
