"""Searches in SQL: a condition becomes SQL over the indexes of facets and series; values are always parameters.

Three ways lead to a page. Where one part of the condition fits few records, these are looked at and sorted. Otherwise
the index of what is ordered by first is walked in its order, and the condition is asked of each record, until the page
is full. Without an order, records are walked by time.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from slipway.backends.sql_driver import Driver, Sql, TookTooLong
from slipway.errors import InvalidInput
from slipway.records.search import (
    And,
    Between,
    Compare,
    Condition,
    Field,
    In,
    IsNull,
    Not,
    Or,
    Order,
    Position,
    Value,
    number_of,
)

__all__ = ["search", "values"]

_FEW = 4000
"""As many records are sorted in a few milliseconds, wherever they lie."""
_FEW_TEXTS = 400
"""The same where every text of a field is read to count them: what fits more of them is soon met on a walk."""
_LONGEST_S = 20.0

_CONSTANT = ("0", "1", "2", "NULL")

KeyOf = Callable[[Field], int]
Leaf = Compare | In | Between


class _Narrow(NamedTuple):
    """A part of a condition, the query of what fits it, how many do (bounded), and whether these are few."""

    part: Condition
    source: Sql
    fits: int
    is_few: bool


class _Term(NamedTuple):
    """What is sorted by, and where the page before ended."""

    expression: str
    is_descending: bool
    ended: float | int | str | None


def search(
    driver: Driver,
    key_of: KeyOf,
    kind: str,
    *,
    project: str,
    where: Condition | None,
    order: Sequence[Order],
    after: Position | None,
    limit: int,
    best_per: Field | None,
) -> tuple[list[int], Position | None]:
    """The numbers of the entries of a page, and where it ends; None when nothing follows. See `LedgerStore.search`."""
    with _in_time(driver):
        asked = _Search(driver, key_of, kind, project, where, tuple(order), after, limit + 1)
        rows = asked.best(best_per) if best_per is not None else asked.page()
    found = [int(row[-1]) for row in rows[:limit]]
    return found, tuple(rows[limit - 1]) if len(rows) > limit else None


def values(
    driver: Driver,
    key_of: KeyOf,
    kind: str,
    *,
    project: str,
    where: Condition | None,
    fields: Sequence[Field],
    limit: int,
) -> list[tuple[Value | None, ...]]:
    """The values of fields of all that fits. See `LedgerStore.values`."""
    with _in_time(driver):
        asked = _Search(driver, key_of, kind, project, where, tuple(Order(field) for field in fields), None, limit)
        return [tuple(map(_value, row[0:-2:3], row[1:-2:3], row[2:-2:3])) for row in asked.every()]


def _value(rank: int, number: float | None, text: str | None) -> Value | None:
    if text is not None:
        return text
    return math.nan if rank == 1 else number


@contextmanager
def _in_time(driver: Driver) -> Iterator[None]:
    try:
        with driver.limited(_LONGEST_S):
            yield
    except TookTooLong:
        raise InvalidInput(
            f"The search took longer than {_LONGEST_S:.0f} seconds and was given up.",
            why="Texts and orders of many records are looked at one by one.",
            fix="Add a comparison that few records fit, such as started > 7d ago.",
            field="where",
        ) from None


class _Search:
    """One search. A row is a position: rank, number and text under each order, creation, number of the entry."""

    def __init__(
        self,
        driver: Driver,
        key_of: KeyOf,
        kind: str,
        project: str,
        where: Condition | None,
        order: tuple[Order, ...],
        after: Position | None,
        limit: int,
    ) -> None:
        self._driver = driver
        self._execute = driver.execute
        self._dialect = driver.dialect
        self._key_of = key_of
        self._kind = kind
        self._project = project
        self._where = And(()) if where is None else where
        self._order = order
        self._after = after
        self._limit = limit

    def page(self) -> list[tuple[Any, ...]]:
        """The rows of the page."""
        narrow = self._narrowest()
        if narrow is not None and narrow.is_few:
            return self._rows(self._sorted(narrow))
        if not self._order:
            return self._rows(self._by_time(first_rank=None))
        rows: list[tuple[Any, ...]] = []
        for rank in self._ranks():
            if self._after is not None and self._after[0] is not None and self._after[0] > rank:  # type: ignore[operator]
                continue
            left = self._limit - len(rows)
            if left == 0:
                break
            walked = self._by_time(first_rank=2) if rank == 2 else self._by_value(rank)
            rows += self._rows(walked, left)
        return rows

    def best(self, field: Field) -> list[tuple[Any, ...]]:
        """The rows of the page, only the first one of each value of a field."""
        every = self._sorted(self._narrowest(), is_paged=False)
        names = ", ".join(f"c{place}" for place in range(3 * len(self._order)))
        names = f"{names}, born, entry" if names else "born, entry"
        columns = [f"c{3 * place}|c{3 * place + 1}|c{3 * place + 2}" for place in range(len(self._order))]
        terms = self._terms(columns, created="born", no="entry")
        table = _table(field)
        text = "" if field.space == "metric" else ", g.text"
        ranked = (
            Sql(f"WITH c ({names}) AS (", [])
            + every
            + Sql(
                f"), r AS (SELECT c.*, row_number() OVER (PARTITION BY g.number{text} ORDER BY {self._order_by(terms)}) AS "
                f"place FROM c {self._dialect.beside.format(table)}) "
                f"SELECT DISTINCT {names} FROM r WHERE place=1",
                [self._key_of(field)],
            )
        )
        return self._rows(ranked + _behind(terms, self._after) + Sql(f" ORDER BY {self._order_by(terms)}", []))

    def every(self) -> list[tuple[Any, ...]]:
        """The rows of all that fits, in no order."""
        return self._rows(self._sorted(self._narrowest(), is_paged=False))

    def _rows(self, sql: Sql, limit: int | None = None) -> list[tuple[Any, ...]]:
        return self._execute(f"{sql.text} LIMIT ?", (*sql.values, self._limit if limit is None else limit)).fetchall()

    def _narrowest(self) -> _Narrow | None:
        """The part of the condition that fits the fewest records, as far as an index can say."""
        best: _Narrow | None = None
        # Patterns last: to count what they fit, every text of the field is read, which another part may spare.
        for part in sorted(self._conjuncts(), key=_has_pattern):
            most = _FEW_TEXTS if _has_pattern(part) else _FEW
            if best is not None and best.is_few and most == _FEW_TEXTS:
                break
            source = self._source(part)
            if source is None:
                continue
            (count,) = self._execute(
                f"SELECT count(*) FROM (SELECT 1 FROM ({source.text}) s LIMIT ?) n", (*source.values, most + 1)
            ).fetchone()
            if best is None or count < best.fits:
                best = _Narrow(part, source, count, count <= most)
        return best

    def _conjuncts(self) -> Iterator[Condition]:
        waiting: list[Condition] = [self._where]
        while waiting:
            part = waiting.pop()
            if isinstance(part, And):
                waiting += part.parts
            else:
                yield part

    def _source(self, part: Condition) -> Sql | None:
        """The numbers and creations of what fits a part, out of the index; None where it cannot say them."""
        if isinstance(part, Or):
            sources = [self._source(one) for one in part.parts]
            known = [source for source in sources if source is not None]
            if not known or len(known) < len(sources):
                return None
            return _joined(known, " UNION ALL ")
        if isinstance(part, IsNull | Not | And) or (isinstance(part, Compare) and part.operator == "!="):
            return None
        table = _table(part.field)
        chosen = Sql(
            f"SELECT no, created_us FROM {self._by(table, 'd')} WHERE d.key=? AND ", [self._key_of(part.field)]
        )
        return _joined([chosen + test for test in self._tests(part, "d")], " UNION ALL ")

    def _ranks(self) -> Sequence[int]:
        """Which ranks of the first order the condition leaves: 0 numbers, 1 other values, 2 none."""
        first = self._order[0].field
        for part in self._conjuncts():
            if not isinstance(part, Compare | In | Between) or part.field != first:
                continue
            values = (
                part.values if isinstance(part, In) else (part.low,) if isinstance(part, Between) else (part.value,)
            )
            has_numbers = all(isinstance(value, float | int) and value == value for value in values)
            is_plain = not (isinstance(part, Compare) and part.operator == "!=")
            return (0,) if has_numbers and is_plain else (0, 1)
        return (0, 1, 2)

    def _sorted(self, found: _Narrow | None, is_paged: bool = True) -> Sql:
        """Every record that fits, looked at and sorted; out of what fits one part of the condition, where it is given."""
        terms = self._terms([_columns(place, one.field) for place, one in enumerate(self._order)])
        picked = Sql(f"SELECT {_picked(terms)} FROM ", [])
        if found is None:
            picked += Sql(self._by("entries", "e", "time"), []) + self._joins("e.no", 0)
            picked += Sql(" WHERE e.kind=? AND e.project=? AND ", [self._kind, self._project])
            picked += self._condition(self._where, "e.no")
        else:
            others = tuple(part for part in self._conjuncts() if part is not found.part)
            # Not flattened by the database: it would make its own guess of where to begin.
            picked += Sql("(SELECT DISTINCT no, created_us FROM (", []) + found.source + Sql(") s) e", [])
            picked += self._joins("e.no", 0) + Sql(" WHERE ", []) + self._condition(And(others), "e.no")
        if not is_paged:
            return picked
        return picked + _behind(terms, self._after) + Sql(f" ORDER BY {self._order_by(terms)}", [])

    def _by_time(self, first_rank: int | None) -> Sql:
        """Records by time, of those only that lack what is ordered by first where there is an order."""
        columns = [_columns(place, one.field) for place, one in enumerate(self._order)]
        if first_rank is not None:
            columns[0] = "2|NULL|NULL"
        terms = self._terms(columns, first_rank)
        sql = Sql(f"SELECT {_picked(terms)} FROM {self._by('entries', 'e', 'time')}", [])
        sql += self._joins("e.no", 0 if first_rank is None else 1)
        sql += Sql(" WHERE e.kind=? AND e.project=? AND ", [self._kind, self._project])
        sql += self._condition(self._where, "e.no")
        after = self._after
        if first_rank is None:
            if after is not None:
                sql += Sql(" AND e.created_us<=?", [after[-2]])
        else:
            sql += Sql(" AND ", []) + self._condition(IsNull(self._order[0].field), "e.no")
            after = after if after is not None and after[0] == first_rank else None
        return sql + _behind(terms, after) + Sql(f" ORDER BY {self._order_by(terms)}", [])

    def _by_value(self, rank: int) -> Sql:
        """Records by what is ordered by first: those that are numbers (rank 0) or not (1)."""
        first = self._order[0]
        table = _table(first.field)
        columns = [_columns(place, one.field) for place, one in enumerate(self._order)]
        columns[0] = f"{rank}|d.number|{'NULL' if table == 'series' else 'd.text'}"
        terms = self._terms(columns, rank, created="d.created_us", no="d.no")
        sql = Sql(f"SELECT {_picked(terms)} FROM {self._by(table, 'd')}", [])
        sql += self._joins("d.no", 1)
        key = self._key_of(first.field)
        sql += Sql(f" WHERE d.key=? AND d.number IS {'NOT ' if rank == 0 else ''}NULL AND ", [key])
        # What the condition says of this very field bounds the walk; the rest is asked of each record.
        for part in self._conjuncts():
            if isinstance(part, Compare | In | Between) and part.field == first.field:
                sql += _any(self._tests(part, "d")) + Sql(" AND ", [])
        sql += self._condition(self._where, "d.no")
        after = self._after if self._after is not None and self._after[0] == rank else None
        if after is not None and rank == 0:
            sql += Sql(f" AND d.number{'<=' if first.descending else '>='}?", [after[1]])
        return sql + _behind(terms, after) + Sql(f" ORDER BY {self._order_by(terms)}", [])

    def _terms(
        self, columns: list[str], rank: int | None = None, created: str = "e.created_us", no: str = "e.no"
    ) -> list[_Term]:
        """What is sorted by: three terms an order. Columns are written `rank|number|text`."""
        after = self._after or (None,) * (3 * len(columns) + 2)
        terms: list[_Term] = []
        for place, (written, order) in enumerate(zip(columns, self._order, strict=True)):
            for offset, expression in enumerate(written.split("|")):
                terms.append(_Term(expression, offset > 0 and order.descending, after[3 * place + offset]))
        return [*terms, _Term(created, True, after[-2]), _Term(no, True, after[-1])]

    def _joins(self, no: str, begin: int) -> Sql:
        sql = Sql("", [])
        for place, order in list(enumerate(self._order))[begin:]:
            table = _table(order.field)
            item = "" if table == "series" else f" AND o{place}.item=0"
            key = self._key_of(order.field)
            sql += Sql(f" LEFT JOIN {table} o{place} ON o{place}.no={no} AND o{place}.key=?{item}", [key])
        return sql

    def _condition(self, condition: Condition, no: str) -> Sql:
        if isinstance(condition, And):
            return _balanced([self._condition(part, no) for part in condition.parts], "AND") or Sql("TRUE", [])
        if isinstance(condition, Or):
            return _balanced([self._condition(part, no) for part in condition.parts], "OR") or Sql("FALSE", [])
        if isinstance(condition, Not):
            return Sql("NOT ", []) + self._condition(condition.part, no)
        table, key = _table(condition.field), self._key_of(condition.field)
        # The columns compared are no reason to take the index by value: the row itself is looked up.
        exists = Sql(f"EXISTS (SELECT 1 FROM {table} f WHERE f.no={no} AND f.key=?", [key])
        end = Sql(f"{self._dialect.fence})", [])
        if isinstance(condition, IsNull):
            return Sql("NOT ", []) + exists + end
        return exists + Sql(" AND ", []) + _any(self._tests(condition, "f", self._dialect.aside)) + end

    def _by(self, table: str, row: str, index: str = "value") -> str:
        return f"{table} {row}{self._dialect.indexed.format(f'{table}_by_{index}')}"

    def _tests(self, leaf: Leaf, row: str, aside: str = "") -> list[Sql]:
        """A comparison as tests of an index's row, of which one must hold; each can be looked up by itself."""
        is_metric = leaf.field.space == "metric"
        number = f"{aside}{row}.number"
        if isinstance(leaf, In):
            return self._one_of(leaf.values, row, aside, is_metric)
        if isinstance(leaf, Between):
            if isinstance(leaf.low, str):
                ends = (
                    []
                    if is_metric
                    else [self._text(row, aside, ">=", leaf.low), self._text(row, aside, "<=", leaf.high)]
                )
                return [_joined(ends, " AND ") if ends else Sql("FALSE", [])]
            return [Sql(f"{number} BETWEEN ? AND ?", [leaf.low, leaf.high])]
        value, operator = leaf.value, leaf.operator
        if isinstance(value, str):
            if is_metric:
                return [Sql("FALSE", [])]
            if operator == "=":
                return self._one_of((value,), row, aside, is_metric)
            if operator in ("LIKE", "ILIKE", "MATCHES"):
                return [self._driver.fits(self._key_of(leaf.field), operator, value, row)]
            return [self._text(row, aside, operator, value)]
        if value != value:  # NaN, which is kept as NULL
            same = f"{number} IS NULL" if is_metric else "FALSE"
            return [Sql({"=": same, "!=": f"{number} IS NOT NULL"}.get(operator, "FALSE"), [])]
        test = Sql(f"{number}{operator}?", [value])
        return [test, Sql(f"{number} IS NULL", [])] if operator == "!=" and is_metric else [test]

    def _one_of(self, values: Sequence[Value], row: str, aside: str, is_metric: bool) -> list[Sql]:
        column = f"{aside}{row}.number"
        numbers = [value for value in values if not isinstance(value, str)]
        texts = [] if is_metric else [value for value in values if isinstance(value, str)]
        plain = [text for text in texts if number_of(text) is None]
        written = [(text, number) for text in texts if (number := number_of(text)) is not None]
        tests = []
        if numbers:
            tests.append(Sql(f"{column} IN ({_marks(numbers)})", numbers))
        if plain:
            found = Sql(f"{column} IS NULL AND {aside}{row}.text IN ({_marks(plain)})", plain)
            if longest := self._dialect.longest:
                begins = ",".join([f"left(?, {longest})"] * len(plain))
                found += Sql(f" AND left({row}.text, {longest}) IN ({begins})", plain)
            tests.append(found)
        if written:
            # A text that is written as a number lies under that number.
            found = Sql(f"{column} IN ({_marks(written)})", [number for _, number in written])
            tests.append(found + Sql(f" AND {aside}{row}.text IN ({_marks(written)})", [text for text, _ in written]))
        return tests or [Sql("FALSE", [])]

    def _text(self, row: str, aside: str, operator: str, value: Value) -> Sql:
        """A comparison of a text, and of as much of it as the index holds."""
        whole = Sql(f"{aside}{row}.text{operator}?", [value])
        longest = self._dialect.longest
        if longest is None or operator == "!=":
            return whole
        begin = Sql(f" AND left({row}.text, {longest}){operator.rstrip('=')}=left(?, {longest})", [value])
        return whole + begin

    def _order_by(self, terms: list[_Term]) -> str:
        words: list[str] = []
        for term in terms:
            if term.expression in _CONSTANT:
                continue
            way = " DESC" if term.is_descending else ""
            if term.expression.endswith(".text") and self._dialect.longest:
                words.append(f"left({term.expression}, {self._dialect.longest}){way}")  # as the index has it
            words.append(f"{term.expression}{way}")
        return ", ".join(words)


