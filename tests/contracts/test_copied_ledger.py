"""A copied ledger answers as the one it was copied from: the port's whole suite reads from copies, and random searches do."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import postgres_here
from contracts.test_search import Known, conditions, orders, put, records
from slipway.backends.sqlite_ledger import SqliteLedger
from slipway.conformance.ledger_store import LedgerStoreSuite
from slipway.ledger import copying
from slipway.ports.ledger_store import LedgerStore, ReadTransaction, WriteTransaction
from slipway.records.copies import CopyMark
from slipway.records.record import Entry, Link
from slipway.records.runs import MetricPoint


def nobody(what: str, done: int) -> None:
    pass


def copied(source: LedgerStore, target: LedgerStore) -> None:
    """Make the one equal to the other, and see that it is."""
    with source.read() as tx:
        copying.fill(tx, target, nobody)
        tables, differences = copying.compare(tx, target, nobody)
    assert differences == []
    assert tables == copying.state_of(target) == copying.state_of(source)


class ReadFromItsCopy:
    """A ledger that is written to, and whose every read is answered by a copy, which is brought up to date first."""

    def __init__(self, store: LedgerStore, copy: LedgerStore) -> None:
        self.store, self.copy = store, copy
        self.lock = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[ReadTransaction]:
        with self.lock:
            copied(self.store, self.copy)
        with self.copy.read() as tx:
            yield tx

    def write(self) -> Any:
        return self.store.write()

    def copy_to(self, path: Path) -> None:
        self.store.copy_to(path)

    def fill_from(self, path: Path) -> None:
        self.store.fill_from(path)

    def close(self) -> None:
        self.store.close()
        self.copy.close()


class TestSqliteToSqlite(LedgerStoreSuite):
    def make(self, folder: Path) -> LedgerStore:
        folder.mkdir(exist_ok=True)
        copies = len(list(folder.glob("copy-*.db")))
        return ReadFromItsCopy(SqliteLedger(folder / "ledger.db"), SqliteLedger(folder / f"copy-{copies}.db"))


class OnPostgres(LedgerStoreSuite):
    """Both ways need a schema for each test."""

    def make_empty(self, folder: Path) -> LedgerStore:
        self.url = self.stack.enter_context(postgres_here.cleaned())
        return self.make(folder)

    @pytest.fixture(autouse=True)
    def _schemas(self) -> Iterator[None]:
        with ExitStack() as stack:
            self.stack = stack
            self.url = stack.enter_context(postgres_here.cleaned())
            yield

    def database(self, url: str) -> LedgerStore:
        from slipway.backends.postgres_ledger import PostgresLedger

        opened = PostgresLedger(url)
        self.stack.callback(opened.close)
        return opened


@pytest.mark.full
class TestSqliteToPostgres(OnPostgres):
    def make(self, folder: Path) -> LedgerStore:
        folder.mkdir(exist_ok=True)
        copy = self.database(self.stack.enter_context(postgres_here.cleaned()))
        return ReadFromItsCopy(SqliteLedger(folder / "ledger.db"), copy)


@pytest.mark.full
class TestPostgresToSqlite(OnPostgres):
    def make(self, folder: Path) -> LedgerStore:
        folder.mkdir(exist_ok=True)
        copies = len(list(folder.glob("copy-*.db")))
        return ReadFromItsCopy(self.database(self.url), SqliteLedger(folder / f"copy-{copies}.db"))


def entry(id: str, **fields: object) -> Entry:
    made = Entry(
        kind="run", id=id, project="p", name="", number=0, state="", parent="", created_us=1, etag=0, body=b"{}"
    )
    return msgspec.structs.replace(made, **fields)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), known=st.lists(records(), max_size=12, unique_by=lambda one: one.id))
def test_random_searches_find_the_same_in_a_copy(
    data: st.DataObject, known: list[Known], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("both")
    with closing(SqliteLedger(folder / "a.db")) as source, closing(SqliteLedger(folder / "b.db")) as target:
        with source.write() as tx:
            put(tx, *known)
        copied(source, target)
        for _ in range(4):
            where, order = data.draw(conditions), data.draw(orders)
            answers = []
            for store in (source, target):
                with store.read() as tx:
                    found = tx.search("run", project="flights", where=where, order=order, limit=5)
                answers.append(repr(found))  # not a number is not equal to itself
            assert answers[0] == answers[1]


def test_what_was_broken_off_or_changed_meanwhile_becomes_equal(tmp_path: Path) -> None:
    """Ids that swapped their numbers, rows that went, and rows of a table between others."""
    with closing(SqliteLedger(tmp_path / "a.db")) as source, closing(SqliteLedger(tmp_path / "b.db")) as target:
        with source.write() as tx:
            for name in ("a", "b", "c"):
                tx.put(entry(name))
            tx.link([Link("a", "b", "x"), Link("c", "d", "x")])
            tx.set_ref("p", "alias", "champion", "a", expect=None)
        copied(source, target)
        with source.write() as tx:
            tx.remove("run", "c")
            tx.remove("run", "b")
            tx.put(entry("c", body=b"other"))
            tx.put(entry("b"))
            tx.link([Link("b", "b", "x")])
            tx.set_ref("p", "alias", "champion", "b", expect="a")
            tx.set_ref("p", "alias", "old", "a", expect=None)
        copied(source, target)
        with source.write() as tx:
            tx.remove("run", "a")
            tx.unlink("a")
        copied(source, target)


def test_what_differs_is_named(tmp_path: Path) -> None:
    with closing(SqliteLedger(tmp_path / "a.db")) as source, closing(SqliteLedger(tmp_path / "b.db")) as target:
        with source.write() as tx:
            for number in range(60):
                tx.put(entry(f"r{number}"))
        copied(source, target)
        with target.write() as tx:
            tx.put(entry("r7", body=b"touched"))
            tx.remove("run", "r8")
            tx.put(entry("stranger"))
        with source.read() as tx:
            _, found = copying.compare(tx, target, nobody)
        assert found == [
            "ledger, entries: run r7 is another in the copy",
            "ledger, entries: run r8 is not in the copy",
            "ledger, entries: run stranger is only in the copy",
        ]
        with target.write() as tx:
            for number in range(60):
                tx.put(entry(f"r{number}", body=b"touched"))
        with source.read() as tx:
            _, found = copying.compare(tx, target, nobody)
        assert len(found) == 21
        assert found[-1] == "ledger, entries: 42 more rows differ"


def test_what_is_a_ledgers_own_is_not_copied(tmp_path: Path) -> None:
    with closing(SqliteLedger(tmp_path / "a.db")) as source, closing(SqliteLedger(tmp_path / "b.db")) as target:
        with source.write() as tx:
            tx.set_ref("", "store", "blobs", "this ledger's", expect=None)
            tx.set_ref("", "store", "erased", "what was erased", expect=None)
            assert tx.take_lease("sealer", "somebody", seconds=60)
        copying.mark(target, CopyMark("there", "slipway env copy a b"))
        copied(source, target)
        with target.write() as tx:
            assert tx.ref("", "store", "blobs") is None
            assert tx.ref("", "store", "erased") == "what was erased"
            assert tx.take_lease("sealer", "another", seconds=60)
            assert copying.mark_of(tx) == CopyMark("there", "slipway env copy a b")
        copying.mark(target, None)
        with target.read() as tx:
            assert copying.mark_of(tx) is None


@pytest.mark.full
def test_numbers_go_on_after_the_greatest_and_figures_come_back_whatever_the_database(tmp_path: Path) -> None:
    """Not a number, no end, a zero with a sign, and texts with NUL: there and back again."""
    from slipway.backends.postgres_ledger import PostgresLedger

    def write(tx: WriteTransaction, name: str) -> None:
        tx.put(entry(name, name="a\x00b\x01"))
        values = (float("nan"), float("inf"), float("-inf"), -0.0, 1e-300)
        tx.add_points(name, [MetricPoint("m", value, step) for step, value in enumerate(values)])

    with postgres_here.cleaned() as url, ExitStack() as stack:
        first, back = (stack.enter_context(closing(SqliteLedger(tmp_path / name))) for name in ("a.db", "b.db"))
        middle = stack.enter_context(closing(PostgresLedger(url)))
        with first.write() as tx:
            write(tx, "r1")
        copied(first, middle)
        with middle.write() as tx:
            write(tx, "r2")
        copied(middle, back)
        with back.write() as tx:
            write(tx, "r3")
        copied(back, middle)
        with middle.read() as tx:
            assert [repr(tx.points(name, "m")) for name in ("r2", "r3")] == [repr(tx.points("r1", "m"))] * 2
