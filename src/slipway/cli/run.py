"""`slipway run`: a pipeline of the project."""

from __future__ import annotations

from typing import Any

import click

from slipway.cli.door import Door, Way, way_options
from slipway.errors import InvalidInput

__all__ = ["run"]


@click.command()
@click.argument("pipeline")
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="A parameter of the pipeline.")
@click.option("--no-ingest", is_flag=True, help="Take the tables as they are stored, without reading their sources.")
@click.option("--isolated", is_flag=True, help="Make an environment from the project's lock, and run there.")
@way_options
def run(way: Way, isolated: bool, **given: Any) -> None:
    """Run PIPELINE: ingest the project's tables, then its steps; a model it returns is packaged and registered."""
    from slipway.cli.isolated import again_isolated
    from slipway.pipelines import isolation

    isolation.hold()
    if isolated:
        again_isolated(way)
    with way.open() as door:
        _run(door, **given)


def _run(door: Door, pipeline: str, settings: tuple[str, ...], no_ingest: bool) -> None:
    from slipway.data.declare import Table
    from slipway.data.ingest import ingest
    from slipway.data.schedules import declare_schedule
    from slipway.flows.endpoint import Endpoint, fed_by
    from slipway.flows.release import run_pipeline
    from slipway.pipelines.declare import Pipeline

    project, workspace = door.project, door.workspace
    chosen = project.pick(Pipeline, pipeline, "pipeline")
    params = _params(chosen, settings)
    endpoint = fed_by(project.declared(Endpoint).values(), chosen)
    if not no_ingest:
        for table in project.declared(Table).values():
            ingest(workspace, table, folder=project.folder)
            declare_schedule(workspace, table, snapshot=project.snapshot(), folder=project.folder)
    done = run_pipeline(workspace, chosen, params, endpoint=endpoint, snapshot=project.snapshot())
    if door.as_json:
        door.show({"run": done.run, "model": done.version}, str)
        return
    click.echo(f"Run {done.run.id} finished.")
    if done.version is not None:
        click.echo(f"Registered {done.version.name} {done.version.number}, bundle {done.version.bundle[:12]}.")
        click.echo(f"Next: slipway deploy {done.version.name}")


def _params(pipeline: Any, settings: tuple[str, ...]) -> dict[str, object]:
    """Read NAME=VALUE by the annotations of the pipeline's parameters."""
    from slipway.pipelines.params import converted

    texts: dict[str, object] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InvalidInput(f"--set {setting!r} is not NAME=VALUE.", fix="For example --set learning_rate=0.1")
        texts[name] = text
    params = converted(pipeline, texts)
    known = pipeline.signature.parameters
    missing = [name for name, p in known.items() if p.default is p.empty and name not in params]
    if missing:
        raise InvalidInput(
            f"The pipeline {pipeline.name!r} needs {missing[0]!r}.", fix=f"Add --set {missing[0]}=VALUE."
        )
    return params
