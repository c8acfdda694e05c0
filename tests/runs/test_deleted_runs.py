"""A run that is deleted while it is logged to: nothing of it is lost, and the training never fails by it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slipway.backends.local_blobs import LocalBlobs
from slipway.errors import Conflict, InvalidInput
from slipway.ledger import projects, run_log
from slipway.operations.declare import Empty
from slipway.operations.runs import SyncRun, Upload
from slipway.ports.workspace import Workspace
from slipway.runs import outside, receiving, recovery, resuming, search, tracking


class Server:
    """Does at the store what a client sends, without the wire."""

    url = "http://there"

    def __init__(self, store: Workspace) -> None:
        self.store = store

    def perform(self, name: str, fields: dict[str, Any]) -> dict[str, Any]:
        done: Any = {}
        if name == "projects.list":
            done = projects.list_projects(self.store, Empty())
        if name == "runs.sync":
            done = receiving.sync_run(self.store, SyncRun(**fields))
        if name == "runs.upload":
            done = receiving.upload(self.store, Upload(**fields))
        found: dict[str, Any] = msgspec.to_builtins(done)
        return found

    def close(self) -> None:
        pass


@pytest.fixture(params=["local", "over HTTP"])
def here(request: pytest.FixtureRequest, workspace: Workspace, tmp_path: Path) -> Workspace:
    """Where the training runs: at the store, or elsewhere."""
    if request.param == "local":
        return workspace
    outbox = tmp_path / "outbox"
    return replace(workspace, root=outbox, blobs=LocalBlobs(outbox / "blobs"), run_server=Server(workspace))


def delete(store: Workspace, id: str, deleted: bool = True) -> None:
    with store.ledger.write() as tx:
        outside.set_deleted(tx, store, id, deleted=deleted)


def test_what_is_logged_to_a_deleted_run_is_there_when_it_is_restored(here: Workspace, workspace: Workspace) -> None:
    with tracking.start(here, "kept", system_metrics=False) as run:
        run.watch("loss")
        run.log_metric("loss", 1.0, 0)
        run.flush()
        delete(workspace, run.id)
        run.log_metric("loss", 0.5, 1)
        run.log_text("note.md", "late")
        run.set_tag("team", "operations")
        run.flush()
        assert search.get_run(workspace, run.id).deleted_at is not None, "logging does not restore it"
        run.log_metric("loss", float("nan"), 2)
    stored = search.get_run(workspace, run.id)
    assert (stored.deleted_at is not None, stored.state) == (True, "finished")
    with workspace.ledger.write() as tx, pytest.raises(InvalidInput, match="deleted"):
        outside.log(tx, workspace, run.id, tags={"a": "b"})
    with pytest.raises(Conflict, match="was deleted"):
        resuming.resumed(workspace, "kept", run.id)
    delete(workspace, run.id, deleted=False)
    assert [point.step for point in search.history(workspace, run.id, "loss")] == [0, 1, 2]
    stored = search.get_run(workspace, run.id)
    assert ([one.name for one in stored.artifacts], stored.tags["team"]) == (["note.md"], "operations")
    assert [one.kind for one in stored.findings] == ["not finite"]


def purge(store: Workspace, id: str) -> None:
    with store.ledger.write() as tx:
        assert tx.remove("run", id)


def test_a_run_that_is_deleted_for_good_keeps_nothing_more(
    here: Workspace, workspace: Workspace, said: list[str]
) -> None:
    with tracking.start(here, system_metrics=False) as run:
        run.flush()
        purge(workspace, run.id)
        run.log_metric("loss", 1.0)
        run.flush()
        run.log_metric("loss", 2.0, 1)
        run.log_text("note.md", "late")
        run.flush()
    assert search.list_runs(workspace) == []
    assert sum("deleted for good" in line for line in said) == 1
    assert not list((here.root / "run-logs").iterdir())


def test_what_a_process_left_of_it_goes(
    here: Workspace, workspace: Workspace, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_log._flusher, "notice", lambda run: None)
    log = run_log.start(here)
    log.write()
    log.log_metric("loss", 1.0)
    purge(workspace, log.id)
    del log
    assert recovery.take_in(here) == 0
    assert any("deleted for good" in line for line in said)
    assert not list((here.root / "run-logs").iterdir())
