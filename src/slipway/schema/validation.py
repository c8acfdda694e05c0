"""Request bodies, decoded and validated by one compiled decoder; without Polars, because endpoints need it.

A body is `{"rows": [{...}, ...], "at": optional instant}`. Decoder and validator are one pass of msgspec over structs
made from the contract's fields; what it refuses is looked at a second time only to say what was given.
"""

import json
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import DecodeError, Meta, Struct, ValidationError

from slipway.errors import InvalidInput, near
from slipway.records.schema import Field, FieldType

__all__ = ["Request", "RequestDecoder", "check_field_names", "decoder", "shown"]

_Instant = Annotated[datetime, Meta(tz=True)]

_TYPES: dict[FieldType, Any] = {
    "bool": bool,
    "int": Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
    "float": float,
    "string": str,
    "category": str,
    "datetime": _Instant,
    "date": date,
    "duration": timedelta,
    "object": Any,
}

_WORDS: dict[FieldType, str] = {
    "bool": "true or false",
    "int": "a whole number of at most 64 bits, written without a decimal point",
    "float": "a number",
    "string": "a string",
    "category": "a string",
    "datetime": 'an instant with its time zone, such as "2013-04-01T12:00:00Z"',
    "date": 'a date, such as "2013-04-01"',
    "duration": 'an ISO 8601 duration, such as "PT90M"',
    "object": "any value",
}

_AT = Field("at", "datetime")
_PROBLEM = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?\Z", re.DOTALL)
_ROW = re.compile(r"rows\[(?P<row>\d+)\](?:\.(?P<name>.*))?\Z", re.DOTALL)
_QUOTED = re.compile(r"`(.*)`", re.DOTALL)
_SHOWN = 60
_ODD = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')


class Request(Struct, frozen=True):
    """A validated request.

    Args:
        rows: One list a row, its values in the order of the contract: Python scalars, None for null, instants aware
            in UTC.
        at: The decision time that the request carries, aware UTC, or None.
        has_unknown: Whether a row carries a field that the contract does not know.
    """

    rows: list[list[Any]]
    at: datetime | None
    has_unknown: bool = False


