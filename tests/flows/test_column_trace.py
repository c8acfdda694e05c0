"""The way from a source column to predictions, and back."""

import dataclasses
from datetime import datetime

import msgspec
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression
from small_desk import NAME, Desk

import slipway as sw
from slipway.client.endpoint import EndpointClient
from slipway.errors import Corrupt, NotFound
from slipway.flows.column_trace import personal_inputs, trace
from slipway.flows.known_models import known_models
from slipway.flows.release import run_pipeline
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.catalog import Lineage, Trace
from slipway.ports.workspace import current_workspace, workspace
from slipway.records.features import TrainingSet
from slipway.records.people import Actor
from slipway.records.predictions import PredictionRow
from slipway.records.runs import Run
from slipway.records.tables import AboutTable
from slipway.tables.alters import alter
from slipway.tables.catalog import head
from slipway.tables.commits import note_about
from slipway.tables.personal import MASK
from slipway.tables.prediction_log import PREDICTIONS
from slipway.tables.segments import SegmentWriter
from slipway.tables.versions import Origin, overwrite, read


def traced(desk: Desk, what: str) -> Trace:
    return trace(desk.workspace, Lineage(what=what))


def test_a_column_leads_to_the_features_models_and_endpoints_that_read_it(desk: Desk) -> None:
    found = traced(desk, "flights.delay")
    assert [one.name for one in found.features] == ["origin_delay_6h"]
    assert [(one.name, one.number, one.endpoints) for one in found.models] == [(NAME, 3, ())]
    assert found.models[0].data[0].startswith(f"table:{NAME}/flights@")
    assert [one.name for one in traced(desk, "weather.wind").features] == ["weather_now_wind"]


def test_a_column_of_the_label_table_leads_to_what_training_had_from_it(desk: Desk) -> None:
    assert [one.name for one in traced(desk, "flights.distance").features] == ["distance"]
    assert [one.name for one in traced(desk, "flights.departure").features] == ["hour"]
    assert [one.name for one in traced(desk, "request.departure").features] == ["hour"]
    of_label = traced(desk, "flights.late")
    assert (of_label.columns, of_label.features) == (("flights.late",), ())
    assert [(one.name, one.features, one.beside) for one in of_label.models] == [(NAME, (), ("flights.late",))]
    assert traced(desk, NAME).models[0].beside == ("flights.asked_at", "flights.late")


@sw.pipeline
def plain(rounds: int = 1) -> sw.Model:
    """A model of the weather as it is, without features."""
    rows = read(workspace(), "weather").select("wind", "gust").collect().to_numpy()
    fitted = LinearRegression(positive=True).fit(rows[:, :1] * rounds, rows[:, 1])
    return sw.Model(fitted, sample=rows[:, :1])


def log_plain(desk: Desk, rounds: int) -> None:
    with current_workspace.filled(desk.workspace):
        run_pipeline(desk.workspace, plain, {"rounds": rounds})


def test_a_table_that_is_read_without_features_leads_to_the_model_too(desk: Desk) -> None:
    log_plain(desk, 1)
    for what in ("weather", "weather.gust", f"{NAME}/weather.gust"):
        (plain,) = [one for one in traced(desk, what).models if one.name == "plain"]
        assert (plain.features, plain.beside) == ((), ("weather",))
        assert plain.data[0].startswith(f"table:{NAME}/weather@")
    assert traced(desk, "weather.gust").columns == ("weather.gust",)
    assert [one.name for one in traced(desk, "flights").models] == [NAME]
    with pytest.raises(NotFound):
        traced(desk, "weather.gusts")


def test_a_pipeline_that_reads_a_table_beside_its_training_set_is_found_by_it(desk: Desk) -> None:
    overwrite(desk.workspace, "planes", pl.DataFrame({"tail": ["N1"], "seats": [9]}))
    module = desk.project.module()

    @sw.pipeline
    def with_planes() -> sw.Model:
        read(desk.workspace, "planes").collect()
        return module.release.function()  # type: ignore[no-any-return]

    run_pipeline(desk.workspace, with_planes, {}, endpoint=module.delays)
    found = traced(desk, "planes.seats").models
    assert [(one.number, one.features, one.beside) for one in found] == [(4, (), ("planes",))]
    assert "planes" in traced(desk, NAME).models[0].beside


