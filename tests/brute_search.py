"""What a search must answer, found by looking at every record: the reference that stores are compared with."""

import functools
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slipway.records.search import (
    And,
    Between,
    Compare,
    Condition,
    Facet,
    Field,
    In,
    IsNull,
    Not,
    Or,
    Order,
    Value,
)


@dataclass(frozen=True)
class Known:
    """A record as a search sees it; `metrics` are its latest values."""

    id: str
    created_us: int
    facets: tuple[Facet, ...]
    metrics: dict[str, float]

    def values(self, field: Field) -> list[tuple[float | None, str | None]]:
        """The (number, text) pairs of a field."""
        if field.space == "metric":
            return [(self.metrics[field.key], None)] if field.key in self.metrics else []
        return [(f.number, f.text) for f in self.facets if (f.space, f.key) == (field.space, field.key)]


def holds(condition: Condition | None, known: Known) -> bool:
    match condition:
        case None:
            return True
        case And(parts):
            return all(holds(part, known) for part in parts)
        case Or(parts):
            return any(holds(part, known) for part in parts)
        case Not(part):
            return not holds(part, known)
        case IsNull(field):
            return not known.values(field)
        case In(field, values):
            return any(holds(Compare(field, "=", value), known) for value in values)
        case Between(field, low, high):
            return any(_compare(one, ">=", low) and _compare(one, "<=", high) for one in known.values(field))
        case Compare(field, operator, value):
            return any(_compare(one, operator, value) for one in known.values(field))
    raise AssertionError(condition)


def _compare(found: tuple[float | None, str | None], operator: str, value: Value) -> bool:
    mine = found[1] if isinstance(value, str) else found[0]
    if mine is None:
        return False
    if isinstance(mine, str) and isinstance(value, str):
        if operator in ("LIKE", "ILIKE"):
            mine, value = (mine, value) if operator == "LIKE" else (mine.lower(), value.lower())
            words = {"%": ".*", "_": "."}
            return re.fullmatch("".join(words.get(c, re.escape(c)) for c in value), mine, re.DOTALL) is not None
        if operator == "MATCHES":
            return re.search(value, mine) is not None
    elif isinstance(value, float) and isinstance(mine, float) and (math.isnan(value) or math.isnan(mine)):
        same = math.isnan(value) and math.isnan(mine)
        return (operator == "=" and same) or (operator == "!=" and not same)
    return {
        "=": mine == value,
        "!=": mine != value,
        "<": mine < value,  # type: ignore[operator]
        "<=": mine <= value,  # type: ignore[operator]
        ">": mine > value,  # type: ignore[operator]
        ">=": mine >= value,  # type: ignore[operator]
    }[operator]


def search(
    records: Sequence[Known], condition: Condition | None, order: Iterable[Order], best_per: Field | None = None
) -> list[str]:
    """The ids of what fits, in order.

    Args:
        records: In the order in which they were first recorded.
        condition: What must hold.
        order: What comes first; then the newest, then what was recorded last.
        best_per: Only the first of each of its values.
    """
    fits = [(place, known) for place, known in enumerate(records) if holds(condition, known)]
    orders = list(order)

    def before(one: tuple[int, Known], two: tuple[int, Known]) -> int:
        for each in orders:
            found = _beside(_key(one[1], each.field), _key(two[1], each.field), each.descending)
            if found:
                return found
        mine, other = (one[1].created_us, one[0]), (two[1].created_us, two[0])
        return -1 if mine > other else 1

    fits.sort(key=functools.cmp_to_key(before))
    if best_per is None:
        return [known.id for _, known in fits]
    seen: set[tuple[str, str]] = set()
    best = []
    for _, known in fits:
        groups = {(repr(number), repr(text)) for number, text in known.values(best_per)}
        if groups - seen:
            best.append(known.id)
        seen |= groups
    return best


def _key(known: Known, field: Field) -> tuple[int, float, str]:
    found = known.values(field)
    if not found:
        return (2, 0.0, "")
    number, text = found[0]
    if number is None or math.isnan(number):
        return (1, 0.0, text or "")
    return (0, number, text or "")


def _beside(one: tuple[int, float, str], two: tuple[int, float, str], descending: bool) -> int:
    if one[0] != two[0]:
        return one[0] - two[0]
    if one == two:
        return 0
    return -1 if (one > two) == descending else 1
