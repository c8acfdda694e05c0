"""Needs of load and the replay, judged by evidence alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import slipway as sw
from slipway.errors import GateRefused, InvalidDeclaration
from slipway.gates import evidence as make
from slipway.gates.floors import effective
from slipway.gates.judge import judge
from slipway.gates.wording import describe
from slipway.gates.written import read_check
from slipway.records.gates import Evidence, Floor, GateSpec, Outcome
from slipway.records.people import Actor

NOW = datetime(2013, 4, 1, tzinfo=UTC)
US = "b" * 64


def one(check: Any, *found: Evidence) -> Outcome:
    (outcome,) = judge(
        sw.Gate(check).spec, found, [], subject=US, at=NOW, champion_known=False, model="delays", number=4
    )
    return outcome


def a_load_test(subject: str = US, at: datetime = NOW, **changes: Any) -> Evidence:
    figures = {"p50_ms": 3.0, "p95_ms": 12.0, "p99_ms": 30.0, "cpu_ms": 1.5, "throughput": 800.0, "memory": 240e6}
    plain: dict[str, Any] = {
        "here": True, "machine": "laptop", "rate": 200.0, "rows": 1, "sent": 1000, "failed": 0, "failure": "",
        "figures": figures | changes.pop("figures", {}),
    }  # fmt: skip
    return make.load(subject, at, **{**plain, **changes})


def test_a_need_is_judged_by_what_was_measured_here_at_that_rate() -> None:
    passed = one(sw.load(rate=200, p95_ms=50), a_load_test())
    assert (passed.result, passed.found) == ("passed", "12 ms at 200 requests a second, 1,000 requests, on laptop")
    refused = one(sw.load(rate=200, p95_ms=10), a_load_test())
    assert refused.result == "refused"
    assert refused.fix.startswith("More workers")
    assert one(sw.load(rate=100, p99_ms=30), a_load_test()).result == "passed"
    assert one(sw.load(throughput=801), a_load_test()).result == "refused"
    assert one(sw.load(throughput=800), a_load_test()).result == "passed"
    assert one(sw.load(rate=200, memory="500MB"), a_load_test()).found.startswith("240 MB at 200 requests")
    assert one(sw.load(rate=200, memory="200MB"), a_load_test()).result == "refused"


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        ((), "nobody measured these bytes"),
        ((a_load_test(subject="c" * 64),), "nobody measured these bytes"),
        ((a_load_test(here=False),), "it was measured on laptop only"),
        ((a_load_test(rate=100.0),), "it was measured at 100 requests a second of 1 rows only"),
        ((a_load_test(at=NOW - timedelta(days=31)),), "the newest measurement is of 2013-03-01"),
        ((a_load_test(figures={"p95_ms": None}),), "the system that measured it does not say"),
    ],
)
def test_what_nobody_measured_cannot_be_told_and_names_the_command(evidence: tuple[Evidence, ...], words: str) -> None:
    outcome = one(sw.load(rate=200, p95_ms=50), *evidence)
    assert outcome.result == "cannot tell"
    assert words in outcome.found
    assert outcome.fix == "slipway check-load delays:4 --rate 200"


def test_the_newest_measurement_counts_and_a_failed_request_refuses() -> None:
    slow = a_load_test(at=NOW - timedelta(days=2), figures={"p95_ms": 90.0})
    assert one(sw.load(rate=200, p95_ms=50), slow, a_load_test()).result == "passed"
    assert one(sw.load(rate=200, p95_ms=50), a_load_test(at=NOW - timedelta(days=3)), slow).result == "refused"
    failed = one(sw.load(rate=200, p95_ms=50), a_load_test(failed=3, failure="503: busy"))
    assert (failed.result, failed.found) == ("refused", "3 of 1,000 requests were not answered, first 503: busy")


def test_more_rows_a_request_are_another_load() -> None:
    assert one(sw.load(rate=200, rows=10, p95_ms=50), a_load_test()).fix.endswith("--rate 200 --rows 10")
    assert one(sw.load(rate=200, rows=10, p95_ms=50), a_load_test(rows=20)).result == "passed"


def test_the_size_of_the_files_is_known_without_a_measurement() -> None:
    assert one(sw.load(size="50MB"), make.size(US, NOW, 49_000_000)).result == "passed"
    refused = one(sw.load(size="50MB"), make.size(US, NOW, 51_000_000))
    assert (refused.result, refused.found) == ("refused", "51 MB")


@pytest.mark.parametrize(
    ("given", "limit"), [("500MB", 5e8), ("1.5 GB", 1.5e9), ("512MiB", 512 * 2**20), (1000, 1000.0), ("7", 7.0)]
)
def test_sizes_are_read(given: Any, limit: float) -> None:
    assert sw.load(memory=given).spec.limit == limit


@pytest.mark.parametrize(
    "given",
    [
        {}, {"p95_ms": 5, "memory": "5MB"}, {"rate": 200}, {"memory": "much"}, {"p95_ms": -1}, {"p95_ms": float("nan")},
        {"rate": -1, "p95_ms": 5}, {"rows": 0, "p95_ms": 5}, {"p95_ms": True},
    ],
)  # fmt: skip
def test_a_need_that_cannot_be_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidDeclaration):
        sw.load(**given)


def test_the_floor_and_the_project_each_ask_for_their_own_load() -> None:
    def floor(*checks: str) -> Floor:
        return Floor(
            id="f", project="p", name="prod", created_at=NOW, number=1, actor=Actor("ada"),
            checks=tuple(read_check(check) for check in checks),
        )  # fmt: skip

    asked = floor("sw.load(rate=200, p95_ms=50)")
    own = GateSpec(checks=(sw.load(rate=300, p95_ms=80).spec, sw.load(rate=200, p95_ms=20).spec))
    found = effective(own, "prod", asked).checks
    assert [(check.rate, check.limit) for check in found if check.kind == "load"] == [(200.0, 20.0), (300.0, 80.0)]
    with pytest.raises(GateRefused, match="weakens the floor"):
        effective(GateSpec(checks=(sw.load(rate=200, p95_ms=60).spec,)), "prod", asked)
    with pytest.raises(GateRefused, match="weakens the floor"):
        effective(GateSpec(checks=(sw.replayed(rows=10).spec,)), "prod", floor("sw.replayed(500)"))
    asked = floor("sw.load(throughput=400)")  # here more is stricter
    found = effective(GateSpec(checks=(sw.load(throughput=500).spec,)), "prod", asked).checks
    assert [check.limit for check in found if check.kind == "load"] == [500.0]
    with pytest.raises(GateRefused, match="weakens the floor"):
        effective(GateSpec(checks=(sw.load(throughput=300).spec,)), "prod", asked)


def test_needs_in_words() -> None:
    words = [
        describe(check.spec)
        for check in (
            sw.load(rate=200, p95_ms=50), sw.load(rate=20, rows=100, memory="500MB"), sw.load(throughput=1000),
            sw.load(size="1GB"), sw.replayed(), sw.replayed(20, max_share=0.1),
            sw.environment_resolves(platform="aarch64-unknown-linux-gnu", python="3.12"), sw.environment_resolves(python="3.12"),
        )
    ]  # fmt: skip
    assert words == [
        "95 of 100 answers take at most 50 ms at 200 requests a second",
        "the memory of its processes is at most 500 MB at 20 requests a second of 100 rows",
        "requests answered are at least 1,000 a second",
        "the bundle's size is at most 1,000 MB",
        "500 training rows, asked over HTTP, are served as they were trained on",
        "20 training rows, asked over HTTP, are served as they were trained on, all but 0.1 of them",
        "the lock resolves on aarch64-unknown-linux-gnu 3.12",
        "the lock resolves on here 3.12",
    ]


def replay(verdict: str = "equal", rows: int = 500, of: int = 9000, share: float = 0.0, note: str = "told") -> Evidence:
    return make.replayed(US, NOW, verdict=verdict, rows=rows, of=of, share=share, note=note)


@pytest.mark.parametrize(
    ("found", "result"),
    [
        (replay(), "passed"),
        (replay(rows=300, of=300), "passed"),
        (replay(rows=300), "cannot tell"),
        (replay("cannot", rows=0), "cannot tell"),
        (replay("equal", rows=0, of=0), "cannot tell"),
        (replay("differs", share=0.002), "refused"),
        (replay("differs", share=0.0), "refused"),  # the endpoint refused a row
    ],
)
def test_a_replay_is_judged_by_rows_and_differences(found: Evidence, result: str) -> None:
    outcome = one(sw.replayed(), found)
    assert outcome.result == result
    assert bool(outcome.fix) is (result != "passed")


def test_a_share_may_differ_where_the_gate_says_so() -> None:
    assert one(sw.replayed(max_share=0.01), replay("differs", share=0.01)).result == "passed"
    assert one(sw.replayed(max_share=0.01), replay("differs", share=0.011)).result == "refused"
    assert one(sw.replayed(max_share=0.01), replay("differs", share=0.0)).result == "refused"
    assert one(sw.replayed()).fix == "slipway replay delays --version 4"


def test_a_lock_on_a_target_is_judged_for_that_target() -> None:
    here = make.environment(US, NOW, differing=["numpy 1 in the lock, 2 installed here"], checked=9)
    there = make.environment(US, NOW, differing=[], checked=9, where="macos 3.12")
    unknown = make.environment(US, NOW, differing=[], checked=9, where="macos 3.11", unknown="it is not in the cache")
    check = sw.environment_resolves(platform="macos", python="3.12")
    assert one(check, here, there).result == "passed"
    assert one(sw.environment_resolves(), here, there).result == "refused"
    assert one(check, here).result == "cannot tell"
    told = one(sw.environment_resolves(platform="macos", python="3.11"), unknown)
    assert (told.result, told.found) == ("cannot tell", "it is not in the cache")
    assert "ask_index=True" in told.fix


@pytest.mark.parametrize("given", [{"platform": "a b"}, {"python": "three"}, {"python": "3"}, {"platform": "x; rm"}])
def test_a_target_that_cannot_be_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(InvalidDeclaration):
        sw.environment_resolves(**given)