def test_what_is_asked_of_the_ledger_does_not_grow_with_versions(desk: Desk) -> None:
    log_plain(desk, 1)
    asked: list[str] = []

    def count() -> int:
        asked.clear()
        assert [one.version.name for one in known_models(desk.workspace)] == ["plain", NAME]
        return len(asked)

    desk.workspace.ledger._connection().set_trace_callback(asked.append)  # type: ignore[attr-defined]
    before = count()
    assert before > 0
    for rounds in (2, 3, 4):
        log_plain(desk, rounds)
    assert registry.get(desk.workspace, "plain").number == 4
    assert count() == before


def test_a_column_that_nothing_reads_leads_nowhere_and_one_that_is_not_there_is_said(desk: Desk) -> None:
    with pytest.raises(NotFound, match=r"no column that a feature reads"):
        traced(desk, "weather.gust")
    with pytest.raises(NotFound) as said:
        traced(desk, "flights.delays")
    assert "flights.delay" in said.value.why


def test_a_table_and_a_feature_lead_both_ways(desk: Desk) -> None:
    found = traced(desk, "flights")
    assert {"origin_delay_6h", "origin_seen_6h", "distance", "hour"} < {one.name for one in found.features}
    assert {"flights.delay", "flights.distance", "flights.late"} < set(found.columns)
    assert all(column.startswith("flights.") for column in found.columns)
    assert [one.name for one in traced(desk, "weather").features] == ["weather_now_wind"]
    found = traced(desk, "weather_now_wind")
    assert found.columns == (
        "flights.origin",
        "request.origin",
        "weather.observed_at",
        "weather.origin",
        "weather.wind",
    )


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


ID_LIKE = "abcdef" * 5 + "ab"


def test_a_prediction_is_looked_for_last_and_no_further_than_it_lies(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.approve(2)
    assert desk.without_processes().deploy(2).revision is not None
    version = desk.version(2)
    names = registry.bundle_of(desk.workspace, version).signature.inputs
    row = PredictionRow("", 0, 0, 2, version.bundle[:16], "", [], [None] * len(names), 0.5, None, 1)
    ids = [f"{n:032x}" for n in range(3)]
    log = desk.folder / "log"
    writer = SegmentWriter(log, PREDICTIONS)
    for id in ids:
        writer.append([msgspec.structs.replace(row, id=id)])
    writer.close()
    (log / f"{PREDICTIONS}-9999999999999999-1-damaged.seg").write_bytes(b"\1\0\0\0damaged, and more behind it")
    monkeypatch.setattr("slipway.flows.column_trace._ROWS_AT_ONCE", 1)
    for id in ids:
        found = traced(desk, id).prediction
        assert found is not None
        assert found.id == id
    with pytest.raises(NotFound):
        traced(desk, "no_such_feature")
    with pytest.raises(Corrupt):
        traced(desk, "f" * 32)

    @sw.feature
    def named_like_an_id(departure: datetime) -> int:
        return departure.day

    named_like_an_id.name = ID_LIKE
    with current_workspace.filled(desk.workspace):
        sw.FeatureSet(named_like_an_id).training_set("flights", label="late")
    assert [one.name for one in traced(desk, ID_LIKE).features] == [ID_LIKE]


def test_each_tables_own_project_says_what_is_personal_in_it_then_and_now(desk: Desk) -> None:
    other = dataclasses.replace(desk.workspace, project="other")
    people = pl.DataFrame({"id": [1], "age": [40], "name": ["Ada"]})

    def kept(*personal: str) -> str:
        made = overwrite(other, "people", people, origin=Origin(about=AboutTable(personal=personal)))
        return f"table:{made.id}"

    first = kept("name")
    people = people.with_columns(id=pl.lit(2))
    kept("age")
    model = known_models(desk.workspace)[0]
    assert model.training is not None
    reads = {"distance": ("other/people.age",), "origin": ("other/people.name",), "hour": ("other/people.id",)}
    training = msgspec.structs.replace(model.training, reads=reads)
    read_them = dataclasses.replace(model, training=training, inputs=(first,))
    assert personal_inputs(desk.workspace, read_them, list(reads)) == {"distance", "origin"}


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
