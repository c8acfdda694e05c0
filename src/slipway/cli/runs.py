"""`slipway runs`: what was executed, with what, and what came of it."""

import json
from pathlib import Path
from typing import get_args

import click

from slipway.cli.door import Door, Way, opened, way_options
from slipway.cli.layout import columns, count, facts, figure, instant
from slipway.cli.searching import next_page, search_options
from slipway.hosts.remote_runs import open_remote
from slipway.hosts.settings import locate
from slipway.ledger.run_file import RunFile
from slipway.ledger.run_moving import files_of
from slipway.ledger.search_language import as_value
from slipway.operations.runs import RunDetail, RunRow, Runs
from slipway.ports.workspace import Workspace
from slipway.records.reproductions import Reproduction
from slipway.records.runs import CONTEXT, MetricPoint, RunState, StepRun
from slipway.runs.recovery import take_in

__all__ = ["runs"]

_METRICS_SHOWN = 4
_MOST_COUNTED = 1000
_COMMAND = "slipway.command"


@click.group()
def runs() -> None:
    """List runs, search them, show one, or put several side by side."""


@runs.command("list")
@click.option("--state", type=click.Choice(get_args(RunState)), help="Only this state.")
@click.option("--pipeline", default="", help="Only this pipeline's.")
@click.option("--all", "is_all", is_flag=True, help="Also those inside of others: the trials of searches.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many at most.")
@opened
def list_(door: Door, state: str | None, pipeline: str, is_all: bool, limit: int) -> None:
    """List runs, newest first. Of a search the trials are counted: --all lists them too."""
    wanted = {"state": state or "", "pipeline": pipeline}
    asked = [f"{name} = {as_value(value)}" for name, value in wanted.items() if value]
    where = " and ".join(asked + ["parent is null"] * (not is_all))
    empty = (
        "No run fits."
        if asked
        else 'No run yet. Start one: slipway run PIPELINE, or `with sw.run("name")` in a script.'
    )
    door.show(door.call("runs.search", where=where, limit=limit), lambda answer: _list_text(answer, empty))


@runs.command()
@search_options
@opened
def search(door: Door, **asked: str | int) -> None:
    """Search runs by metrics, parameters, tags and attributes.

    For example "metrics.auc > 0.7 and params.depth in (4, 6)". The language is in docs/find.md.
    """
    door.show(door.call("runs.search", **asked), _list_text)


@runs.command()
@click.argument("run_id", metavar="RUN")
@opened
def show(door: Door, run_id: str) -> None:
    """Show one run; RUN is its id, the beginning of it, or `last`."""
    door.show(door.call("runs.get", id=run_id), _show_text)


@runs.command()
@click.argument("run_ids", metavar="RUN RUN...", nargs=-1, required=True)
@opened
def compare(door: Door, run_ids: tuple[str, ...]) -> None:
    """Put runs side by side: their parameters and metrics."""
    details = [door.call("runs.get", id=run_id) for run_id in run_ids]
    door.show(details, _compare_text)


@runs.command()
@click.argument("run_id", metavar="RUN")
@click.argument("step", required=False)
@click.option("--number", type=click.IntRange(1), help="Which call of STEP; all of them if missing.")
@click.option("--follow", "-f", is_flag=True, help="Go on while the run does.")
@opened
def logs(door: Door, run_id: str, step: str | None, number: int | None, follow: bool) -> None:
    """Show what the steps of RUN printed and logged, or those of STEP. RUN may be `last`."""
    from slipway.cli.step_logs import show_logs

    show_logs(door, run_id, step, number, follow=follow)


@runs.command("sync")
@way_options
def sync(way: Way) -> None:
    """Send what runs could not send yet, or take in what killed processes left."""
    home, settings = locate(way.folder or Path())
    server = "" if way.root is not None else settings.environment(way.environment).server
    opened = open_remote(home, settings, way.environment, say=_say, sends=False) if server else way.open()
    with opened as found:
        workspace = found if isinstance(found, Workspace) else found.workspace
        taken = take_in(workspace)
        waiting = len(RunFile.all_in(files_of(workspace)))
    if way.as_json:
        click.echo(json.dumps({"taken": taken, "waiting": waiting}))
    else:
        where = f"sent to {server}" if server else "taken in"
        click.echo(f"{count(taken, 'file')} of runs {where}; {waiting} waiting, or still written.")


def _say(line: str) -> None:
    click.echo(line, err=True)


def _list_text(answer: Runs, empty: str = "No run fits.") -> str:
    rows = []
    for row in answer.runs:
        shown = [f"{name} {figure(value)}" for name, value in sorted(row.metrics.items())[:_METRICS_SHOWN]]
        more = len(row.metrics) - len(shown)
        metrics = ", ".join(shown) + (f" and {more} more" if more else "")
        what = row.run.name or row.run.pipeline
        if row.trials or row.inside:
            what += f" (+{_inside(row)})"
        rows.append((row.run.id, what, row.run.state, instant(row.run.started_at), str(row.run.actor), metrics))
    return columns(
        ("run", "name", "state", "started (UTC)", "by", "metrics"),
        rows,
        empty=empty,
    ) + next_page(answer.token)


