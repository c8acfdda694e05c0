"""Going on from an old run: only the named change, told in words; and a warm start from its model."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

import slipway as sw
from slipway.cli import main
from slipway.errors import Conflict, InvalidDeclaration, InvalidInput, NotFound, OverQuota, StepFailed
from slipway.flows.erase import erase
from slipway.flows.limits import declare_limits
from slipway.flows.reproduce import reproduce
from slipway.flows.rerun import rerun
from slipway.flows.run_changes import get_changes
from slipway.hosts.project import Project, open_project
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.erasures import Erase
from slipway.operations.runs import GetChanges, GetRun, Reproduce, Reran, Rerun
from slipway.pipelines import engine
from slipway.pipelines.declare import Pipeline
from slipway.records.limits import Quota, Retention
from slipway.records.reproductions import Reproduction
from slipway.records.runs import Run
from slipway.runs import search, tracking
from slipway.runs.browse import get_run
from slipway.tables import versions

PROJECT = """
import copy
from datetime import date

import numpy as np
import polars as pl
import slipway as sw
from slipway.ports.workspace import workspace
from slipway.tables import versions


@sw.step
def rows() -> pl.DataFrame:
    return versions.read(workspace(), "numbers").collect()


@sw.step
def total(frame: pl.DataFrame, more: float, day: date) -> float:
    return float(frame["n"].sum()) + more + day.day


@sw.pipeline
def add(more: float = 0.5, day: date = date(2013, 4, 1)) -> float:
    found = total(rows(), more, day)
    sw.active_run().log_metric("total", found)
    return found


@sw.step
def fit(frame: pl.DataFrame, rate: float, start: sw.Model | None) -> sw.Model:
    from sklearn.linear_model import SGDRegressor

    x, y = frame.select("n"), frame["n"].to_numpy() * 2.0
    estimator = SGDRegressor(random_state=0, eta0=rate) if start is None else copy.deepcopy(start.estimator)
    estimator.partial_fit(x.to_numpy(), y)
    return sw.Model(estimator, inputs=sw.inputs(x.with_columns(y=y), label="y"))


@sw.pipeline
def line(rate: float = 0.01) -> sw.Model:
    return fit(rows(), rate, sw.warm_start())


@sw.step
def boosted(frame: pl.DataFrame, trees: int, start: sw.Model | None) -> sw.Model:
    import lightgbm as lgb

    frame = pl.DataFrame({"n": [i % 13 for i in range(200)], "y": [float(i % 13 % 5) for i in range(200)]})
    inputs = sw.inputs(frame, label="y")
    known = None if start is None else start.estimator
    options = {"objective": "regression", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 1, "deterministic": True}
    data = lgb.Dataset(inputs.matrix, inputs.labels)
    return sw.Model(lgb.train(options, data, num_boost_round=trees, init_model=known), inputs=inputs)


@sw.pipeline
def trees(trees: int = 3) -> sw.Model:
    return boosted(rows(), trees, sw.warm_start())


@sw.step
def broken(more: float) -> float:
    return 1 / more


@sw.pipeline
def fails(more: float = 0.0) -> float:
    return broken(more)
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    folder = tmp_path / "sums"
    folder.mkdir()
    (folder / "slipway.toml").write_text('[project]\nname = "sums"\nmodule = "sums_once_more"\n')
    (folder / "sums_once_more.py").write_text(PROJECT)
    path = list(sys.path)
    with open_project(folder) as opened:
        versions.overwrite(opened.workspace, "numbers", pl.DataFrame({"n": [1, 2, 3]}), key=("n",))
        yield opened
    sys.path[:] = path
    sys.modules.pop("sums_once_more", None)


def ran(project: Project, name: str, params: dict[str, Any] | None = None, **more: Any) -> Run:
    pipeline = project.pick(Pipeline, name, "pipeline")
    return engine.run(project.workspace, pipeline, params, **{"snapshot": project.snapshot(), **more}).run


def again(project: Project, run: Run, **asked: Any) -> tuple[Run, Reran]:
    answer = rerun(project.workspace, Rerun(target=run.id, **asked))
    assert answer.run is not None
    return answer.run, answer


