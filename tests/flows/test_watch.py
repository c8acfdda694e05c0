"""Watching: what was answered and which labels came, judged; incidents that open once and close."""

import dataclasses
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from small_desk import BETTER, FIRST, NAME, Desk

import slipway as sw
from slipway.errors import NotFound
from slipway.flows.answered import answered_rows
from slipway.flows.endpoints import get_endpoint
from slipway.flows.incident_answers import get_incident
from slipway.flows.release import declare_endpoint
from slipway.flows.watch import looks_back_to, watch, watch_rows
from slipway.ids import new_id
from slipway.models import registry
from slipway.operations.endpoints import GetEndpoint, Watch, Watched
from slipway.operations.incidents import GetIncident
from slipway.records.endpoints import LogSpec, Revision
from slipway.records.models import Bundle
from slipway.records.predictions import LabelRow, PredictionRow
from slipway.tables import versions
from slipway.tables.log_rolling import roll
from slipway.tables.segments import SegmentWriter

DAY_US = 86_400_000_000


@pytest.fixture
def serving(desk: Desk) -> Desk:
    """The first version deployed, without a process."""
    still = desk.without_processes()
    still.approve(FIRST, BETTER)
    still.deploy(FIRST)
    return still


def answer(
    desk: Desk,
    rows: int,
    *,
    number: int = FIRST,
    wind: float | None = 8.0,
    prefix: str = "Q",
    request: Any = None,
    days: int = 1,
) -> list[str]:
    """Write answers into the log as an endpoint does, a day apart up to now; gives the keys."""
    bundle, revision = _bundle(desk, number), _revision(desk)
    now_us = int(desk.clock.now().timestamp() * 1e6)
    random = np.random.default_rng(1)
    keys = [f"{prefix}{i}" for i in range(rows)]
    asked = {"origin": "JFK", "distance": 800, "departure": desk.clock.now(), "flight_id": "x"}
    logged = []
    for place, key in enumerate(keys):
        at_us = now_us - place % days * DAY_US
        seen: dict[str, Any] = {
            "origin_delay_6h": random.normal(0, 4),
            "origin_seen_6h": 12,
            "weather_now_wind": wind if wind is None else wind * random.gamma(4, 0.25),
            "hour": 9,
            "origin": "JFK" if random.random() < 0.5 else "EWR",
            "distance": int(random.integers(100, 3000)),
        }
        logged.append(
            PredictionRow(
                id=new_id(),
                at_us=at_us,
                answered_us=at_us,
                version=number,
                bundle=desk.version(number).bundle[:16],
                key=key,
                request=[asked[field.name] for field in revision.contract.fields] if request is None else request,
                features=[seen[field.name] for field in bundle.signature.inputs],
                score=random.random(),
                decision=True,
                revision=revision.number,
            )
        )
    _append(desk, "predictions", logged)
    return keys


def label(desk: Desk, keys: list[str]) -> None:
    random = np.random.default_rng(1)
    at_us = int(desk.clock.now().timestamp() * 1e6)
    values = [float(random.random() < 0.5) for _ in keys]
    _append(desk, "labels", [LabelRow("", key, value, at_us, at_us) for key, value in zip(keys, values, strict=True)])


def _append(desk: Desk, kind: str, rows: list[Any]) -> None:
    writer = SegmentWriter(desk.folder / "log", kind)
    writer.append(rows)
    writer.close()


def _bundle(desk: Desk, number: int) -> Bundle:
    return registry.bundle_of(desk.workspace, desk.version(number))


def _revision(desk: Desk) -> Revision:
    return get_endpoint(desk.workspace, GetEndpoint(name=NAME)).revisions[0]


def watched(desk: Desk) -> tuple[dict[str, str], Watched]:
    found = watch(desk.workspace, Watch(name=NAME))
    return {finding.name: finding.state for finding in found.findings}, found


def test_nothing_answered_cannot_tell(serving: Desk) -> None:
    states, found = watched(serving)
    assert set(states.values()) == {"cannot tell"}
    assert list(states) == ["drift", "quality of log_loss", "cost of errors"]
    assert (found.predictions, found.labels, found.incidents) == (0, 0, ())


def test_findings_are_kept_with_their_window(serving: Desk) -> None:
    answer(serving, 300)
    began = serving.clock.now()
    serving.clock.advance_to(began + timedelta(hours=1))
    answer(serving, 10, prefix="R")
    _, found = watched(serving)
    kept = get_endpoint(serving.workspace, GetEndpoint(name=NAME)).findings
    assert {finding.id for finding in kept} == {finding.id for finding in found.findings}
    assert found.findings[0].window_from == began
    assert found.findings[0].window_until == serving.clock.now() + timedelta(microseconds=1)
    assert serving.events()[-1].verb == "endpoints.watch"


