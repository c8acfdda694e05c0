"""`slipway run`: a pipeline of the project."""

import inspect
import typing
from collections.abc import Iterable
from datetime import date, datetime
from types import NoneType
from typing import Any

import click
import msgspec

from slipway.cli.door import Door, opened
from slipway.errors import InvalidDeclaration, InvalidInput, near

__all__ = ["run"]


@click.command()
@click.argument("pipeline")
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="A parameter of the pipeline.")
@click.option("--no-ingest", is_flag=True, help="Take the tables as they are stored, without reading their sources.")
@opened
def run(door: Door, pipeline: str, settings: tuple[str, ...], no_ingest: bool) -> None:
    """Run PIPELINE: ingest the project's tables, then its steps; a model it returns is packaged and registered."""
    from slipway.data.declare import Table
    from slipway.data.ingest import ingest
    from slipway.flows.endpoint import Endpoint
    from slipway.flows.release import run_pipeline
    from slipway.pipelines.declare import Pipeline

    project, workspace = door.project, door.workspace
    chosen = project.pick(Pipeline, pipeline, "pipeline")
    params = _params(chosen, settings)
    endpoint = _endpoint(project.declared(Endpoint).values(), chosen)
    if not no_ingest:
        for table in project.declared(Table).values():
            ingest(workspace, table)
    done = run_pipeline(workspace, chosen, params, endpoint=endpoint, snapshot=project.snapshot())
    if door.as_json:
        door.show({"run": done.run, "model": done.version}, str)
        return
    click.echo(f"Run {done.run.id} finished.")
    if done.version is not None:
        click.echo(f"Registered {done.version.name} {done.version.number}, bundle {done.version.bundle[:12]}.")
        click.echo(f"Next: slipway deploy {done.version.name}")


def _endpoint(declared: Iterable[Any], pipeline: Any) -> Any:
    """The endpoint that a pipeline feeds, None for none."""
    fed = [endpoint for endpoint in declared if endpoint.pipeline is pipeline]
    if len(fed) > 1:
        raise InvalidDeclaration(
            f"The pipeline {pipeline.name!r} feeds {len(fed)} endpoints: {', '.join(repr(e.name) for e in fed)}.",
            why="Its model is registered under the endpoint's name, and has one gate.",
            fix="Let one endpoint name the pipeline; deploy to others with: slipway deploy MODEL --endpoint NAME",
        )
    return fed[0] if fed else None


def _params(pipeline: Any, settings: tuple[str, ...]) -> dict[str, object]:
    """Read NAME=VALUE by the annotations of the pipeline's parameters."""
    known = inspect.signature(pipeline.function).parameters
    hints = typing.get_type_hints(pipeline.function)
    params: dict[str, object] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InvalidInput(f"--set {setting!r} is not NAME=VALUE.", fix="For example --set learning_rate=0.1")
        if name not in known:
            raise InvalidInput(
                f"The pipeline {pipeline.name!r} has no parameter {name!r}.", fix=near(name, known, what="parameters")
            )
        params[name] = _value(name, text, hints.get(name, str))
    missing = [name for name, p in known.items() if p.default is inspect.Parameter.empty and name not in params]
    if missing:
        raise InvalidInput(
            f"The pipeline {pipeline.name!r} needs {missing[0]!r}.", fix=f"Add --set {missing[0]}=VALUE."
        )
    return params


def _value(name: str, text: str, kind: Any) -> object:
    given = [choice for choice in typing.get_args(kind) if choice is not NoneType]
    if NoneType in typing.get_args(kind) and len(given) == 1:
        kind = given[0]
    if kind in (date, datetime):
        try:
            return kind.fromisoformat(text)
        except ValueError:
            raise InvalidInput(
                f"{text!r} is no {kind.__name__} for {name!r}.", fix="Write it as 2013-04-01.", field=name
            ) from None
    try:
        return msgspec.convert(text, kind, strict=False)
    except (msgspec.ValidationError, TypeError) as problem:
        raise InvalidInput(
            f"{text!r} does not fit the parameter {name!r}: {problem}.",
            fix=f"Give a {getattr(kind, '__name__', kind)}, or call the pipeline from Python.",
            field=name,
        ) from problem
