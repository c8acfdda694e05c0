"""`slipway run`: a pipeline of the project."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from slipway.cli.door import Door, Way, way_options
from slipway.cli.ended import ended_by_signals
from slipway.cli.exits import ENDINGS
from slipway.cli.progress import progress
from slipway.errors import InvalidInput, NotFound, SlipwayError, StepFailed

__all__ = ["params_of", "run", "texts_of"]


_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:<9} {words}" for code, words, _ in ENDINGS)


@click.command(epilog=_EPILOG)
@click.argument("pipeline", metavar="[PIPELINE | FILE.py]", required=False)
@click.option(
    "--set", "settings", metavar="NAME=VALUE", multiple=True, help="A parameter of the pipeline; say it once for each."
)
@click.option("--no-ingest", is_flag=True, help="Take the tables as they are stored, without reading their sources.")
@click.option(
    "--executor",
    metavar="NAME",
    help="Where its steps run, instead of where slipway.toml says: threads, processes, ray, ray://HOST:PORT.",
)
@click.option(
    "--resume", metavar="RUN", help="Go on with a run that broke off, with its parameters; `last` for the newest."
)
@click.option("--key", metavar="KEY", help="Run it once a key: the same key again gives the run that there is.")
@click.option("--isolated", is_flag=True, help="Make an environment from the project's lock, and run there.")
@way_options
def run(way: Way, isolated: bool, **given: Any) -> None:
    """Run PIPELINE: ingest the project's tables, then its steps; a model it returns is packaged and registered.

    The project's only pipeline needs no name. FILE.py runs that of a file, whose folder becomes a project where it is none.
    """
    from slipway.cli.isolated import again_isolated
    from slipway.pipelines import isolation

    isolation.hold()
    if (given["pipeline"] or "").endswith(".py"):
        from slipway.cli.from_file import project_of

        way = replace(way, folder=project_of((way.folder or Path()) / given["pipeline"]))
        given["pipeline"] = None
    if isolated:
        again_isolated(way)
    with way.open() as door:
        _run(door, **given)


def _run(
    door: Door,
    pipeline: str | None,
    settings: tuple[str, ...],
    no_ingest: bool,
    resume: str | None,
    key: str | None,
    executor: str | None,
) -> None:
    from slipway.flows.endpoint import Endpoint, fed_by

    project, workspace = door.project, _placed(door, executor)
    chosen = _pipeline(door, pipeline, resume)
    if resume and (settings or key):
        raise InvalidInput(
            f"--resume is given with {'--set' if settings else '--key'}.",
            why="A run goes on with the parameters that it began with.",
            fix="Leave it out, or run the pipeline anew.",
        )
    params = None if resume else params_of(chosen, settings)
    endpoint = fed_by(project.declared(Endpoint).values(), chosen)
    # With --json standard output is the answer's alone: what steps print goes beside it.
    beside = redirect_stdout(sys.stderr) if door.as_json else nullcontext()
    with (
        beside,
        ended_by_signals("Ended before it was done. Go on with: slipway run --resume last"),
        progress() as told,
    ):

        def go(begun: Any = None, going_on: str | None = resume) -> Any:
            from slipway.flows.release import run_pipeline

            if not no_ingest:
                _ingest(door)
            # What is trained again is trained from what was published.
            snapshot = project.snapshot() if endpoint is None else project.published()
            project.declare_settings()
            with _blamed(chosen):
                return run_pipeline(
                    workspace,
                    chosen,
                    params,
                    endpoint=endpoint,
                    snapshot=snapshot,
                    resume=going_on,
                    progress=told,
                    begun=begun,
                )

        done = go() if key is None else _once(door, chosen, key, params, go)
    _show(door, done, key)


@contextmanager
def _blamed(pipeline: Any) -> Iterator[None]:
    """What the pipeline's own code raises, outside of any step, is the user's to mend, as in a step."""
    try:
        yield
    except (SlipwayError, click.exceptions.Exit):
        raise
    except Exception as problem:
        from slipway.ledger.provenance import storable, user_trace

        frames = traceback.walk_tb(problem.__traceback__)
        if all(frame.f_code is not pipeline.function.__code__ for frame, _ in frames):
            raise
        raise StepFailed(
            f"The pipeline {pipeline.name!r} failed: {type(problem).__name__}: {storable(str(problem))}",
            step="",
            trace=storable(user_trace(problem)),
            fix="Mend it and run the pipeline again: the steps that had finished are found stored.",
        ) from problem


def _placed(door: Door, executor: str | None) -> Any:
    """The workspace, with the executor that was chosen for this run."""
    if executor is None:
        return door.workspace
    from slipway.hosts.executors import placement

    workers = door.project.settings.environment(door.workspace.environment).workers
    return replace(door.workspace, placement=placement(executor, workers))


def _once(door: Door, chosen: Any, key: str, params: dict[str, object] | None, go: Any) -> Any:
    from slipway.flows.keyed import run_once

    every = dict(chosen.arguments(**(params or {})).arguments)
    return run_once(door.workspace, chosen.name, key, every, go)


def _show(door: Door, done: Any, key: str | None) -> None:
    is_new = getattr(done, "is_new", True)
    if door.as_json:
        door.show({"run": done.run, "model": done.version, "key": key, "is_new": is_new}, str)
        return
    if is_new:
        click.echo(f"Run {done.run.id} finished.")
    else:
        click.echo(f"Run {done.run.id} has this key and finished before: nothing ran.")
        if done.version is not None:
            click.echo(f"Its model is {done.version.name} {done.version.number}, bundle {done.version.bundle[:12]}.")
    if is_new and done.run.worker_time is not None and done.run.worker_time.executor != "threads":
        click.echo(f"Workers: {done.run.worker_time}.")
    if done.version is not None:
        click.echo(f"Next: slipway deploy {done.version.name}")


def _pipeline(door: Door, name: str | None, resume: str | None) -> Any:
    from slipway.pipelines.declare import Pipeline

    if name is None:
        if resume is None:
            return _only(door)
        found = door.call("runs.get", id=resume).run
        if not found.pipeline:
            raise InvalidInput(
                f"The run {found.id} is of no pipeline.", fix="Resume a run that `slipway run` began: slipway runs list"
            )
        name = found.pipeline
    return door.project.pick(Pipeline, name, "pipeline")


def _only(door: Door) -> Any:
    """The project's only pipeline."""
    from slipway.pipelines.declare import Pipeline

    found = door.project.declared(Pipeline)
    if not found:
        raise NotFound(
            f"The project {door.name!r} declares no pipeline.",
            fix="Declare one under @sw.pipeline, or an endpoint by a function that trains: sw.endpoint_of(...)",
        )
    if len(found) > 1:
        raise InvalidInput(
            f"No pipeline is named, and there are {', '.join(map(repr, found))}.",
            fix=f"Name one: slipway run {next(iter(found))}",
        )
    return next(iter(found.values()))


