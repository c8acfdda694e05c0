"""A model as a container image: its environment by the bundle's lock, the bundle, and a command that serves it.

The same bundle on the same base gives the same digest, whoever builds it and where. What an image cannot do, since it has
no store beside it, is refused: features that are looked up.
"""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from slipway.errors import Conflict, InvalidInput
from slipway.flows.deploy import contract_of
from slipway.flows.judging import declared_endpoint
from slipway.flows.take_out import note_export, take_out
from slipway.flows.target import lock_in, machine_of, packages_of
from slipway.ledger import locks
from slipway.models.oci_layout import Base, Layer, read_base, tar_of_layout, write_image, write_layer
from slipway.operations.declare import check_allowed
from slipway.pipelines import isolation
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Served, StandAlone
from slipway.records.locks import Lock
from slipway.records.models import Bundle, ModelVersion

__all__ = ["BuiltImage", "build_image", "check_alone"]

_HOME = "slipway"
_SITE = f"{_HOME}/site"
_PORT = 8080
_INSTALLERS = {"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}
_PLACES = ("usr/local/bin", "usr/bin", "opt/python/bin", "bin")


class BuiltImage(Struct, frozen=True, kw_only=True):
    """An image that was written.

    Args:
        path: The layout's folder, or the archive.
        digest: Of its manifest, "sha256:...".
        bundle: The bundle's digest.
        platform: "linux/amd64".
        python: The version of Python that it is for.
        runs: Whether it starts by itself: whether it has a base with that Python.
        has_sample: Whether the reference sample went along.
        size_bytes: Of all layers.
    """

    path: str
    digest: str
    bundle: str
    platform: str
    python: str
    runs: bool
    has_sample: bool
    size_bytes: int


def build_image(
    workspace: Workspace,
    version: ModelVersion,
    bundle: Bundle,
    out: Path,
    *,
    platform: str,
    python: str = "",
    base: Path | None = None,
) -> BuiltImage:
    """Write a version as an OCI image.

    Args:
        workspace: Its store.
        version: The version.
        bundle: Its manifest.
        out: A new folder for the layout, or a new file whose name ends in `.tar`.
        platform: "linux/amd64" or "linux/arm64".
        python: The version of Python; the lock's when left out.
        base: An OCI layout with an image that has this Python; without it the image holds environment and bundle only.

    Raises:
        Denied: The actor may not deploy.
        InvalidInput: The model looks features up, or the base does not fit.
        NotFound: A package has no wheel there.
        Conflict: Something is there already.
        MissingExtra: uv is not installed.
    """
    check_allowed(workspace, "models.export", "endpoints.deploy")
    check_alone(bundle)
    if out.exists():
        raise Conflict(f"{out} is there already.", fix="Name another place: --out DIR")
    machine = machine_of(platform)
    lock = _lock(workspace, bundle, machine[1], python)
    below = read_base(base, platform) if base else None
    interpreter = _interpreter(below, lock.python) if below else f"python{_minor(lock.python)}"
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as temporary:
        layout = Path(temporary, "layout")
        layers = [_environment(workspace, lock, machine[0], Path(temporary, "site"), layout)]
        taken = _bundle(workspace, version, bundle, Path(temporary, "bundle"), layout)
        layers.append(taken[0])
        digest = _written(layout, layers, bundle, version, platform, interpreter, below)
        if out.suffix == ".tar":
            tar_of_layout(layout, Path(temporary, "image.tar"))
            Path(temporary, "image.tar").rename(out)
        else:
            layout.rename(out)
    note_export(workspace, version, "image", image=digest, platform=platform)
    return BuiltImage(
        path=str(out),
        digest=digest,
        bundle=version.bundle,
        platform=platform,
        python=lock.python,
        runs=below is not None,
        has_sample=taken[1],
        size_bytes=sum(layer.size for layer in (*(below.layers if below else ()), *layers)),
    )


def check_alone(bundle: Bundle) -> None:
    """Refuse a model that cannot answer out of its request alone.

    Raises:
        InvalidInput: A feature of it is looked up.
    """
    looked_up = [] if bundle.features is None else [p.name for p in bundle.features.parts if _is_looked_up(p)]
    if looked_up:
        raise InvalidInput(
            f"{bundle.model} cannot leave the machine: its features {', '.join(looked_up)} are looked up.",
            why="Windows and views live in an online store that is fed from tables and events; a container has none.",
            fix="Serve it by `slipway deploy`, or train a model on fields of the request and functions of them.",
        )


def _is_looked_up(part: object) -> bool:
    return hasattr(part, "source") or hasattr(part, "entity")


def _lock(workspace: Workspace, bundle: Bundle, platform: str, python: str) -> Lock:
    """The bundle's lock for a machine; what compiled packages consist of is known for the lock's own kind only."""
    environment = lock_in(bundle)
    packages = packages_of(workspace, environment)
    made = locks.lock_of(workspace.blobs, environment)
    python = python or environment.python
    is_same = made is not None and made.platform == platform and _minor(python) == _minor(environment.python)
    if not is_same:
        packages = tuple(msgspec.structs.replace(one, content="") for one in packages)
    return Lock(python=environment.python if is_same else python, platform=platform, packages=packages)


def _minor(python: str) -> str:
    return ".".join(python.split(".")[:2])


def _interpreter(base: Base, python: str) -> str:
    """The path of the base's Python."""
    names = set(base.names())
    for place in _PLACES:
        if f"{place}/python{_minor(python)}" in names:
            return f"/{place}/python{_minor(python)}"
    raise InvalidInput(
        f"The base image {base.folder} has no python{_minor(python)} in {', '.join(f'/{one}' for one in _PLACES)}.",
        why=f"The bundle's environment is for Python {_minor(python)}.",
        fix=f"Take such an image: skopeo copy docker://python:{_minor(python)}-slim oci:FOLDER:latest",
        field="base",
    )


def _environment(workspace: Workspace, lock: Lock, machine: str, site: Path, layout: Path) -> Layer:
    isolation.opened(workspace).fill(lock, workspace.blobs.get, site, machine)
    files: dict[str, Path | bytes] = {}
    for path in site.rglob("*"):
        name = path.relative_to(site)
        if path.is_file() and not _is_installers(name):
            files[f"{_SITE}/{name.as_posix()}"] = _record(path, site) if name.name == "RECORD" else path
    made_by = f"slipway: the environment of the lock, Python {_minor(lock.python)}"
    return write_layer(layout, files, made_by=made_by)


def _is_installers(name: Path) -> bool:
    """Whether an installer wrote a file for itself or for this machine: scripts name its interpreter."""
    in_metadata = len(name.parts) == 2 and name.parts[0].endswith(".dist-info")
    return (
        name.parts[0] in ("bin", ".lock") or "__pycache__" in name.parts or (in_metadata and name.name in _INSTALLERS)
    )


def _record(path: Path, site: Path) -> bytes:
    """A distribution's list of files, without those that stay behind, in order."""
    rows = [row for row in csv.reader(path.read_text(encoding="utf-8").splitlines()) if row]
    kept = [row for row in rows if ".." not in Path(row[0]).parts and not _is_installers(Path(row[0]))]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(sorted(row for row in kept if (site / row[0]).exists()))
    return out.getvalue().encode()


def _bundle(
    workspace: Workspace, version: ModelVersion, bundle: Bundle, folder: Path, layout: Path
) -> tuple[Layer, bool]:
    has_sample = take_out(workspace, version, folder)[1]
    declared = declared_endpoint(workspace, version.name, model=version.name)
    about = StandAlone(
        project=version.project,
        name=version.name,
        served=Served(model=version.name, number=version.number, bundle=version.bundle),
        contract=contract_of(workspace, version, bundle, declared),
        caller_rate=declared.caller_rate,
    )
    files: dict[str, Path | bytes] = {
        f"{_HOME}/bundles/{version.bundle}/{path.relative_to(folder).as_posix()}": path
        for path in folder.rglob("*")
        if path.is_file()
    }
    files[f"{_HOME}/image.json"] = msgspec.json.encode(about)
    layer = write_layer(layout, files, made_by=f"slipway: {version.name}, bundle {version.bundle[:16]}")
    shutil.rmtree(folder)
    return layer, has_sample


def _written(
    layout: Path,
    layers: list[Layer],
    bundle: Bundle,
    version: ModelVersion,
    platform: str,
    interpreter: str,
    base: Base | None,
) -> str:
    config = {
        "User": "65532:65532",
        "ExposedPorts": {f"{_PORT}/tcp": {}},
        "Env": [f"PYTHONPATH=/{_SITE}", "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"],
        "Entrypoint": [interpreter, "-P", "-m", "slipway.hosts.image_server", f"/{_HOME}"],
        "Cmd": [],
        "WorkingDir": "/",
        "StopSignal": "SIGTERM",
    }
    labels = {
        "org.opencontainers.image.title": version.name,
        "org.opencontainers.image.version": str(version.number),
        "org.opencontainers.image.revision": bundle.code.commit,
        "dev.slipway.bundle": version.bundle,
    }
    return write_image(
        layout,
        layers,
        platform=platform,
        config=config,
        tag=str(version.number),
        base=base,
        labels={name: value for name, value in labels.items() if value},
    )
