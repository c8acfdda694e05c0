"""Reproducing a search: each trial is compared; and what a run was told of threads is what its repetition is told."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.flows.reproduce import reproduce
from slipway.hosts.project import Project, open_project
from slipway.operations.runs import Reproduce
from slipway.pipelines import engine
from slipway.pipelines.declare import Pipeline
from slipway.records.reproductions import Reproduction, SearchCompared
from slipway.runs import search as runs

PROJECT = """
import os
import random

import slipway as sw


@sw.step
def cost(kind: str, chance: float) -> float:
    if kind == "none":
        raise ValueError("there is no such kind")
    return {"a": 1.0, "b": 2.0, "c": 3.0}[kind] + {"b": chance, "c": chance * 1e-13}.get(kind, 0.0) * random.random()


@sw.pipeline
def tuned(chance: float = 0.0) -> float:
    found = sw.search(
        cost,
        {"kind": ["a", "b", "c", "none"]},
        "loss",
        4,
        direction="minimize",
        fixed={"chance": chance},
        sampler="grid",
        name="kinds",
    )
    return found.best.value


@sw.step
def told() -> list:
    return [os.environ.get("OMP_NUM_THREADS"), os.environ.get("POLARS_MAX_THREADS")]


@sw.pipeline
def threads() -> list:
    return told()
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    folder = tmp_path / "tuned"
    folder.mkdir()
    (folder / "slipway.toml").write_text('[project]\nname = "tuned"\nmodule = "tuned_again"\n')
    (folder / "tuned_again.py").write_text(PROJECT)
    path = list(sys.path)
    with open_project(folder) as opened:
        yield opened
    sys.path[:] = path
    sys.modules.pop("tuned_again", None)


def again(project: Project, name: str, **params: object) -> Reproduction:
    pipeline = project.pick(Pipeline, name, "pipeline")
    run = engine.run(project.workspace, pipeline, params, snapshot=project.snapshot()).run
    return repeated(project, run.id)


def repeated(project: Project, run_id: str) -> Reproduction:
    found = reproduce(project.workspace, Reproduce(target=run_id)).reproduction
    assert found is not None
    return found


@pytest.mark.full
def test_trials_that_are_the_same_are_counted(project: Project) -> None:
    found = again(project, "tuned")
    assert found.verdict == "equal", found.sentence
    assert found.searches == (SearchCompared(name="kinds", equal=4),)
    assert found.sentence.endswith("Compared were 4 trials of kinds: 4 equal.")


@pytest.mark.full
def test_the_first_trial_that_differs_is_named_though_the_best_is_the_same(project: Project) -> None:
    found = again(project, "tuned", chance=1.0)
    (kinds,) = found.searches
    assert (kinds.equal, kinds.near, kinds.differing, kinds.untold) == (2, 1, 1, 0), found.sentence
    assert (found.verdict, found.cause) == ("differs", "seed")
    number = found.step.removeprefix("trial ")
    by_number = {
        run.tags["slipway.trial"]: run.params["kind"]
        for run in runs.list_runs(project.workspace)
        if "slipway.trial" in run.tags
    }
    assert by_number[number] == "b"
    assert "Compared were 4 trials of kinds: 2 equal, 1 within tolerance, 1 differing." in found.sentence
    assert f"Trial {number} of kinds: it differs first at cost" in found.sentence
    assert "Two repetitions from the same code, data and libraries disagree there too" in found.sentence


def test_what_a_run_was_told_of_threads_is_restored(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("POLARS_MAX_THREADS", raising=False)
    pipeline = project.pick(Pipeline, "threads", "pipeline")
    run = engine.run(project.workspace, pipeline, snapshot=project.snapshot()).run
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("POLARS_MAX_THREADS", "2")
    found = repeated(project, run.id)
    assert found.verdict == "equal", found.sentence
    assert found.sentence.endswith(
        "What it was told of threads was restored: OMP_NUM_THREADS 1, POLARS_MAX_THREADS (not set)."
    )
    assert os.environ["OMP_NUM_THREADS"] == "3"
