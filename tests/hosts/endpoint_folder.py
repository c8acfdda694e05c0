"""A deployed endpoint's folder: a tiny model, with features of all three kinds or without any, in a store."""

import importlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from sklearn.linear_model import LinearRegression

from slipway import code
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec
from slipway.features.views import feature_view
from slipway.features.windows import count, mean, windows
from slipway.models import bundle as bundles
from slipway.models.inputs import inputs
from slipway.models.model import Model
from slipway.models.packing import pack
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Challenger, Contract, Revision, Served
from slipway.records.features import FeatureSetSpec
from slipway.records.models import Decision
from slipway.records.people import Actor
from slipway.records.schema import Field
from slipway.serving.swap import publish

NOW = datetime(2013, 4, 1, 12, tzinfo=UTC)
NAME = "delays"
PROJECT = '''
"""A project's module: heavy for training, light for serving."""
from datetime import datetime
import polars as pl
from slipway.features.scalars import feature

NIGHT = 6

@feature
def at_night(departure: datetime) -> bool:
    return departure.hour < NIGHT

def train():
    return pl.DataFrame()
'''


def folder_of(workspace: Workspace) -> Path:
    found = workspace.root / "endpoints" / workspace.project / NAME
    found.mkdir(parents=True, exist_ok=True)
    return found


def a_model(fields: list[Field], *, scale: float = 1.0, **more: Any) -> Model:
    """A line through the columns: the score is the sum of all of them, in thousandths, times a scale."""
    rng = np.random.default_rng(0)
    kinds = {"float": pl.Float64, "int": pl.Int64, "bool": pl.Boolean}
    frame = pl.DataFrame({f.name: pl.Series(rng.integers(0, 2, 50)).cast(kinds[f.type]) for f in fields})
    total = frame.sum_horizontal().cast(pl.Float64) * scale / 1000
    fixed = inputs(frame.with_columns(y=total), label="y")
    return Model(LinearRegression().fit(fixed.matrix, total.to_numpy()), inputs=fixed, task="regression", **more)


def bring(
    workspace: Workspace, model: Model, *, spec: FeatureSetSpec | None = None, sources: dict[str, str] | None = None
) -> str:
    """Pack, and unpack into the endpoint's folder; the bundle's digest."""
    modules = [path.removesuffix(".py") for path in sources or {}]
    packed = pack(workspace, model, name=NAME, features=spec, code=sources, modules=modules)
    target = folder_of(workspace) / "bundles" / packed.digest
    if not target.exists():
        bundles.unpack(workspace, packed.manifest, target, signature=packed.signature, expect=packed.digest)
    return packed.digest


def deploy(
    workspace: Workspace,
    model: Model,
    fields: tuple[Field, ...],
    *,
    number: int = 1,
    spec: FeatureSetSpec | None = None,
    sources: dict[str, str] | None = None,
    **changes: Any,
) -> Revision:
    """Pack, unpack into the endpoint's folder, publish."""
    digest = bring(workspace, model, spec=spec, sources=sources)
    plain: dict[str, Any] = {
        "id": f"{workspace.project}/{NAME}/{number}",
        "project": workspace.project,
        "name": NAME,
        "created_at": NOW,
        "number": number,
        "environment": "dev",
        "served": Served(model=NAME, number=number, bundle=digest),
        "contract": Contract(fields=fields, key=(fields[0].name,)),
        "actor": Actor("ada"),
    }
    revision = Revision(**{**plain, **changes})
    publish(folder_of(workspace), revision, workspace.signer)
    return revision


FIELDS = (Field("flight_id", "string", nullable=False), Field("b", "float"), Field("a", "float"))


def deploy_plain(workspace: Workspace, number: int = 1, **changes: Any) -> Revision:
    """A model that takes the request's fields a and b as they are; decides yes from 0.05."""
    taken = [Field("a", "float"), Field("b", "float")]
    model = a_model(taken if number == 1 else taken[:1], decision=Decision(threshold=0.05))
    return deploy(workspace, model, FIELDS, number=number, **changes)


def challenged(
    workspace: Workspace, champion: Revision, number: int, fraction: float = 0.0, *, model: Model | None = None
) -> Revision:
    """A revision that rolls a second model out beside a champion, by default one that takes the same inputs.

    That one answers ten times as much as the champion.
    """
    digest = bring(workspace, model or a_model([Field("a", "float"), Field("b", "float")], scale=10))
    served = Served(model=NAME, number=2, bundle=digest)
    plan = Challenger(served=served, fraction=fraction, rollout_id="r1")
    revision = msgspec.structs.replace(
        champion, id=f"{workspace.project}/{NAME}/{number}", number=number, challenger=plan
    )
    publish(folder_of(workspace), revision, workspace.signer)
    return revision


EVENTS = pl.DataFrame(
    {
        "flight_id": ["F1", "F2"],
        "origin": ["JFK", "JFK"],
        "known_at": [datetime(2013, 4, 1, 8, tzinfo=UTC), datetime(2013, 4, 1, 9, tzinfo=UTC)],
        "dep_delay": [10.0, 20.0],
        "arr_delay": [1.0, 2.0],
    }
)
WEATHER = pl.DataFrame({"origin": ["JFK"], "observed_at": [datetime(2013, 4, 1, 11, tzinfo=UTC)], "wind": [7.0]})


@feature_view(entity="origin", time="observed_at", ttl="3h")
def weather(weather_rows: pl.LazyFrame) -> pl.LazyFrame:
    return weather_rows


def deploy_with_features(workspace: Workspace, folder: Path, **changes: Any) -> Revision:
    """A model on a window, a view, a scalar feature and a request field."""
    spec, sources = features_of(folder)
    fields = (Field("flight_id", "string", nullable=False), *spec.request)
    return deploy(workspace, a_model(list(spec.features)), fields, spec=spec, sources=sources, **changes)


def features_of(folder: Path, *more: Any) -> tuple[FeatureSetSpec, dict[str, str]]:
    """The spec of a feature set of all kinds, with more parts, and the code that it needs."""
    (folder / "project_of_delays.py").write_text(PROJECT, encoding="utf-8")
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        sys.modules.pop("project_of_delays", None)
        project = importlib.import_module("project_of_delays")
    finally:
        sys.path.remove(str(folder))
    recent = windows(
        "flights", time="known_at", by={"recent": ["origin"]}, delay=mean("dep_delay", "6h"), seen=count("6h")
    )
    features = FeatureSet(recent, weather, project.at_night, "distance", *more)
    spec = build_spec(
        features,
        {"origin": Field("origin", "string"), "departure": Field("departure", "datetime"), "distance": "float"},
        FrameTables({"flights": EVENTS, "weather_rows": WEATHER}, {"flights": ("flight_id",)}),
        lambda function: function.__name__,
    )
    return spec, code.extract([project.at_night], project_roots=(folder,))


def without(revision: Revision, name: str) -> Revision:
    """The revision with a field less in its contract."""
    fields = tuple(field for field in revision.contract.fields if field.name != name)
    return msgspec.structs.replace(revision, contract=msgspec.structs.replace(revision.contract, fields=fields))
