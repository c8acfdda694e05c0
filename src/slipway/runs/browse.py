"""The bodies of the operations on runs."""

from typing import cast, get_args

from slipway.errors import InvalidInput, NotFound, near
from slipway.operations.runs import GetRun, ListRuns, RunDetail, RunRow, Runs
from slipway.ports.workspace import Workspace
from slipway.records.runs import RunState
from slipway.runs import search

__all__ = ["get_run", "list_runs"]

_AT_MOST = 1000


def list_runs(workspace: Workspace, request: ListRuns) -> Runs:
    """A page of runs, newest first, each with the latest point of its overall metrics.

    Raises:
        InvalidInput: There is no such state, or the limit is not between 1 and 1,000.
    """
    states = get_args(RunState)
    if request.state and request.state not in states:
        raise InvalidInput(
            f"{request.state!r} is no state of a run.", fix=near(request.state, states, what="states"), field="state"
        )
    if not 1 <= request.limit <= _AT_MOST:
        raise InvalidInput(
            f"A page of {request.limit} runs cannot be had.", fix=f"Ask for 1 to {_AT_MOST:,}.", field="limit"
        )
    found = search.list_runs(
        workspace,
        state=cast("RunState", request.state) if request.state else None,
        pipeline=request.pipeline or None,
        limit=request.limit,
    )
    with workspace.ledger.read() as tx:
        points = tx.latest_points([run.id for run in found])
    rows = [
        RunRow(run=run, metrics={point.key: point.value for point in points[run.id] if _is_overall(point.key)})
        for run in found
    ]
    return Runs(runs=tuple(rows))


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
    return RunDetail(run=run, steps=tuple(search.steps(workspace, run.id)), metrics=tuple(points))
