"""`slipway export`: a pipeline's run as a file that Kubernetes or Kubeflow takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, cast

import click

from slipway.cli.door import Way, way_options
from slipway.errors import InvalidInput

__all__ = ["export"]

_NAMED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}|^env:([A-Za-z_][A-Za-z0-9_]*)$")
_CREDENTIALS = {"s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}


@click.group()
def export() -> None:
    """Write what another system starts a pipeline with."""


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.argument("pipeline"),
        click.option("--image", metavar="IMAGE", required=True, help="The container image with the project."),
        click.option("--in-image", metavar="DIR", default="/project", show_default=True, help="Where the project lies in the image."),
        click.option("--claim", metavar="NAME", help="The volume claim of the store's folder.  [default: PROJECT-ENV]"),
        click.option("--secret", metavar="NAME", help="The secret with environment variables.  [default: PROJECT-ENV]"),
        click.option("--secret-variable", "more", metavar="NAME", multiple=True, help="A further variable that the secret has."),
        click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="A parameter of the pipeline."),
        click.option("--cpus", type=click.FloatRange(0, min_open=True), help="Processors.  [default: what its steps say]"),
        click.option("--memory", metavar="SIZE", help="Memory, such as 4GB.  [default: what its steps say]"),
        click.option("--gpus", type=click.IntRange(0), help="Graphics processors.  [default: what its steps say]"),
        click.option("-o", "output", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file."),
    ):  # fmt: skip
        function = option(function)
    return way_options(function)


@export.command()
@_options
def kubernetes(way: Way, output: Path | None, **given: Any) -> None:
    """Write a Kubernetes Job that runs PIPELINE once, in one pod: start it with `kubectl create -f FILE`."""
    from slipway.pipelines.workload import kubernetes_job

    work, _ = _workload(way, **given)
    _write(way, [kubernetes_job(work)], output)


@export.command()
@_options
def kubeflow(way: Way, output: Path | None, **given: Any) -> None:
    """Write a Kubeflow pipeline (KFP 2) of one task that runs PIPELINE; its parameters are the pipeline's."""
    from slipway.pipelines.kubeflow import kubeflow_pipeline

    work, chosen = _workload(way, **given)
    _write(way, kubeflow_pipeline(work, chosen), output)


def _write(way: Way, documents: list[dict[str, Any]], output: Path | None) -> None:
    from slipway.cli.layout import print_json
    from slipway.pipelines.workload import as_yaml

    if way.as_json:
        print_json(documents[0] if len(documents) == 1 else documents)
    elif output is None:
        click.echo(as_yaml(documents), nl=False)
    else:
        output.write_text(as_yaml(documents))


def _workload(way: Way, *, pipeline: str, image: str, in_image: str, claim: str | None, secret: str | None,
              more: tuple[str, ...], settings: tuple[str, ...], cpus: float | None, memory: str | None,
              gpus: int | None) -> tuple[Any, Any]:  # fmt: skip
    from slipway.cli.run import texts_of
    from slipway.hosts.project import Project
    from slipway.hosts.settings import locate
    from slipway.pipelines.declare import Pipeline, Step
    from slipway.pipelines.limits import memory_bytes
    from slipway.pipelines.params import converted
    from slipway.pipelines.workload import Workload, label

    home, found = locate(way.folder or Path())
    own = found.environment(way.environment)
    if own.server:
        raise InvalidInput(
            f"The environment {way.environment!r} is kept by the server {own.server}, and pipelines run where the store is.",
            fix="Name an environment that has a ledger of its own: --env NAME",
        )
    project = Project(home, found, cast("Any", None))  # its declarations alone: the store need not be reached from here
    chosen: Any = project.pick(Pipeline, pipeline, "pipeline")
    params = texts_of(settings)
    converted(chosen, params)
    limits = [step.limits for step in project.declared(Step).values()]
    store = PurePosixPath(in_image) / own.store
    named = {name for url in (own.ledger, own.online) for pair in _NAMED.findall(url) for name in pair if name}
    named |= {*more, *_CREDENTIALS.get(own.blobs.partition("://")[0], ())}
    default = label(f"{project.name}-{way.environment}")
    work = Workload(
        project=project.name,
        pipeline=pipeline,
        environment=way.environment,
        image=image,
        folder=in_image,
        store=str(store),
        claim=claim or default,
        secret=secret or default,
        variables=tuple(sorted(named)),
        params=params,
        cpus=cpus or max((one.cpus for one in limits), default=1.0),
        memory_bytes=memory_bytes(memory) if memory else max((one.memory_bytes for one in limits), default=0),
        gpus=max((one.gpus for one in limits), default=0.0) if gpus is None else gpus,
    )
    return work, chosen
