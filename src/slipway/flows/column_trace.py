"""Trace: from source column to prediction and back, through the features and models that are in the registry.

Inside this file everything is called by its name over all projects, `<project>/<name>`; what is asked and answered leaves
out the asker's own project.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import polars as pl

from slipway.errors import NotFound, near
from slipway.features.column_lineage import REQUEST
from slipway.features.specs import features_of
from slipway.features.states import from_us
from slipway.flows.endpoints import folder_of
from slipway.flows.known_models import KnownModel, known_model, known_models, projects_of
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.catalog import FeatureSort, Lineage, Trace, TracedFeature, TracedModel, TracedPrediction
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.features import FeatureDefinition, FeatureSetSpec, Part, RequestField, View, Windows
from slipway.records.models import Bundle
from slipway.records.predictions import PredictionRow
from slipway.records.tables import TableVersion
from slipway.tables import catalog
from slipway.tables.log_rows import read_rows
from slipway.tables.personal import MASK, Personal, may_see
from slipway.tables.prediction_log import PREDICTIONS

__all__ = ["personal_inputs", "trace"]

_ROWS_AT_ONCE = 10_000
_ID = re.compile(r"[0-9a-f]{32}\Z")


@dataclass(frozen=True, kw_only=True)
class _Way:
    """How the way leads through a model.

    Args:
        model: The model.
        features: The features on the way.
        beside: What else of it is on the way: columns that taught it, tables that its run read by itself.
    """

    model: KnownModel
    features: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def columns(self) -> set[str]:
        """Every column on the way."""
        found = {column for name in self.features for column in self.model.columns(name)}
        return found | {column for column in self.beside if column in self.model.taught}


def trace(workspace: Workspace, request: Lineage) -> Trace:
    """Trace what was asked for in both directions.

    Raises:
        NotFound: Nothing of this name is known.
    """
    models = known_models(workspace)
    with workspace.ledger.read() as tx:
        whole = _whole(tx, workspace.project, request.what)
    asker, what = workspace.project, whole.removeprefix(f"{workspace.project}/")
    serving = [one for one in models if whole in {f"{one.version.project}/{name}" for name in one.endpoints}]
    if serving:
        return _told(asker, f"the endpoint {what}", [_upstream(one) for one in serving])
    of_model = [one for one in models if whole == f"{one.version.project}/{one.version.name}"]
    if of_model:
        return _told(asker, f"the model {what}", [_upstream(of_model[0])])
    found = (
        _of_feature(models, asker, whole)
        or _of_column(workspace, models, whole)
        or _of_table(workspace, models, whole)
        or _defined(workspace, what)
        or (_prediction(workspace, what) if _ID.match(what) else None)
    )
    if found is not None:
        return found
    raise NotFound(
        f"Nothing is known of {what!r}: it is no column that a feature reads or a model was taught by, no table, feature, "
        "model, endpoint or prediction.",
        why=near(what, set(_known_names(asker, models)), what="names in the lineage"),
        fix="For example: slipway catalog lineage flights.dep_delay",
    )


def _whole(tx: ReadTransaction, asker: str, what: str) -> str:
    """A name over all projects; what begins with no project's name is the asker's own."""
    project, slash, _ = what.partition("/")
    return what if slash and project in projects_of(tx) else f"{asker}/{what}"


def _short(asker: str, name: str) -> str:
    return name.removeprefix(f"{asker}/")


def _known_names(asker: str, models: Iterable[KnownModel]) -> Iterator[str]:
    for one in models:
        for name in (one.version.name, *one.endpoints):
            yield _short(asker, f"{one.version.project}/{name}")
        for feature in one.features:
            yield _short(asker, one.identity(feature))
            yield from (_short(asker, column) for column in one.columns(feature))
        yield from (_short(asker, name) for name in (*one.taught, *one.beside))


def _of_feature(models: list[KnownModel], asker: str, whole: str) -> Trace | None:
    """The way of a feature or of a view's features; one that a project borrows is the same as its owner's."""
    name = _short(asker, whole)
    meant = {whole}
    for one in models:
        if one.version.project == asker:
            meant |= {
                id for feature in one.features for id in one.means(feature) if id.partition("/")[2] == name
            }  # that of another project, which the asker's own model calls so
    ways = [
        _Way(model=one, features=tuple(feature for feature in one.features if meant & one.means(feature)))
        for one in models
    ]
    ways = [way for way in ways if way.features]
    return _told(asker, f"the feature {name}", ways) if ways else None


def _of_column(workspace: Workspace, models: list[KnownModel], whole: str) -> Trace | None:
    """The way of one column, or of one field of the asker's requests."""
    asker = workspace.project
    field = _short(asker, whole) if _short(asker, whole).startswith(f"{REQUEST}.") else ""
    ways = []
    for one in models:
        column = field if field and one.version.project == asker else whole
        beside = [name for name in one.taught if name == whole]
        beside += [table for table in one.beside if _has(workspace, one, table, whole)]
        features = tuple(feature for feature in one.features if column in one.columns(feature))
        ways.append(_Way(model=one, features=features, beside=tuple(beside)))
    ways = [way for way in ways if way.features or way.beside]
    if not ways:
        return None
    return _told(asker, f"the column {_short(asker, whole)}", ways, [field or whole])


