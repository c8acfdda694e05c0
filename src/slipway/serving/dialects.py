"""Other protocols on the one predict path: a dialect only rewrites a request into the endpoint's own JSON, and an answer out.

So there is one decoder, one contract and one set of limits, whoever asks in which protocol, and a value means the same.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from slipway.errors import InvalidInput
from slipway.records.endpoints import Contract, Revision
from slipway.serving.answers import Answer, too_many
from slipway.serving.http import Headers

__all__ = ["Dialect", "Understood", "body_of", "check_rows", "encoded", "only_finite"]

_encode = msgspec.json.Encoder().encode


class Understood(NamedTuple):
    """A request in the endpoint's own JSON, and how its answer is written."""

    body: bytes
    write: Callable[[Answer], bytes]


class Dialect(NamedTuple):
    """One protocol.

    Args:
        read: A body, the request's headers and what serves to what is understood; raises `InvalidInput` naming the place.
        content_type: The answer's.
    """

    read: Callable[[bytes, Headers, Revision], Understood]
    content_type: bytes = b"application/json"


def check_rows(count: int, contract: Contract, field: str) -> None:
    """Refuse more rows than the contract allows before any of them is made.

    Raises:
        TooLarge: There are too many.
    """
    if count > contract.max_rows:
        raise too_many(count, contract, field)


def only_finite(values: Sequence[Any], name: str) -> None:
    """Refuse infinity, which JSON cannot say; NaN becomes null when a body is made.

    Raises:
        InvalidInput: A value is infinite.
    """
    for row, value in enumerate(values):
        if type(value) is float and math.isinf(value):
            raise InvalidInput(
                f"rows[{row}].{name} is {value}.",
                why="A number is finite, or null where it is unknown.",
                field=f"rows[{row}].{name}",
            )


def body_of(columns: Mapping[str, Sequence[Any]], count: int) -> bytes:
    """Columns of one length as a body in the endpoint's own JSON; NaN is null there.

    Raises:
        InvalidInput: Values are nested too deeply.
    """
    names = tuple(columns)
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return encoded(rows if names else [{}] * count)


def encoded(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as a body in the endpoint's own JSON.

    Raises:
        InvalidInput: Values are nested too deeply.
    """
    try:
        return _encode({"rows": rows})
    except RecursionError as problem:
        raise InvalidInput("The request is nested too deeply.", why="A row is a flat object.") from problem
