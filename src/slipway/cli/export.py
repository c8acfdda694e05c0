"""`slipway export`: what other systems take: a pipeline's run for Kubernetes or Kubeflow, a model's files and image."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

import click

from slipway.cli.door import Door, Way, opened, way_options
from slipway.errors import InvalidInput

if TYPE_CHECKING:
    from slipway.flows.image import BuiltImage
    from slipway.flows.take_out import SignedFiles

__all__ = ["export"]

_NAMED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}|^env:([A-Za-z_][A-Za-z0-9_]*)$")
_CREDENTIALS = {"s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}


@click.group()
def export() -> None:
    """Write what other systems take: a pipeline, or a model's signed files."""


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


def _write(way: Way | Door, documents: list[dict[str, Any]], output: Path | None) -> None:
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


@export.command()
@click.argument("target", metavar="MODEL[:VERSION]")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder to write into."
)
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A private key as PEM (P-256, P-384, P-521).  [default: the store's own]",
)
@opened
def signed(door: Door, target: str, out: Path, key: Path | None) -> None:
    """Write a model's files, signed in the OpenSSF model-signing form, for whoever verifies without Slipway."""
    from slipway.flows.take_out import export_signed
    from slipway.flows.version_changes import version_meant

    written = export_signed(door.workspace, version_meant(door.workspace, target), out, key=key)
    door.show(written, _signed_text)


def _signed_text(written: SignedFiles) -> str:
    verify = (
        f"model_signing verify key {written.folder} --signature {written.signature} --public_key {written.public_key}"
    )
    sample = "" if written.has_sample else "\nThe reference sample stayed: it is made of rows with personal columns."
    return (
        f"Wrote {written.folder}, with {Path(written.signature).name} and {Path(written.public_key).name} beside it.{sample}\n"
        f"Verify: pip install model-signing; {verify}\n"
        "Hand the public key out on another way than the files: who replaces both is not found."
    )


@export.command()
@click.argument("target", metavar="MODEL[:VERSION]")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A new folder, or a new file *.tar.")
@click.option("--platform", default="linux/amd64", show_default=True, help="linux/amd64 or linux/arm64.")
@click.option("--python", default="", metavar="VERSION", help="Such as 3.12.  [default: the lock's]")
@click.option(
    "--base",
    metavar="LAYOUT",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="An OCI layout with an image that has this Python.",
)
@opened
def image(door: Door, target: str, out: Path, platform: str, python: str, base: Path | None) -> None:
    """Write a model as a container image (an OCI layout), without a container engine: the same model, the same digest.

    It holds the environment of the model's lock, its files, and a command that answers on port 8080 without a store.
    """
    from slipway.flows.image import build_image
    from slipway.flows.version_changes import version_meant
    from slipway.models.registry import bundle_of

    version = version_meant(door.workspace, target)
    bundle = bundle_of(door.workspace, version)
    built = build_image(door.workspace, version, bundle, out, platform=platform, python=python, base=base)
    door.show(built, lambda answer: _image_text(answer, version.number))


def _image_text(built: BuiltImage, tag: int) -> str:
    kind = "oci-archive" if built.path.endswith(".tar") else "oci"
    lines = [
        f"Wrote {built.path}: {built.digest}, {built.size_bytes / 1e6:,.0f} MB for {built.platform}.",
        f"Copy it: skopeo copy {kind}:{built.path}:{tag} docker://REGISTRY/NAME:{tag}",
    ]
    if not built.runs:
        lines.append(
            f"It has no Python: put it on an image that has python{'.'.join(built.python.split('.')[:2])}, or build it "
            "with --base LAYOUT."
        )
    if not built.has_sample:
        lines.append("The reference sample stayed, so that it starts without its self-check.")
    return "\n".join(lines)


