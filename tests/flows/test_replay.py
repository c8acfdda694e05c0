"""Replaying: what can be replayed, and that served equals offline."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_desk import FIRST, NAME, Desk
from time_machine import Control, Heard

from slipway.client.endpoint import EndpointClient
from slipway.errors import InvalidInput
from slipway.features.materialise import Arrival
from slipway.flows.compare import compare_scores
from slipway.flows.faults import World
from slipway.flows.replay import batched, key_of, score_offline
from slipway.flows.replay_sources import Source, log_source, table_source
from slipway.flows.simulate import Plan, simulate
from slipway.flows.trained_on import training_set_of
from slipway.flows.watch import watch
from slipway.ledger import entries
from slipway.operations.endpoints import Deployed, Watch
from slipway.ports.workspace import current_workspace
from slipway.records.endpoints import Contract
from slipway.records.features import TrainingSet
from slipway.records.predictions import LabelRow, PredictionRow, PushedRow
from slipway.records.runs import Run
from slipway.records.schema import Field
from slipway.tables.segments import SegmentWriter

START = datetime(2013, 4, 1, tzinfo=UTC)
HALF_A_DAY = timedelta(hours=12)


def hour(number: float) -> datetime:
    return START + timedelta(hours=number)


def us(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000


@pytest.mark.parametrize(("rows", "size", "sizes"), [(0, 3, []), (3, 3, [3]), (7, 3, [3, 3, 1])])
def test_batches(rows: int, size: int, sizes: list[int]) -> None:
    made = list(batched(list(range(rows)), size))
    assert [len(batch) for batch in made] == sizes
    assert [row for batch in made for row in batch] == list(range(rows))


def training_of(desk: Desk) -> TrainingSet:
    with desk.workspace.ledger.read() as tx:
        run = entries.get(tx, Run, desk.version(FIRST).run_id)
    found = training_set_of(desk.workspace, run)
    assert found is not None
    return msgspec.structs.replace(found, known="known_at")


@pytest.mark.parametrize(
    ("key", "words"), [(("origin", "departure"), "has the key origin, departure"), ((), "declares no key")]
)
def test_a_table_without_one_key_column_cannot_be_replayed(desk: Desk, key: tuple[str, ...], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        key_of(msgspec.structs.replace(training_of(desk), key=key))


def table(desk: Desk, deployed: Deployed, until: datetime, **more: Any) -> Source:
    assert deployed.revision is not None
    training = msgspec.structs.replace(training_of(desk), **more)
    features = desk.project.module().features
    return table_source(
        desk.workspace, deployed.revision, training, features, since=START, until=until, label_delay=HALF_A_DAY
    )


def test_a_table_tells_questions_arrivals_and_labels_each_at_its_time(desk: Desk) -> None:
    desk.approve(FIRST)
    deployed = desk.without_processes().deploy(FIRST)
    source = table(desk, deployed, hour(2))
    assert set(source.questions.columns) == {"flight_id", "departure", "origin", "distance", source.at}
    assert source.questions[source.at].to_list() == [hour(0), hour(0), hour(1), hour(1)]
    first = source.questions["flight_id"][0]
    labels = list(source.labels)
    assert [at for at, _ in labels] == [hour(2), hour(2), hour(3), hour(3)]
    assert labels[0][1]["key"] == {"flight_id": first}
    assert labels[0][1]["observed_at"] == hour(2)
    arrivals = list(source.arrivals)
    assert source.views == {"weather_now"}
    assert [one.at for one in arrivals] == sorted(one.at for one in arrivals)
    assert (arrivals[0].at, arrivals[-1].at) == (hour(1), hour(26))  # twice the delay after the end
    assert {one.name for one in arrivals} == {"flights", "weather_now"}


def test_without_a_time_at_which_labels_are_known_they_come_after_their_delay(desk: Desk) -> None:
    desk.approve(FIRST)
    source = table(desk, desk.without_processes().deploy(FIRST), hour(1), known="")
    assert [at for at, _ in source.labels] == [hour(12), hour(12)]


def test_a_period_without_rows_is_said(desk: Desk) -> None:
    desk.approve(FIRST)
    with pytest.raises(InvalidInput, match=r"'flights' has no row .*Choose a period"):
        table(desk, desk.without_processes().deploy(FIRST), START)


CONTRACT = Contract(
    fields=(Field("id", "string", False), Field("origin", "category"), Field("due", "datetime"), Field("new", "int")),
    key=("id",),
)


def logged(folder: Path, kind: str, *rows: Any) -> None:
    writer = SegmentWriter(folder, kind)
    writer.append(rows)
    writer.close()


def answered(id: str, at: datetime, key: str, request: list[Any]) -> PredictionRow:
    return PredictionRow(id, us(at), 0, 1, "b", key, request, [], 0.5)


def test_a_log_tells_again_what_was_asked_and_told(desk: Desk, tmp_path: Path) -> None:
    due = "2013-04-01T09:00:00Z"
    logged(
        tmp_path,
        "predictions",
        answered("p2", hour(2), "B", ["B", "EWR", None]),  # a row of an older contract
        answered("p1", hour(1), "A", ["A", "JFK", due, 7]),
        answered("p3", hour(9), "C", ["C", "JFK", due, 7]),
    )
    logged(
        tmp_path,
        "labels",
        LabelRow("", "B", 1.0, us(hour(5)), 1),
        LabelRow("p1", "", 0.0, us(hour(4)), 2),
        LabelRow("", "C", 1.0, us(hour(4)), 3),
    )
    flight = {"flight_id": "F1", "origin": "JFK", "known_at": "2013-04-01T03:00:00Z", "delay": 1.0}
    weather = {"origin": "JFK", "observed_at": "2013-04-01T02:00:00Z", "wind": 1.0}
    logged(
        tmp_path,
        "events",
        PushedRow("source", "flights", 0, flight),
        PushedRow("view", "weather_now", 0, weather),
        PushedRow("source", "flights", 0, {**flight, "known_at": None}),
        PushedRow("source", "ships", 0, flight),
    )
    source = log_source(tmp_path, CONTRACT, training_of(desk).spec, since=START, until=hour(3))
    assert source.questions.to_dicts() == [
        {"id": "A", "origin": "JFK", "due": datetime(2013, 4, 1, 9, tzinfo=UTC), "new": 7, source.at: hour(1)},
        {"id": "B", "origin": "EWR", "due": None, "new": None, source.at: hour(2)},
    ]
    assert list(source.labels) == [
        (hour(4), {"key": {"id": "A"}, "value": 0.0, "observed_at": hour(4)}),
        (hour(5), {"key": {"id": "B"}, "value": 1.0, "observed_at": hour(5)}),
    ]
    assert list(source.arrivals) == [Arrival(hour(2), "weather_now", weather), Arrival(hour(3), "flights", flight)]
    assert source.views == {"weather_now"}
    assert source.told == ("2 pushed rows that no feature reads, or without a time, are left out.",)


def test_a_log_without_rows_or_without_a_key_is_said(desk: Desk, tmp_path: Path) -> None:
    spec = training_of(desk).spec
    with pytest.raises(InvalidInput, match="The prediction log has no row"):
        log_source(tmp_path, CONTRACT, spec, since=START, until=hour(3))
    with pytest.raises(InvalidInput, match="names rows by no field"):
        log_source(tmp_path, msgspec.structs.replace(CONTRACT, key=()), spec, since=START, until=hour(3))


class Settling(EndpointClient):
    """The endpoint's client; the log is read after the endpoint has stopped."""

    def settle(self) -> None:
        return None


