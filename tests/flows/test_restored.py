"""Endpoints of a store that was restored beside the live one: they are stopped until somebody starts them."""

from contextlib import closing
from pathlib import Path

from small_desk import FIRST, NAME, Desk

from slipway.cli.backup import _restored_text
from slipway.flows.deploy import deploy
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.health import process_word
from slipway.flows.publish import converge
from slipway.hosts.backup import back_up
from slipway.hosts.project import open_workspace
from slipway.hosts.restoring import restore
from slipway.operations.endpoints import Deploy


def test_a_restored_endpoint_answers_only_when_somebody_deploys_there(desk: Desk, tmp_path: Path) -> None:
    desk.approve(FIRST)
    live = desk.deploy(FIRST)
    back_up(desk.workspace, tmp_path / "backups")
    restored = restore(tmp_path / "backups", tmp_path / "new")
    assert restored.stopped == (f"{desk.workspace.project}/{NAME}",)
    assert f"Stopped in it until somebody deploys there or rolls back: {restored.stopped[0]}." in _restored_text(
        restored
    )
    copy = open_workspace(
        tmp_path / "new", project=desk.workspace.project, actor=desk.workspace.actor, clock=desk.workspace.clock
    )
    folder = folder_of(copy, NAME)
    with closing(copy.ledger):
        try:
            converge(copy, revision_of(copy, NAME))
            assert process_word(copy, folder) == (None, "stopped")
            assert desk.ask(live)["revision"] == 1
            again = deploy(copy, Deploy(model=NAME, version=str(FIRST)))
            assert again.status is not None
            assert process_word(copy, folder)[1] == "up"
            assert desk.ask(again)["version"] == FIRST
            assert again.status.pid != live.status.pid  # type: ignore[union-attr]
        finally:
            copy.launcher.stop(folder)
