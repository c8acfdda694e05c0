"""What every ledger store must do."""

# ruff: noqa: D102  # a test's name is its sentence

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from slipway.conformance.ledger_measures import LedgerMeasuresSuite
from slipway.errors import Conflict, SlipwayError
from slipway.ports.ledger_store import LedgerStore
from slipway.records.events import Event, Root
from slipway.records.people import Actor
from slipway.records.record import Entry, Link
from slipway.records.runs import MetricPoint
from slipway.records.search import Compare, Facet, Field

__all__ = ["LedgerStoreSuite"]

_ENTRY = Entry(
    kind="run",
    id="r1",
    project="flights",
    name="baseline",
    number=1,
    state="running",
    parent="p1",
    created_us=1000,
    etag=0,
    body=b'{"a":1}',
)
_EVENT = Event(
    id="e1",
    at=datetime(2013, 4, 1, tzinfo=UTC),
    project="flights",
    actor=Actor("ada"),
    verb="models.alias",
    subject="model:m1",
    body={"alias": "champion"},
)


def _entry(id: str, **fields: object) -> Entry:
    return msgspec.structs.replace(_ENTRY, id=id, **fields)


def _raised(kind: type[SlipwayError], work: Callable[[], object]) -> None:
    try:
        work()
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was expected")


class _Interrupted(Exception):
    pass