@pytest.mark.full
def test_served_answers_equal_offline_scores_also_the_second_time(desk: Desk) -> None:
    desk.approve(FIRST)
    until = START + timedelta(days=8)
    features, training = desk.project.module().features, training_of(desk)
    plan = Plan(since=START, until=until, done_at=until + 2 * HALF_A_DAY)
    for turn in (1, 2):  # the second time the online store knows the future already, and must not tell it
        deployed = desk.deploy(FIRST)
        assert deployed.status is not None
        source = table(desk, deployed, until)
        clock = desk.clock if turn == 1 else Still()
        with Settling(deployed.status.url, NAME) as caller:
            world = World(workspace=desk.workspace, endpoint=NAME)
            done = simulate(clock, caller, Control([]), source, plan, Heard(), world=world)
        assert (len(done.scores), done.requests, len(done.latencies_ms)) == (8 * 48, 2 * 8 * 24, 8 * 24)
        keys, offline, labels = score_offline(
            desk.workspace, desk.version(FIRST), training, features, since=START, until=until
        )
        compared = compare_scores(keys, offline, done.scores)
        assert (
            compared.sentence == f"all {8 * 48} served answers equal the offline scores of the same rows, bit for bit"
        )
        assert 0.2 < labels.mean() < 0.8
        if turn == 1:
            desk.clock.advance_to(until + timedelta(days=2))
            watched = watch(desk.workspace, Watch(name=NAME))
            assert (watched.predictions, watched.labels) == (8 * 48, 8 * 48)
            assert {f.name: f.state for f in watched.findings}["quality of log_loss"] in ("ok", "alert")


class Still:
    """A clock that does not go back for a second turn."""

    def advance_to(self, instant: datetime) -> None:
        return None


@pytest.mark.full
def test_an_offline_score_is_that_of_the_bundle_and_not_of_what_lies_about(desk: Desk) -> None:
    quiet = dataclasses.replace(desk.workspace, say=lambda line: None)
    with current_workspace.filled(quiet):
        args = (quiet, desk.version(FIRST), training_of(desk), desk.project.module().features)
        one = score_offline(*args, since=START, until=hour(24))
        other = score_offline(quiet, desk.version(2), *args[2:], since=START, until=hour(24))
    assert one[0] == other[0]
    assert (one[1] != other[1]).any()