def test_labels_that_match_nothing_are_counted_and_one_is_named(serving: Desk) -> None:
    keys = answer(serving, 3)
    label(serving, [*keys, "q1", "q1", "q2"])
    _, found = watched(serving)
    assert (found.labels, found.unmatched, found.unmatched_example) == (3, 2, "key q1")
    answer(serving, 3, prefix="q")
    _, found = watched(serving)
    assert (found.labels, found.unmatched, found.unmatched_example) == (5, 0, "")
    serving.deploy(BETTER)
    _, found = watched(serving)
    assert (found.labels, found.unmatched) == (0, 0), "what another model answered is matched all the same"


def test_labels_come_in_later_and_are_found_by_key(serving: Desk) -> None:
    keys = answer(serving, 400, days=7)
    serving.clock.advance_to(serving.clock.now() + timedelta(hours=23))
    label(serving, keys)
    states, found = watched(serving)
    assert (found.predictions, found.labels) == (400, 400)
    assert states["quality of log_loss"] == "cannot tell", "those of the last day are younger than labels take"
    serving.clock.advance_to(serving.clock.now() + timedelta(hours=1))
    states, found = watched(serving)
    assert states["quality of log_loss"] == "alert", "scores by chance are worse than the evaluation"
    assert states["cost of errors"] == "alert"
    assert "before release" in found.findings[1].sentence


def test_an_incident_opens_once_follows_and_closes(serving: Desk) -> None:
    keys = answer(serving, 1400, wind=None, days=7)
    states, found = watched(serving)
    assert states["drift"] == "alert"
    (incident,) = found.incidents
    assert (incident.name, incident.owner, incident.state) == ("drift", "data engineer", "open")
    assert incident.cause == "broken feed"
    assert "feature view weather_now" in incident.sentence
    assert "weather_now_wind missing in 100% of the last day's rows" in incident.sentence
    assert "mend the feed; do not retrain on it" in incident.sentence

    opened_by = found.findings[0].id
    later = [watched(serving)[1].findings[0].id for _ in range(6)]
    (same,) = watched(serving)[1].incidents
    assert same.id == incident.id
    assert same.findings[:4] == (opened_by, *later[-3:]), "the one that opened it, and the newest"
    assert len(same.findings) == 5

    # another cause is another incident, of another owner
    serving.clock.advance_to(serving.clock.now() + timedelta(days=2))
    label(serving, keys)
    _, found = watched(serving)
    assert {one.name: one.owner for one in found.incidents} == {
        "drift": "data engineer",
        "quality of log_loss": "data scientist",
        "cost of errors": "business owner",
    }

    assert {one.cause for one in found.incidents} == {"broken feed", "quality", "kpi"}

    # another model whose feed is mended is well: the incident of the feed closes, once
    serving.deploy(BETTER)
    states, found = watched(serving)
    assert (states["drift"], len(found.incidents)) == ("cannot tell", 3), "who cannot tell closes nothing"
    answer(serving, 4000, number=BETTER, prefix="S", wind=10.0)
    for _ in range(2):
        states, found = watched(serving)
        assert states["drift"] in ("ok", "note")
        assert {one.name for one in found.incidents} == {"quality of log_loss", "cost of errors"}
    verbs = [event.verb for event in serving.events()]
    assert verbs.count("incidents.open") == 3
    assert verbs.count("incidents.close") == 1
    kept = get_endpoint(serving.workspace, GetEndpoint(name=NAME)).incidents
    assert [one.closed_at for one in kept if one.state == "closed"] == [serving.clock.now()]


def test_what_probably_broke_a_feed_is_its_own_table_that_changed_before(serving: Desk) -> None:
    serving.clock.advance_to(serving.clock.now() + timedelta(hours=30))
    for table in ("flights", "weather"):
        present = versions.head(serving.workspace, table)
        rows = versions.read(serving.workspace, table, present.version).collect()
        manifest = versions.manifest_of(serving.workspace, present)
        versions.overwrite(serving.workspace, table, rows.head(rows.height - 5), key=manifest.key, time=manifest.time)
    serving.clock.advance_to(serving.clock.now() + timedelta(hours=3))
    answer(serving, 400, wind=None)
    (incident,) = watched(serving)[1].incidents
    assert (incident.about, incident.columns, incident.rows) == ("feature view weather_now", ("weather_now_wind",), 400)
    found = get_incident(serving.workspace, GetIncident(id=incident.id))
    assert [one.sentence.partition(",")[0] for one in found.suspects[:2]] == [
        "version 2 of the table weather came in", "version 2 of the table flights came in"
    ]  # fmt: skip
    assert found.command == "slipway data diff weather 1 2"
    assert (found.much, found.run_book) == ("share 1", "broken-feed")


