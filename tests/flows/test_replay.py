"""Replaying: what is known at an instant is delivered before what is asked at it, and served equals offline."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from small_desk import FIRST, NAME, Desk

from slipway.client.endpoint import EndpointClient
from slipway.errors import InvalidInput
from slipway.features.materialise import Arrival
from slipway.flows.compare import compare_scores
from slipway.flows.package import training_set_of
from slipway.flows.replay import Replayed, batched, replay, replay_table, score_offline
from slipway.flows.watch import watch
from slipway.ledger import entries
from slipway.operations.endpoints import Watch
from slipway.ports.workspace import current_workspace
from slipway.records.features import TrainingSet
from slipway.records.runs import Run

START = datetime(2013, 4, 1, tzinfo=UTC)


def hour(number: int) -> datetime:
    return START + timedelta(hours=number)


class Notebook:
    """An endpoint that writes down what it is told, and answers with the number of the request."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.requests = 0

    def predict(self, rows: Sequence[Mapping[str, Any]], at: datetime | None = None) -> dict[str, Any]:
        self.told.append(("ask", (at, [row["id"] for row in rows])))
        self.requests += 1
        return {"predictions": [{"score": float(self.requests)} for _ in rows]}

    def events(self, source: str, rows: Sequence[Mapping[str, Any]]) -> int:
        self.told.append((source, [row["n"] for row in rows]))
        return len(rows)

    def view_rows(self, view: str, rows: Sequence[Mapping[str, Any]]) -> int:
        self.told.append((f"view {view}", [row["n"] for row in rows]))
        return len(rows)

    def labels(self, labels: Sequence[Mapping[str, Any]]) -> int:
        self.told.append(("labels", [label["value"] for label in labels]))
        return len(labels)


def told(
    questions: list[tuple[str, datetime]],
    arrivals: Sequence[Arrival] = (),
    labels: Sequence[tuple[datetime, dict[str, Any]]] = (),
    **more: Any,
) -> tuple[Notebook, Replayed]:
    notebook = Notebook()
    asked = pl.DataFrame(questions, schema={"id": pl.String, "at": pl.Datetime("us", "UTC")}, orient="row")
    done = replay(
        notebook,
        asked,
        key="id",
        asked_at="at",
        arrivals=iter(arrivals),
        views={"weather"},
        labels=iter(labels),
        until=hour(9),
        advance=lambda at: notebook.told.append(("clock", at)),
        **more,
    )
    return notebook, done


def test_what_is_known_comes_before_what_is_asked() -> None:
    arrivals = [
        Arrival(hour(1), "flights", {"n": 1}),
        Arrival(hour(2), "weather", {"n": 2}),
        Arrival(hour(2), "flights", {"n": 3}),
        Arrival(hour(3), "flights", {"n": 4}),
    ]
    notebook, done = told(
        [("b", hour(2)), ("a", hour(1)), ("c", hour(2))],
        arrivals,
        [(hour(2), {"value": 1.0}), (hour(9), {"value": 0.0})],
    )
    assert notebook.told == [
        ("clock", hour(1)),
        ("flights", [1]),
        ("ask", (hour(1), ["a"])),
        ("clock", hour(2)),
        ("view weather", [2]),
        ("flights", [3]),
        ("labels", [1.0]),
        ("ask", (hour(2), ["b", "c"])),
        ("clock", hour(9)),
        ("flights", [4]),
        ("labels", [0.0]),
    ]
    assert done == Replayed(scores={"a": 1.0, "b": 2.0, "c": 2.0}, requests=2, events=4, labels=2)


def test_what_is_known_after_the_end_is_not_delivered() -> None:
    notebook, done = told(
        [], [Arrival(hour(10), "flights", {"n": 1})], [(hour(9) + timedelta(seconds=1), {"value": 1})]
    )
    assert notebook.told == [("clock", hour(9))]
    assert (done.scores, done.events, done.labels) == ({}, 0, 0)


def test_requests_and_deliveries_are_cut_to_size() -> None:
    asked = [(f"q{i}", hour(1)) for i in range(250)]
    seen: list[int] = []
    notebook, done = told(
        asked, [Arrival(hour(1), "flights", {"n": i}) for i in range(2500)], rows_per_request=100, progress=seen.append
    )
    assert [len(what) for kind, what in notebook.told if kind == "flights"] == [1000, 1000, 500]
    assert [len(what[1]) for kind, what in notebook.told if kind == "ask"] == [100, 100, 50]
    assert (seen, done.requests, len(done.scores)) == ([100, 100, 50], 3, 250)


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
    return found


def test_a_key_of_two_columns_cannot_be_replayed(desk: Desk) -> None:
    import msgspec

    two = msgspec.structs.replace(training_of(desk), key=("origin", "departure"))
    with pytest.raises(InvalidInput, match="has the key origin, departure"):
        score_offline(
            desk.workspace,
            desk.version(FIRST),
            two,
            desk.project.module().features,
            since=START,
            until=hour(1),
        )


@pytest.mark.full
def test_served_answers_equal_offline_scores_also_the_second_time(desk: Desk) -> None:
    desk.approve(FIRST)
    until = START + timedelta(days=8)
    features, training = desk.project.module().features, training_of(desk)
    for turn in (1, 2):  # the second time the online store knows the future already, and must not tell it
        deployed = desk.deploy(FIRST)
        assert deployed.revision is not None
        assert deployed.status is not None
        seen: list[datetime] = []
        with EndpointClient(deployed.status.url, NAME) as caller:
            done = replay_table(
                desk.workspace,
                caller,
                deployed.revision,
                training,
                features,
                since=START,
                until=until,
                known="known_at",
                label_delay=timedelta(hours=12),
                advance=seen.append,
            )
        assert (len(done.scores), done.requests) == (8 * 48, 8 * 24)
        assert seen == sorted(seen)
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


@pytest.mark.full
def test_an_offline_score_is_that_of_the_bundle_and_not_of_what_lies_about(desk: Desk) -> None:
    quiet = dataclasses.replace(desk.workspace, say=lambda line: None)
    with current_workspace.filled(quiet):
        args = (quiet, desk.version(FIRST), training_of(desk), desk.project.module().features)
        one = score_offline(*args, since=START, until=hour(24))
        other = score_offline(quiet, desk.version(2), *args[2:], since=START, until=hour(24))
    assert one[0] == other[0]
    assert (one[1] != other[1]).any()