def _has_pattern(part: Condition) -> bool:
    if isinstance(part, Or):
        return any(_has_pattern(one) for one in part.parts)
    return isinstance(part, Compare) and part.operator in ("LIKE", "ILIKE", "MATCHES")


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _any(tests: list[Sql]) -> Sql:
    return Sql("(", []) + _joined(tests, " OR ") + Sql(")", [])


def _joined(parts: Sequence[Sql], between: str) -> Sql:
    return Sql(between.join(part.text for part in parts), [value for part in parts for value in part.values])


def _balanced(parts: list[Sql], word: str) -> Sql | None:
    """Parts joined as a tree that is as shallow as can be: SQLite bounds the depth of an expression."""
    if not parts:
        return None
    while len(parts) > 1:
        pairs = [parts[place : place + 2] for place in range(0, len(parts), 2)]
        parts = [
            Sql("(", []) + _joined(pair, f" {word} ") + Sql(")", []) if len(pair) == 2 else pair[0] for pair in pairs
        ]
    return parts[0]


def _table(field: Field) -> str:
    return "series" if field.space == "metric" else "facets"


def _columns(place: int, field: Field) -> str:
    row = f"o{place}"
    rank = f"CASE WHEN {row}.no IS NULL THEN 2 WHEN {row}.number IS NULL THEN 1 ELSE 0 END"
    return f"{rank}|{row}.number|{'NULL' if field.space == 'metric' else f'{row}.text'}"


def _picked(terms: list[_Term]) -> str:
    return ", ".join(term.expression for term in terms)


def _behind(terms: list[_Term], after: Position | None) -> Sql:
    """What lies behind the last row of the page before."""
    if after is None:
        return Sql("", [])
    last = terms[-1]
    found = Sql(f"{last.expression}{'<' if last.is_descending else '>'}?", [last.ended])
    for term in reversed(terms[:-1]):
        if term.expression in _CONSTANT:
            continue
        if term.ended is None:
            found = Sql(f"({term.expression} IS NULL AND ", []) + found + Sql(")", [])
            continue
        beyond = "<" if term.is_descending else ">"
        same = Sql(f"({term.expression}{beyond}? OR ({term.expression}=? AND ", [term.ended, term.ended])
        found = same + found + Sql("))", [])
    return Sql(" AND ", []) + found