def _has(workspace: Workspace, model: KnownModel, table: str, column: str) -> bool:
    """Whether a table, as a model's run read it, has a column."""
    if not column.startswith(f"{table}."):
        return False
    with workspace.ledger.read() as tx:
        version = entries.get(tx, TableVersion, model.version_of(table))
    return column in {f"{table}.{field.name}" for field in version.fields}


def _of_table(workspace: Workspace, models: list[KnownModel], whole: str) -> Trace | None:
    owner, _, name = whole.partition("/")
    with workspace.ledger.read() as tx:
        is_there = catalog.find_head(tx, owner, name) is not None
    if not is_there:
        return None
    ways = []
    for one in models:
        read = {feature: _of(one.columns(feature), whole) for feature in one.features}
        features = tuple(name for name, columns in read.items() if columns or whole in one.sources(name))
        beside = (*_of(one.taught, whole), *(table for table in one.beside if table == whole))
        if features or beside or one.is_of(whole):
            ways.append(_Way(model=one, features=features, beside=beside))
    columns = {column for way in ways for column in _of(way.columns, whole)}
    return _told(workspace.project, f"the table {_short(workspace.project, whole)}", ways, columns)


def _of(columns: Iterable[str], table: str) -> tuple[str, ...]:
    """Those columns that are a table's."""
    return tuple(column for column in columns if column.startswith(f"{table}."))


def _defined(workspace: Workspace, what: str) -> Trace | None:
    """A feature that a training set has used and no model that is at hand."""
    with workspace.ledger.read() as tx:
        known = [entries.get(tx, FeatureDefinition, id) for id in tx.refs(workspace.project, "feature").values()]
    for one in known:
        made = tuple(
            TracedFeature(
                project=workspace.project,
                name=column.name,
                type=column.type,
                sort=_sort(one.part),
                columns=one.sources,
            )
            for column in one.columns
            if what in (column.name, one.name)
        )
        if made:
            return Trace(what=f"the feature {what}", columns=one.sources, features=made, models=())
    return None


def _upstream(model: KnownModel) -> _Way:
    return _Way(model=model, features=model.features, beside=(*model.taught, *model.beside))


def _told(
    asker: str,
    what: str,
    ways: Iterable[_Way],
    columns: Iterable[str] | None = None,
    prediction: TracedPrediction | None = None,
) -> Trace:
    """The ways in the asker's words; the columns are all that are on them, where the question does not say which."""
    ways = list(ways)
    features: dict[str, TracedFeature] = {}
    for way in ways:
        for name in way.features:
            identity = way.model.identity(name)
            made = _feature(asker, way.model, name)
            before = features.get(identity, made)  # of two versions that define it otherwise: what either reads
            read = tuple(sorted({*before.columns, *made.columns}))
            features[identity] = TracedFeature(
                project=before.project, name=name, type=before.type, sort=before.sort, columns=read
            )
    found = {column for way in ways for column in way.columns} if columns is None else set(columns)
    return Trace(
        what=what,
        columns=tuple(sorted(_short(asker, column) for column in found)),
        features=tuple(sorted(features.values(), key=lambda made: (made.name, made.project))),
        models=tuple(_model(asker, way) for way in ways),
        prediction=prediction,
    )


def _feature(asker: str, model: KnownModel, name: str) -> TracedFeature:
    assert model.training is not None
    spec = model.training.spec
    return TracedFeature(
        project=model.identity(name).partition("/")[0],
        name=name,
        type=next(field.type for field in spec.features if field.name == name),
        sort=_sort_in(spec, name),
        columns=tuple(sorted(_short(asker, column) for column in model.columns(name))),
    )


