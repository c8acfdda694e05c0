"""What every ledger store must do with points of metrics, and with searches."""

# ruff: noqa: D102  # a test's name is its sentence

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import msgspec

from slipway.errors import NotFound, SlipwayError
from slipway.ports.ledger_store import LedgerStore
from slipway.records.record import Entry
from slipway.records.runs import Bucket, MetricPoint
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
    Operator,
    Or,
    Order,
    Value,
    number_of,
)

__all__ = ["LedgerMeasuresSuite"]

_RUN = Entry(
    kind="run",
    id="r1",
    project="flights",
    name="",
    number=0,
    state="",
    parent="",
    created_us=1000,
    etag=0,
    body=b"{}",
)
_AUC, _LOSS = Field("metric", "auc"), Field("metric", "loss")
_DEPTH, _USER = Field("param", "depth"), Field("tag", "user")
_DATA, _ROWS = Field("dataset", "name"), Field("attribute", "rows")


def _worded(field: Field, text: str) -> Facet:
    return Facet(field.space, field.key, text, number_of(text))


def _run(id: str, created_us: int = 1000, *facets: Facet, project: str = "flights") -> Entry:
    return msgspec.structs.replace(_RUN, id=id, created_us=created_us, facets=facets, project=project)


def _key(point: MetricPoint) -> tuple[int, int, bool, float]:
    is_number = not math.isnan(point.value)
    return point.step, point.at_us, is_number, point.value if is_number else 0.0


def _texts(points: list[MetricPoint]) -> list[str]:
    """Points as text: NaN equals itself there."""
    return [repr(point) for point in points]