class LedgerStoreSuite(LedgerMeasuresSuite):
    """Override `make`; each test opens a store of its own in an empty folder."""

    def make_empty(self, folder: Path) -> LedgerStore:
        """Another store with nothing in it, for a test that needs two."""
        return self.make(folder)

    def test_an_entry_comes_back_as_it_was_put_with_its_edition(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        with store.write() as tx:
            assert tx.put(_ENTRY) == 1
            assert tx.put(msgspec.structs.replace(_ENTRY, state="finished", body=b"{}", etag=77)) == 2
        with store.read() as tx:
            expected = msgspec.structs.replace(_ENTRY, state="finished", body=b"{}", etag=2)
            assert tx.get("run", "r1") == expected
            assert tx.get("run", "r2") is None
            assert tx.get("model", "r1") is None
        store.close()

    def test_put_compares_the_edition_that_is_expected(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        with store.write() as tx:
            tx.put(_ENTRY, expect=0)
        for wrong in (0, 2):
            with store.write() as tx:
                _raised(Conflict, lambda wrong=wrong, tx=tx: tx.put(_ENTRY, expect=wrong))  # type: ignore[misc]
        with store.write() as tx:
            assert tx.put(_ENTRY, expect=1) == 2
            _raised(Conflict, lambda: tx.put(_entry("r2"), expect=1))
            _raised(Conflict, lambda: tx.put(_entry("r1", project="ships")))
        store.close()

    def test_what_was_written_is_there_when_the_store_is_opened_again(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        with store.write() as tx:
            tx.put(_ENTRY)
            tx.append_event(_EVENT)
        store.close()
        store.close()
        again = self.make(tmp_path)
        with again.read() as tx:
            assert tx.get("run", "r1") is not None
            assert len(tx.events()) == 1
        again.close()

    def test_a_transaction_that_raises_leaves_nothing(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)

        def half() -> None:
            with store.write() as tx:
                tx.put(_ENTRY)
                tx.set_ref("flights", "alias", "champion", "m1", expect=None)
                tx.link([Link("a:1", "b:1", "input")])
                tx.add_points("r1", [MetricPoint("auc", 0.7)])
                tx.append_event(_EVENT)
                raise _Interrupted

        with suppress(_Interrupted):
            half()
        with store.read() as tx:
            assert tx.get("run", "r1") is None
            assert tx.refs("flights", "alias") == {}
            assert tx.links("a:1", towards=False) == []
            assert tx.points("r1", "auc") == []
            assert tx.events() == []
        with store.write() as tx:
            assert tx.append_event(_EVENT) == 1
        store.close()

    def test_a_write_is_seen_only_when_it_is_whole(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)

        def look() -> int:
            with store.read() as tx:
                return len(tx.find("run"))

        with ThreadPoolExecutor(1) as other:
            with store.write() as tx:
                tx.put(_entry("r1"))
                tx.put(_entry("r2"))
                assert other.submit(look).result() == 0
            assert other.submit(look).result() == 2
        store.close()

    def test_a_read_is_of_one_moment(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)

        def write(id: str) -> None:
            with store.write() as tx:
                tx.put(_entry(id))

        write("r1")
        with ThreadPoolExecutor(1) as other, store.read() as tx:
            assert len(tx.find("run")) == 1
            other.submit(write, "r2").result()
            assert len(tx.find("run")) == 1
        with store.read() as tx:
            assert len(tx.find("run")) == 2
        store.close()

    def test_find_matches_every_column_newest_first_and_by_pages(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        with store.write() as tx:
            for i in range(10):
                tx.put(_entry(f"r{i}", created_us=1000 + i // 2, state="failed" if i % 2 else "finished", number=i))
            tx.put(_entry("other", project="ships"))
            tx.put(_entry("named", name="tuned", parent="p2"))
        with store.read() as tx:
            assert [e.id for e in tx.find("run", project="flights", name="baseline", limit=3)] == ["r9", "r8", "r7"]
            assert [e.id for e in tx.find("run", state="failed")] == ["r9", "r7", "r5", "r3", "r1"]
            assert [e.id for e in tx.find("run", project="ships")] == ["other"]
            assert [e.id for e in tx.find("run", parent="p2")] == ["named"]
            assert [e.id for e in tx.find("run", name="baseline", number=4)] == ["r4"]
            assert tx.find("model") == []
            walked: list[str] = []
            before = None
            while page := tx.find("run", name="baseline", before=before, limit=3):
                walked += [e.id for e in page]
                before = (page[-1].created_us, page[-1].id)
            assert walked == ["r9", "r8", "r7", "r6", "r5", "r4", "r3", "r2", "r1", "r0", "other"]
        store.close()

    def test_a_reference_moves_only_from_where_it_is_expected(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        with store.write() as tx:
            tx.set_ref("flights", "alias", "champion", "m1", expect=None)
            _raised(Conflict, lambda: tx.set_ref("flights", "alias", "champion", "m2", expect=None))
            _raised(Conflict, lambda: tx.set_ref("flights", "alias", "champion", "m2", expect="m9"))
            tx.set_ref("flights", "alias", "champion", "m2", expect="m1")
            tx.set_ref("flights", "alias", "challenger", "m3", expect=None)
            tx.set_ref("ships", "alias", "champion", "m4", expect=None)
        with store.read() as tx:
            assert tx.ref("flights", "alias", "champion") == "m2"
            assert tx.ref("flights", "alias", "missing") is None
            assert tx.refs("flights", "alias") == {"challenger": "m3", "champion": "m2"}
        with store.write() as tx:
            tx.set_ref("flights", "alias", "champion", "", expect="m2")
        with store.read() as tx:
            assert tx.ref("flights", "alias", "champion") is None
        store.close()

    def test_links_are_kept_once_and_followed_both_ways(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        one, two = Link("table:a@1", "run:r1", "input"), Link("run:r1", "model:m1", "output")
        with store.write() as tx:
            tx.link([one, two, one])
            tx.link([one])
        with store.read() as tx:
            assert tx.links("run:r1", towards=True) == [one]
            assert tx.links("run:r1", towards=False) == [two]
            assert tx.links("model:m1", towards=False) == []
        store.close()

    def test_a_removed_entry_is_gone_with_all_it_was_found_by(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        loud = Field("tag", "loud")
        gone = _entry("r1", facets=(Facet("tag", "loud", text="yes"),))
        with store.write() as tx:
            for entry in (gone, msgspec.structs.replace(gone, id="r2"), _entry("r1", kind="model")):
                tx.put(entry)
            tx.add_points("r1", [MetricPoint("auc", value / 100, step=value) for value in range(100)])
            tx.link([Link("run:r1", "model:m1", "made"), Link("table:t", "run:r1", "input"), Link("a", "b", "input")])
        with store.write() as tx:
            assert tx.remove("run", "r1")
            assert not tx.remove("run", "r1")
            tx.unlink("run:r1")
        with store.read() as tx:
            assert tx.get("run", "r1") is None
            assert tx.get("model", "r1") is not None
            found = tx.search("run", project="flights", where=Compare(loud, "=", "yes"))
            assert [entry.id for entry in found.entries] == ["r2"]
            assert tx.links("run:r1", towards=True) == tx.links("run:r1", towards=False) == []
            assert tx.links("a", towards=False) == [Link("a", "b", "input")]
        with store.write() as tx:
            assert tx.put(_entry("r1", project="ships"), expect=0) == 1
            assert tx.points("r1", "auc") == tx.latest_points(["r1"])["r1"] == []
        store.close()

    def test_events_follow_each_other_without_a_gap(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        with store.write() as tx:
            for i in range(5):
                project = "ships" if i == 2 else "flights"
                event = msgspec.structs.replace(_EVENT, id=f"e{i}", project=project, subject=f"model:m{i % 2}")
                assert tx.append_event(event) == i + 1
        with store.read() as tx:
            assert [event.seq for event in tx.events()] == [1, 2, 3, 4, 5]
            assert [event.seq for event in tx.events(after=2, limit=2)] == [3, 4]
            assert [event.seq for event in tx.events(project="ships")] == [3]
            assert [event.seq for event in tx.events(subject="model:m1")] == [2, 4]
            assert tx.events()[0] == msgspec.structs.replace(_EVENT, seq=1, id="e0", subject="model:m0")
            pages = [*tx.written_events(limit=3), *tx.written_events(after=3)]
            assert [msgspec.json.decode(data, type=Event) for _, data in pages] == [event for event, _ in pages]
            assert [event for event, _ in pages] == tx.events()
        store.close()

    def test_roots_are_kept_in_order_and_never_replaced(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        first = Root(
            index=1,
            first_seq=1,
            last_seq=3,
            root="ab",
            previous="",
            sealed_at=datetime(2026, 1, 1, tzinfo=UTC),
            key_id="k",
            signature="s",
        )
        second = msgspec.structs.replace(first, index=2, first_seq=4, last_seq=4, previous="cd")
        with store.write() as tx:
            tx.append_root(first)
            tx.append_root(second)
        with store.write() as tx:
            _raised(Conflict, lambda: tx.append_root(msgspec.structs.replace(first, root="ef")))
        with store.read() as tx:
            assert tx.roots() == [first, second]
            assert tx.written_roots() == [(root, msgspec.json.encode(root)) for root in (first, second)]
        store.close()

    def test_a_lease_has_one_holder_until_it_runs_out(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        with store.write() as tx:
            assert tx.take_lease("sealer", "a", seconds=60)
            assert tx.take_lease("sealer", "a", seconds=60)
            assert not tx.take_lease("sealer", "b", seconds=60)
            assert tx.take_lease("controller", "b", seconds=60)
        with store.write() as tx:
            assert tx.take_lease("sealer", "a", seconds=-1)
        with store.write() as tx:
            assert tx.take_lease("sealer", "b", seconds=60)
            assert not tx.take_lease("sealer", "a", seconds=60)
        store.close()

    def test_a_copy_is_of_one_moment_and_fills_an_empty_store_only(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        with store.write() as tx:
            tx.put(_entry("r1", body=b"\x00\x01\xff\\N"))
            tx.put(_entry("r2", name="a\x00b\x01\tc\n"))
            tx.link([Link("a", "b", "made")])
            tx.set_ref("flights", "alias", "champion", "m1", expect=None)
            tx.append_event(_EVENT)
            tx.add_points("r1", [MetricPoint("auc", 0.5, 1, 7), MetricPoint("auc", float("nan"), 2, 8)])
        copy = tmp_path / "copied"
        with store.write() as tx:
            tx.put(_entry("r3"))
            with ThreadPoolExecutor(1) as another:
                another.submit(store.copy_to, copy).result()
        _raised(Conflict, lambda: store.fill_from(copy))
        before = self.found(store)
        store.close()
        other = self.make_empty(tmp_path / "empty")
        other.fill_from(copy)
        with other.read() as tx:
            assert tx.get("run", "r3") is None, "it was not committed yet"
            assert [point.key for point in tx.points("r1", "auc")] == ["auc", "auc"]
            assert tx.links("b", towards=True) == [Link("a", "b", "made")]
            assert tx.ref("flights", "alias", "champion") == "m1"
        assert self.found(other) == {name: body for name, body in before.items() if name != "r3"}
        with other.write() as tx:
            tx.put(_entry("r4"))
            assert tx.append_event(_EVENT) == 2
        assert set(self.found(other)) == {"r1", "r2", "r4"}
        other.close()

    def found(self, store: LedgerStore) -> dict[str, Entry]:
        """The runs of a store by id."""
        with store.read() as tx:
            return {entry.id: entry for entry in tx.find("run", limit=10)}

    def test_many_writers_lose_nothing(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        other = self.make(tmp_path)

        def write(i: int) -> None:
            with (store if i % 2 else other).write() as tx:
                found = tx.get("run", "counter")
                count = int(found.body) if found else 0
                tx.put(_entry("counter", body=str(count + 1).encode()))
                tx.append_event(msgspec.structs.replace(_EVENT, id=f"e{i}"))

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(write, range(40)))
        with store.read() as tx:
            found = tx.get("run", "counter")
            assert found is not None
            assert (found.body, found.etag) == (b"40", 40)
            assert [event.seq for event in tx.events()] == list(range(1, 41))
        store.close()
        other.close()
