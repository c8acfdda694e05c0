"""Searches of a store equal looking at every record: random records, conditions and orders, page by page."""

import math
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import postgres_here
from brute_search import Known, search
from slipway.backends import sql_search
from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.ports.ledger_store import LedgerStore, WriteTransaction
from slipway.records.record import Entry
from slipway.records.runs import MetricPoint
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
    Position,
    number_of,
)

LONG = "b" * 600  # more than an index of PostgreSQL holds
TEXTS = ["", "a", "A", "ab", "b", "6", "6.0", "-1", "a%b", "é", "aab", "1e3", "a\x00", "\x01", LONG, LONG + "a"]
NUMBERS = [0.0, 1.0, 6.0, -1.0, 2.5, math.inf, -math.inf, 1e3]
WORDED = [Field("param", "depth"), Field("param", "rate"), Field("tag", "user")]
SEVERAL = Field("dataset", "name")
MEASURED = Field("measured", "auc")
NUMBER = Field("attribute", "rows")
FIGURE = Field("figure", "auc")
METRICS = [Field("metric", "auc"), Field("metric", "loss")]
ABSENT = Field("tag", "nobody has it")
FIELDS = [*WORDED, SEVERAL, MEASURED, NUMBER, FIGURE, *METRICS, ABSENT]

fields = st.sampled_from(FIELDS)
texts = st.sampled_from(TEXTS)
numbers = st.sampled_from(NUMBERS)
values = texts | numbers


@st.composite
def records(draw: st.DrawFn) -> Known:
    facets = [
        Facet(field.space, field.key, text, number_of(text))
        for field in WORDED
        for text in draw(st.lists(texts, max_size=1))
    ]
    facets += [
        Facet("dataset", "name", text, number_of(text)) for text in draw(st.lists(texts, max_size=3, unique=True))
    ]
    for field, most in ((NUMBER, 1), (FIGURE, 1), (MEASURED, 3)):
        several = draw(st.lists(numbers, max_size=most, unique=True))
        facets += [Facet(field.space, field.key, number=number) for number in several]
    metrics = draw(st.dictionaries(st.sampled_from(["auc", "loss"]), numbers | st.just(math.nan)))
    return Known(draw(st.uuids()).hex, draw(st.integers(0, 3)), tuple(facets), metrics)


patterns = st.sampled_from(["a%", "%b", "_", "%", "a_", "A%", "%a%b%", "", "\x01", "%\x00", "\\%"])
expressions = st.sampled_from(["a", "^a+$", "[ab]b", "^$", "6|b", "."])
leaves: st.SearchStrategy[Condition] = st.one_of(
    st.builds(Compare, fields, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), values),
    st.builds(Compare, st.sampled_from(METRICS), st.sampled_from(["=", "!="]), st.just(math.nan)),
    st.builds(Compare, fields, st.sampled_from(["LIKE", "ILIKE"]), patterns),
    st.builds(Compare, fields, st.just("MATCHES"), expressions),
    st.builds(In, fields, st.lists(values, max_size=4).map(tuple)),
    st.builds(Between, fields, numbers, numbers),
    st.builds(Between, fields, texts, texts),
    st.builds(IsNull, fields),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)
orders = st.lists(
    st.builds(Order, st.sampled_from([*WORDED, NUMBER, FIGURE, *METRICS, ABSENT]), st.booleans()),
    max_size=3,
    unique_by=lambda order: order.field,
)


def put(tx: WriteTransaction, *given: Known, project: str = "flights") -> None:
    for known in given:
        tx.put(
            Entry(
                kind="run",
                id=known.id,
                project=project,
                name="",
                number=0,
                state="",
                parent="",
                created_us=known.created_us,
                etag=0,
                body=b"{}",
                facets=known.facets,
            )
        )
        tx.add_points(known.id, [MetricPoint(key, value, 1) for key, value in known.metrics.items()])


def pages(
    store: LedgerStore, where: Condition | None, order: list[Order], size: int, best_per: Field | None = None
) -> list[str]:
    found: list[str] = []
    after: Position | None = None
    while True:
        with store.read() as tx:
            page = tx.search(
                "run", project="flights", where=where, order=order, after=after, limit=size, best_per=best_per
            )
        assert len(page.entries) <= size
        found += [entry.id for entry in page.entries]
        after = page.position
        if after is None:
            return found


def unique(known: list[Known]) -> list[Known]:
    return list({one.id: one for one in known}.values())


