"""A fallback from its declaration to signed revisions, a real endpoint's answers, findings and incidents."""

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import polars as pl
import pytest
from small_desk import BETTER, FIRST, NAME, Desk
from test_watch import _append, answer, label, watched

import slipway as sw
from slipway.client.endpoint import EndpointClient
from slipway.errors import Corrupt, InvalidDeclaration, NotFound
from slipway.flows.release import declare_endpoint
from slipway.flows.watch import watch_fallback
from slipway.hosts.endpoint_loader import _rule
from slipway.loop.reconcile import reconcile
from slipway.models import registry
from slipway.operations.rollouts import Reconcile
from slipway.records.endpoints import Revision
from slipway.records.predictions import PredictionRow
from slipway.serving.swap import REVISION_FILE, read_revision
from slipway.tables.log_reader import LogReader
from slipway.tables.segments import read_segments


def revision(desk: Desk) -> Revision:
    return read_revision(desk.folder / REVISION_FILE, desk.workspace.signer)


@pytest.fixture
def still(desk: Desk) -> Desk:
    """The first versions approved, no process, nothing deployed."""
    found = desk.without_processes()
    found.approve(FIRST, BETTER)
    return found


def behind(desk: Desk, *ways: Any, **changes: Any) -> None:
    desk.declare(fallback=sw.Fallback(*ways, **changes))


def test_a_change_of_the_fallback_is_a_new_revision_and_the_way_back_takes_it_along(still: Desk) -> None:
    behind(still, 0.2)
    still.deploy(FIRST)
    behind(still, 0.3, within="50ms")
    still.deploy(FIRST)
    found = revision(still).fallback
    assert found is not None
    assert (found.ways[0].value, found.within_us) == (0.3, 50_000)
    still.rollback()
    found = revision(still).fallback
    assert found is not None
    assert found.ways[0].value == 0.2
    still.declare()
    still.deploy(FIRST)
    assert revision(still).fallback is None


def test_an_earlier_version_is_the_one_that_served_before(still: Desk) -> None:
    behind(still, sw.earlier_version(), 0.2)
    still.deploy(FIRST)
    found = revision(still)
    assert found.fallback is not None
    assert [way.by for way in found.fallback.ways] == ["value"], "nothing served before"
    still.deploy(BETTER)
    for _ in range(2):  # deployed again it is still the one before it
        found = revision(still)
        assert [one.number for one in found.versions] == [BETTER, FIRST]
        assert (still.folder / "bundles" / still.version(FIRST).bundle).is_dir()
        still.deploy(BETTER)


def test_without_an_earlier_version_nothing_stands_in_and_the_bundle_is_as_before(still: Desk) -> None:
    behind(still, sw.earlier_version())
    still.deploy(FIRST)
    assert revision(still).fallback is None
    behind(still, sw.earlier_version(99), 0.1)
    with pytest.raises(NotFound):
        still.deploy(FIRST)


def test_a_rules_code_is_in_the_signed_revision(still: Desk) -> None:
    behind(still, still.project.module().by_distance)
    still.deploy(FIRST)
    found = revision(still).fallback
    assert found is not None
    rule = found.ways[0].rule
    assert rule is not None
    (source,) = rule.sources.values()
    assert "LONG = 1500" in source
    assert "lightgbm" not in source
    envelope = still.folder / REVISION_FILE
    envelope.write_bytes(envelope.read_bytes().replace(b'"payload":"', b'"payload":"A', 1))
    with pytest.raises(Corrupt):
        revision(still)


def test_a_rules_file_that_was_altered_is_written_again_and_what_was_added_is_refused(still: Desk) -> None:
    behind(still, still.project.module().by_distance)
    still.deploy(FIRST)
    found = revision(still)
    assert found.fallback is not None
    rule = found.fallback.ways[0].rule
    assert rule is not None
    rows = [[{"origin": "JFK", "distance": 2000}.get(field.name) for field in found.contract.fields]]
    at = still.clock.now()
    home = still.folder / "rules"
    assert _rule(home, rule, found.contract.fields)(rows, at) == [0.75]
    (written,) = home.glob("*/*.py")
    written.write_text("def by_distance(distance, origin):\n    return 1.0\n")
    assert _rule(home, rule, found.contract.fields)(rows, at) == [0.75]
    (written.parent / "lightgbm.py").write_text("")
    with pytest.raises(Corrupt, match="not part of the rule"):
        _rule(home, rule, found.contract.fields)


def test_what_cannot_answer_is_refused_before_it_serves(still: Desk) -> None:
    behind(still, still.project.module().by_seats)
    with pytest.raises(InvalidDeclaration, match="needs 'seats', which is no field of a request"):
        still.deploy(FIRST)
    behind(still, 0.5, required=["origin_delay"])
    with pytest.raises(InvalidDeclaration, match="requires 'origin_delay', which is no input"):
        still.deploy(FIRST)


