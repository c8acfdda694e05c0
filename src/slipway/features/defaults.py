"""What stands where nothing is known: one rule for windows, views and scalar features, offline and online alike.

A default is a part of the definition. It stands where a scalar's function is not called for want of an argument, where
no row of a view counts, and where a window holds nothing from which its value could come. It replaces nothing else: a
null that a view's row holds, or that a function returns, is what is known.
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from typing import Any

from slipway.errors import InvalidDeclaration
from slipway.features.states import plain, restore
from slipway.records.features import Scalar, View, Windows
from slipway.records.schema import FieldType

__all__ = ["checked_default", "defaults_of"]

_KINDS: dict[FieldType, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "string": (str,),
    "category": (str,),
    "datetime": (datetime,),
    "date": (date,),
    "duration": (timedelta,),
}


def checked_default(value: Any, kind: FieldType, what: str) -> Any:
    """A declared default as a definition keeps it, see `states.plain`; None stays None.

    Args:
        value: As it was declared.
        kind: The type of the feature.
        what: Names the feature in the error: "the feature 'hour'".

    Raises:
        InvalidDeclaration: It is of another type, or no number that JSON carries.
    """
    if value is None:
        return None
    fits = isinstance(value, _KINDS.get(kind, ())) and (kind == "bool") == isinstance(value, bool)
    fits = fits and not (kind == "date" and isinstance(value, datetime))
    fits = fits and not (isinstance(value, datetime) and value.tzinfo is None)
    fits = fits and not (isinstance(value, float) and not math.isfinite(value))
    fits = fits and not (kind == "int" and not -(2**63) <= value < 2**63)
    if not fits:
        raise InvalidDeclaration(
            f"The default of {what} is {value!r}.",
            why=f"The feature is of type {kind}: a finite number where it is one, an instant with its time zone.",
            fix="Give a value of this type, or leave the default out.",
        )
    return plain(float(value) if kind == "float" else value)


def defaults_of(part: Windows | View | Scalar) -> tuple[Any, ...]:
    """The value of each feature of a part, in order, where nothing is known."""
    if isinstance(part, Scalar):
        return (_restored(part.default, part.returns),)
    if isinstance(part, Windows):
        return tuple(_restored(aggregate.default, aggregate.returns) for aggregate in part.aggregates)
    given = dict(part.defaults)
    return tuple(_restored(given.get(field.name), field.type) for field in part.fields)


def _restored(value: Any, kind: FieldType) -> Any:
    change = restore(kind)
    return value if value is None or change is None else change(value)