def walked(monkeyed: bool) -> None:
    """Make every search walk an index, as if no part of a condition fitted few; or as it is."""
    sql_search._FEW, sql_search._FEW_TEXTS = (-1, -1) if monkeyed else (4000, 400)


class Stores:
    """Empty stores, one after the other."""

    def __init__(self) -> None:
        self.closing = ExitStack()
        self._postgres: tuple[LedgerStore, str] | None = None

    @contextmanager
    def empty(self, database: str) -> Iterator[LedgerStore]:
        if database == "postgres":
            yield self._emptied()
            return
        with tempfile.TemporaryDirectory() as folder:
            store = SqliteLedger(Path(folder) / "ledger.db")
            try:
                yield store
            finally:
                store.close()

    def _emptied(self) -> LedgerStore:
        if self._postgres is None:
            url = self.closing.enter_context(postgres_here.cleaned())
            from slipway.backends.postgres_ledger import PostgresLedger

            self._postgres = PostgresLedger(url), url
            self.closing.callback(self._postgres[0].close)
        store, url = self._postgres
        postgres_here.emptied(url)
        return store


@pytest.fixture(scope="module")
def stores() -> Iterator[Stores]:
    found = Stores()
    with found.closing:
        yield found


databases = pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.full)])


@databases
@settings(max_examples=150, deadline=None)
@given(
    given=st.lists(records(), max_size=12).map(unique),
    searches=st.lists(
        st.tuples(conditions | st.none(), orders, st.integers(1, 4), fields | st.none()), min_size=5, max_size=12
    ),
    is_walked=st.booleans(),
)
def test_a_search_equals_looking_at_every_record(
    stores: Stores,
    database: str,
    given: list[Known],
    searches: list[tuple[Condition | None, list[Order], int, Field | None]],
    is_walked: bool,
) -> None:
    with stores.empty(database) as store:
        walked(is_walked)
        try:
            with store.write() as tx:
                # Put twice: what a record was found by before does not find it any more.
                put(tx, *(as_first_put(known, number) for number, known in enumerate(given)))
                put(tx, *given)
                put(tx, *(replace(known, id=f"other-{known.id}") for known in given), project="ships")
            for where, order, size, best_per in searches:
                assert pages(store, where, order, size, best_per) == search(given, where, order, best_per)
        finally:
            walked(False)


def as_first_put(known: Known, number: int) -> Known:
    """The record as it was first put: created at another time, with other facets and no points."""
    changed = Facet("param", "depth", "before")
    return Known(known.id, known.created_us + number % 2, (changed, *known.facets), {})


@pytest.mark.full
@databases
@settings(max_examples=60, deadline=None)
@given(
    given=st.lists(records(), min_size=2, max_size=10).map(unique),
    added=st.lists(records(), min_size=1, max_size=6).map(unique),
    where=conditions | st.none(),
    order=orders,
    size=st.integers(1, 3),
    is_walked=st.booleans(),
)
def test_what_is_recorded_meanwhile_moves_no_page(
    stores: Stores,
    database: str,
    given: list[Known],
    added: list[Known],
    where: Condition | None,
    order: list[Order],
    size: int,
    is_walked: bool,
) -> None:
    added = [known for known in added if known.id not in {one.id for one in given}]
    with stores.empty(database) as store:
        walked(is_walked)
        try:
            with store.write() as tx:
                put(tx, *given)
            waiting = list(added)
            found: list[str] = []
            after: Position | None = None
            while True:
                with store.read() as tx:
                    page = tx.search("run", project="flights", where=where, order=order, after=after, limit=size)
                found += [entry.id for entry in page.entries]
                after = page.position
                if after is None:
                    break
                if waiting:
                    with store.write() as tx:
                        put(tx, waiting.pop())
        finally:
            walked(False)
    old = {known.id for known in given}
    assert [id for id in found if id in old] == search(given, where, order)
    assert len(found) == len(set(found))


def test_a_position_survives_the_wire(tmp_path: Path) -> None:
    store = SqliteLedger(tmp_path / "ledger.db")
    with store.write() as tx:
        put(tx, *(Known(f"r{number}", 0, (), {"auc": math.inf}) for number in range(4)))
    order = [Order(METRICS[0], True)]
    with store.read() as tx:
        first = tx.search("run", project="flights", order=order, limit=2)
        sent = msgspec.msgpack.decode(msgspec.msgpack.encode(first.position), type=Position)
        assert [entry.id for entry in first.entries] == ["r3", "r2"]
        second = tx.search("run", project="flights", order=order, after=sent, limit=2)
    assert [entry.id for entry in second.entries] == ["r1", "r0"]
    assert second.position is None
    store.close()