def test_only_the_named_change_is_made_and_told(project: Project) -> None:
    workspace = project.workspace
    first = ran(project, "add")
    versions.overwrite(workspace, "numbers", pl.DataFrame({"n": [100]}), key=("n",))
    child, told = again(project, first, params={"more": "2"})
    assert child.params == {**first.params, "more": 2.0}
    assert (child.inputs, child.code.snapshot) == (first.inputs, first.code.snapshot)
    changes = told.changes
    assert changes is not None
    assert (changes.params, changes.data, changes.code, changes.libraries) == (("more 0.5 -> 2.0",), (), (), ())
    assert [(one.key, one.before, one.after) for one in changes.metrics] == [("total", 7.5, 9.0)]
    assert (changes.cached, changes.steps) == (("rows",), 2)
    with workspace.ledger.read() as tx:
        links = {(link.target, link.role) for link in tx.links(f"run:{first.id}", towards=False)}
        verbs = [event.verb for event in tx.events(subject=f"run:{first.id}")]
    assert (f"run:{child.id}", "rerun") in links
    assert "runs.rerun" in verbs
    assert child.tags == {"slipway.reruns": first.id, "slipway.start": told.key}
    assert get_run(workspace, GetRun(id=first.id)).reruns == (child.id,)
    assert get_run(workspace, GetRun(id=child.id)).started_from == first.id
    assert get_changes(workspace, GetChanges(id=child.id)) == changes
    # The same key again finds the same rerun, and begins no other.
    same = rerun(workspace, Rerun(target=first.id, params={"more": "2"}, key=told.key))
    assert same == told
    with pytest.raises(Conflict, match="of another run"):
        rerun(workspace, Rerun(target=child.id, key=told.key))


def test_what_the_quota_refuses_leaves_nothing(project: Project) -> None:
    workspace = project.workspace
    first = ran(project, "add")
    declare_limits(workspace, Retention(), Quota(runs_a_day=1))
    with pytest.raises(OverQuota, match="runs_a_day = 1"):
        rerun(workspace, Rerun(target=first.id))
    with pytest.raises(OverQuota, match="runs_a_day = 1"):
        reproduce(workspace, Reproduce(target=first.id, environment="here"))
    assert not list((workspace.root / "tasks").glob("*"))
    with workspace.ledger.read() as tx:
        assert len(entries.find(tx, Run)) == 1
        assert entries.find(tx, Reproduction) == []


@pytest.mark.full
def test_the_latest_data_and_the_code_of_now(project: Project) -> None:
    workspace, first = project.workspace, ran(project, "add")
    versions.overwrite(workspace, "numbers", pl.DataFrame({"n": [100]}), key=("n",))
    child, told = again(project, first, data="latest")
    assert told.changes is not None
    assert told.changes.data == ("numbers: version 1 (3 rows) -> version 2 (1 rows)",)
    assert child.params == first.params
    module = project.folder / "sums_once_more.py"
    text = PROJECT.replace("+ day.day", "+ 10 * day.day").replace(
        "def add(more: float = 0.5, ", "def add(plus: int = 1, "
    )
    module.write_text(text.replace("total(rows(), more, day)", "total(rows(), plus, day)", 1))
    with open_project(project.folder) as changed:
        checkout = changed.snapshot()
    answer = rerun(workspace, Rerun(target=first.id, params={"plus": "3"}), checkout=checkout)
    assert answer.run is not None
    assert answer.changes is not None
    assert answer.changes.params == ("more 0.5 -> (none)", "plus (none) -> 3")
    assert answer.changes.code == ("function sums_once_more:total changed",)
    assert answer.changes.data == ()


@pytest.mark.full
def test_a_warm_start_goes_on_from_the_old_model(project: Project) -> None:
    workspace, first = project.workspace, ran(project, "line")
    assert "slipway.warm_start" not in first.tags
    cold, _ = again(project, first)
    warm, told = again(project, first, warm_start=True)
    assert told.changes is not None
    assert (told.model, told.version, told.is_new) == ("line", 2, True), "a rerun releases, as a run does"
    assert told.changes.start == f"from the model of run {first.id[:12]}"
    assert told.changes.cached == ("rows",)
    assert warm.tags["slipway.warm_start"] == first.id
    own = [next(one for one in run.artifacts if one.name == "result").fingerprint for run in (first, cold, warm)]
    assert own[0] == own[1] != own[2], "a warm start is part of the key"
    _, told = again(project, first, warm_start=True)
    assert told.changes is not None
    assert told.changes.cached == ("rows", "fit"), "the same model to start from is the same key"
    # What started warm goes on so, and is reproduced so.
    further, told = again(project, warm, params={"rate": 0.02})
    assert further.tags["slipway.warm_start"] == first.id
    assert told.changes is not None
    assert told.changes.start.endswith("as before")
    found = reproduce(workspace, Reproduce(target=warm.id)).reproduction
    assert found is not None
    assert found.verdict == "equal", found.sentence
    assert len(registry.versions(workspace, "line")) >= 2