class RequestDecoder:
    """Decodes and validates request bodies against a contract's fields. Safe for threads.

    Args:
        fields: The contract's fields, in order. Each must be there, so that a misspelled one is no
            silent null; a nullable one may be null.
        strict: Whether an unknown field of a row is refused; otherwise it is passed over, and `unknown_fields` counts.

    Raises:
        InvalidInput: A field's name cannot stand in a request.
    """

    def __init__(self, fields: tuple[Field, ...], *, strict: bool = False) -> None:
        check_field_names(field.name for field in fields)
        self._fields = {field.name: field for field in fields}
        self._known = self._fields.keys()
        self._decoder = _body_decoder(fields, strict=True)
        self._lenient = None if strict else _body_decoder(fields, strict=False)
        self._names = msgspec.json.Decoder(_NamesOnly)
        self._instants = [position for position, field in enumerate(fields) if field.type == "datetime"]

    def decode(self, body: bytes) -> Request:
        """Decode a body.

        Raises:
            InvalidInput: It does not fit; `field` names the place (`rows[3].distance`) and the sentence says what was
                given and what is expected.
        """
        has_unknown = False
        try:
            try:
                # Most bodies carry what the contract knows and nothing else: what the strict decoder takes has no unknown
                # field, and nobody needs to look for one.
                decoded = self._decoder.decode(body)
            except ValidationError:
                if self._lenient is None:
                    raise
                decoded, has_unknown = self._lenient.decode(body), True
        except (DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise self._refusal(body, problem) from None
        rows = list(map(list, map(msgspec.structs.astuple, decoded.rows)))
        for position in self._instants:
            for index, values in enumerate(rows):
                if values[position] is not None:
                    name = list(self._fields)[position]
                    values[position] = _utc(values[position], f"rows[{index}].{name}")
        return Request(rows, None if decoded.at is None else _utc(decoded.at, "at"), has_unknown)

    def unknown_fields(self, body: bytes) -> dict[str, int]:
        """How many rows of a valid body carry which field that the contract does not know.

        It reads the body a second time, so call it off the request's critical path, and only where `has_unknown` says so.
        """
        counts: dict[str, int] = {}
        for row in self._names.decode(body).rows:
            for name in row.keys() - self._known:
                counts[name] = counts.get(name, 0) + 1
        return counts

    def _refusal(self, body: bytes, problem: Exception) -> InvalidInput:
        if not isinstance(problem, ValidationError):
            return self._not_json(body, problem)
        try:
            # The standard library reads numbers beyond 64 bits too, here as they were written.
            given = json.loads(body, parse_int=_Digits, parse_float=_Digits)
        except (ValueError, RecursionError) as worse:
            return self._not_json(body, worse)
        found = _PROBLEM.match(str(problem))
        what, path = (found["what"], found["path"] or "") if found else (str(problem), "")
        place = _ROW.match(path)
        if place is None:
            return self._envelope_refusal(what, path, given)
        row = given["rows"][int(place["row"])]
        if place["name"] is not None:
            return _wrong_value(self._fields[place["name"]], path, row.get(place["name"]), what)
        quoted = _QUOTED.search(what)
        if "required field" in what and quoted:
            return self._missing(self._fields[quoted[1]], path, row)
        if "unknown field" in what and quoted:
            return InvalidInput(
                f"{path} has a field {quoted[1]!r}, which this endpoint's contract does not know.",
                why="The contract is strict.",
                fix=near(quoted[1], self._fields, what="fields"),
                field=f"{path}.{quoted[1]}",
            )
        return InvalidInput(f"{path} is {shown(row)}.", why="A row is an object.", fix=self._example(), field=path)

    def _not_json(self, body: bytes, problem: Exception) -> InvalidInput:
        if isinstance(problem, RecursionError):
            return InvalidInput("The body is nested too deeply.", why="A row is a flat object.", fix=self._example())
        what = f"The body is not JSON in UTF-8: {problem}." if body.strip() else "The body is empty."
        return InvalidInput(what, why='Expected {"rows": [{...}]}.', fix=self._example())

    def _missing(self, field: Field, path: str, row: dict[str, Any]) -> InvalidInput:
        meant = [name for name in row.keys() - self._fields.keys() if repr(field.name) in near(name, self._fields)]
        add = f"Add {field.name!r} to the row{', null when it is unknown' if field.nullable else ''}."
        fix = f"The row has {meant[0]!r}: did you mean {field.name!r}?" if meant else add
        return InvalidInput(
            f"{path} has no field {field.name!r}.",
            why=f"The contract requires it: {_expected(field)}.",
            fix=fix,
            field=f"{path}.{field.name}",
        )

    def _envelope_refusal(self, what: str, path: str, given: Any) -> InvalidInput:
        if path == "at":
            return _wrong_value(_AT, path, given["at"], what)
        quoted = _QUOTED.search(what)
        if "unknown field" in what and quoted:
            said = f"The body has a field {quoted[1]!r}."
            why = 'Only "rows" and "at" are known there.'
            return InvalidInput(said, why=why, fix=f'Send {{"rows": [{{...}}]}}. {self._example()}', field=quoted[1])
        said = f"{path or 'The body'} is {shown(given[path] if path else given)}."
        if "required field" in what:
            said = 'The body has no "rows".'
        return InvalidInput(said, why='Expected {"rows": [{...}]}.', fix=self._example(), field=path or "rows")

    def _example(self) -> str:
        return f"Each row carries: {', '.join(self._fields)}."


def check_field_names(names: Iterable[str]) -> None:
    """Check that columns can be fields of requests and of pushed rows.

    Raises:
        InvalidInput: A name holds a character that JSON writes in more than one way, so that no compiled decoder
            knows it.
    """
    for name in names:
        if found := _ODD.search(name):
            raise InvalidInput(
                f"{name!r} cannot be the name of a request's field: it holds {found[0]!r}.",
                why="JSON escapes quotation marks, backslashes and control characters, and a field's name is taken as it is.",
                fix="Rename the column in the table or before training.",
                field=name,
            )


def decoder(fields: tuple[Field, ...], strict: bool = False) -> RequestDecoder:
    """A request decoder for a contract's fields; see `RequestDecoder`."""
    return RequestDecoder(fields, strict=strict)


def _body_decoder(fields: tuple[Field, ...], *, strict: bool) -> msgspec.json.Decoder[Any]:
    # Python's names of the attributes are positions: a field's own name may be no identifier.
    row = msgspec.defstruct(
        "Row",
        [_attribute(position, field) for position, field in enumerate(fields)],
        rename={f"f{position}": field.name for position, field in enumerate(fields)},
        kw_only=True,
        gc=False,
        forbid_unknown_fields=strict,
    )
    rows: Any = list[row]  # type: ignore[valid-type]  # made at run time
    body = msgspec.defstruct("Body", [("rows", rows), ("at", _Instant | None, None)], forbid_unknown_fields=True)
    return msgspec.json.Decoder(body)


class _NamesOnly(Struct):
    rows: list[dict[str, msgspec.Raw]]


def _attribute(position: int, field: Field) -> Any:
    kind = _TYPES[field.type]
    return f"f{position}", kind | None if field.nullable else kind


def _utc(instant: datetime, where: str) -> datetime:
    if instant.tzinfo is UTC:
        return instant
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(
            f"{where} is {instant.isoformat()!r}.", why="In UTC it lies outside the years 1 to 9999.", field=where
        ) from None


class _Digits(str):
    """A number as it was written."""


def _wrong_value(field: Field, path: str, value: Any, what: str) -> InvalidInput:
    without_zone = "timezone component" in what
    fix = 'Append "Z" when the time is in UTC, or its offset.' if without_zone else ""
    if field.type in ("int", "float") and isinstance(value, str):
        fix = "Send it as a number, without quotation marks."
    elif field.type == "int" and isinstance(value, float) and value.is_integer():
        fix = f"Send it as {value:.0f}."
    return InvalidInput(
        f"{path} is {shown(value)}{', an instant without a time zone' if without_zone else ''}.",
        why=f"Expected {_expected(field)}.",
        fix=fix,
        field=path,
    )


def _expected(field: Field) -> str:
    return _WORDS[field.type] + (" or null" if field.nullable else "")


def shown(value: Any) -> str:
    """A value of JSON in words: what it is, and as it is written, shortened."""
    kinds = {dict: "an object", list: "an array", str: "the string ", type(None): "null"}
    kind = kinds.get(type(value), "")
    if isinstance(value, dict | list) or value is None:
        return kind
    text = str(value) if isinstance(value, _Digits) else json.dumps(value, ensure_ascii=False)
    return kind + (text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
