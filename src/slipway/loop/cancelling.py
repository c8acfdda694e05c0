"""Cancel: a run that this store's server started is ended before its end, and its record says by whom and why."""

from __future__ import annotations

from pathlib import Path

from slipway.errors import Conflict
from slipway.ledger import events
from slipway.ledger.run_tags import STARTED
from slipway.loop import firings
from slipway.operations.pipelines import Cancelled, CancelRun
from slipway.pipelines import staging
from slipway.ports.runner import CANCELLED_FILE, LOCK_FILE, TASK_FILE
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run
from slipway.records.tasks import PipelineAnswer, PipelineTask
from slipway.runs.browse import own_run
from slipway.runs.recovery import recover
from slipway.whole_files import write_whole

__all__ = ["cancel"]


def cancel(workspace: Workspace, request: CancelRun) -> Cancelled:
    """End a run: its process is asked to, and after ten seconds made to. What its steps finished stays stored.

    Raises:
        NotFound: There is no such run.
        Conflict: It has ended, or this server did not start it.
        BackendError: Its process does not end.
    """
    run = own_run(workspace, request.id)
    if run.state != "running":
        raise Conflict(f"The run {run.id} is {run.state}: there is nothing to end.", fix="Look at its page.")
    folder = _task_of(workspace, run)
    task = staging.read_task(folder)
    if not task.firing and STARTED not in task.tags:
        raise Conflict(
            f"The run {run.id} was not started by a person or a schedule.",
            why="What made it would make it again.",
            fix="End what made it: a retraining on the page of its endpoint, a reproduction in its terminal.",
        )
    told = f"{workspace.actor.name} cancelled it{_because(request.reason)}"
    with workspace.ledger.write() as tx:
        events.record(tx, workspace, "pipelines.cancel", f"run:{run.id}", reason=request.reason.strip())
    write_whole(folder / CANCELLED_FILE, told.encode())
    if task.firing:  # first, so that nobody goes on with it
        answer = PipelineAnswer(state="failed", run_id=run.id)
        firings.end(workspace, task.firing, answer, why=told, is_cancelled=True)
    workspace.runner.stop(folder)
    recover(workspace)
    now = own_run(workspace, run.id)
    return Cancelled(run_id=now.id, state=now.state)


def _because(reason: str) -> str:
    plain = reason.strip()
    return f": {plain}" if plain else "."


def _task_of(workspace: Workspace, run: Run) -> Path:
    """The folder of the task whose process is the run's."""
    pid = run.host.partition("@")[0].partition(".")[0]
    for lock in (workspace.root.resolve() / "tasks").glob(f"*/{LOCK_FILE}"):
        folder = lock.parent
        is_its = lock.read_text().strip() == pid and (folder / TASK_FILE).exists()
        if is_its and workspace.runner.state(folder) == "running" and _is_of(staging.read_task(folder), run):
            return folder
    raise Conflict(
        f"The run {run.id} runs in the process {run.host or 'of nobody here'}, which this server did not start.",
        fix="End it where it was started: Ctrl-C in its terminal.",
    )


def _is_of(task: PipelineTask, run: Run) -> bool:
    return task.project == run.project and task.pipeline == run.pipeline
