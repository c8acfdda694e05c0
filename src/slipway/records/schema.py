"""Types of columns, requests and answers: the same few names everywhere."""

from typing import Literal

from msgspec import Struct

__all__ = ["Field", "FieldType", "Signature"]

FieldType = Literal["bool", "int", "float", "string", "category", "datetime", "date", "duration", "object"]


class Field(Struct, frozen=True):
    """One named, typed value.

    Args:
        name: The column's or field's name.
        type: "category" is a string out of a closed list; "datetime" is aware UTC with microseconds; "object" is what
            has no plain type and is only passed through.
        nullable: Whether null is allowed.
        categories: For "category": the known values in the order of their codes.
    """

    name: str
    type: FieldType
    nullable: bool = True
    categories: tuple[str, ...] = ()


class Signature(Struct, frozen=True):
    """What a model takes and gives: one row's inputs in order, and one row's outputs in order.

    The output "score" of a classifier is the probability of the positive class.
    """

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
