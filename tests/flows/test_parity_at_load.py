"""A challenger whose own answers are others once an endpoint has loaded it: stopped at once, without statistics."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import slipway as sw
from slipway.client.endpoint import EndpointClient
from slipway.errors import BackendError
from slipway.flows import rollouts
from slipway.flows.deploy import deploy
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.log_model import log_model
from slipway.flows.release import declare_endpoint
from slipway.hosts.project import open_workspace
from slipway.ledger import entries
from slipway.ledger.projects import register
from slipway.operations.endpoints import Deploy
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.rollouts import Rollout
from slipway.runs import tracking
from slipway.serving.swap import REVISION_FILE, read_revision

pytestmark = pytest.mark.full

NAME, ELSEWHERE = "moody", "SLIPWAY_TEST_ELSEWHERE"


class Moody:
    """Answers otherwise where a variable is set: as a library of another version would."""

    def __init__(self, shift: float) -> None:
        self.shift = shift
        self.classes_ = np.array([0, 1])

    def predict_proba(self, rows: Any) -> Any:
        given = np.asarray(rows, dtype=np.float64)
        likely = 1 / (1 + np.exp(-given[:, 0]))
        if os.environ.get(ELSEWHERE):
            likely = likely * (1 - self.shift)
        return np.column_stack([1 - likely, likely])


def logged(workspace: Workspace, shift: float) -> int:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["x0", "x1"])
    with tracking.start(workspace, f"shift {shift}", system_metrics=False) as run:
        version = log_model(
            workspace, run.record, Moody(shift), sample=frame, name=NAME, task="classification",
            trust=[f"{Moody.__module__}.Moody"],
        )  # fmt: skip
    return version.number


def test_it_is_stopped_at_load_and_the_champion_is_undisturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    workspace = open_workspace(tmp_path / "store", project=NAME)
    register(workspace)
    sound, moody, fine = logged(workspace, 0.0), logged(workspace, 0.2), logged(workspace, -0.0)
    declare_endpoint(workspace, sw.Endpoint(NAME, rollout=[sw.Shadow(), sw.Canary(steps=(50, 100))]))
    try:
        monkeypatch.setenv(ELSEWHERE, "yes")  # what the endpoint is started with, and where it is judged is not
        status = deploy(workspace, Deploy(model=NAME, version=str(sound))).status
        monkeypatch.delenv(ELSEWHERE)
        assert status is not None
        with EndpointClient(status.url, NAME) as client:
            before = client.predict([{"x0": 0.5, "x1": 0.0}])["predictions"][0]
            with pytest.raises(BackendError, match=rf"moody {moody} cannot be rolled out.*the champion serves on"):
                deploy(workspace, Deploy(model=NAME, version=str(moody)))
            after = client.predict([{"x0": 0.5, "x1": 0.0}])["predictions"][0]
        assert (after["score"], after["version"]) == (before["score"], sound)
        now = workspace.launcher.status(folder_of(workspace, NAME))
        assert now is not None
        assert (now.pid, now.restarts, now.state) == (status.pid, 0, "ready")
        (rollout,) = _rollouts(workspace)
        assert (rollout.state, rollout.looks) == ("stopped", ()), "no statistics are needed for it"
        assert rollout.reason.startswith("It does not start: ")
        assert "The loaded model answers 0.425" in rollout.reason
        assert "for training row 0; the trained model answered 0.531" in rollout.reason
        newest = revision_of(workspace, NAME)
        assert (newest.served.number, newest.challenger) == (sound, None)
        assert read_revision(folder_of(workspace, NAME) / REVISION_FILE, workspace.signer) == newest
        assert [one.number for one in _revisions(workspace) if one.challenger is not None] == [2]
        deploy(workspace, Deploy(model=NAME, version=str(fine)))
        assert rollouts.under_way(workspace, NAME) is not None, "the next one is free to go"
    finally:
        workspace.launcher.stop(folder_of(workspace, NAME))
        workspace.ledger.close()


def _rollouts(workspace: Workspace) -> list[Rollout]:
    with workspace.ledger.read() as tx:
        return list(entries.find(tx, Rollout, project=workspace.project, name=NAME, limit=10))


def _revisions(workspace: Workspace) -> list[Revision]:
    with workspace.ledger.read() as tx:
        return list(entries.find(tx, Revision, project=workspace.project, name=NAME, limit=10))
