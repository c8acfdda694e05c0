"""A step logs to its pipeline's run as a script does, in this process, in a worker's, and from the cache."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import slipway as sw
from slipway.backends.inprocess_executor import InProcessExecutor
from slipway.backends.process_executor import ProcessExecutor
from slipway.errors import RunStopped, StepFailed, UserError
from slipway.hosts import step_worker
from slipway.ledger import run_log
from slipway.pipelines import engine, reasons, snapshot
from slipway.pipelines.engine import PipelineResult
from slipway.pipelines.remote import Remote
from slipway.ports.executor import Executor
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run, StepRun
from slipway.runs import search, tracking

PROJECT = """
import math, os, threading, time
from pathlib import Path
import polars as pl
import slipway as sw


@sw.step
def train(epochs: int, breaks_at: int = -1, stop: bool = False) -> int:
    run = sw.active_run()
    run.watch("loss", stop=stop)
    run.log_params({"epochs.used": epochs})
    run.set_tag("team", "operations")
    for epoch in range(epochs):
        run.log_metric("loss", math.nan if epoch == breaks_at else 1 / (1 + epoch), epoch)
    run.log_text("notes.txt", "tried")
    run.log_artifact("rows", pl.DataFrame({"n": [epochs]}))
    run.log_input(pl.DataFrame({"n": [1, 2]}), name="made", context="training")
    return epochs


@sw.pipeline
def release(epochs: int = 3, breaks_at: int = -1, stop: bool = False) -> int:
    return train(epochs, breaks_at, stop)


@sw.step
def twice(name: str) -> str:
    sw.active_run().watch("loss")
    for step in range(20):
        sw.active_run().log_metric("loss", step if name == "up" else -step, step)
    return name


@sw.pipeline
def two() -> str:
    return twice("down") + twice("up")


@sw.step
def waiting(folder: str) -> int:
    sw.active_run().log_metric("seen", 1.0)
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)
    return 1


@sw.pipeline
def live(folder: str) -> int:
    return waiting(folder)


@sw.step
def dies() -> int:
    sw.active_run().log_metric("loss", 0.5, 1)
    os.kill(os.getpid(), 9)
    return 1


@sw.pipeline
def killed() -> int:
    return dies()


@sw.step
def beside() -> int:
    run = sw.active_run()
    run.watch("loss")
    thread = threading.Thread(target=lambda: run.log_metric("loss", math.inf, 7))
    thread.start()
    thread.join()
    return 1


@sw.pipeline
def threads() -> int:
    return beside()


@sw.pipeline
def watched_outside(stop: bool = False) -> str:
    sw.active_run().watch("loss", stop=stop)
    return twice("up")


@sw.step
def alone() -> int:
    with sw.run("inside", system_metrics=False) as run:
        run.log_metric("auc", 0.7)
    return 1


@sw.pipeline
def inside() -> int:
    return alone()
