"""Releasing: a pipeline's model becomes a proven bundle, with all that made it."""

import dataclasses
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest
from small_desk import BETTER, FIRST, GUESSING, NAME, Desk, tables

import slipway as sw
from slipway.backends.clocks import SimulatedClock
from slipway.data.declare import Table
from slipway.data.ingest import ingest
from slipway.errors import InvalidDeclaration, InvalidInput, StepFailed
from slipway.flows.release import run_pipeline
from slipway.flows.trained_on import training_set_of
from slipway.hosts.project import open_project
from slipway.ledger import entries, lineage
from slipway.models import registry
from slipway.ports.workspace import current_workspace
from slipway.records.runs import Run
from slipway.tables import versions

SOURCE = Path(__file__).parent / "small_project"


def test_a_release_knows_what_made_it(desk: Desk) -> None:
    version = desk.version(FIRST)
    bundle = registry.bundle_of(desk.workspace, version)
    assert bundle.skew.endswith("are equal offline, online, stream and back-fill, bit for bit")
    assert "bit for bit" in bundle.parity
    assert bundle.features is not None
    assert [field.name for field in bundle.features.request] == ["departure", "distance", "origin"] or {
        field.name for field in bundle.features.request
    } == {"origin", "departure", "distance"}
    assert any(file.path.startswith("code/") for file in bundle.files)
    assert {node.partition("@")[0] for node in bundle.data} >= {"table:small-delays/flights"}
    with desk.workspace.ledger.read() as tx:
        run = entries.get(tx, Run, version.run_id)
        roles = {(link.source.partition(":")[0], link.role) for link in lineage.trace(tx, f"model:{version.id}")}
    training = training_set_of(desk.workspace, run)
    assert training is not None
    assert (training.label, training.at, training.rows) == ("late", "asked_at", 2832)
    assert bundle.trained_until == training.last_at
    assert {("run", "made"), ("model", "packed"), ("table", "data")} <= roles


def test_views_are_kept_so_that_a_server_needs_no_code(desk: Desk) -> None:
    (name,) = [name for name in tables(desk) if name.startswith("view.")]
    assert versions.read(desk.workspace, name).collect().columns == ["origin", "observed_at", "wind"]
    assert versions.head(desk.workspace, name).number == 1, "the same result is no new version"


def test_the_very_same_model_is_no_new_version(desk: Desk, said: list[str]) -> None:
    module, loud = desk.project.module(), dataclasses.replace(desk.workspace, say=said.append)
    assert [version.number for version in registry.versions(loud, NAME)] == [GUESSING, BETTER, FIRST]
    with current_workspace.filled(loud):
        same = run_pipeline(loud, module.release, {"guess": True}, endpoint=module.delays)
        assert same.version == desk.version(GUESSING)
        assert any("is this very model" in line for line in said)
        other = run_pipeline(loud, module.release, {}, endpoint=module.delays)
    assert other.version is not None
    assert other.version.number == 4, "only the newest counts: going back is a step too"


def test_a_pipeline_without_a_model_registers_nothing(desk: Desk) -> None:
    done = run_pipeline(desk.workspace, desk.project.module().count_rows, {})
    assert (done.value, done.version) == (3360, None)
    assert done.run.state == "finished"


def test_an_endpoint_wants_a_model_of_its_pipeline(desk: Desk) -> None:
    module = desk.project.module()
    wrong = dataclasses.replace(module.delays, pipeline=module.count_rows)
    with pytest.raises(InvalidDeclaration, match=r"'count_rows' of the endpoint 'small-delays' returned a int"):
        run_pipeline(desk.workspace, module.count_rows, {}, endpoint=wrong)


def test_features_that_were_not_trained_on_cannot_be_released(desk: Desk) -> None:
    module = desk.project.module()

    @sw.pipeline
    def by_hand() -> sw.Model:
        rows = module.flights().with_columns(hour=pl.col("departure").dt.hour())
        inputs = sw.inputs(rows.select("distance", "hour", "late"), label="late")
        import lightgbm as lgb

        data = lgb.Dataset(inputs.matrix, inputs.labels)
        return sw.Model(
            lgb.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, num_boost_round=2), inputs=inputs
        )

    with pytest.raises(InvalidInput, match="made no training set of its feature set") as refusal:
        run_pipeline(desk.workspace, by_hand, {}, endpoint=module.delays)
    assert "features.training_set(...)" in refusal.value.fix
    assert run_pipeline(desk.workspace, by_hand, {}).version is not None, (
        "without features it is a model like any other"
    )


def test_a_failing_step_keeps_its_run_and_the_users_own_lines(desk: Desk) -> None:
    with pytest.raises(StepFailed) as failure:
        run_pipeline(desk.workspace, desk.project.module().release, {"rounds": "many"})
    assert failure.value.step == "train"
    assert "small_delays.py" in failure.value.trace
    with desk.workspace.ledger.read() as tx:
        run = entries.get(tx, Run, failure.value.run_id)
    assert run.state == "failed"
    assert len(registry.versions(desk.workspace, NAME)) == 3


def test_code_that_serves_other_values_is_refuted(tmp_path: Path, clock: SimulatedClock) -> None:
    folder = tmp_path / "rebound"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("__pycache__", ".slipway"))
    (folder / "shifts.py").write_text("HOURS = 0\n")
    (folder / "winter.py").write_text("import shifts\n\nshifts.HOURS = 5\n")
    # Another name than that of the project which other tests have imported.
    settings = folder / "slipway.toml"
    settings.write_text(settings.read_text().replace("small_delays", "shifted_delays"))
    source = (folder / "small_delays.py").rename(folder / "shifted_delays.py")
    text = source.read_text().replace(
        "import slipway as sw\n", "import shifts\nimport slipway as sw\nimport winter\n", 1
    )
    source.write_text(text.replace("return departure.hour", "return departure.hour + shifts.HOURS"))
    path = list(sys.path)
    with open_project(folder, clock=clock) as project:
        module = project.module()
        for table in project.declared(Table).values():
            ingest(project.workspace, table)
        made = run_pipeline(project.workspace, module.release, {}, endpoint=module.delays)
        assert made.version is not None
        skew = registry.bundle_of(project.workspace, made.version).skew
    sys.path[:] = path
    assert skew.startswith("refuted: ")
    assert "; first hour is " in skew
