"""`slipway runs logs`: what steps printed, once or as it comes."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator

import click

from slipway.cli.door import Door
from slipway.cli.layout import count, print_json
from slipway.errors import NotFound, near
from slipway.operations.runs import RunDetail, StepLog

__all__ = ["show_logs"]

_EVERY_S = 0.5
_OPEN = ("waiting", "running")


def show_logs(door: Door, run_id: str, step: str | None, number: int | None, *, follow: bool) -> None:
    """Print the logs of a run's steps.

    Args:
        door: The way to the project.
        run_id: The run's id or the beginning of it, or "last" for the newest of a pipeline.
        step: The step's name, None for all.
        number: Which of its calls, None for all.
        follow: Whether to go on until the run has ended.

    Raises:
        NotFound: There is no such run, step or call.
    """
    places: dict[tuple[str, int], int] = {}
    told: tuple[str, int] | None = None
    seen = False
    while True:
        detail: RunDetail = door.call("runs.get", id=run_id)
        run_id = detail.run.id
        for name, call in _calls(detail, step, number):
            found: StepLog = door.call(
                "runs.step_log", id=detail.run.id, step=name, number=call, after=places.get((name, call), 0)
            )
            places[name, call] = found.next
            if not found.text:
                continue
            seen = True
            if door.as_json:
                print_json(found) if not follow else click.echo(json.dumps({"step": name, "text": found.text}))
                continue
            if step is None and told != (name, call):
                click.echo(f"--- {name}{f' ({call})' if found.calls > 1 else ''} ---")
                told = name, call
            click.echo(found.text, nl=not found.text.endswith("\n") and not follow)
        if not follow or detail.run.state != "running":
            break
        time.sleep(_EVERY_S)
    if not seen and not door.as_json:
        what = f"The step {step!r}" if step else count(len(detail.steps), "step")
        click.echo(f"{what} of the run {detail.run.id} printed nothing.")


def _calls(detail: RunDetail, step: str | None, number: int | None) -> Iterator[tuple[str, int]]:
    """The calls to look at: of one step or all, in the order of the calls."""
    calls: Counter[str] = Counter()
    found = []
    for one in detail.steps:
        calls[one.name] += 1
        if one.state in _OPEN or one.output is not None or step is not None:
            found.append((one.name, calls[one.name]))
    if step is None:
        yield from found
        return
    if step not in calls and detail.run.state != "running":
        raise NotFound(
            f"The run {detail.run.id} did not call a step {step!r}.", fix=near(step, calls, what="steps of the run")
        )
    own = [one for one in found if one[0] == step]
    if number is not None and own and number > len(own):
        raise NotFound(
            f"The run {detail.run.id} called the step {step!r} {len(own)} times, and call {number} was asked for.",
            fix=f"Give 1 to {len(own)}.",
        )
    yield from own if number is None else own[number - 1 : number]
