"""The way from a source column to predictions, and back."""

import dataclasses

import msgspec
import pytest
from small_desk import NAME, Desk

from slipway.client.endpoint import EndpointClient
from slipway.errors import NotFound
from slipway.flows.column_trace import trace
from slipway.ledger import entries
from slipway.operations.catalog import Lineage, Trace
from slipway.records.features import TrainingSet
from slipway.records.people import Actor
from slipway.records.runs import Run
from slipway.records.tables import AboutTable
from slipway.tables.alters import alter
from slipway.tables.catalog import head
from slipway.tables.commits import note_about
from slipway.tables.personal import MASK


def traced(desk: Desk, what: str) -> Trace:
    return trace(desk.workspace, Lineage(what=what))


def test_a_column_leads_to_the_features_models_and_endpoints_that_read_it(desk: Desk) -> None:
    found = traced(desk, "flights.delay")
    assert [one.name for one in found.features] == ["origin_delay_6h"]
    assert [(one.name, one.number, one.endpoints) for one in found.models] == [(NAME, 3, ())]
    assert found.models[0].data[0].startswith(f"table:{NAME}/flights@")
    assert [one.name for one in traced(desk, "weather.wind").features] == ["weather_now_wind"]


def test_a_column_that_nothing_reads_leads_nowhere_and_one_that_is_not_there_is_said(desk: Desk) -> None:
    with pytest.raises(NotFound, match=r"no column that a feature reads"):
        traced(desk, "weather.gust")
    with pytest.raises(NotFound) as said:
        traced(desk, "flights.delays")
    assert "flights.delay" in said.value.why


def test_a_table_and_a_feature_lead_both_ways(desk: Desk) -> None:
    assert [one.name for one in traced(desk, "flights").features] == ["origin_delay_6h", "origin_seen_6h"]
    found = traced(desk, "weather_now_wind")
    assert found.columns == ("request.origin", "weather.observed_at", "weather.origin", "weather.wind")


def test_a_feature_view_leads_to_the_models_that_stand_on_its_features(desk: Desk) -> None:
    found = traced(desk, "weather_now")
    assert found.what == "the feature weather_now"
    assert [one.name for one in found.features] == ["weather_now_wind"]
    assert "weather.wind" in found.columns
    assert [(one.name, one.number) for one in found.models] == [(NAME, 3)]


def test_the_hint_is_a_command_that_there_is(desk: Desk) -> None:
    with pytest.raises(NotFound) as said:
        traced(desk, "nothing.of_this")
    assert "slipway catalog lineage " in said.value.fix


def test_an_endpoint_and_one_of_its_predictions_lead_back_to_the_columns(desk: Desk) -> None:
    desk.approve(2)
    deployed = desk.deploy(2)
    assert deployed.status is not None
    row = {"flight_id": "Q1", "origin": "JFK", "distance": 500, "departure": "2013-04-01T09:00:00Z"}
    with EndpointClient(deployed.status.url, NAME) as client:
        answered = client.predict([row])["predictions"][0]
    of_endpoint = traced(desk, NAME)
    assert [(one.number, one.endpoints) for one in of_endpoint.models] == [(2, (NAME,))]
    desk.workspace.launcher.stop(desk.folder)  # what it answered is written
    found = traced(desk, str(answered["id"]))
    assert found.prediction is not None
    assert found.prediction.score == answered["score"]
    assert found.prediction.features["distance"] == 500
    assert found.models[0].number == 2
    assert "flights.delay" in found.columns
    assert "request.departure" in found.columns
    note_about(desk.workspace, head(desk.workspace, "flights"), AboutTable(personal=("distance",)))
    shown = {who: _features_as(desk, str(answered["id"]), who) for who in ("governance", "ml engineer")}
    assert shown["governance"] == found.prediction.features
    assert shown["ml engineer"] == {**found.prediction.features, "distance": MASK}
    note_about(desk.workspace, head(desk.workspace, "flights"), AboutTable())
    renamed = alter(desk.workspace, "flights", rename={"distance": "miles"})
    note_about(desk.workspace, renamed, AboutTable(personal=("miles",)))
    assert _features_as(desk, str(answered["id"]), "ml engineer") == shown["ml engineer"], (
        "it was trained on the former name"
    )
    _forget_lineage(desk, 2)
    hidden = _features_as(desk, str(answered["id"]), "ml engineer")
    assert set(hidden.values()) <= {MASK, None}, "nobody knows what the features read"
    assert _features_as(desk, str(answered["id"]), "governance") == found.prediction.features


def _features_as(desk: Desk, prediction: str, role: str) -> dict[str, object]:
    workspace = dataclasses.replace(desk.workspace, actor=Actor("somebody", roles=(role,)))
    found = trace(workspace, Lineage(what=prediction)).prediction
    assert found is not None
    return found.features


def _forget_lineage(desk: Desk, number: int) -> None:
    """Let a version's training set say nothing of what its features read, as where a view's query could not be asked."""
    workspace, run_id = desk.workspace, desk.version(number).run_id
    with workspace.ledger.write() as tx:
        run = entries.get(tx, Run, run_id)
        (kept,) = [one for one in run.artifacts if one.name == "training_set.json"]
        training = msgspec.json.decode(workspace.blobs.get(kept.digest), type=TrainingSet)
        digest = workspace.blobs.put(msgspec.json.encode(msgspec.structs.replace(training, reads={})))
        bare = [msgspec.structs.replace(one, digest=digest) if one == kept else one for one in run.artifacts]
        entries.put(tx, msgspec.structs.replace(run, artifacts=tuple(bare)))
