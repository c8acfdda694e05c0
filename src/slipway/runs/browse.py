"""The bodies of the operations on runs."""

from slipway.errors import NotFound
from slipway.ledger import search as ledger_search
from slipway.ledger.retention import goes_at, keep_days
from slipway.operations.runs import GetRun, RunDetail, RunRow, Runs
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run
from slipway.records.search import Search
from slipway.runs import search

__all__ = ["get_run", "search_runs"]


def search_runs(workspace: Workspace, request: Search) -> Runs:
    """A page of runs, each with the latest point of its overall metrics.

    Raises:
        InvalidInput: The search cannot be read, or the limit is not between 1 and 1,000.
    """
    with workspace.ledger.read() as tx:
        found = ledger_search.asked(tx, Run, workspace, request)
        points = tx.latest_points([run.id for run in found.records])
    rows = [
        RunRow(run=run, metrics={point.key: point.value for point in points[run.id] if _is_overall(point.key)})
        for run in found.records
    ]
    return Runs(runs=tuple(rows), token=found.next_token)


def _is_overall(key: str) -> bool:
    return "[" not in key and not key.startswith("system/")


def get_run(workspace: Workspace, request: GetRun) -> RunDetail:
    """One run of the project with its steps in order and the latest point of every metric.

    Raises:
        NotFound: There is none with this id, or several begin so.
    """
    run = search.get_run(workspace, request.id)
    if run.project != workspace.project:
        raise NotFound(f"There is no run {request.id!r} in {workspace.project!r}.", fix="See `slipway runs list`.")
    with workspace.ledger.read() as tx:
        points = tx.latest_points([run.id])[run.id]
        goes = goes_at(run.deleted_at, keep_days(tx, workspace)) if run.deleted_at else None
    steps = tuple(search.steps(workspace, run.id))
    return RunDetail(run=run, steps=steps, metrics=tuple(points), goes_at=goes)