@pytest.mark.parametrize(
    ("ways", "changes"),
    [
        ((), {}),
        ((float("nan"),), {}),
        ((0.5, sw.earlier_version()), {}),
        (("old",), {}),
        ((0.5,), {"within": "1m"}),
        ((0.5,), {"within": "1ms"}),
        ((0.5,), {"alert_above": 1.5}),
        ((0.5,), {"alert_above": True}),
        ((0.5,), {"required": [3]}),
        ((lambda distance: 0.5,), {}),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(ways: tuple[Any, ...], changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidDeclaration):
        sw.Fallback(*ways, **changes)


def test_a_rule_must_give_a_number() -> None:
    def named(distance: int) -> str:
        return str(distance)

    with pytest.raises(InvalidDeclaration, match="returns string"):
        sw.Fallback(named)
    with pytest.raises(InvalidDeclaration):
        sw.earlier_version(-1)


def fall(desk: Desk, keys: list[str], reason: str) -> None:
    """Answers of the fallback in the log, like the last ones of the model, under keys of their own."""
    rows, _ = read_segments(desk.folder / "log", "predictions", PredictionRow)
    empty = [None] * len(rows[-1].features)
    fallen = [
        msgspec.structs.replace(rows[-1], id=f"f{key}", key=key, features=empty, score=0.9, fallback=reason)
        for key in keys
    ]
    _append(desk, "predictions", fallen)


def test_the_fallbacks_answers_are_left_out_of_quality_and_counted_apart(still: Desk) -> None:
    behind(still, 0.9, alert_above=0.5)
    still.deploy(FIRST)
    keys = answer(still, 400, days=7)
    before, _ = watched(still)
    label(still, keys)
    others = [f"G{i}" for i in range(150)]
    label(still, others)
    still.clock.advance_to(still.clock.now() + timedelta(days=1))
    _, plain = watched(still)
    fall(still, others, "error")
    states, found = watched(still)
    by_name = {one.name: one for one in found.findings}
    for name in ("quality of log_loss", "cost of errors"):
        own = next(one for one in plain.findings if one.name == name)
        for figure in ("value", "mature", "labelled", "low", "high"):
            assert by_name[name].values[figure] == own.values[figure]
        assert by_name[name].values["fallback_rows"] == 150
        assert "150 answers of the fallback are counted apart" in by_name[name].sentence
    cost = by_name["cost of errors"].values["fallback_cost"]
    assert cost > 0.0
    assert states["drift"] != "alert", "inputs that the fallback did not look at are no broken feed"
    assert found.predictions == 400
    assert before["fallback"] == "ok"


def test_above_its_share_an_incident_opens_at_once_and_closes(still: Desk) -> None:
    behind(still, 0.9, alert_above=0.1)
    still.deploy(FIRST)
    answer(still, 100)
    reconcile(still.workspace, Reconcile(endpoint=NAME))  # the day's look
    fall(still, [f"G{i}" for i in range(60)], "timeout")
    done = reconcile(still.workspace, Reconcile(endpoint=NAME))
    (alert,) = [one for one in done.actions if one.name == "alert"]
    assert "the fallback gave 37.5% of 160 answers of the last hour (too slow 60), more than 10.0%" in alert.sentence
    assert alert.owner == "ml engineer"
    assert reconcile(still.workspace, Reconcile(endpoint=NAME)).actions == ()
    still.clock.advance_to(still.clock.now() + timedelta(hours=2))
    answer(still, 100, prefix="R")
    done = reconcile(still.workspace, Reconcile(endpoint=NAME))
    assert [one.name for one in done.actions] == ["close"]


def test_few_answers_tell_nothing(still: Desk) -> None:
    behind(still, 0.9, alert_above=0.1)
    still.deploy(FIRST)
    answer(still, 3)
    fall(still, ["a", "b"], "timeout")
    found = revision(still)
    reader = LogReader(still.folder / "log")
    reader.refresh(lambda number, bundle: (found.contract, _signature(still)))
    counted = reader.answers_by(still.clock.now() - timedelta(hours=1))
    assert counted.select("fallback", "rows").rows() == [("", 3), ("timeout", 2)]
    assert not watch_fallback(still.workspace, found, counted, still.clock.now())
    assert isinstance(counted, pl.DataFrame)


def _signature(desk: Desk) -> Any:
    return registry.bundle_of(desk.workspace, desk.version(FIRST)).signature


@pytest.mark.full
def test_a_real_endpoint_answers_by_its_fallback(desk: Desk) -> None:
    desk.approve(FIRST, BETTER)
    module = desk.project.module()
    declare_endpoint(
        desk.workspace,
        dataclasses.replace(
            module.delays, fallback=sw.Fallback(module.by_distance, 0.2, within="5s", required=["origin_delay_6h"])
        ),
        simulation=True,
    )
    status = desk.deploy(FIRST).status
    assert status is not None
    row = {"flight_id": "Q1", "origin": "JFK", "distance": 500, "departure": "2013-04-01T01:00:00Z"}
    rows = [row, {**row, "origin": "LGA"}, {**row, "origin": "XXX"}]
    at = datetime(2013, 3, 31, 20, tzinfo=UTC)
    with EndpointClient(status.url, NAME) as client:
        known, unknown, lost = client.predict(rows, at)["predictions"]
    assert "fallback" not in known
    assert unknown["fallback"] == {"by": "rule", "reason": "features"}
    assert unknown["score"] == 0.25
    assert lost["fallback"] == {"by": "value", "reason": "features"}
    assert (lost["score"], lost["version"]) == (0.2, FIRST)

    desk.declare(fallback=sw.Fallback(sw.earlier_version(), within="5s", required=["origin_delay_6h"]))
    status = desk.deploy(BETTER).status
    assert status is not None
    assert status.restarts == 0
    with EndpointClient(status.url, NAME) as client:
        known, unknown, _ = client.predict(rows, at)["predictions"]
    assert (known["version"], known.get("fallback")) == (BETTER, None)
    assert (unknown["version"], unknown["fallback"]) == (FIRST, {"by": "version", "reason": "features"})
    told = httpx.get(f"{status.url}/endpoints/{NAME}").json()["fallback"]
    assert told == {"ways": [{"by": "version", "version": FIRST}], "within_ms": 5000.0, "required": ["origin_delay_6h"]}
