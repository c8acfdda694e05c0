"""`slipway run`: a pipeline of the project."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import click

from slipway.cli.door import Door, opened
from slipway.errors import InvalidDeclaration, InvalidInput

__all__ = ["run", "texts_of"]


@click.command()
@click.argument("pipeline")
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="A parameter of the pipeline.")
@click.option("--no-ingest", is_flag=True, help="Take the tables as they are stored, without reading their sources.")
@click.option(
    "--executor",
    metavar="NAME",
    help="Where its steps run, instead of where slipway.toml says: threads, processes, ray, ray://HOST:PORT.",
)
@opened
def run(door: Door, pipeline: str, settings: tuple[str, ...], no_ingest: bool, executor: str | None) -> None:
    """Run PIPELINE: ingest the project's tables, then its steps; a model it returns is packaged and registered."""
    from slipway.data.declare import Table
    from slipway.data.ingest import ingest
    from slipway.data.schedules import declare_schedule
    from slipway.flows.endpoint import Endpoint
    from slipway.flows.release import run_pipeline
    from slipway.hosts.executors import placement
    from slipway.pipelines.declare import Pipeline

    project, workspace = door.project, door.workspace
    if executor is not None:
        workers = project.settings.environment(workspace.environment).workers
        workspace = replace(workspace, placement=placement(executor, workers))
    chosen = project.pick(Pipeline, pipeline, "pipeline")
    params = _params(chosen, settings)
    endpoint = _endpoint(project.declared(Endpoint).values(), chosen)
    if not no_ingest:
        for table in project.declared(Table).values():
            ingest(workspace, table, folder=project.folder)
            declare_schedule(workspace, table, snapshot=project.snapshot(), folder=project.folder)
    done = run_pipeline(workspace, chosen, params, endpoint=endpoint, snapshot=project.snapshot())
    if door.as_json:
        door.show({"run": done.run, "model": done.version}, str)
        return
    click.echo(f"Run {done.run.id} finished.")
    if done.run.worker_time is not None and done.run.worker_time.executor != "threads":
        click.echo(f"Workers: {done.run.worker_time}.")
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


def _params(pipeline: Any, settings: tuple[str, ...]) -> dict[str, object]:
    """Read NAME=VALUE by the annotations of the pipeline's parameters."""
    from slipway.pipelines.params import converted

    params = converted(pipeline, texts_of(settings))
    known = pipeline.signature.parameters
    missing = [name for name, p in known.items() if p.default is p.empty and name not in params]
    if missing:
        raise InvalidInput(
            f"The pipeline {pipeline.name!r} needs {missing[0]!r}.", fix=f"Add --set {missing[0]}=VALUE."
        )
    return params
