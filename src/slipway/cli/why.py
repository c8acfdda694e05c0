"""`slipway why`: what a step's record says about why it ran, and what it would come to now."""

import click
from msgspec import Struct

from slipway.cli.door import Door, opened
from slipway.cli.layout import instant
from slipway.errors import NotFound, SlipwayError, near
from slipway.operations.runs import RunDetail
from slipway.records.runs import StepRun

__all__ = ["why"]

_RUNS_SEARCHED = 50


class _Found(Struct, frozen=True):
    run: str
    steps: tuple[StepRun, ...]
    now: str = ""


@click.command()
@click.argument("step")
@click.option("--run", "run_id", default="", help="The run to look at; the newest that has the step if missing.")
@opened
def why(door: Door, step: str, run_id: str) -> None:
    """Say why STEP ran, or why its stored result could be used; and what has changed since."""
    ids = [run_id] if run_id else [row.run.id for row in door.call("runs.search", limit=_RUNS_SEARCHED).runs]
    names: set[str] = set()
    for each in ids:
        detail: RunDetail = door.call("runs.get", id=each)
        calls = tuple(found for found in detail.steps if found.name == step)
        if calls:
            door.show(_Found(detail.run.id, calls, _now(door, detail, step)), _text)
            return
        names.update(found.name for found in detail.steps)
    where = f"the run {run_id}" if run_id else f"the newest {len(ids)} runs" if ids else "this project: nothing ran yet"
    raise NotFound(f"There is no step {step!r} in {where}.", fix=near(step, names, what="steps"))


def _now(door: Door, detail: RunDetail, step: str) -> str:
    """What the checkout's code would do; "" without a checkout."""
    if door.checkout is None:
        return ""
    from slipway.pipelines import pending

    try:
        door.checkout.module()
        return pending.now(door.workspace.blobs, detail.steps, step)
    except SlipwayError as problem:  # an edit that cannot be imported: what the run did can be told all the same
        return f"that cannot be told: {problem.what}"


def _text(answer: _Found) -> str:
    lines = [f"In run {answer.run}:", *(_line(step) for step in answer.steps)]
    if answer.now:
        lines.append(f"If it were called now: {answer.now.rstrip('.')}.")
    return "\n".join(lines)


def _line(step: StepRun) -> str:
    reason = step.reason or "no reason was recorded"
    if step.state == "cached":
        source = f"; its result was made by run {step.source_run_id}" if step.source_run_id else ""
        return f"  {step.name} did not have to run: {reason}{source}."
    if step.state == "cancelled":
        return f"  {step.name} did not run: {reason}."
    if step.state == "waiting":
        return f"  {step.name} waits for its arguments, or for room to run."
    tried = "".join(f"\n    attempt {number} failed: {one.told}" for number, one in enumerate(step.attempts, 1))
    return f"  {step.name} ran at {instant(step.created_at)} ({step.state}, {step.seconds:.2f} s): {reason}.{tried}"