def _inside(row: RunRow) -> str:
    """How many runs are inside of one, in words: "20 trials"."""
    told = ((row.trials, "trial"), (row.inside, "run"))
    return ", ".join(count(number, word) + " or more" * (number == _MOST_COUNTED) for number, word in told if number)


def _show_text(answer: RunDetail) -> str:
    run = answer.run
    error = run.error
    parts = [
        facts(
            [
                ("run", run.id),
                ("name", run.name),
                ("pipeline", run.pipeline),
                ("state", run.state),
                ("started", instant(run.started_at)),
                ("ended", instant(run.ended_at)),
                ("in the trash", _trash_text(answer)),
                ("by", str(run.actor)),
                ("started from run", answer.started_from),
                ("rerun as", "\n".join(answer.reruns)),
                ("reproduced", "\n".join(map(_reproduced, answer.reproductions))),
                ("repeated run", answer.repeats.parent_id if answer.repeats else ""),
                ("commit", run.code.commit and f"{run.code.commit[:12]}{' with changes' if run.code.dirty else ''}"),
                ("parameters", "\n".join(f"{name} = {value}" for name, value in sorted(run.params.items()))),
                ("command", run.tags.get(_COMMAND, "")),
                (
                    "tags",
                    "\n".join(f"{name} = {value}" for name, value in sorted(run.tags.items()) if name != _COMMAND),
                ),
                ("environment", _environment_text(answer)),
                ("ended early", run.ended_early),
                ("workers", str(run.worker_time or "")),
                ("found", "\n".join(f"{one.kind}: {one.told}" for one in run.findings)),
                ("data", "\n".join(f"{one.name} ({one.tags.get(CONTEXT, 'used')})" for one in run.datasets)),
                ("read", "\n".join(run.inputs)),
                ("made", "\n".join(f"{made.name} ({made.format}, {made.digest[:12]})" for made in run.artifacts)),
            ]
        )
    ]
    if answer.steps:
        parts.append(_steps(answer.steps))
    if answer.metrics:
        parts.append(_metrics(answer.metrics))
    if error is not None:
        where = f" in step {error.step}" if error.step else ""
        parts.append(f"failed{where}: {error.told}\n{error.trace}".rstrip())
    return "\n\n".join(parts)


def _environment_text(answer: RunDetail) -> str:
    told = answer.run.environment
    if told is None:
        return ""
    packages = len(told.lock) if answer.lock is None else len(answer.lock.packages)
    lock = f", lock {told.imports[:12]}" if told.imports else ""
    return f"Python {told.python}, {count(packages, 'package')}, {told.platform}{lock}"


def _compare_text(details: list[RunDetail]) -> str:
    params = [{name: str(value) for name, value in one.run.params.items()} for one in details]
    measured = [{point.key: figure(point.value) for point in one.metrics if "[" not in point.key} for one in details]
    kinds = (("state", [{"": one.run.state} for one in details]), ("param", params), ("metric", measured))
    rows = [
        (f"{kind} {name}".rstrip(), *(one.get(name, "") for one in values))
        for kind, values in kinds
        for name in sorted(set().union(*values))
    ]
    return columns(("", *(one.run.name or one.run.pipeline or one.run.id[:12] for one in details)), rows, empty="")


def _reproduced(found: Reproduction) -> str:
    return f"{found.verdict}, {instant(found.created_at)}: {found.sentence}"


def _trash_text(answer: RunDetail) -> str:
    if answer.run.deleted_at is None:
        return ""
    goes = f"purged after {instant(answer.goes_at)}" if answer.goes_at else "kept until somebody purges it"
    return f"since {instant(answer.run.deleted_at)}, {goes}"


def _steps(steps: tuple[StepRun, ...]) -> str:
    rows = [(step.name, step.state, f"{step.seconds:.2f}", _why(step)) for step in steps]
    return f"{count(len(steps), 'step')}\n" + columns(("step", "state", "seconds", "why"), rows, empty="")


def _why(step: StepRun) -> str:
    tried = f"; {count(len(step.attempts), 'attempt')} failed before" if step.attempts else ""
    return step.reason + tried


def _metrics(points: tuple[MetricPoint, ...]) -> str:
    overall = [point for point in points if "[" not in point.key]
    rows = [(point.key, figure(point.value), str(point.step)) for point in overall]
    hidden = len(points) - len(overall)
    more = f"\nand {count(hidden, 'metric')} of slices: add --json" if hidden else ""
    return columns(("metric", "latest", "step"), rows, empty="") + more
