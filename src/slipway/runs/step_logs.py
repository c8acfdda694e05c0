"""What steps printed and logged, looked at afterwards or while they run."""

from slipway.errors import InvalidInput, NotFound, near
from slipway.ledger.step_output import gathered, output_folder, part_after
from slipway.operations.runs import GetStepLog, StepLog
from slipway.ports.workspace import Workspace
from slipway.records.runs import StepRun
from slipway.runs import search
from slipway.runs.browse import own_run

__all__ = ["get_step_log"]


def get_step_log(workspace: Workspace, request: GetStepLog) -> StepLog:
    """What one call of a step printed.

    Raises:
        NotFound: There is no such run, step or call.
        InvalidInput: The place is negative.
        Corrupt: The stored bytes are damaged.
    """
    if request.after < 0:
        raise InvalidInput(f"after is {request.after}.", fix="Give `next` of an earlier answer, or 0.", field="after")
    run = own_run(workspace, request.id)
    steps = search.steps(workspace, run.id)
    calls = [step for step in steps if step.name == request.step]
    if not calls:
        known = {step.name for step in steps}
        raise NotFound(
            f"The run {run.id} did not call a step {request.step!r}.", fix=near(request.step, known, what="steps")
        )
    number = request.number or len(calls)
    if not 1 <= number <= len(calls):
        raise NotFound(
            f"The run {run.id} has no call {number} of the step {request.step!r}.",
            fix=f"It was called {len(calls)} times: give 1 to {len(calls)}.",
        )
    kept = _kept(workspace, calls[number - 1])
    text, end = part_after(kept, request.after)
    return StepLog(
        run_id=run.id,
        step=request.step,
        number=number,
        calls=len(calls),
        state=calls[number - 1].state,
        text=text,
        next=max(end, request.after),
        left_out=kept[2],
    )


def _kept(workspace: Workspace, step: StepRun) -> tuple[bytes, int, int]:
    output = step.output
    if output is None:
        return gathered(output_folder(workspace, step.id))
    return workspace.blobs.get(output.digest), output.head_bytes, output.left_out
