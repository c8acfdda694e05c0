"""MLflow's filters and orders over records that are at hand: parsed by hand, never evaluated as code."""

import functools
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from slipway.errors import InvalidInput, near
from slipway.server.mlflow.wire import read_token, token

__all__ = ["Condition", "Fields", "Order", "Value", "fits", "holds", "order_by", "page", "parse"]

T = TypeVar("T")
Value = str | float | int | None

_SPACES = {
    **dict.fromkeys(("attribute", "attributes", "attr", "run"), "attribute"),
    **dict.fromkeys(("metric", "metrics"), "metric"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "param"),
    **dict.fromkeys(("tag", "tags"), "tag"),
    **dict.fromkeys(("dataset", "datasets"), "dataset"),
}
_LENGTH = 20_000
_CONDITIONS = 200
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.])
    |(?P<name>(?:[A-Za-z_]\w*)(?:\.(?:`[^`]*`|"[^"]*"|[\w./\-:]*[\w/\-]))?|`[^`]*`)
    |(?P<text>'[^']*'|"[^"]*")
    |(?P<sign><=|>=|!=|<>|=|<|>|\(|\)|,))""",
    re.VERBOSE,
)
_UNESCAPED = re.compile(r"\\.", re.DOTALL)
_ORDERED = re.compile(r"""\s*(?P<name>.+?)(?:\s+(?P<way>asc|desc))?\s*\Z""", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fields:
    """What records of a kind can be searched by.

    Args:
        texts: Attributes whose values are text.
        numbers: Attributes whose values are numbers.
        spaces: What else: "metric", "param", "tag", "dataset".
        aliases: Other names of attributes.
    """

    texts: frozenset[str]
    numbers: frozenset[str] = frozenset()
    spaces: frozenset[str] = frozenset({"tag"})
    aliases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison: `space.key sign value`; the sign is "IS NULL", "IN" and so on as well."""

    space: str
    key: str
    sign: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Order:
    """One field to order by."""

    space: str
    key: str
    falls: bool = False


def parse(text: str, fields: Fields) -> list[Condition]:
    """A filter's conditions, all of which must hold.

    Raises:
        InvalidInput: It is not one.
    """
    if len(text) > _LENGTH:
        raise InvalidInput(f"The filter has {len(text)} characters.", fix=f"At most {_LENGTH:,} are read.")
    reader = _Reader(text)
    found: list[Condition] = []
    while not reader.is_done:
        if found:
            reader.word("AND")
        found.append(_condition(reader, fields))
        if len(found) > _CONDITIONS:
            raise InvalidInput("The filter has too many conditions.", fix=f"At most {_CONDITIONS} are read.")
    return found


def order_by(clauses: Iterable[str], fields: Fields) -> list[Order]:
    """What to order by.

    Raises:
        InvalidInput: There is no such field.
    """
    found: list[Order] = []
    for clause in clauses:
        match = _ORDERED.match(clause)
        if match is None:
            raise _unread(clause, 0, "a field to order by")
        reader = _Reader(match["name"])
        space, key = _field(reader, fields)
        if not reader.is_done:
            raise _unread(clause, reader.at, "ASC or DESC")
        found.append(Order(space, key, (match["way"] or "asc").lower() == "desc"))
    return found


def holds(conditions: Sequence[Condition], look: Callable[[str, str], Value]) -> bool:
    """Whether all conditions hold of one record; a comparison with what is missing is false.

    Args:
        conditions: The filter's.
        look: The record's value of a space and key, None where it has none.
    """
    return all(fits(one, look(one.space, one.key)) for one in conditions)


def page(
    found: list[T],
    orders: Sequence[Order],
    look: Callable[[T, str, str], Value],
    last: Callable[[T], tuple[int, str]],
    *,
    after: str,
    limit: int,
) -> tuple[list[T], str]:
    """One page in order, and the token of the next one, "" at the end.

    What is missing and NaN come last both ways; ties go by `last`. A page begins after the last record of the one
    before it, whatever was added meanwhile.

    Args:
        found: The records.
        orders: What to order by.
        look: A record's value of a space and key.
        last: What tells records apart in the end, in rising order.
        after: The token of the page before, "" for the first.
        limit: How many.
    """

    def key(one: T) -> tuple[Any, ...]:
        return (*(_place(look(one, order.space, order.key)) for order in orders), *last(one))

    ways = [order.falls for order in orders]
    compare = functools.partial(_compare, ways)
    rows = sorted(((key(one), number, one) for number, one in enumerate(found)), key=functools.cmp_to_key(compare))
    if after:
        given = read_token(after, len(orders) + 2)
        where = tuple(_placed(one) for one in given[:-2]) + _tail(given[-2:])
        try:
            rows = [row for row in rows if compare((where,), row) < 0]
        except TypeError:
            raise _foreign() from None
    chosen = rows[:limit]
    following = token(list(chosen[-1][0])) if len(rows) > limit and chosen else ""
    return [one for *_, one in chosen], following


@dataclass(frozen=True, slots=True)
class _Like:
    """A pattern as the pieces between its %: each is looked for after the one before it, so the time is bounded."""

    pieces: list[re.Pattern[str]]

    def fits(self, text: str) -> bool:
        """Whether a text is like it."""
        first, *between = self.pieces
        if not between:
            return first.fullmatch(text) is not None
        found = first.match(text)
        if found is None:
            return False
        last = between.pop()
        for piece in between:
            found = piece.search(text, found.end())
            if found is None:
                return False
        length = len(_UNESCAPED.sub(".", last.pattern))
        return len(text) - length >= found.end() and last.match(text, len(text) - length) is not None


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0

    @property
    def is_done(self) -> bool:
        return not self._text[self.at :].strip()

    def take(self, what: str) -> tuple[str, str]:
        """The next token's kind and text."""
        match = _TOKEN.match(self._text, self.at)
        if match is None or match.lastgroup is None:
            raise _unread(self._text, self.at, what)
        self.at = match.end()
        return match.lastgroup, match[match.lastgroup]

    def peek(self) -> str:
        """The next token in capitals, "" at the end."""
        match = _TOKEN.match(self._text, self.at)
        return match[match.lastgroup].upper() if match is not None and match.lastgroup else ""

    def word(self, *wanted: str) -> str:
        """One of some words or signs, in capitals."""
        here = self.at
        _, text = self.take(" or ".join(wanted))
        if text.upper() not in wanted:
            raise _unread(self._text, here, " or ".join(wanted))
        return text.upper()

    def refuse(self, what: str) -> InvalidInput:
        """The sentence that something else was expected here."""
        return _unread(self._text, self.at, what)


def _condition(reader: _Reader, fields: Fields) -> Condition:
    space, key = _field(reader, fields)
    is_number = space == "metric" or (space == "attribute" and key in fields.numbers)
    if reader.peek() == "IS":
        reader.word("IS")
        sign = "IS NULL"
        if reader.peek() == "NOT":
            reader.word("NOT")
            sign = "IS NOT NULL"
        reader.word("NULL")
        if space not in ("tag", "param"):
            raise reader.refuse("IS [NOT] NULL after a tag or a parameter only")
        return Condition(space, key, sign)
    if is_number:
        sign = reader.word("=", "!=", "<>", "<", "<=", ">", ">=").replace("<>", "!=")
        kind, text = reader.take("a number")
        if kind == "text":
            text = text[1:-1]
        try:
            return Condition(space, key, sign, float(text))
        except ValueError:
            raise reader.refuse(f"a number to compare {key!r} with, not {text!r},") from None
    sign = reader.word("=", "!=", "<>", "LIKE", "ILIKE", "IN", "NOT").replace("<>", "!=")
    if sign == "NOT":
        reader.word("IN")
        sign = "NOT IN"
    if sign in ("IN", "NOT IN"):
        return Condition(space, key, sign, _texts(reader))
    value = _text(reader)
    return Condition(space, key, sign, _like(value, sign) if sign in ("LIKE", "ILIKE") else value)


def _field(reader: _Reader, fields: Fields) -> tuple[str, str]:
    kind, text = reader.take("a field, such as metrics.auc or params.depth")
    if kind not in ("name", "text"):
        raise reader.refuse("a field, such as metrics.auc or params.depth")
    head, dot, key = text.partition(".")
    if not dot:
        space, key = "attribute", text
    else:
        space = _SPACES.get(head.lower(), "")
    key = _bare(key)
    if space == "attribute":
        key = fields.aliases.get(key, key)
        known = fields.texts | fields.numbers
        if key not in known:
            raise InvalidInput(f"There is no attribute {key!r} to search by.", fix=near(key, known, what="attributes"))
    elif space not in fields.spaces:
        raise InvalidInput(
            f"{text!r} is no field that can be searched here.",
            fix=f"Fields begin with {', '.join(sorted({'attributes', *(f'{one}s' for one in fields.spaces)}))}.",
        )
    return space, key


def _text(reader: _Reader) -> str:
    kind, text = reader.take("a text in quotes")
    if kind != "text":
        raise reader.refuse(f"a text in quotes, not {text!r},")
    return text[1:-1]


def _texts(reader: _Reader) -> tuple[str, ...]:
    reader.word("(")
    found = [_text(reader)]
    while reader.word(",", ")") == ",":
        if reader.peek() == ")":
            continue
        found.append(_text(reader))
    return tuple(found)


def _bare(key: str) -> str:
    return key[1:-1] if len(key) >= 2 and key[0] == key[-1] and key[0] in "`\"'" else key


def _like(pattern: str, sign: str) -> "_Like":
    flags = re.DOTALL | (re.IGNORECASE if sign == "ILIKE" else 0)
    return _Like([re.compile(re.escape(part).replace("_", "."), flags) for part in re.split(r"%+", pattern)])


def fits(one: Condition, value: Value) -> bool:
    """Whether a condition holds of a value, None where there is none."""
    if one.sign in ("IS NULL", "IS NOT NULL"):
        return (value is None) == (one.sign == "IS NULL")
    if value is None:
        return False
    match one.sign:
        case "=":
            return bool(value == one.value)
        case "!=":
            return bool(value != one.value)
        case "IN":
            return bool(value in one.value)
        case "NOT IN":
            return bool(value not in one.value)
        case "LIKE" | "ILIKE":
            return bool(one.value.fits(str(value)))
        case "<":
            return bool(float(value) < one.value)
        case "<=":
            return bool(float(value) <= one.value)
        case ">":
            return bool(float(value) > one.value)
        case _:
            return bool(float(value) >= one.value)


def _place(value: Value) -> list[Any]:
    """A value's place in an order: what is missing is 1, NaN too; what is there is 0 with itself."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return [1]
    if isinstance(value, float) and math.isinf(value):
        return [0, math.copysign(sys.float_info.max, value)]  # JSON, which tokens are, has no infinity
    return [0, value]


def _placed(given: Any) -> list[Any]:
    match given:
        case [1]:
            return [1]
        case [0, str() | int() | float()]:
            return [0, given[1]]
    raise _foreign()


def _tail(given: list[Any]) -> tuple[int, str]:
    match given:
        case [int(), str()]:
            return given[0], given[1]
    raise _foreign()


def _foreign() -> InvalidInput:
    return InvalidInput("The page token was not made by this request.", fix="Leave it out.", field="page_token")


def _compare(ways: list[bool], left: tuple[Any, ...], right: tuple[Any, ...]) -> int:
    ours, others = left[0], right[0]
    for number, (mine, other) in enumerate(zip(ours, others, strict=True)):
        if number >= len(ways):
            if mine != other:
                return -1 if mine < other else 1
            continue
        if mine[0] != other[0]:
            return int(mine[0] - other[0])
        if mine[0] == 0 and mine[1] != other[1]:
            return -1 if (mine[1] < other[1]) != ways[number] else 1
    return 0


def _unread(text: str, at: int, what: str) -> InvalidInput:
    rest = text[at:].strip()
    return InvalidInput(
        f"The filter cannot be read at position {at}: {rest[:40]!r}."
        if rest
        else f"The text {text[:40]!r} ends early.",
        why=f"Expected was {what}.",
        fix="For example: metrics.auc > 0.7 AND params.depth = '6'.",
        field="filter",
    )
