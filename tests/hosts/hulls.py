"""Two versions of a library that cannot both be imported, environments with each, and models whose features call it."""

import io
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import endpoint_folder as ef
import msgspec

from slipway import code
from slipway.code import imports
from slipway.conformance.environments import kept, wheel
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec
from slipway.ledger import locks
from slipway.models.model import Model
from slipway.pipelines import isolation
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision, Served
from slipway.records.features import FeatureSetSpec
from slipway.records.models import Decision
from slipway.records.schema import Field

PROJECT = """
from hull import strength
from slipway.features.scalars import feature

@feature
def load(a: float) -> float:
    return strength(a)
"""
HULLS = {"1.2": "def strength(a):\n    return a * 1\n", "2.0": "def strength(a):\n    return a * 2\n"}


def environment(workspace: Workspace, hull: str) -> str:
    """An environment with Slipway, NumPy and one of two versions of a library that cannot both be imported."""
    blobs: dict[str, bytes] = {}
    package = kept(blobs, "hull", hull, HULLS[hull])
    for data in blobs.values():
        workspace.blobs.put(data)
    runtime = locks.present(workspace, imports.Own(()))
    needed = [one for one in runtime.packages if not one.name.startswith("polars")]
    lock = msgspec.structs.replace(runtime, packages=tuple(sorted([*needed, package], key=lambda one: one.name)))
    return isolation.made(workspace, lock).lock


class Hulled(NamedTuple):
    """A version whose feature calls the library: its model, what it was declared with, and its bundle."""

    model: Model
    spec: FeatureSetSpec
    sources: dict[str, str]
    served: Served


def bring(workspace: Workspace, folder: Path, number: int, environment: str, hull: str) -> Hulled:
    """A model whose feature calls the library, as it was trained with one of its versions, in the endpoint's folder."""
    with zipfile.ZipFile(io.BytesIO(wheel("hull", hull, HULLS[hull])[1])) as archive:
        archive.extractall(folder / hull)  # as it was installed where the model was trained
    project = folder / f"project-{hull}"
    project.mkdir(exist_ok=True)
    (project / "project_of_hull.py").write_text(PROJECT)
    sys.path[:0] = [str(folder / hull), str(project)]
    try:
        for name in ("hull", "project_of_hull"):
            sys.modules.pop(name, None)
        module = __import__("project_of_hull")
        spec = build_spec(
            FeatureSet(module.load), {"a": "float"}, FrameTables({}, {}), lambda function: function.__name__
        )
        sources = code.extract([module.load], project_roots=(project,))
    finally:
        del sys.path[:2]
        for name in ("hull", "project_of_hull"):
            sys.modules.pop(name, None)
    # Where models are trained a bundle names its lock; here its threshold tells it from the other one.
    model = ef.a_model(list(spec.features), decision=Decision(threshold=float(hull)))
    digest = ef.bring(workspace, model, spec=spec, sources=sources)
    return Hulled(model, spec, sources, Served(model=ef.NAME, number=number, bundle=digest, environment=environment))


def deploy(workspace: Workspace, folder: Path, number: int, environment: str, hull: str) -> Revision:
    """Publish such a model."""
    made = bring(workspace, folder, number, environment, hull)
    fields = (Field("flight_id", "string", nullable=False), *made.spec.request)
    return ef.deploy(
        workspace, made.model, fields, number=number, spec=made.spec, sources=made.sources, served=made.served
    )