def _model(asker: str, way: _Way) -> TracedModel:
    version, training = way.model.version, way.model.training
    tables = [node for node in way.model.inputs if node.startswith("table:")]
    return TracedModel(
        project=version.project,
        name=version.name,
        number=version.number,
        run_id=version.run_id,
        data=(training.table,) if training else tuple(tables),
        endpoints=way.model.endpoints,
        features=tuple(sorted(way.features)),
        beside=tuple(sorted(_short(asker, name) for name in way.beside)),
    )


def _prediction(workspace: Workspace, id: str) -> Trace | None:
    """The trace of one answered row, None where no endpoint of the project gave it."""
    with workspace.ledger.read() as tx:
        endpoints = sorted(tx.refs(workspace.project, "endpoint"))
    for name in endpoints:
        log, after = folder_of(workspace, name) / "log", None
        while True:
            rows, after = read_rows(
                log, PREDICTIONS, PredictionRow, after, limit=_ROWS_AT_ONCE, where=pl.col("id") == id
            )
            if not rows:
                break
            for row in rows:
                if row.id == id:
                    return _of_row(workspace, name, row)
    return None


def _of_row(workspace: Workspace, endpoint: str, row: PredictionRow) -> Trace:
    with workspace.ledger.read() as tx:
        (revision,) = entries.find(tx, Revision, project=workspace.project, name=endpoint, number=row.revision, limit=1)
    served = revision.served
    beside = [one.served for one in revision.challengers]
    served = next((one for one in (served, *beside) if one.bundle.startswith(row.bundle)), served)
    version = registry.get(workspace, served.model, served.number)
    bundle: Bundle = registry.bundle_of(workspace, version)
    with workspace.ledger.read() as tx:
        model = known_model(workspace, tx, version, (endpoint,))
    names = tuple(field.name for field in bundle.signature.inputs)
    hidden = set() if may_see(workspace.actor) else personal_inputs(workspace, model, names)
    told = TracedPrediction(
        id=row.id,
        endpoint=endpoint,
        revision=row.revision,
        at=from_us(row.at_us),
        score=row.score,
        decision=row.decision,
        features={
            name: MASK if name in hidden and value is not None else value
            for name, value in zip(names, row.features, strict=True)
        },
    )
    return _told(workspace.project, f"the prediction {row.id}", [_upstream(model)], prediction=told)


def personal_inputs(workspace: Workspace, model: KnownModel, names: Iterable[str]) -> set[str]:
    """The inputs that read a personal column, or a field of the request that is called as one.

    Which columns are personal, the tables' own projects say: by what stands there now, under whatever name it ever had,
    and by what stood there in the versions that the model's run read. All inputs do where nobody knows what they read.
    """
    read = {name: set(model.columns(name)) or {f"{REQUEST}.{name}"} for name in names}
    projects = {workspace.project, *(model.identity(name).partition("/")[0] for name in read)}
    projects |= {column.partition("/")[0] for columns in read.values() for column in columns if "/" in column}
    with workspace.ledger.read() as tx:
        taken = [node.removeprefix("table:") for node in model.inputs if node.startswith("table:")]
        versions = [entries.get(tx, TableVersion, id) for id in taken]
    known = Personal(workspace)
    columns = {f"{one.project}/{one.name}.{name}" for one in versions for name in known.names_in(one)}
    fields: dict[str, set[str]] = {}
    for project in sorted(projects):
        heads = catalog.heads(replace(workspace, project=project))
        personal = {head.name: known.names_ever(project, head.name) for head in heads}
        columns |= {f"{project}/{table}.{name}" for table, told in personal.items() for name in told}
        fields[project] = {f"{REQUEST}.{name}" for told in personal.values() for name in told}
    if columns and model.training is not None and not model.training.reads:
        return set(read)
    asked = fields.get(workspace.project, set())
    return {
        name
        for name in read
        if read[name] & (columns | asked | fields.get(model.identity(name).partition("/")[0], set()))
    }


def _sort_in(spec: FeatureSetSpec, feature: str) -> FeatureSort:
    return next(_sort(part) for part in spec.parts if feature in {made.name for made in features_of(part)})


def _sort(part: Part) -> FeatureSort:
    if isinstance(part, Windows):
        return "windows"
    if isinstance(part, View):
        return "view"
    return "request" if isinstance(part, RequestField) else "scalar"
