"""Two lines after a fit."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from slipway.errors import InvalidInput, NotFound
from slipway.hosts import session
from slipway.hosts.project import open_project
from slipway.models import registry
from slipway.models.model import Model
from slipway.ports.workspace import Workspace, current_workspace
from slipway.records.models import ModelVersion

X = pd.DataFrame({"age": np.arange(60), "spent": np.linspace(0, 9, 60)})
Y = (X["age"] % 3 == 0).to_numpy()


@pytest.fixture
def estimator() -> LogisticRegression:
    return LogisticRegression().fit(X, Y)


def test_a_model_takes_the_runs_name(workspace: Workspace, estimator: Any) -> None:
    with session.run("Spring baseline #2") as run:
        version: ModelVersion = run.log_model(estimator, sample=X)
        second = run.log_model(estimator, sample=X, name="other")
    assert (version.name, version.number, version.run_id) == ("spring-baseline-2", 1, run.id)
    assert second.name == "other"
    assert registry.names(workspace) == ["other", "spring-baseline-2"]


def test_a_run_without_a_name_gives_the_models_name_by_its_script(
    workspace: Workspace, estimator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["work/First_Try.py"])
    with session.run() as run:
        assert run.log_model(estimator, sample=X).name == "first_try"


def test_a_run_whose_name_has_no_letters_asks_for_one(workspace: Workspace, estimator: Any) -> None:
    with session.run("###") as run, pytest.raises(InvalidInput, match="name"):
        run.log_model(estimator, sample=X)
    with session.run("###") as run:
        assert run.log_model(estimator, sample=X, name="fine").number == 1


def test_what_packaging_takes_may_be_given(workspace: Workspace) -> None:
    with session.run("amounts") as run:
        version = run.log_model(LinearRegression().fit(X, X["spent"]), sample=X, task="regression")
    assert registry.bundle_of(workspace, version).task == "regression"


def test_a_model_may_be_given_ready(workspace: Workspace, estimator: Any) -> None:
    with session.run("ready") as run:
        assert run.log_model(Model(estimator, sample=X), sample=None).name == "ready"


def test_what_cannot_serve_is_refused_and_the_run_goes_on(workspace: Workspace) -> None:
    with session.run("strange") as run:
        with pytest.raises(InvalidInput):
            run.log_model(object(), sample=X)
        run.log_param("depth", 3)
    assert registry.names(workspace) == []
    assert run.record.state == "finished"


def test_a_folder_without_settings_becomes_a_project_of_its_name(
    tmp_path: Path, estimator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "My Analysis"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with session.run("baseline") as run:
        run.log_model(estimator, sample=X)
    assert current_workspace.get() is None
    with open_project(folder) as project:
        assert project.name == "my-analysis"
        assert registry.get(project.workspace, "baseline").run_id == run.id
        with pytest.raises(NotFound, match=r"has no slipway\.toml"):
            project.module()
    assert sorted(path.name for path in folder.iterdir()) == [".slipway"]