@pytest.mark.full
def test_boosting_goes_on_with_more_trees(project: Project) -> None:
    first = ran(project, "trees")
    child, _ = again(project, first, warm_start=True, params={"trees": 2})
    models = [load(project, run) for run in (first, child)]
    assert [model.estimator.num_trees() for model in models] == [3, 5]


def load(project: Project, run: Run) -> sw.Model:
    from slipway.ledger import artifacts

    model: sw.Model = artifacts.load(project.workspace.blobs, [one for one in run.artifacts if one.name == "result"])
    return model


def test_a_warm_start_is_asked_for_in_the_pipeline(project: Project) -> None:
    assert sw.warm_start() is None

    @sw.step
    def inside() -> None:
        sw.warm_start()

    @sw.pipeline
    def asks() -> None:
        inside()

    with pytest.raises(StepFailed, match="was called inside a step") as refused:
        engine.run(project.workspace, asks)
    assert isinstance(refused.value.__cause__, InvalidDeclaration)


def test_what_cannot_be_gone_on_from_says_the_way(project: Project) -> None:
    workspace, first = project.workspace, ran(project, "add")
    with pytest.raises(InvalidInput, match="had no parameter 'mor'") as refused:
        rerun(workspace, Rerun(target=first.id, params={"mor": 1}))
    assert "more" in refused.value.fix
    with pytest.raises(InvalidInput, match="returned no model: its result is kept as json"):
        rerun(workspace, Rerun(target=first.id, warm_start=True))
    with pytest.raises(InvalidInput, match="has no project snapshot"):
        rerun(workspace, Rerun(target=ran(project, "add", snapshot="").id))
    with tracking.start(workspace, "by hand") as active:
        pass
    with pytest.raises(InvalidInput, match="is no pipeline's"):
        rerun(workspace, Rerun(target=active.record.id))
    with pytest.raises(NotFound):
        rerun(workspace, Rerun(target="0" * 32))
    with pytest.raises(InvalidInput, match="started from no other run"):
        get_changes(workspace, GetChanges(id=first.id))
    assert erase(workspace, Erase(table="numbers", key=("2",), reason="request 17")).left == 0
    with pytest.raises(NotFound, match="1 were erased"):
        rerun(workspace, Rerun(target=first.id))
    assert not list((workspace.root / "tasks").glob("*")), "nothing of it was begun"


@pytest.mark.full
def test_a_part_that_is_gone_and_a_value_that_does_not_fit(project: Project) -> None:
    workspace, first = project.workspace, ran(project, "add")
    with pytest.raises(InvalidInput, match="'lots' does not fit the parameter 'more'"):
        rerun(workspace, Rerun(target=first.id, params={"more": "lots"}))
    failed = failed_run(project)
    with pytest.raises(StepFailed, match="ZeroDivisionError"):
        rerun(workspace, Rerun(target=failed.id))
    mended, _ = again(project, failed, params={"more": "4"})
    assert mended.state == "finished", "a run that failed is gone on from too"
    (part,) = (workspace.root / "tables").rglob("*.parquet")
    part.unlink()
    with pytest.raises(Exception, match="Version 1 of the table 'numbers'"):
        rerun(workspace, Rerun(target=first.id))


def failed_run(project: Project) -> Run:
    with pytest.raises(StepFailed):
        ran(project, "fails")
    with project.workspace.ledger.read() as tx:
        return next(run for run in entries.find(tx, Run) if run.state == "failed")


@pytest.mark.full
def test_the_command(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.folder)
    first = ran(project, "add")
    answer = CliRunner().invoke(main, ["rerun", first.id[:12], "--set", "more=3", "--set", "day=2013-04-05"])
    assert answer.exit_code == 0, answer.output
    for line in (
        f"was started from run {first.id}.",
        "day 2013-04-01 -> 2013-04-05",
        "more 0.5 -> 3.0",
        "total 7.5 -> 14",
        "rows (1 of 2 steps)",
    ):
        assert line in answer.output
    (project.folder / "sums_once_more.py").write_text(PROJECT.replace("+ day.day", "- day.day"))
    now = CliRunner().invoke(main, ["rerun", first.id, "--code", "now", "--json"])
    assert now.exit_code == 0, now.output
    assert "sums_once_more:total changed" in json.loads(now.stdout)["changes"]["code"][0]
    wrong = CliRunner().invoke(main, ["rerun", first.id, "--set", "more"])
    assert wrong.exit_code == 2
    shown = CliRunner().invoke(main, ["runs", "show", first.id]).output
    assert "rerun as" in shown
    assert len(search.list_runs(project.workspace, pipeline="add")) == 3
