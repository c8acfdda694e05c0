"""Traffic by hour out of a real log: counted on or counted at once, in segments or in Parquet, it is the same to the byte."""

import dataclasses
import shutil
from datetime import timedelta
from pathlib import Path

from small_desk import BETTER, FIRST, NAME, Desk
from test_watch import _append, _bundle, _revision, answer, serving  # noqa: F401  # a fixture is used by its name

from slipway.flows.drift import drift
from slipway.flows.release import declare_endpoint
from slipway.flows.traffic import count_traffic
from slipway.flows.watch import watch_inputs
from slipway.ledger import entries
from slipway.operations.drift import AskDrift
from slipway.records.monitors import Incident
from slipway.stats.profiles import from_bytes
from slipway.tables.log_rolling import roll
from slipway.tables.traffic_profiles import TrafficProfiles


def home(desk: Desk) -> Path:
    return desk.folder / "bundles" / _revision(desk).served.bundle


def count(desk: Desk, number: int = FIRST, segment: str = "") -> TrafficProfiles:
    reference = from_bytes((home(desk) / "profile.bin").read_bytes())
    return count_traffic(desk.workspace, _revision(desk), _bundle(desk, number), reference, desk.clock.now(), segment)


def files(desk: Desk) -> dict[str, bytes]:
    folder = desk.folder / "profiles" / _revision(desk).served.bundle[:16]
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[0-9]*.bin"))}


def test_incremental_is_recomputed_to_the_byte(serving: Desk) -> None:  # noqa: F811
    desk = serving
    answer(desk, 300, days=3)
    count(desk)
    answer(desk, 50, prefix="R", days=2)  # late rows of the day before among them
    count(desk)
    roll(desk.folder / "log")
    count(desk)
    count(desk)
    answer(desk, 20, prefix="S")
    profiles = count(desk)
    assert sum(1 for _ in profiles.hours()) == 3
    before = files(desk)
    shutil.rmtree(desk.folder / "profiles")
    count(desk)
    assert files(desk) == before
    roll(desk.folder / "log")
    shutil.rmtree(desk.folder / "profiles")
    count(desk)
    assert files(desk) == before, "Parquet says what the segments said"


def test_a_new_model_is_compared_with_the_weeks_before_it(serving: Desk) -> None:  # noqa: F811
    desk = serving
    answer(desk, 120, days=3)
    desk.clock.advance_to(desk.clock.now() + timedelta(hours=1))
    desk.deploy(BETTER)
    answer(desk, 10, number=BETTER)
    hours = count(desk, BETTER).hours()
    assert {key.bundle for key in hours} == {desk.version(FIRST).bundle[:16], desk.version(BETTER).bundle[:16]}
    assert len(hours) == 4


def test_a_segment_is_counted_apart(serving: Desk) -> None:  # noqa: F811
    answer(serving, 120)
    assert {key.part for key in count(serving, segment="origin").hours()} <= {"JFK", "EWR", "LGA", "(other)"}
    assert {key.part for key in count(serving).hours()} == {""}


def test_a_feed_that_is_gone_opens_its_incident_within_the_hour_and_once(serving: Desk) -> None:  # noqa: F811
    desk = serving
    began = desk.clock.now()
    for hour in range(0, 200, 2):  # a sound week, hour by hour
        desk.clock.advance_to(began + timedelta(hours=hour))
        answer(desk, 25, prefix=f"H{hour}-")
    revision, bundle = _revision(desk), _bundle(desk, FIRST)
    assert not watch_inputs(desk.workspace, revision, bundle, home(desk), desk.clock.now())
    desk.clock.advance_to(began + timedelta(hours=201))
    answer(desk, 150, prefix="X", wind=None)
    assert watch_inputs(desk.workspace, revision, bundle, home(desk), desk.clock.now())
    assert not watch_inputs(desk.workspace, revision, bundle, home(desk), desk.clock.now())
    with desk.workspace.ledger.read() as tx:
        (incident,) = entries.find(tx, Incident, parent=f"{desk.workspace.project}/{NAME}", state="open", limit=10)
    assert incident.cause == "broken feed"
    assert "feature view weather_now" in incident.sentence
    assert "weather_now_wind is missing in all 150 rows" in incident.sentence
    shown = drift(desk.workspace, AskDrift(name=NAME))
    assert shown.broken
    assert shown.pages_a_month is None


def test_drift_is_shown_without_such_a_monitor_and_without_a_profile_it_is_said(serving: Desk) -> None:  # noqa: F811
    declare_endpoint(serving.workspace, dataclasses.replace(serving.project.module().delays, monitors=()))
    serving.deploy(FIRST)
    answer(serving, 300, days=3)
    found = drift(serving.workspace, AskDrift(name=NAME))
    assert (found.season, found.rows, found.note) == ("training", 100, "")
    assert {one.verdict for one in found.columns} == {"cannot tell"}
    assert "feature view weather_now" in {one.feed for one in found.columns}
    (home(serving) / "profile.bin").unlink()
    assert "keeps no reference profile" in drift(serving.workspace, AskDrift(name=NAME)).note
