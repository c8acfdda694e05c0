"""Replay of stored training rows through the real endpoint process, and what a gate says of it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest
from small_desk import FIRST, NAME, Desk, tables

import slipway as sw
from slipway.errors import InvalidInput, NotFound
from slipway.flows import passing as passing_module
from slipway.flows.check_load import _failure
from slipway.flows.deploy import deploy
from slipway.flows.replay_rows import _apart, replay, replay_rows, requests_of, without_values
from slipway.flows.trained_rows import TrainedRows, choose, spread, trained_rows
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.endpoints import Deploy
from slipway.operations.load import ReplayModel
from slipway.records.load import Comparison, Replay
from slipway.records.runs import StepRun
from slipway.records.schema import Field
from slipway.records.tables import AboutTable
from slipway.serving.open_loop import Answer
from slipway.tables import versions
from slipway.tables.personal import MASK
from slipway.tables.versions import Origin


def asked(desk: Desk, rows: int = 60):  # type: ignore[no-untyped-def]
    return replay(desk.workspace, ReplayModel(model=NAME, version=str(FIRST), rows=rows))


def test_training_rows_are_served_as_they_were_trained_on_over_http(desk: Desk) -> None:
    found = asked(desk)
    assert (found.model, found.number, found.bundle) == (NAME, FIRST, desk.version(FIRST).bundle)
    told = found.replay
    assert told.verdict == "equal", told.sentence
    assert (told.rows, told.of) == (60, 2832)
    inputs = [field.name for field in registry.bundle_of(desk.workspace, desk.version(FIRST)).signature.inputs]
    assert [one.column for one in told.columns] == [*inputs, "the answer", "the evaluation's answer", "fitted rows"]
    assert all(one.compared and not one.differing for one in told.columns)
    assert told.columns[-2].compared >= 30  # half of the rows judged the model
    assert not list(desk.workspace.root.glob("endpoints/*/*"))  # nothing was deployed


def test_a_feed_in_other_units_is_stopped_by_the_gate_and_the_column_is_named(desk: Desk) -> None:
    view = next(name for name in tables(desk) if name.startswith("view.weather_now."))
    rows = versions.read(desk.workspace, view).collect()
    head = versions.manifest_of(desk.workspace, versions.head(desk.workspace, view))
    versions.overwrite(desk.workspace, view, rows.with_columns(pl.col("wind") * 0.5), key=head.key, time=head.time)
    gate = sw.Gate(sw.metric("auc") >= 0.5, sw.replayed(40)).spec
    ruling = deploy(desk.workspace, Deploy(model=NAME, version=str(FIRST), dry_run=True, gate=gate)).verdict
    (outcome,) = [one for one in ruling.outcomes if "asked over HTTP" in one.check]
    assert not ruling.passed
    assert outcome.result == "refused"
    assert outcome.found.startswith("weather_now_wind is ")
    assert "when it is served, for flight_id 'F" in outcome.found
    assert outcome.fix == f"Mend what differs; see all columns: slipway replay {NAME} --version {FIRST}"


def test_what_cannot_be_replayed_says_why_and_refuses(desk: Desk) -> None:
    version, workspace = desk.version(FIRST), desk.workspace
    bundle = registry.bundle_of(workspace, version)
    without = replay_rows(workspace, version, msgspec.structs.replace(bundle, features=None))
    assert (without.verdict, without.rows) == ("cannot", 0)
    assert "takes its inputs as they are" in without.sentence
    with workspace.ledger.read() as tx:
        steps = entries.find(tx, StepRun, parent=version.run_id, limit=100)
    kept = [one for step in steps if step.name == "training_set" for one in step.outputs]
    for artifact in kept:  # what the erasure of a person leaves
        workspace.blobs.delete(artifact.digest)
    erased = replay_rows(workspace, version, bundle)
    assert erased.verdict == "cannot"
    assert "are not stored any more" in erased.sentence
    with pytest.raises(NotFound, match="Train it again"):
        trained_rows(workspace, version)
    gate = sw.Gate(sw.replayed(40)).spec
    ruling = deploy(workspace, Deploy(model=NAME, version=str(FIRST), dry_run=True, gate=gate)).verdict
    assert [one.result for one in ruling.outcomes if "asked over HTTP" in one.check] == ["cannot tell"]


@pytest.mark.parametrize("rows", [0, -3])
def test_no_rows_are_refused(desk: Desk, rows: int) -> None:
    with pytest.raises(InvalidInput, match="cannot be replayed"):
        asked(desk, rows)


def test_a_bundle_whose_process_does_not_start_says_what_it_said(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The environment in which it starts is broken: its online store cannot be opened."""
    (tmp_path / "sitecustomize.py").write_text("")
    (tmp_path / "sqlite3.py").write_text("raise ImportError('no sqlite3 here', name='sqlite3')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    told = asked(desk).replay
    assert told.verdict == "cannot"
    assert "did not start" in told.sentence
    assert "sqlite3" in told.sentence


@pytest.mark.full
def test_a_process_that_is_not_ready_in_time_is_ended(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "numpy.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(passing_module, "_READY_WITHIN_S", 6.0)
    monkeypatch.setattr(passing_module, "_STOP_WITHIN_S", 2.0)
    told = asked(desk).replay
    assert told.verdict == "cannot"
    assert "was not ready within 6 seconds" in told.sentence


def test_values_of_personal_columns_are_in_no_kept_sentence(desk: Desk) -> None:
    column = Comparison(column="age", compared=9, differing=2, first="age is 36 in the training set, for mail 'ada'")
    found = Replay(verdict="differs", sentence=column.first, rows=9, of=9, columns=(column,))
    refused = Replay(verdict="differs", sentence="The endpoint refuses 1 row, first 'ada'", rows=9, of=9)
    assert without_values(desk.workspace, found) == found  # nothing is personal here
    about = Origin(about=AboutTable(personal=("mail",)))
    versions.overwrite(desk.workspace, "people", pl.DataFrame({"mail": ["ada"]}), origin=about)
    told = without_values(desk.workspace, found)
    assert told.sentence == "age differs in 2 of 9 rows"
    assert told.columns[0].first == MASK
    assert "ada" not in str(told)
    assert "ada" not in str(without_values(desk.workspace, refused))
    assert "no answer" in _failure(desk.workspace, [Answer(0, 0.0, 0.0, b"ada")])
    assert "ada" not in _failure(desk.workspace, [Answer(422, 0.0, 0.0, b"ada")])


def rows_of(**columns: list[object]) -> TrainedRows:
    frame = pl.DataFrame(columns)
    training = type("T", (), {"at": "at", "key": ("id",), "rows": frame.height})
    return TrainedRows(training=training, frame=frame.lazy())  # type: ignore[arg-type]


def test_rows_are_chosen_at_the_edges_of_each_column_and_evenly_over_time() -> None:
    many = 1000
    at = [datetime(2013, 1, 1, tzinfo=UTC).replace(microsecond=i) for i in reversed(range(many))]
    values = [float(i % 97) for i in range(many)]
    values[400], values[500], values[600] = -5.0, 1e9, None  # type: ignore[call-overload]
    stored = rows_of(id=list(range(many)), at=at, x=values)  # type: ignore[arg-type]
    chosen = choose(stored, ["x", "nobody's"], 20)
    assert chosen.height == 20
    assert {400, 500, 600, 999, 0} - set(chosen["id"]) <= {0}
    assert chosen["at"].is_sorted()
    assert choose(stored, ["x"], 5000).height == many
    assert choose(stored, [], 1)["id"].to_list() == [999]


def test_values_are_spread() -> None:
    assert spread(pl.Series([1, 2, 3, 4]), 2).to_list() == [1, 3]
    assert spread(pl.Series([1, 2]), 9).to_list() == [1, 2]
    assert spread(pl.Series([], dtype=pl.Int64), 9).to_list() == []


def test_a_request_carries_the_row_and_its_own_decision_time() -> None:
    rows = pl.DataFrame({"id": ["a", "b"], "x": [1.5, None], "at": [datetime(2013, 1, 1, tzinfo=UTC)] * 2})
    fields = (Field("id", "string"), Field("x", "float"))
    first, second = (json.loads(body) for body in requests_of(fields, rows, "at"))
    assert first == {"rows": [{"id": "a", "x": 1.5}], "at": "2013-01-01T00:00:00Z"}
    assert second["rows"] == [{"id": "b", "x": None}]
    assert [len(json.loads(body)["rows"]) for body in requests_of(fields, rows, "at", 2)] == [2]


def test_the_last_bit_of_an_answer_is_no_skew_and_a_missing_one_is() -> None:
    nan, answer = float("nan"), 0.2599327153913647
    served = pl.Series([0.2599327153913646, nan, nan, answer, 0.26])
    offline = pl.Series([answer, nan, answer, nan, answer])
    assert _apart(served, offline).tolist() == [False, False, True, True, True]
