"""`[quota]` and what begins as a pipeline or a search: each run counts, and one too many begins nothing."""

from datetime import timedelta

import pytest

import slipway as sw
from slipway.backends.clocks import SimulatedClock
from slipway.errors import OverQuota, StepFailed
from slipway.flows.limits import declare_limits
from slipway.ledger import entries, run_log
from slipway.ledger.limits import used
from slipway.pipelines import engine
from slipway.pipelines.searched import Search
from slipway.ports.workspace import Workspace
from slipway.records.limits import Quota, Retention
from slipway.records.runs import Run

GIVEN = {"is_bad": True}


@sw.step
def square(x: int) -> int:
    return -x * x


@sw.step
def made(is_bad: bool) -> int:
    if is_bad and GIVEN["is_bad"]:
        raise ValueError("bad")
    return 1


@sw.pipeline
def small(is_bad: bool = False) -> int:
    return made(is_bad)


@sw.pipeline
def searching(trials: int = 6) -> int:
    return tried(trials).best.params["x"]


def tried(trials: int, parallel: int = 1) -> Search:
    return sw.search(square, {"x": list(range(trials))}, "loss", trials, parallel, direction="maximize", sampler="grid")


def runs(workspace: Workspace) -> list[Run]:
    with workspace.ledger.read() as tx:
        return entries.find(tx, Run, project=workspace.project, limit=1000)


def counted(workspace: Workspace) -> int:
    with workspace.ledger.read() as tx:
        return used(tx, workspace, "runs_a_day")


def test_runs_of_pipelines_count_and_one_too_many_is_refused(workspace: Workspace, clock: SimulatedClock) -> None:
    declare_limits(workspace, Retention(), Quota(runs_a_day=2))
    for _ in range(2):
        engine.run(workspace, small)
    with pytest.raises(OverQuota, match=r"\[quota\] runs_a_day = 2"):
        engine.run(workspace, small)
    assert len(runs(workspace)) == 2
    clock.advance_to(clock.now() + timedelta(days=1, minutes=1))
    engine.run(workspace, small)


def test_a_pipeline_is_refused_beside_as_many_as_may_run_and_does_not_count_itself(workspace: Workspace) -> None:
    declare_limits(workspace, Retention(), Quota(pipelines=1))
    engine.run(workspace, small)
    beside = run_log.start(workspace, pipeline="other")
    with pytest.raises(OverQuota, match=r"\[quota\] pipelines = 1"):
        engine.run(workspace, small)
    assert len(runs(workspace)) == 2
    beside.finish()
    engine.run(workspace, small)


def test_a_run_that_is_resumed_is_no_new_one(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    declare_limits(workspace, Retention(), Quota(runs_a_day=1))
    with pytest.raises(StepFailed):
        engine.run(workspace, small, {"is_bad": True})
    monkeypatch.setitem(GIVEN, "is_bad", False)
    engine.run(workspace, small, resume="last")
    assert (len(runs(workspace)), counted(workspace)) == (2, 1)
    with pytest.raises(OverQuota):
        engine.run(workspace, small)


@pytest.mark.parametrize("parallel", [1, 3])
def test_a_search_ends_with_its_quota_and_goes_on_another_day(
    workspace: Workspace, clock: SimulatedClock, parallel: int
) -> None:
    declare_limits(workspace, Retention(), Quota(runs_a_day=5))
    with pytest.raises(OverQuota, match=r"after 4 trials: .* runs_a_day = 5.* kept") as ended:
        tried(10, parallel)
    assert "run the same search again" in ended.value.fix
    kept = runs(workspace)
    assert sorted(run.state for run in kept) == ["failed", *["finished"] * 4]
    assert next(run.error for run in kept if run.error).type == "OverQuota"  # type: ignore[union-attr]
    with pytest.raises(OverQuota):
        tried(10, parallel)
    assert len(runs(workspace)) == 5
    clock.advance_to(clock.now() + timedelta(days=1, minutes=1))
    with pytest.raises(OverQuota, match="after 8 trials"):  # the four that are stored count no more
        tried(10, parallel)
    clock.advance_to(clock.now() + timedelta(days=1, minutes=1))
    found = tried(10, parallel)
    assert sorted(trial.params["x"] for trial in found.trials) == list(range(10))
    assert [trial.is_cached for trial in found.trials] == [True] * 8 + [False] * 2
    assert counted(workspace) == 3


def test_a_search_of_a_grid_that_fills_its_quota_is_not_refused(workspace: Workspace) -> None:
    declare_limits(workspace, Retention(), Quota(runs_a_day=5))
    assert len(sw.search(square, {"x": [1, 2, 3, 4]}, "loss", direction="maximize", sampler="grid").trials) == 4


def test_a_pipeline_whose_search_is_refused_fails_with_the_sentence(
    workspace: Workspace, clock: SimulatedClock
) -> None:
    declare_limits(workspace, Retention(), Quota(runs_a_day=5, pipelines=1))
    with pytest.raises(OverQuota, match="after 3 trials"):
        engine.run(workspace, searching)
    assert {run.state for run in runs(workspace) if run.pipeline} == {"failed"}
    clock.advance_to(clock.now() + timedelta(days=1, minutes=1))
    assert engine.run(workspace, searching, resume="last").value == 0