class LedgerMeasuresSuite:
    """Override `make`; each test opens a store of its own in an empty folder."""

    def make(self, folder: Path) -> LedgerStore:
        """Open the store in a folder; opening the same folder again opens the same store."""
        raise NotImplementedError

    def test_points_are_kept_once_in_order_and_not_a_number_is_lowest(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        given = [
            MetricPoint("loss", 0.5, 2, 10),
            MetricPoint("loss", math.nan, 3, 10),
            MetricPoint("loss", 0.25, 3, 10),
            MetricPoint("loss", math.inf, 1, 10),
            MetricPoint("auc", math.nan, 0, 10),
        ]
        with store.write() as tx:
            tx.put(_run("r1"))
            tx.put(_run("r2"))
            tx.add_points("r1", given)
            tx.add_points("r1", given)
            tx.add_points("r2", [MetricPoint("loss", -0.0, -1, 0)])
            tx.add_points("r2", [MetricPoint("loss", 5.0, -2, 0)])  # written later, and earlier by its step
        with store.read() as tx:
            assert [str(p.value) for p in tx.points("r1", "loss")] == ["inf", "0.5", "nan", "0.25"]
            assert len(tx.points("r1", "loss", limit=2)) == 2
            latest = tx.latest_points(["r1", "r2", "r3"])
            assert [(p.key, str(p.value)) for p in latest["r1"]] == [("auc", "nan"), ("loss", "0.25")]
            assert latest["r2"] == [MetricPoint("loss", 0.0, -1, 0)]
            assert latest["r3"] == []
            assert tx.points("r3", "loss") == tx.points("r1", "nothing") == []
        store.close()

    def test_points_belong_to_a_run_that_is_recorded(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        with store.write() as tx:
            _raised(NotFound, lambda: tx.add_points("r1", [MetricPoint("auc", 0.7)]))
        store.close()

    def test_points_come_in_order_and_by_pages_however_they_were_written(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        chance = random.Random(7)
        # Regular ones, stragglers, twins, several a step, and the ends of what 64 bits hold.
        given = [
            MetricPoint("loss", chance.choice([chance.random(), math.nan]), step, step * 7) for step in range(6000)
        ]
        given += [MetricPoint("loss", 1.0, chance.randrange(-50, 6050), chance.randrange(9)) for _ in range(600)]
        given += [MetricPoint("loss", 2.0, step, at) for step in (-(2**63), 2**63 - 1) for at in (-(2**63), 2**63 - 1)]
        expected = sorted({_key(point): point for point in given}.values(), key=_key)
        waiting = given + chance.sample(given, 300)
        chance.shuffle(waiting)
        waiting.sort(key=lambda point: point.step // 500)
        with store.write() as tx:
            tx.put(_run("r1"))
        while waiting:
            count = chance.choice([1, 1, 1, 2, 30, 70, 900, 2500])
            with store.write() as tx:
                tx.add_points("r1", [*waiting[:count], MetricPoint("other", 0.5, len(waiting))])
            waiting = waiting[count:]
        with store.read() as tx:
            assert _texts(tx.points("r1", "loss")) == _texts(expected)
            (loss, _) = tx.latest_points(["r1"])["r1"]
            assert _texts([loss]) == _texts(expected[-1:])
            walked: list[MetricPoint] = []
            while page := tx.points("r1", "loss", after=walked[-1] if walked else None, limit=997):
                walked += page
            assert _texts(walked) == _texts(expected)
            for buckets in (1, 2, 7, 100, 1000):
                _holds(expected, tx.sampled("r1", "loss", buckets=buckets), buckets)
        store.close()

    def test_many_points_of_one_write_are_sampled_by_step_or_by_time(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        by_step = [MetricPoint("a", math.sin(step), step, step // 3) for step in range(5000)]
        by_time = [MetricPoint("b", math.cos(at), 0, at) for at in range(3000)]
        nothing = [MetricPoint("c", math.nan, step) for step in range(10)]
        with store.write() as tx:
            tx.put(_run("r1"))
            tx.add_points("r1", [*by_step, *by_time, *nothing])
        with store.read() as tx:
            for points in (by_step, by_time, nothing):
                for buckets in (1, 3, 10, 250):
                    found = tx.sampled("r1", points[0].key, buckets=buckets)
                    _holds(points, found, buckets)
                    assert len(found) >= min(buckets, len(points)) / 2
            for since, until in ((None, 1500), (1500, None), (1023, 1025), (700, 4300), (2000, 2000), (0, 4999)):
                inside = by_step[since or 0 : 5000 if until is None else until + 1]
                for buckets in (1, 3, 250):
                    _holds(inside, tx.sampled("r1", "a", buckets=buckets, since=since, until=until), buckets)
            assert len(tx.sampled("r1", "a", buckets=250, since=700, until=4300)) >= 125
            assert tx.sampled("r1", "b", buckets=3, since=0, until=0) == tx.sampled("r1", "b", buckets=3)
            for since, until in ((5000, None), (None, -1), (9, 3)):
                assert tx.sampled("r1", "a", buckets=3, since=since, until=until) == []
            assert tx.sampled("r1", "nothing", buckets=10) == tx.sampled("r2", "a", buckets=10) == []
        store.close()

    def test_a_search_compares_numbers_with_numbers_and_texts_with_texts(self, tmp_path: Path) -> None:
        store = self._filled(tmp_path)

        def found(*parts: Condition) -> str:
            with store.read() as tx:
                page = tx.search("run", project="flights", where=And(parts))
            return "".join(sorted(entry.id for entry in page.entries))

        def compare(field: Field, operator: Operator, value: Value) -> str:
            return found(Compare(field, operator, value))

        assert found() == "abcdef"
        assert compare(_AUC, ">", 0.5) == "bc"
        assert compare(_AUC, "!=", 0.9) == "acd"
        assert compare(_AUC, "=", math.nan) == "d"
        assert compare(_AUC, "!=", math.nan) == "abc"
        assert compare(_AUC, "<", math.inf) == "abc"
        assert compare(_AUC, "=", "0.9") == ""
        assert compare(_DEPTH, "=", 6.0) == "bc"
        assert compare(_DEPTH, "=", "6") == "b"
        assert compare(_DEPTH, "!=", "6") == "acd"
        assert compare(_DEPTH, ">=", "6") == "bcd"
        assert compare(_ROWS, ">", 100.0) == "f"
        assert compare(_ROWS, "=", "1000") == ""
        assert compare(_USER, "LIKE", "a_a") == "a"
        assert compare(_USER, "ILIKE", "A%") == "abc"
        assert compare(_USER, "MATCHES", "^A|b$") == "bc"
        assert found(In(_DEPTH, (4.0, "6", "auto"))) == "abd"
        assert found(In(_DEPTH, ())) == ""
        assert found(Between(_AUC, 0.4, 0.8)) == "ac"
        assert found(Between(_USER, "A", "ac")) == "bc"
        assert found(IsNull(_AUC)) == "ef"
        assert found(Not(IsNull(_USER)), Not(Compare(_AUC, ">", 0.5))) == "a"
        assert found(Or((Compare(_DEPTH, "=", 4.0), IsNull(_DEPTH)))) == "aef"
        assert found(Or(())) == ""
        # Of several data sets one is enough, for another one as well.
        assert compare(_DATA, "=", "flights") == "ef"
        assert compare(_DATA, "!=", "flights") == "e"
        assert found(Not(Compare(_DATA, "=", "planes"))) == "abcdf"
        assert compare(Field("param", "nobody"), "=", 1.0) == ""
        store.close()

    def test_a_search_is_ordered_with_what_is_missing_last_both_ways(self, tmp_path: Path) -> None:
        store = self._filled(tmp_path)

        def found(*order: Order, limit: int = 100, best_per: Field | None = None) -> str:
            ids, after = "", None
            while True:
                with store.read() as tx:
                    page = tx.search("run", project="flights", order=order, after=after, limit=limit, best_per=best_per)
                ids += "".join(entry.id for entry in page.entries)
                after = page.position
                if after is None:
                    return ids

        for limit in (1, 2, 3, 100):
            assert found(limit=limit) == "fedcba"
            assert found(Order(_AUC), limit=limit) == "acbdfe"
            assert found(Order(_AUC, True), limit=limit) == "bcadfe"
            assert found(Order(_DEPTH), limit=limit) == "abcdfe"
            assert found(Order(_DEPTH, True), limit=limit) == "cbadfe"
            assert found(Order(_USER), Order(_AUC, True), limit=limit) == "bcadfe"
            assert found(Order(_LOSS), limit=limit) == "fedcba"
            assert found(Order(_AUC, True), limit=limit, best_per=_DEPTH) == "bcad"
            assert found(limit=limit, best_per=_DATA) == "fe"
        store.close()

    def test_the_values_of_all_that_fits_come_beside_each_other(self, tmp_path: Path) -> None:
        store = self._filled(tmp_path)

        def found(*fields: Field, where: Condition | None = None, limit: int = 100) -> list[str]:
            with store.read() as tx:
                return sorted(map(repr, tx.values("run", project="flights", where=where, fields=fields, limit=limit)))

        assert found(_AUC) == ["(0.4,)", "(0.8,)", "(0.9,)", "(None,)", "(None,)", "(nan,)"]
        assert found(_DEPTH, _AUC, where=Compare(_AUC, ">", 0.4)) == ["('6', 0.9)", "('6.0', 0.8)"]
        assert found(Field("param", "nobody"), where=IsNull(_AUC)) == ["(None,)", "(None,)"]
        assert len(found(_AUC, limit=2)) == 2
        store.close()

    def test_names_of_fields_are_found_by_a_part_of_them(self, tmp_path: Path) -> None:
        store = self._filled(tmp_path)

        def found(contains: str = "", limit: int = 100, project: str = "flights") -> list[str]:
            with store.read() as tx:
                return tx.names("run", project=project, space="metric", contains=contains, limit=limit)

        every = found()
        assert every == sorted(every)
        assert _AUC.key in every
        assert _DEPTH.key not in every
        assert found(_AUC.key.upper()) == [_AUC.key]
        assert found("%") == found("_") == found(project="nobody's") == []
        assert found(limit=1) == every[:1]
        store.close()

    def test_every_text_is_found_by_what_it_is(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        # In the order of their code points.
        texts = [
            "",
            "\x00",
            "\x00a",
            "\x01",
            "\x01\x02",
            "\x02",
            "%",
            "A",
            "\\",
            "_",
            "a",
            "a" * 7000,
            "b",
            "\xe9",
            "\uffff",
        ]
        texts += ["\U0001f600" * 600, "\U0001f600" * 600 + "\x00"]
        with store.write() as tx:
            for number, text in enumerate(texts):
                tx.put(_run(f"{number:02}", number, Facet("tag", "user", text)))
            tx.set_ref("flights", "alias", "a\x00", "b\x00\x01", expect=None)
        with store.read() as seen:
            assert seen.refs("flights", "alias") == {"a\x00": "b\x00\x01"}
            for way in (False, True):
                ids, after = [], None
                while True:
                    page = seen.search("run", project="flights", order=(Order(_USER, way),), after=after, limit=2)
                    ids += [int(entry.id) for entry in page.entries]
                    after = page.position
                    if after is None:
                        break
                assert ids == sorted(range(len(texts)), reverse=way)

            def found(operator: Operator, value: str) -> list[int]:
                page = seen.search("run", project="flights", where=Compare(_USER, operator, value))
                return sorted(int(entry.id) for entry in page.entries)

            for place, text in enumerate(texts):
                assert found("=", text) == [place]
                assert found("<", text) == list(range(place))
                assert found(">=", text) == list(range(place, len(texts)))
                assert found("!=", text) == [other for other in range(len(texts)) if other != place]
                if text not in ("%", "_"):
                    assert found("LIKE", text) == [place]
            one = [place for place, text in enumerate(texts) if len(text) == 1]
            assert found("LIKE", "_") == found("MATCHES", "^(.|\n)$") == one
            assert found("LIKE", "\\%") == [texts.index("\\")]
            assert found("LIKE", "%\x00") == [1, len(texts) - 1]
            assert found("ILIKE", "\xc9") == [texts.index("\xe9")]
            assert found("ILIKE", "a") == [texts.index("A"), texts.index("a")]
        store.close()

    def test_a_search_sees_what_a_record_says_now(self, tmp_path: Path) -> None:
        store = self._filled(tmp_path)
        with store.write() as tx:
            tx.put(_run("a", 9000, _worded(_DEPTH, "7")))
            tx.add_points("a", [MetricPoint("auc", 0.95, 9), MetricPoint("auc", 0.1, 8)])
        with store.read() as seen:

            def ids(where: Condition, order: tuple[Order, ...] = ()) -> list[str]:
                page = seen.search("run", project="flights", where=where, order=order)
                return [entry.id for entry in page.entries]

            assert ids(Compare(_DEPTH, "=", 4.0)) == []
            assert ids(Compare(_DEPTH, "=", 7.0)) == ["a"]
            assert ids(Compare(_USER, "=", "ada")) == []
            assert ids(Compare(_AUC, ">", 0.5), (Order(_AUC, True),)) == ["a", "b", "c"]
            assert ids(And(()))[0] == "a"
            entry = seen.get("run", "a")
            assert entry is not None
            assert entry.facets == ()
        store.close()

    def test_an_interrupted_write_leaves_nothing_to_be_found(self, tmp_path: Path) -> None:
        store = self.make(tmp_path)
        new = Field("param", "new")

        def half() -> None:
            with store.write() as tx:
                tx.put(_run("a", 1, _worded(new, "1")))
                tx.add_points("a", [MetricPoint("new", 1.0)])
                raise NotFound("This write is given up.", fix="Nothing.")

        _raised(NotFound, half)
        with store.write() as tx:
            tx.put(_run("b", 2, _worded(Field("param", "another"), "1"), _worded(new, "2")))
            tx.add_points("b", [MetricPoint("other", 2.0), MetricPoint("new", 3.0)])
        with store.read() as seen:
            assert [e.id for e in seen.search("run", project="flights", where=Compare(new, ">", 0.0)).entries] == ["b"]
            # A field that the interrupted write named first is not mistaken for another one.
            mistaken = Compare(Field("param", "another"), "=", 2.0)
            assert seen.search("run", project="flights", where=mistaken).entries == []
            where = Compare(Field("metric", "new"), "=", 3.0)
            assert [e.id for e in seen.search("run", project="flights", where=where).entries] == ["b"]
        store.close()

    def _filled(self, folder: Path) -> LedgerStore:
        """Six runs, of which the newest is f; another project's; and a record of another kind."""
        store = self.make(folder)
        with store.write() as tx:
            tx.put(_run("a", 1000, _worded(_DEPTH, "4"), _worded(_USER, "ada")))
            tx.put(_run("b", 2000, _worded(_DEPTH, "6"), _worded(_USER, "Ab")))
            tx.put(_run("c", 3000, _worded(_DEPTH, "6.0"), _worded(_USER, "ab")))
            tx.put(_run("d", 4000, _worded(_DEPTH, "auto")))
            tx.put(_run("e", 5000, _worded(_DATA, "flights"), _worded(_DATA, "planes")))
            tx.put(_run("f", 5000, _worded(_DATA, "flights"), Facet("attribute", "rows", number=1000.0)))
            tx.put(_run("g", 6000, _worded(_DEPTH, "6"), project="ships"))
            tx.put(msgspec.structs.replace(_run("h", 6000, _worded(_DEPTH, "6")), kind="model"))
            for id, auc in (("a", 0.4), ("b", 0.9), ("c", 0.8), ("d", math.nan), ("g", 0.9)):
                tx.add_points(id, [MetricPoint("auc", 0.7, 1), MetricPoint("auc", auc, 2)])
        return store


def _raised(kind: type[SlipwayError], work: Callable[[], object]) -> None:
    try:
        work()
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was expected")


def _holds(points: list[MetricPoint], found: list[Bucket], most: int) -> None:
    """Every point lies in one bucket, in order, and each says what its points come to."""
    assert 1 <= len(found) <= most
    begun = 0
    for bucket in found:
        assert repr(bucket.first) == repr(points[begun])
        until = next(place for place in range(begun, len(points)) if repr(points[place]) == repr(bucket.last)) + 1
        values = [point.value for point in points[begun:until] if not math.isnan(point.value)]
        assert str((bucket.low, bucket.high)) == str((min(values), max(values)) if values else (math.nan, math.nan))
        begun = until
    assert begun == len(points)