def _serving_options(more: tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What every manifest of a served image takes; `more` are further words of --without."""
    words = ("callers", "monitors", "retrain", "rollout", *more)
    options = (
        click.argument("target", metavar="MODEL[:VERSION]"),
        click.option("--image", metavar="IMAGE@sha256:...", required=True, help="The model's image, with its digest."),
        click.option("--replicas", type=click.IntRange(1), default=None, help="How many containers.  [default: its workers]"),
        click.option("--cpus", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, help="Processors of each."),
        click.option("--memory", metavar="SIZE", default="1GB", show_default=True, help="Memory of each."),
        click.option("--without", metavar="WORD", multiple=True, type=click.Choice(words), help=f"What its endpoint does and may stay behind: {', '.join(words)}."),
        click.option("-o", "output", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file."),
    )  # fmt: skip

    def optioned(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in options:
            function = option(function)
        return opened(function)

    return optioned


@export.command()
@_serving_options()
def deployment(door: Door, output: Path | None, **given: Any) -> None:
    """Write a Kubernetes Deployment and Service that serve a model's image.

    What the endpoint of the model's name does and a container cannot is refused, until --without says that it may stay.
    """
    from slipway.flows.manifests import kubernetes_documents

    _write(door, kubernetes_documents(_serving(door, **given)), output)


@export.command()
@click.option("--canary", metavar="MODEL:VERSION", help="The version that is rolled out beside it.")
@click.option("--canary-image", metavar="IMAGE@sha256:...", help="The image of that version, with its digest.")
@click.option("--percent", type=click.IntRange(1, 99), help="Of the requests go to it: a step of the declared canary.")
@_serving_options(("evidence", "guardrails", "rollback", "shadow", "steps", "sticky"))
def kserve(
    door: Door, output: Path | None, canary: str | None, canary_image: str | None, percent: int | None, **given: Any
) -> None:
    """Write a KServe InferenceService that serves a model's image; refuses as `slipway export deployment` does.

    With --canary it is one step of the roll-out that the endpoint declares: two versions, and the share of the requests
    that the second one gets. What else the plan asks is refused, until --without says that it may stay.
    """
    from slipway.flows.canary_manifests import PLAN_LEFT_BEHIND, canary_service, check_plan
    from slipway.flows.manifests import inference_service
    from slipway.flows.version_changes import version_meant
    from slipway.models.registry import bundle_of

    together = (canary, canary_image, percent)
    if any(one is None for one in together) != all(one is None for one in together):
        raise InvalidInput(
            "A canary has a version, an image and a share.",
            fix="Give all three: --canary MODEL:VERSION --canary-image IMAGE@sha256:... --percent 10",
        )
    without = given.pop("without")
    own = tuple(word for word in without if word not in PLAN_LEFT_BEHIND)
    if canary is None or canary_image is None or percent is None:
        _write(door, [inference_service(_serving(door, **given, without=own))], output)
        return
    first, second = (version_meant(door.workspace, one) for one in (given["target"], canary))
    if first.name != second.name or first.number == second.number:
        raise InvalidInput(
            f"{second.name} {second.number} cannot be rolled out beside {first.name} {first.number}.",
            fix="Name two versions of one model.",
            field="canary",
        )
    bundles = [bundle_of(door.workspace, one) for one in (first, second)]
    check_plan(door.workspace, first.name, percent, *bundles, without=without)
    own = (*own, "rollout")  # of which it was said what stays behind
    champion = _serving(door, **given, without=own)
    challenger = _serving(door, **(given | {"target": canary, "image": canary_image}), without=own)
    _write(door, [canary_service(champion, challenger, percent)], output)


def _serving(door: Door, *, target: str, image: str, replicas: int | None, cpus: float, memory: str, without: tuple[str, ...]) -> Any:  # fmt: skip
    from slipway.flows.manifests import serving_of
    from slipway.flows.version_changes import version_meant
    from slipway.models.registry import bundle_of
    from slipway.operations.declare import check_allowed
    from slipway.pipelines.limits import memory_bytes

    check_allowed(door.workspace, "models.export", "endpoints.deploy")
    version = version_meant(door.workspace, target)
    return serving_of(
        door.workspace, version, bundle_of(door.workspace, version),
        image=image, replicas=replicas or 0, cpus=cpus, memory=memory_bytes(memory), without=without,
    )  # fmt: skip