def _ingest(door: Door) -> None:
    from slipway.data.declare import Table
    from slipway.data.ingest import ingest
    from slipway.data.schedules import declare_schedule

    project, workspace = door.project, door.workspace
    tables = list(project.declared(Table).values())
    is_synced = any(table.feed.schedule is not None for table in tables)
    snapshot = project.published() if is_synced else project.snapshot()
    for table in tables:
        with project.reading():
            ingest(workspace, table, folder=project.folder)
        declare_schedule(workspace, table, snapshot=snapshot, folder=project.folder)


def texts_of(settings: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE as texts by name.

    Raises:
        InvalidInput: One is not written so.
    """
    texts = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InvalidInput(f"--set {setting!r} is not NAME=VALUE.", fix="For example --set learning_rate=0.1")
        texts[name] = text
    return texts


def params_of(pipeline: Any, settings: tuple[str, ...]) -> dict[str, object]:
    """Read NAME=VALUE by the annotations of the pipeline's parameters.

    Raises:
        InvalidInput: One is missing, unknown or not of its type.
    """
    from slipway.pipelines.params import converted

    params = converted(pipeline, texts_of(settings))
    known = pipeline.signature.parameters
    missing = [name for name, p in known.items() if p.default is p.empty and name not in params]
    if missing:
        raise InvalidInput(
            f"The pipeline {pipeline.name!r} needs {missing[0]!r}.", fix=f"Add --set {missing[0]}=VALUE."
        )
    return params
