"""What is searched for: conditions and orders over what records can be found by, as plain data.

Two-valued: a comparison with what a record does not have is false, and `Not` turns it round. A number is compared with
numbers and a text with texts; where a record has several values of a field (its data sets), one that fits is enough.
"""

from __future__ import annotations

import math
import re
from typing import Literal

from msgspec import Struct

__all__ = [
    "And",
    "Between",
    "Compare",
    "Condition",
    "Facet",
    "Field",
    "In",
    "IsNull",
    "Not",
    "Operator",
    "Or",
    "Order",
    "Position",
    "Search",
    "Space",
    "Value",
    "mentions",
    "number_of",
]

Space = Literal["attribute", "param", "tag", "metric", "dataset", "figure", "measured"]
Operator = Literal["=", "!=", "<", "<=", ">", ">=", "LIKE", "ILIKE", "MATCHES"]
Value = float | str
Position = tuple[float | int | str | None, ...]
"""Where a page ends: the last row's rank, number and text under each order, its creation and its number in the store."""


_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_NUMBER_LENGTH = 40


def number_of(text: str) -> float | None:
    """The number that a text is, None for every other text: "4", "0.1", "-1e-05"."""
    if len(text) > _NUMBER_LENGTH or not _NUMBER.match(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


class Facet(Struct, frozen=True):
    """One value that a record is found by. The values of one field all have a text, or none has one.

    Args:
        space: What sort of field. The metrics of runs are found by their points and need no facet; "figure" is a metric
            whose value a record says itself, "measured" every value that it says of one.
        key: The field's name within its space.
        text: The value as text, None for what is only a number.
        number: The value as a number: for a text always its `number_of`; never NaN.
    """

    space: Space
    key: str
    text: str | None = None
    number: float | None = None


class Field(Struct, frozen=True):
    """What is compared or ordered by: a name within a space."""

    space: Space
    key: str


class Compare(Struct, frozen=True, tag=True):
    """A field beside a value.

    `!=` holds where another value is there. LIKE has `%` for any text and `_` for one character, ILIKE does the same in
    lower case, MATCHES finds a regular expression anywhere (see `slipway.patterns`). A metric that is NaN equals NaN,
    differs from every number, and is neither above nor below one.
    """

    field: Field
    operator: Operator
    value: Value


class In(Struct, frozen=True, tag=True):
    """A field that equals one of some values."""

    field: Field
    values: tuple[Value, ...]


class Between(Struct, frozen=True, tag=True):
    """A field from `low` to `high`, both included; both are numbers or both texts."""

    field: Field
    low: Value
    high: Value


class IsNull(Struct, frozen=True, tag=True):
    """A record that does not have the field."""

    field: Field


class And(Struct, frozen=True, tag=True):
    """All parts hold; true without parts."""

    parts: tuple[Condition, ...]


class Or(Struct, frozen=True, tag=True):
    """One part holds; false without parts."""

    parts: tuple[Condition, ...]


class Not(Struct, frozen=True, tag=True):
    """The part does not hold."""

    part: Condition


Condition = Compare | In | Between | IsNull | And | Or | Not


class Order(Struct, frozen=True):
    """What comes first. Numbers in order, then texts in order (NaN, for a metric), then records without the field.

    `descending` turns numbers and texts round each, never what lacks them to the front.
    """

    field: Field
    descending: bool = False


class Search(Struct, frozen=True, kw_only=True):
    """What an operation that searches is asked; the newest first where nothing is said.

    Args:
        where: What must hold: "metrics.auc > 0.7 and params.depth in (4, 6)".
        order: What comes first: "metrics.auc desc, started".
        best_per: Only the first record of each value of this field: "tags.user".
        token: The token of the page before this one, "" for the first page.
        limit: How many at most.
    """

    where: str = ""
    order: str = ""
    best_per: str = ""
    token: str = ""
    limit: int = 50


def mentions(condition: Condition | None, field: Field) -> bool:
    """Whether a condition asks about a field anywhere."""
    match condition:
        case None:
            return False
        case And(parts) | Or(parts):
            return any(mentions(part, field) for part in parts)
        case Not(part):
            return mentions(part, field)
        case _:
            return condition.field == field
