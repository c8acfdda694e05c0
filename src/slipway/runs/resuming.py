"""Going on with a run that was killed, failed or ended."""

from __future__ import annotations

import msgspec

from slipway.errors import NotFound
from slipway.ledger import run_log
from slipway.ledger.run_log import RunLog
from slipway.ledger.search_language import as_value
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run
from slipway.runs import search
from slipway.runs.recovery import take_in

__all__ = ["resumed"]


def resumed(workspace: Workspace, name: str, which: str | bool) -> RunLog | None:
    """The run to go on with, opened; None where there is none of this name that did not finish.

    Args:
        workspace: Where it is recorded.
        name: The name of the run, for `which=True`.
        which: Its id, or True for the newest one of the name.

    Raises:
        NotFound: There is no run of this id.
        Conflict: It is still running.
        Unavailable: The server that keeps it does not answer.
    """
    take_in(workspace)  # what the killed process left belongs to what it is gone on with
    if isinstance(which, str):
        found = _run(workspace, which)
        if found.project != workspace.project:
            raise NotFound(f"There is no run {which!r} in {workspace.project!r}.", fix="See `slipway runs list`.")
        return run_log.resume(workspace, found)
    newest = _newest(workspace, name)
    if newest is None or newest.state == "finished":
        return None
    return run_log.resume(workspace, newest)


def _run(workspace: Workspace, id: str) -> Run:
    if workspace.run_server is None:
        return search.get_run(workspace, id)
    return msgspec.convert(workspace.run_server.perform("runs.get", {"id": id})["run"], Run, strict=False)


def _newest(workspace: Workspace, name: str) -> Run | None:
    if workspace.run_server is None:
        found = search.list_runs(workspace, name=name, limit=1)
        return _run(workspace, found[0].id) if found else None
    asked = {"where": f"name = {as_value(name)}", "limit": 1}
    rows = workspace.run_server.perform("runs.search", asked)["runs"]
    return _run(workspace, rows[0]["run"]["id"]) if rows else None
