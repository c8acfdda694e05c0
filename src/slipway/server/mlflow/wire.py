"""The wire of MLflow's API: protobuf's JSON in, protobuf's JSON out, errors as MLflow's clients know them.

int64 comes as a number or as text, NaN and infinities as text, what is not known is ignored, null means unset; in
answers what is empty is left out. The client repeats a request that was answered 408, 429 or 5xx for minutes, so what
the client itself did wrong is never answered so.
"""

import base64
import binascii
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from slipway.errors import (
    Conflict,
    Corrupt,
    Denied,
    GateRefused,
    InvalidInput,
    NotFound,
    SlipwayError,
    StepFailed,
    Unauthenticated,
    Unavailable,
    UserError,
)
from slipway.ledger.entries import microseconds
from slipway.server import errors

__all__ = [
    "EXISTS",
    "INVALID",
    "Int64",
    "Pair",
    "Unknown",
    "answer",
    "error_answer",
    "given_pairs",
    "instant",
    "millis",
    "number",
    "pairs",
    "read_json",
    "read_query",
    "read_token",
    "token",
]

T = TypeVar("T", bound=Struct)

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
INVALID = "INVALID_PARAMETER_VALUE"
EXISTS = "RESOURCE_ALREADY_EXISTS"
_CONFLICT = "RESOURCE_CONFLICT"
_ENDLESS = "9999-12-31T23:59:59"
_LATEST_MS = 253_402_300_799_000  # the last second of the year 9999, the latest that a datetime can say

# The nearest class above an error decides.
_CODES: dict[type[SlipwayError], tuple[int, str]] = {
    errors.MethodNotAllowed: (405, "ENDPOINT_NOT_FOUND"),
    InvalidInput: (400, INVALID),
    UserError: (400, INVALID),
    StepFailed: (400, INVALID),
    NotFound: (404, "RESOURCE_DOES_NOT_EXIST"),
    Conflict: (409, _CONFLICT),
    GateRefused: (409, _CONFLICT),
    Denied: (403, "PERMISSION_DENIED"),
    Unauthenticated: (401, "UNAUTHENTICATED"),
    Unavailable: (503, "TEMPORARILY_UNAVAILABLE"),
    Corrupt: (500, "DATA_LOSS"),
    SlipwayError: (500, "INTERNAL_ERROR"),
}
_CONFLICTS = {INVALID: 400, EXISTS: 400, _CONFLICT: 409}


class Unknown(NotFound):
    """There is no such route.

    When: a client of MLflow asks for a route that is not there.

    To do: docs/mlflow.md says which there are, and what stands in for the others.
    """


class Pair(Struct, frozen=True):
    """A key with a text: a tag or a parameter."""

    key: str = ""
    value: str = ""


def read_json(body: bytes, kind: type[T]) -> T:
    """A request out of JSON.

    Raises:
        InvalidInput: It is not JSON, or a field has the wrong type.
    """
    if not body.strip():
        body = b"{}"
    if b"\\u0000" in body:
        raise _nul()
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        if not (b"null" in body and isinstance(problem, msgspec.ValidationError)):
            raise _misfit(problem) from problem
    try:
        plain = _without_nulls(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise _misfit(problem) from problem
    return _convert(plain, kind)


def read_query(items: Iterable[tuple[str, str]], kind: type[T]) -> T:
    """A request out of a query string: a list is the same name several times.

    Raises:
        InvalidInput: A field has the wrong type.
    """
    lists = {field.name for field in msgspec.structs.fields(kind) if _is_list(field.type)}
    values: dict[str, Any] = {}
    for name, value in items:
        if "\0" in value:
            raise _nul()
        if name in lists:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    return _convert(values, kind)


def answer(values: Mapping[str, Any]) -> Response:
    """An answer: what is empty is left out, at every depth."""
    return Response(msgspec.json.encode(_present(values)), media_type="application/json")


def error_answer(error: SlipwayError, *, conflict: str = _CONFLICT) -> Response:
    """An error as MLflow's clients read it.

    Args:
        error: What happened.
        conflict: The code of a conflict on this route.
    """
    status, code = next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)
    if isinstance(error, Unknown):
        code = "ENDPOINT_NOT_FOUND"
    elif isinstance(error, Conflict):
        status, code = _CONFLICTS[conflict], conflict
    body = msgspec.json.encode({"error_code": code, "message": str(error)})
    return Response(body, status, errors.retry_after(status), media_type="application/json")


def unexpected(request: Request, problem: Exception) -> Response:
    """The answer to an exception that nobody meant to raise; the traceback goes to the log only."""
    return error_answer(errors.unexpected(request, problem))


def number(value: float) -> float | str:
    """A double as JSON can carry it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def millis(moment: datetime | None) -> int:
    """Milliseconds since the epoch, 0 for never."""
    return 0 if moment is None else microseconds(moment) // 1000


def instant(millis: int, field: str) -> datetime:
    """The moment of milliseconds since the epoch.

    Raises:
        InvalidInput: It is before the epoch, or after the year 9999.
    """
    if not 0 <= millis <= _LATEST_MS:
        raise InvalidInput(
            f"{field!r} is {millis}.",
            why=f"Times are milliseconds since 1970 and at most {_ENDLESS}.",
            fix="Multiply seconds by 1,000.",
            field=field,
        )
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis)


def pairs(values: Mapping[str, Any]) -> list[dict[str, str]]:
    """A mapping as MLflow's list of keys and texts."""
    return [{"key": key, "value": str(value)} for key, value in sorted(values.items())]


def given_pairs(given: Iterable[Pair]) -> dict[str, str]:
    """MLflow's list of keys and texts as a mapping; the last of a key counts."""
    return {pair.key: pair.value for pair in given}


def token(values: list[Any]) -> str:
    """A page's token; clients hand it back unread."""
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode()


def read_token(text: str, length: int) -> list[Any]:
    """What `token` made.

    Args:
        text: What a client handed back.
        length: How many values it must hold.

    Raises:
        InvalidInput: It did not.
    """
    try:
        values = msgspec.json.decode(base64.b64decode(text, altchars=b"-_", validate=True), type=list[Any])
    except (binascii.Error, ValueError, RecursionError):
        values = []
    if len(values) != length:
        raise InvalidInput(
            f"The page token {text[:40]!r} was not made by this request.",
            fix="Hand back `next_page_token` as it came, with the same filter and order, or leave it out.",
            field="page_token",
        )
    return values


def _convert(values: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(values, kind, strict=False)
    except (msgspec.ValidationError, RecursionError) as problem:
        raise _misfit(problem) from problem


def _misfit(problem: Exception) -> InvalidInput:
    message, _, path = str(problem).partition(" - at ")
    field = path.strip("`$.")
    return InvalidInput(
        f"Invalid value for parameter {field or 'body'!r} supplied: {message}.",
        fix="Send what MLflow's own client sends.",
        field=field,
    )


def _nul() -> InvalidInput:
    return InvalidInput("A text holds the character NUL.", fix="Leave it out.")


def _is_list(kind: Any) -> bool:
    return getattr(kind, "__origin__", kind) in (list, tuple)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value if one is not None]
    return value


def _present(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _present(one) for key, one in value.items() if one is not None and one != "" and one != []}
    if isinstance(value, list):
        return [_present(one) for one in value]
    return value