def test_a_feed_is_judged_by_what_earlier_models_answered_too(serving: Desk) -> None:
    answer(serving, 4200, days=21)
    serving.clock.advance_to(serving.clock.now() + timedelta(days=1))
    serving.deploy(BETTER)
    answer(serving, 300, number=BETTER, wind=5000.0)
    states, found = watched(serving)
    assert (states["drift"], found.predictions) == ("alert", 300)
    assert "weather_now_wind far outside all that was seen" in found.incidents[0].sentence


def test_rows_that_were_read_already_are_judged_alike(serving: Desk) -> None:
    answer(serving, 4500, days=30)
    revision, bundle = _revision(serving), _bundle(serving, FIRST)
    now = serving.clock.now()
    since = looks_back_to(serving.workspace, revision, now)
    assert since == now - timedelta(days=29)
    rows = answered_rows(serving.workspace, revision, bundle).filter(pl.col("at") > since)
    home = serving.folder / "bundles" / revision.served.bundle
    same = watch_rows(serving.workspace, revision, bundle, home, rows, now)
    _, found = watched(serving)
    assert [(one.state, one.sentence, one.values) for one in same.findings] == [
        (one.state, one.sentence, one.values) for one in found.findings
    ]
    assert same.predictions == rows.height < found.predictions


def test_a_feed_that_is_still_broken_asks_for_the_weeks_before_it_broke(serving: Desk) -> None:
    answer(serving, 400, wind=None)
    opened = serving.clock.now()
    assert watched(serving)[0]["drift"] == "alert"
    serving.clock.advance_to(opened + timedelta(days=50))
    since = looks_back_to(serving.workspace, _revision(serving), serving.clock.now())
    assert since == opened - timedelta(days=29)


def test_only_the_present_model_is_judged(serving: Desk) -> None:
    answer(serving, 300, wind=None)
    serving.deploy(BETTER)
    assert watched(serving)[1].predictions == 0
    answer(serving, 5, number=BETTER, prefix="R")
    assert watched(serving)[1].predictions == 5
    serving.rollback()
    assert watched(serving)[1].predictions == 300
    answer(serving, 7, number=BETTER)
    assert watched(serving)[1].predictions == 293, "a case that was asked again counts once, with its last answer"


def test_a_contract_that_changed_under_the_same_model_loses_no_rows(serving: Desk) -> None:
    answer(serving, 30)
    module = serving.project.module()
    declare_endpoint(serving.workspace, dataclasses.replace(module.delays, key=()))
    serving.deploy(FIRST)
    assert "flight_id" not in {field.name for field in _revision(serving).contract.fields}
    answer(serving, 12, prefix="")
    assert watched(serving)[1].predictions == 42


def test_an_endpoint_without_monitors_is_watched_too(serving: Desk) -> None:
    declare_endpoint(serving.workspace, dataclasses.replace(serving.project.module().delays, monitors=()))
    serving.deploy(FIRST)
    answer(serving, 3)
    states, found = watched(serving)
    assert (states, found.predictions) == ({}, 3)


def test_a_monitor_that_is_no_longer_declared_leaves_no_incident_open(serving: Desk) -> None:
    answer(serving, 400, wind=None)
    assert len(watched(serving)[1].incidents) == 1
    declare_endpoint(serving.workspace, dataclasses.replace(serving.project.module().delays, monitors=[sw.KPI()]))
    serving.deploy(FIRST)
    assert watched(serving)[1].incidents == ()


def test_nothing_deployed_is_nothing_to_watch(desk: Desk) -> None:
    with pytest.raises(NotFound, match="slipway deploy"):
        watch(desk.workspace, Watch(name=NAME))


def test_a_log_that_became_parquet_says_the_same(serving: Desk) -> None:
    answer(serving, 300, days=3)
    label(serving, [f"Q{i}" for i in range(250)])
    states, before = watched(serving)
    roll(serving.folder / "log")
    assert not list((serving.folder / "log").glob("*.seg"))
    again, after = watched(serving)
    assert again == states
    assert [one.sentence for one in after.findings] == [one.sentence for one in before.findings]
    assert (after.predictions, after.labels, after.unmatched) == (300, 250, 0)


def test_columns_that_are_not_in_clear_are_not_compared_with_training(serving: Desk) -> None:
    answer(serving, 400, wind=None)
    revision = _revision(serving)
    hidden = msgspec.structs.replace(revision, log=LogSpec(redact=True, redacted=("weather_now_wind",)))
    bundle = _bundle(serving, FIRST)
    rows = answered_rows(serving.workspace, revision, bundle)
    home = serving.folder / "bundles" / revision.served.bundle
    found = watch_rows(serving.workspace, hidden, bundle, home, rows, serving.clock.now())
    assert found.incidents == (), "a column that the log leaves out is no broken feed"
