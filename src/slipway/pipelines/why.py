"""`slipway why STEP`: what a step did in a run and why, in words."""

from __future__ import annotations

from slipway.errors import NotFound, near
from slipway.ledger import entries
from slipway.pipelines.reasons import steps_of
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run, StepRun

__all__ = ["explain"]

_SHOWN = 10


def explain(workspace: Workspace, step: str, run_id: str | None = None) -> str:
    """Say what a step did in a run, and why.

    Args:
        workspace: Where runs are recorded.
        step: The step's name.
        run_id: The run, None for the latest one in which the step was called.

    Returns:
        One line a call, at most ten of them.

    Raises:
        NotFound: No such run, or the step was not called in it.
    """
    with workspace.ledger.read() as tx:
        if run_id is None:
            latest = entries.find(tx, StepRun, project=workspace.project, name=step, limit=1)
            if not latest:
                known = {one.name for one in entries.find(tx, StepRun, project=workspace.project, limit=1000)}
                raise NotFound(f"No step {step!r} was ever run here.", fix=near(step, known, what="steps"))
            run_id = latest[0].parent_id
        run = entries.get(tx, Run, run_id)
        all_steps = steps_of(tx, run_id)
    calls = [one for one in all_steps if one.name == step]
    if not calls:
        known = {one.name for one in all_steps}
        raise NotFound(
            f"The run {run_id} did not call a step {step!r}.", fix=near(step, known, what="steps of the run")
        )
    head = f"{step} in run {run.id[:12]} of {run.pipeline} ({run.started_at:%Y-%m-%d %H:%M} UTC)"
    if len(calls) == 1:
        return f"{head} {_told(calls[0])}"
    lines = [f"{head} was called {len(calls)} times:"]
    lines += [f"{number}. It {_told(call)}" for number, call in enumerate(calls[:_SHOWN], 1)]
    if len(calls) > _SHOWN:
        lines.append(f"... and {len(calls) - _SHOWN} more.")
    return "\n".join(lines)


def _told(call: StepRun) -> str:
    tried = "".join(f"\n   Attempt {number} failed: {one.told}" for number, one in enumerate(call.attempts, 1))
    if call.state == "cached":
        return f"was not computed: {call.reason}."
    if call.state == "waiting":
        return "waits for its arguments, or for room to run."
    if call.state == "cancelled":
        return f"was not computed: {call.reason}."
    if call.state == "running":
        return f"is running, because: {call.reason}.{tried}"
    if call.state == "failed":
        error = "" if call.error is None else f" {call.error.told}"
        return f"ran ({call.reason}) and failed after {call.seconds:.1f} s:{error}{tried}"
    return f"ran for {call.seconds:.1f} s, because: {call.reason}.{tried}"
