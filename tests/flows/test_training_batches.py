"""A training set that is never a frame: stored by a pipeline, learned from in batches, found again, reproduced."""

import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slipway.backends.process_executor import ProcessExecutor
from slipway.flows.reproduce import reproduce
from slipway.flows.trained_on import training_set_of
from slipway.hosts.project import Project, open_project
from slipway.ledger import entries
from slipway.operations.runs import Reproduce
from slipway.pipelines import engine, reasons, snapshot
from slipway.pipelines.declare import Pipeline
from slipway.pipelines.remote import Remote
from slipway.records.runs import Run
from slipway.tables import catalog, versions

PROJECT = """
import polars as pl
import slipway as sw

recent = sw.windows("flights", time="known_at", by=["origin"], delay=sw.mean("delay", "9h"), seen=sw.count("9h"))


@sw.feature_view(entity="origin", time="observed_at")
def weather_at(weather: pl.LazyFrame) -> pl.LazyFrame:
    return weather


features = sw.FeatureSet("distance", recent, weather_at)


@sw.step
def learn(rows, rate: float) -> list:
    return [rate, *(float(frame["late"].sum()) for frame in rows)]


@sw.pipeline
def release(rate: float = 0.5) -> list:
    return learn(features.training_batches("flights", label="late", batch_rows=7), rate)


@sw.step
def inside() -> list:
    rows = features.training_batches("flights", label="late", batch_rows=50)
    return [frame.height for frame in rows]


@sw.pipeline
def within() -> list:
    return inside()
"""


def write_tables(project: Project, count: int = 40) -> None:
    start, hour = datetime(2013, 1, 1, tzinfo=UTC), timedelta(hours=1)
    rows = pl.DataFrame(
        {
            "flight_id": range(count),
            "decided_at": [start + n * hour for n in range(count)],
            "known_at": [start + (n + 2) * hour for n in range(count)],
            "origin": ["EWR" if n % 3 else "JFK" for n in range(count)],
            "distance": [n * 100 for n in range(count)],
            "delay": [n / 3 for n in range(count)],
            "late": [None if n % 10 == 9 else n % 2 == 0 for n in range(count)],
        }
    ).with_columns(pl.col("decided_at", "known_at").cast(pl.Datetime("us", "UTC")))
    versions.overwrite(project.workspace, "flights", rows, key=("flight_id",), time="decided_at")
    seen = pl.DataFrame({"origin": ["EWR", "JFK"], "observed_at": [start, start + 5 * hour], "temp": [1.5, None]})
    versions.overwrite(
        project.workspace, "weather", seen.with_columns(pl.col("observed_at").cast(pl.Datetime("us", "UTC")))
    )


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    folder = tmp_path / "desk"
    folder.mkdir()
    (folder / "slipway.toml").write_text('[project]\nname = "desk"\nmodule = "batches_desk"\n')
    (folder / "batches_desk.py").write_text(PROJECT)
    path = list(sys.path)
    with open_project(folder) as opened:
        write_tables(opened)
        yield opened
    sys.path[:] = path
    sys.modules.pop("batches_desk", None)


def ran(project: Project, name: str, params: dict[str, Any] | None = None, **more: Any) -> engine.PipelineResult:
    pipeline = project.pick(Pipeline, name, "pipeline")
    return engine.run(project.workspace, pipeline, params, **{"snapshot": project.snapshot(), **more})


def states(project: Project, run: Run) -> dict[str, str]:
    with project.workspace.ledger.read() as tx:
        return {step.name: step.state for step in reasons.steps_of(tx, run.id)}


def test_a_pipeline_stores_finds_and_hands_on_a_reference(project: Project) -> None:
    first = ran(project, "release")
    assert len(first.value) == 1 + 6  # 36 labelled rows in batches of 7
    assert sum(first.value[1:]) == 20
    again = ran(project, "release", {"rate": 0.1})
    assert again.value[1:] == first.value[1:]
    assert states(project, again.run) == {"training_batches": "cached", "learn": "finished"}
    (version,) = catalog.history(project.workspace, "training.features")
    assert version.rows == 36
    for run in (first.run, again.run):
        found = training_set_of(project.workspace, run)
        assert found is not None
        assert (found.rows, found.stored) == (36, f"table:desk/training.features@{version.version}")
        assert found.fingerprint == version.fingerprint
        assert found.last_at == datetime(2013, 1, 2, 14, tzinfo=UTC)
        with project.workspace.ledger.read() as tx:
            assert f"run:{run.id}" in {link.target for link in tx.links(found.stored, towards=False)}
    # What the step's result is kept as is small: no row is in it.
    with project.workspace.ledger.read() as tx:
        step = next(one for one in reasons.steps_of(tx, first.run.id) if one.name == "training_batches")
    assert sum(one.size_bytes for one in step.outputs) < 5000


def test_other_rows_are_another_version_and_the_old_one_stays(project: Project) -> None:
    old = ran(project, "release")
    write_tables(project, 50)
    new = ran(project, "release")
    assert states(project, new.run)["training_batches"] == "finished"
    versions_of = catalog.history(project.workspace, "training.features")
    assert [one.rows for one in versions_of] == [45, 36]
    kept = training_set_of(project.workspace, old.run)
    assert kept is not None
    frame = versions.read(project.workspace, "training.features", kept.stored.rpartition("@")[2]).collect()
    assert frame.height == 36


def test_a_run_is_reproduced_bit_for_bit_and_moves_nothing(project: Project) -> None:
    workspace = project.workspace
    first = ran(project, "release")
    write_tables(project, 50)
    ran(project, "release")
    head = catalog.head(workspace, "training.features").version
    found = reproduce(workspace, Reproduce(target=first.run.id)).reproduction
    assert found is not None
    assert found.verdict == "equal", found.sentence
    assert found.compared >= 2
    assert catalog.head(workspace, "training.features").version == head
    with workspace.ledger.read() as tx:
        repeated = entries.get(tx, Run, found.run_id)
    made = training_set_of(workspace, repeated)
    before = training_set_of(workspace, first.run)
    assert made is not None
    assert before is not None
    assert (made.fingerprint, made.stored) == (before.fingerprint, before.stored)


def test_it_may_be_made_inside_a_step(project: Project) -> None:
    assert ran(project, "within").value == [36]


def test_a_step_in_a_process_of_its_own_reads_the_files_where_they_lie(project: Project) -> None:
    code = snapshot.pack(project.folder)
    with closing(ProcessExecutor(1)) as executor:
        remote = Remote(executor, code=code, folder=project.workspace.root / "tasks")
        assert len(ran(project, "release", remote=remote).value) == 7
