"""The catalogue: what there is, who uses it, and what each value comes from."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from slipway.operations.declare import Operation

__all__ = [
    "FeatureSort",
    "Found",
    "Hit",
    "Lineage",
    "Search",
    "Trace",
    "TracedFeature",
    "TracedModel",
    "TracedPrediction",
    "operations",
]

FeatureSort = Literal["windows", "view", "scalar", "request"]


class Search(Struct, frozen=True, kw_only=True):
    """Words that name, owner, description, tags or columns must all contain; "" for everything."""

    text: str = ""


class Hit(Struct, frozen=True, kw_only=True):
    """One thing of the catalogue.

    Args:
        sort: What it is.
        project: Whose.
        name: Its name; of something shared its reference.
        owner: Who answers for it.
        description: What it is, in a sentence.
        tags: Words to find it by.
        columns: What it holds or gives.
        models: The models that are made with it, `<project>/<model>` where it is another project's.
        endpoints: The endpoints that answer with it now.
    """

    sort: Literal["table", "feature", "view", "windows", "shared"]
    project: str
    name: str
    owner: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()


class Found(Struct, frozen=True, kw_only=True):
    """What was found, by sort and name."""

    hits: tuple[Hit, ...]


class Lineage(Struct, frozen=True, kw_only=True):
    """Of what: `table.column`, a table, a feature, a model, an endpoint, or a prediction's id.

    What is another project's is written `<project>/<name>`.
    """

    what: str


class TracedFeature(Struct, frozen=True, kw_only=True):
    """A feature on the way.

    Args:
        project: Which project defines it.
        name: Its name.
        type: Its type.
        sort: How it is computed.
        columns: What its value depends on: `table.column`, `request.field`; of a field also the label table's column
            from which training had it.
    """

    project: str
    name: str
    type: str
    sort: FeatureSort
    columns: tuple[str, ...]


class TracedModel(Struct, frozen=True, kw_only=True):
    """A model version on the way.

    Args:
        project: Whose.
        name: The model's name.
        number: The version's.
        run_id: The run that made it.
        data: The table versions that went into it, as lineage nodes.
        endpoints: The endpoints that answer with it now.
        features: Those of its features that are on the way.
        beside: What it rests on besides features, as far as that is on the way: `table.column` of its label and of the
            times of its training rows, and tables that its run read by itself, whose columns nobody knows.
    """

    project: str
    name: str
    number: int
    run_id: str
    data: tuple[str, ...]
    endpoints: tuple[str, ...]
    features: tuple[str, ...]
    beside: tuple[str, ...] = ()


class TracedPrediction(Struct, frozen=True, kw_only=True):
    """One answered row: when, by which model, from which values.

    Args:
        id: The prediction's id.
        endpoint: Who answered.
        revision: Under which revision.
        at: The decision time.
        score: The answer.
        decision: What was decided.
        features: The model's inputs as they were served.
    """

    id: str
    endpoint: str
    revision: int
    at: datetime
    score: float
    decision: bool | None
    features: dict[str, Any]


class Trace(Struct, frozen=True, kw_only=True):
    """The way from source columns to predictions, as far as it leads through what was asked for.

    Args:
        what: What was asked for, in words.
        columns: The source columns on the way, sorted.
        features: The features on the way, by name.
        models: Of each model the newest version on the way, and those that serve.
        prediction: Where one was asked for.
    """

    what: str
    columns: tuple[str, ...]
    features: tuple[TracedFeature, ...]
    models: tuple[TracedModel, ...]
    prediction: TracedPrediction | None = None


operations = (
    Operation(
        name="catalog.search",
        summary="Search tables, features and what is shared, with who uses each.",
        permission="catalog.read",
        request=Search,
        response=Found,
        body="slipway.flows.catalog:search",
    ),
    Operation(
        name="catalog.lineage",
        summary="Trace the way from source columns through features and models to endpoints and predictions.",
        permission="catalog.read",
        request=Lineage,
        response=Trace,
        body="slipway.flows.column_trace:trace",
    ),
)