"""

Go = Callable[..., PipelineResult]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "logging_flow.py").write_text(PROJECT)
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    sys.modules.pop("logging_flow", None)


@pytest.fixture(params=["here", "inprocess", "process"])
def go(request: pytest.FixtureRequest, workspace: Workspace, project: Path) -> Go:
    """Runs a pipeline of the project by each executor."""
    executors: dict[str, Callable[[], Executor]] = {
        "inprocess": lambda: InProcessExecutor(step_worker.perform),
        "process": lambda: ProcessExecutor(1),
    }
    make = executors.get(request.param)

    def run(name: str, **params: object) -> PipelineResult:
        import logging_flow  # type: ignore[import-not-found]  # written by the fixture

        packed, tasks = snapshot.pack(project), workspace.root / "tasks"
        if make is None:
            return engine.run(workspace, getattr(logging_flow, name), params)
        with closing(make()) as executor:
            remote = Remote(executor, code=packed, folder=tasks)
            return engine.run(workspace, getattr(logging_flow, name), params, remote=remote)

    return run


def steps(workspace: Workspace, run: Run) -> list[StepRun]:
    with workspace.ledger.read() as tx:
        return reasons.steps_of(tx, run.id)


def newest(workspace: Workspace) -> Run:
    return search.list_runs(workspace)[0]


def losses(workspace: Workspace, run: Run) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in search.history(workspace, run.id, "loss")]


def test_what_a_step_logs_stands_in_the_pipelines_run(workspace: Workspace, go: Go) -> None:
    run = search.get_run(workspace, go("release").run.id)
    assert losses(workspace, run) == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert run.params["epochs.used"] == 3
    assert (run.tags["team"], run.tags[tracking.WATCHED]) == ("operations", "loss")
    made = {one.name: one for one in run.artifacts}
    assert workspace.blobs.get(made["notes.txt"].digest) == b"tried"
    assert workspace.blobs.has(made["rows"].digest)
    assert [one.name for one in run.datasets] == ["made"]
    assert (run.state, run.findings) == ("finished", ())


def test_what_was_noticed_stands_there_too_and_a_hit_says_where(workspace: Workspace, go: Go) -> None:
    first = search.get_run(workspace, go("release", breaks_at=1).run.id)
    assert [(one.kind, one.key, one.step, one.source_run_id) for one in first.findings] == [
        ("not finite", "loss", 1, "")
    ]
    second = search.get_run(workspace, go("release", breaks_at=1).run.id)
    assert [one.state for one in steps(workspace, second)] == ["cached"]
    assert [one.source_run_id for one in second.findings] == [first.id]
    assert second.findings[0].told == f"loss is nan at step 1 (in run {first.id[:12]}, which made it)"
    assert second.tags[tracking.WATCHED] == "loss"
    assert [step for step, _ in losses(workspace, second)] == [0, 1, 2]
    assert second.datasets == first.datasets
    assert {one.name for one in second.artifacts} == {one.name for one in first.artifacts}
    third = search.get_run(workspace, go("release", breaks_at=1).run.id)
    assert [one.source_run_id for one in third.findings] == [first.id], "the run that made it, not the one between"


def test_a_watch_may_end_the_step_and_the_run(workspace: Workspace, go: Go) -> None:
    with pytest.raises(RunStopped, match="not finite: loss is nan at step 2") as stopped:
        go("release", epochs=10, breaks_at=2, stop=True)
    run = newest(workspace)
    assert stopped.value.run_id == run.id
    assert (run.state, run.error, run.ended_early) == ("finished", None, stopped.value.what)
    assert len(losses(workspace, run)) == 3, "the point itself is kept"
    assert [one.kind for one in run.findings] == ["not finite"]
    (step,) = steps(workspace, run)
    assert (step.state, step.error, step.outputs) == ("finished", None, ())
    assert "it ended early" in step.reason
    with pytest.raises(RunStopped):
        go("release", epochs=10, breaks_at=2, stop=True)
    assert [one.state for one in steps(workspace, newest(workspace))] == ["finished"], "what was stopped is no hit"


def test_a_watch_sees_the_points_of_its_own_step(workspace: Workspace, go: Go) -> None:
    run = go("two").run
    assert [(one.kind, one.step) for one in run.findings] == [("diverging", 12)], "one curve falls, the other rises"


def test_a_watch_in_the_pipeline_sees_all_points_also_of_a_hit(workspace: Workspace, go: Go) -> None:
    first = go("watched_outside").run
    assert [one.kind for one in first.findings] == ["diverging"], "found by both, told once"
    assert [one.kind for one in go("watched_outside").run.findings] == ["diverging"]
    with pytest.raises(RunStopped):
        go("watched_outside", stop=True)
    run = newest(workspace)
    assert (run.state, [one.state for one in steps(workspace, run)]) == ("finished", ["cached"])
    assert len(losses(workspace, run)) == 20


def test_another_thread_of_the_step_is_watched_and_noted(workspace: Workspace, go: Go) -> None:
    for _ in range(2):
        run = go("threads").run
        assert [(one.kind, one.step) for one in run.findings] == [("not finite", 7)]
        assert losses(workspace, run) == [(7, float("inf"))]
    assert [one.state for one in steps(workspace, run)] == ["cached"]


@pytest.mark.parametrize("go", ["here", "process"], indirect=True)
def test_it_is_seen_while_the_step_runs(workspace: Workspace, go: Go, tmp_path: Path) -> None:
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(go("live", folder=str(tmp_path))))
    thread.start()
    for _ in range(6000):
        found = search.list_runs(workspace)
        if found and search.metrics(workspace, found[0].id) == {"seen": 1.0}:
            break
        threading.Event().wait(0.01)
    assert search.metrics(workspace, found[0].id) == {"seen": 1.0}
    assert search.get_run(workspace, found[0].id).state == "running"
    (tmp_path / "go").touch()
    thread.join()
    assert done[0].value == 1


@pytest.mark.parametrize("go", ["process"], indirect=True)
def test_what_a_killed_worker_had_logged_is_kept(workspace: Workspace, go: Go) -> None:
    with pytest.raises(StepFailed, match="SIGKILL"):
        go("killed")
    run = newest(workspace)
    assert (run.state, losses(workspace, run)) == ("failed", [(1, 0.5)])
    assert list((workspace.root / "tasks").iterdir()) == []


@pytest.mark.parametrize("go", ["here"], indirect=True)
def test_a_run_inside_a_step_is_its_child(workspace: Workspace, go: Go) -> None:
    outer = go("inside").run
    (inner,) = [run for run in search.list_runs(workspace) if run.id != outer.id]
    assert (inner.parent_id, inner.name) == (outer.id, "inside")


@pytest.mark.parametrize("go", ["process"], indirect=True)
def test_a_worker_has_no_store_and_says_so(go: Go) -> None:
    with pytest.raises(StepFailed, match=r"There is no store here\..*log to `sw.active_run\(\)`"):
        go("inside")


def test_a_step_called_plainly_may_log_to_nothing(project: Path, tmp_path: Path) -> None:
    from logging_flow import train

    def files() -> list[Path]:
        return sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts)

    before = files()
    assert train(3) == 3
    with pytest.raises(RunStopped, match="loss is nan at step 1"):
        train(3, 1, stop=True)
    assert files() == before


def test_inside_a_run_it_logs_there(workspace: Workspace, project: Path) -> None:
    from logging_flow import train

    with tracking.start(workspace, system_metrics=False) as run:
        assert sw.active_run() is run
        train(2)
        assert len(losses(workspace, run.record)) in (0, 2)
    assert losses(workspace, run.record) == [(0, 1.0), (1, 0.5)]


def test_outside_of_runs_and_steps_there_is_none() -> None:
    with pytest.raises(UserError, match=r"No run is under way here\..*with sw.run"):
        sw.active_run()


def test_a_pipelines_run_packages_no_models(workspace: Workspace) -> None:
    log = run_log.start(workspace, pipeline="release")
    with run_log.current_run.filled(log), pytest.raises(UserError, match="what the pipeline returns"):
        sw.active_run().log_model(object())
    log.finish()
