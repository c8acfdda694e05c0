"""The language of searches: text in, conditions and orders out. A superset of MLflow's filters; nothing is evaluated.

metrics.auc > 0.7 and (params.depth in (4, 6) or tags.user like 'a%') and started >= 7d ago
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from slipway.errors import InvalidInput, near
from slipway.ledger.facets import Searched, milliseconds
from slipway.patterns import regex
from slipway.records.search import (
    And,
    Between,
    Compare,
    Condition,
    Field,
    In,
    IsNull,
    Not,
    Operator,
    Or,
    Order,
    Space,
    Value,
)

__all__ = ["as_field", "as_value", "parse", "parse_field", "parse_order"]

_SPACES: dict[str, Space] = {
    **dict.fromkeys(("metric", "metrics"), "metric"),
    **dict.fromkeys(("param", "params", "parameter", "parameters"), "param"),
    **dict.fromkeys(("tag", "tags"), "tag"),
    **dict.fromkeys(("attr", "attribute", "attributes", "run"), "attribute"),
    **dict.fromkeys(("dataset", "datasets"), "dataset"),
}
_LENGTH = 100_000
_COMPARISONS = 200
_VALUES = 5000
_ORDERS = 20
_DEPTH = 50
_WORD = re.compile(r"[A-Za-z_]\w*")
_DOT = re.compile(r"\s*\.\s*")
_KEY = re.compile(r"[\w/.\-:@]+(?:\[[^\[\]]*\])?")
_QUOTED_KEY = re.compile(r'`((?:[^`]|``)+)`|"((?:[^"]|"")+)"')
_TEXT = re.compile(r"'((?:[^']|'')*)'|\"((?:[^\"]|\"\")*)\"")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.])")
_NAMED = re.compile(r"[+-]?(?:inf|infinity|nan)\b", re.IGNORECASE)
_AGO = re.compile(r"([0-9]{1,6})\s*(s|m|h|d|w)\s+ago\b", re.IGNORECASE)
_NOW = re.compile(r"now\b", re.IGNORECASE)
_TRUTH = re.compile(r"(true|false)\b", re.IGNORECASE)
_SIGN = re.compile(r"<=|>=|!=|=|<|>")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPACE = re.compile(r"\s*")


def as_value(text: str) -> str:
    """A text as it is written as a value of a search."""
    return "'" + text.replace("'", "''") + "'"


def as_field(field: Field) -> str:
    """A field as it is written in a search."""
    if field.space == "attribute":
        return field.key
    space = "metrics" if field.space in ("metric", "figure") else f"{field.space}s"
    is_plain = _KEY.fullmatch(field.key) is not None
    return f"{space}.{field.key}" if is_plain else f"{space}.`{field.key.replace('`', '``')}`"


def parse(text: str, searched: Searched, *, now: datetime) -> Condition | None:
    """What a search's text means; None for an empty one, which everything fits.

    Args:
        text: The search.
        searched: What the kind of record is found by.
        now: From when "7d ago" counts.

    Raises:
        InvalidInput: It cannot be read; says where, and what was expected.
    """
    reader = _Reader(text, searched, now)
    if reader.is_at_end():
        return None
    condition = reader.any_of()
    if not reader.is_at_end():
        raise reader.fault("'and', 'or' or the end is expected")
    return condition


def parse_order(text: str, searched: Searched) -> tuple[Order, ...]:
    """What an order's text means: fields with commas between, each with `asc` or `desc` behind it or nothing.

    Raises:
        InvalidInput: It cannot be read, or a field cannot be ordered by.
    """
    reader = _Reader(text, searched, datetime.now(UTC), what="order")
    orders: list[Order] = []
    while not reader.is_at_end():
        if orders and not reader.takes(","):
            raise reader.fault("',' or the end is expected")
        field = reader.single_field()
        orders.append(Order(field, descending=not reader.takes_word("asc") and reader.takes_word("desc")))
        if len(orders) > _ORDERS:
            raise reader.too_much(f"more than {_ORDERS} fields", str(_ORDERS))
    return tuple(orders)


def parse_field(text: str, searched: Searched) -> Field:
    """The one field that a text names.

    Raises:
        InvalidInput: It cannot be read.
    """
    reader = _Reader(text, searched, datetime.now(UTC), what="best_per")
    field = reader.field()
    if not reader.is_at_end():
        raise reader.fault("the end is expected")
    return field


class _Reader:
    """Recursive descent over one text, sign by sign."""

    def __init__(self, text: str, searched: Searched, now: datetime, what: str = "where") -> None:
        self._text = text
        self._searched = searched
        self._now = now
        self._what = what
        self._at = 0
        self._depth = 0
        self._comparisons = 0
        self._values = 0
        if len(text) > _LENGTH:
            raise self.too_much(f"{len(text):,} characters", f"{_LENGTH:,}")
        if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
            raise self.fault("text in Unicode is expected")

    def is_at_end(self) -> bool:
        self._skip()
        return self._at == len(self._text)

    def fault(self, expected: str, *, at: int | None = None, fix: str = "") -> InvalidInput:
        place = self._at if at is None else at
        shown = self._text if len(self._text) <= 200 else f"{self._text[:200]}..."
        found = self._text[place : place + 20] if expected.endswith("expected") else ""
        return InvalidInput(
            f"The {'search' if self._what == 'where' else self._what} {shown!r} cannot be read at character {place + 1}: "
            f"{expected}{f', not {found!r}' if found else ''}.",
            fix=fix or "For example: metrics.auc > 0.7 and params.depth in (4, 6). See docs/find.md.",
            field=self._what,
        )

    def takes(self, sign: str) -> bool:
        self._skip()
        is_there = self._text.startswith(sign, self._at)
        self._at += len(sign) * is_there
        return is_there

    def takes_word(self, word: str) -> bool:
        self._skip()
        found = _WORD.match(self._text, self._at)
        if found is None or found[0].lower() != word:
            return False
        self._at = found.end()
        return True

    def any_of(self) -> Condition:
        parts = [self._all_of()]
        while self.takes_word("or"):
            parts.append(self._all_of())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def field(self) -> Field:
        self._skip()
        begun = self._at
        word = _WORD.match(self._text, begun)
        if word is None:
            raise self.fault("a field such as metrics.auc is expected")
        dot = _DOT.match(self._text, word.end())
        space = _SPACES.get(word[0].lower()) if dot else None
        if dot is None or space is None:
            bare = _KEY.match(self._text, begun)
            assert bare is not None
            self._at = bare.end()
            return self._attribute(bare[0], begun)
        self._at = dot.end()
        meant = self._searched.space(space)
        if meant is None:
            raise self.fault(f"a {self._searched.noun} has no {space}s", at=begun)
        key = self._key()
        return self._attribute(key, begun) if meant == "attribute" else Field(meant, key)

    def single_field(self) -> Field:
        begun = self._at
        field = self.field()
        if not self._searched.is_ordered(field):
            raise self.fault(
                f"a field of which a {self._searched.noun} has one value is expected",
                at=begun,
                fix=f"Nothing can be ordered by {field.key}; created, for example, is fine.",
            )
        return field

    def _all_of(self) -> Condition:
        parts = [self._one()]
        while self.takes_word("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _one(self) -> Condition:
        self._depth += 1
        if self._depth > _DEPTH:
            raise self.too_much(f"more than {_DEPTH} levels of parentheses and 'not'", str(_DEPTH))
        if self.takes_word("not"):
            condition: Condition = Not(self._one())
        elif self.takes("("):
            condition = self.any_of()
            if not self.takes(")"):
                raise self.fault("')' is expected")
        else:
            condition = self._comparison()
        self._depth -= 1
        return condition

    def _comparison(self) -> Condition:
        self._comparisons += 1
        if self._comparisons > _COMPARISONS:
            raise self.too_much(f"more than {_COMPARISONS} comparisons", str(_COMPARISONS))
        field = self.field()
        self._skip()
        sign = _SIGN.match(self._text, self._at)
        if sign is not None:
            self._at = sign.end()
            return self._compare(field, sign[0])
        if self.takes_word("is"):
            is_negated = self.takes_word("not")
            if not self.takes_word("null"):
                raise self.fault("'null' or 'not null' is expected")
            return Not(IsNull(field)) if is_negated else IsNull(field)
        is_negated = self.takes_word("not")
        if self.takes_word("in"):
            values = self._list(field)
            return And(tuple(Compare(field, "!=", value) for value in values)) if is_negated else In(field, values)
        if self.takes_word("between"):
            return self._between(field, is_negated)
        for word in ("LIKE", "ILIKE", "MATCHES"):
            if self.takes_word(word.lower()):
                pattern = self._pattern(field, word)
                return And((Not(IsNull(field)), Not(pattern))) if is_negated else pattern
        expected = (
            "'in', 'between', 'like', 'ilike' or 'matches'" if is_negated else "a comparison such as =, !=, <, in"
        )
        raise self.fault(f"{expected} is expected")

    def _compare(self, field: Field, sign: str) -> Condition:
        begun = self._at
        value = self._value(field)
        if value != value and sign not in ("=", "!="):
            raise self.fault("NaN has no order: = or != is expected", at=begun)
        operators: dict[str, Operator] = {"=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
        return Compare(field, operators[sign], value)

    def _list(self, field: Field) -> tuple[Value, ...]:
        if not self.takes("("):
            raise self.fault("'(' is expected")
        values = [self._finite(field)]
        while self.takes(","):
            values.append(self._finite(field))
        if not self.takes(")"):
            raise self.fault("',' or ')' is expected")
        return tuple(values)

    def _between(self, field: Field, is_negated: bool) -> Condition:
        low = self._finite(field)
        if not self.takes_word("and"):
            raise self.fault("'and' is expected")
        self._skip()
        begun = self._at
        high = self._finite(field)
        if isinstance(low, str) != isinstance(high, str):
            raise self.fault("two numbers or two texts are expected", at=begun)
        if is_negated:
            return Or((Compare(field, "<", low), Compare(field, ">", high)))
        return Between(field, low, high)

    def _pattern(self, field: Field, word: str) -> Compare:
        self._skip()
        begun = self._at
        if self._searched.sort(field) in ("metric", "number", "time"):
            raise self.fault(f"{field.key} is no text, and {word} looks at texts", at=begun)
        value = self._value(field)
        if not isinstance(value, str):
            raise self.fault("a pattern in quotes is expected", at=begun)
        operators: dict[str, Operator] = {"LIKE": "LIKE", "ILIKE": "ILIKE", "MATCHES": "MATCHES"}
        if word == "MATCHES":
            regex(value)
        return Compare(field, operators[word], value)

    def _finite(self, field: Field) -> Value:
        self._skip()
        begun = self._at
        value = self._value(field)
        if value != value:
            raise self.fault("NaN equals nothing here; write = nan", at=begun)
        return value

    def _value(self, field: Field) -> Value:
        self._values += 1
        if self._values > _VALUES:
            raise self.too_much(f"more than {_VALUES:,} values", f"{_VALUES:,}")
        self._skip()
        begun = self._at
        sort = self._searched.sort(field)
        value = self._literal()
        if value is None:
            raise self.fault("a number or a text in quotes is expected")
        if isinstance(value, datetime):
            if sort != "time":
                raise self.fault(f"{field.key} is no time", at=begun)
            return milliseconds(value)
        if sort == "time" and isinstance(value, str):
            return milliseconds(self._date(value, begun))
        if sort in ("metric", "number") and isinstance(value, str):
            raise self.fault(f"{field.key} is a number: one without quotes is expected", at=begun)
        if sort == "text" and not isinstance(value, str):
            raise self.fault(f"{field.key} is text: a value in quotes is expected", at=begun)
        if value != value and sort != "metric":
            raise self.fault("only the metrics of runs may be NaN", at=begun)
        return value

    def _literal(self) -> Value | datetime | None:
        for pattern in (_TEXT, _AGO, _NUMBER, _NAMED, _NOW, _TRUTH):
            found = pattern.match(self._text, self._at)
            if found is None:
                continue
            self._at = found.end()
            if pattern is _TEXT:
                return _unquoted(found[1], found[2])
            if pattern is _AGO:
                try:
                    return self._now - timedelta(seconds=int(found[1]) * _SECONDS[found[2].lower()])
                except OverflowError:
                    raise self.fault("a time after the year 1 is expected", at=found.start()) from None
            if pattern is _NOW:
                return self._now
            return found[1].title() if pattern is _TRUTH else float(found[0])
        return None

    def _date(self, text: str, at: int) -> datetime:
        try:
            found = datetime.fromisoformat(text)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            raise self.fault("a date such as '2026-01-31' or '2026-01-31T12:00' is expected", at=at) from None

    def _key(self) -> str:
        quoted = _QUOTED_KEY.match(self._text, self._at)
        if quoted is not None:
            self._at = quoted.end()
            return quoted[1].replace("``", "`") if quoted[1] is not None else quoted[2].replace('""', '"')
        plain = _KEY.match(self._text, self._at)
        if plain is None:
            raise self.fault("a name is expected, in back-ticks where it has spaces or signs")
        self._at = plain.end()
        return plain[0]

    def _attribute(self, name: str, at: int) -> Field:
        known = self._searched.attribute(name)
        if known is None:
            named = {"metric": "metrics", "figure": "metrics", "param": "params", "tag": "tags"}
            others = [f"{named[space]}.{name}" for space in self._searched.spaces if space in named]
            raise self.fault(
                f"a {self._searched.noun} has no attribute {name!r}",
                at=at,
                fix=f"{near(name, self._searched.attributes, what='attributes')} Or is it {' or '.join(others)}?",
            )
        return Field("attribute", known)

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def too_much(self, given: str, most: str) -> InvalidInput:
        return InvalidInput(
            f"The {'search' if self._what == 'where' else self._what} has {given}.",
            why=f"At most {most} are read.",
            fix="Search for less at once.",
            field=self._what,
        )


def _unquoted(single: str | None, double: str | None) -> str:
    return single.replace("''", "'") if single is not None else (double or "").replace('""', '"')
