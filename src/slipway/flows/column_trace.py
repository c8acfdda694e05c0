"""Trace: from source column to prediction and back, through the features and models that are in the registry.

What a model reads of which column was written down with its training set, so no project's code is needed to tell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from slipway.errors import NotFound, near
from slipway.features.column_lineage import REQUEST
from slipway.features.states import from_us
from slipway.flows.endpoints import folder_of
from slipway.flows.package import training_set_of
from slipway.ledger import entries
from slipway.models import registry
from slipway.operations.catalog import FeatureSort, Lineage, Trace, TracedFeature, TracedModel, TracedPrediction
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.features import FeatureDefinition, FeatureSetSpec, RequestField, TrainingSet, View, Windows
from slipway.records.models import Bundle, ModelVersion
from slipway.records.predictions import PredictionRow
from slipway.records.projects import Project
from slipway.records.runs import Run
from slipway.tables import catalog
from slipway.tables.personal import MASK, may_see
from slipway.tables.prediction_log import PREDICTIONS
from slipway.tables.segments import read_segments

__all__ = ["KnownModel", "known_models", "trace"]

_AT_MOST = 10_000


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """A model version, what it was trained on, and where it serves.

    Args:
        version: The version.
        training: Its training set; None where it has none of features.
        endpoints: The endpoints that answer with it now.
    """

    version: ModelVersion
    training: TrainingSet | None
    endpoints: tuple[str, ...]

    def columns(self, feature: str, asker: str) -> tuple[str, ...]:
        """What a feature reads, as a project names it: its own tables without its name."""
        read = self.training.reads.get(feature, ()) if self.training else ()
        return tuple(sorted(_named(column, self.version.project, asker) for column in read))


def trace(workspace: Workspace, request: Lineage) -> Trace:
    """Trace what was asked for in both directions.

    Raises:
        NotFound: Nothing of this name is known.
    """
    asker = workspace.project
    models = list(known_models(workspace))
    what = request.what
    of_model = [one for one in models if what == one.version.name and one.version.project == asker]
    serving = [one for one in models if what in one.endpoints and one.version.project == asker]
    if serving:
        return _upstream(asker, f"the endpoint {what}", serving)
    if of_model:
        return _upstream(asker, f"the model {what}", of_model[:1])
    features = {name for one in models if one.training for name in one.training.reads}
    chosen = {one.version.id: _features_of(one, what) for one in models}
    if any(chosen.values()):
        return _downstream(asker, f"the feature {what}", models, chosen)
    columns = {column for one in models for name in _feature_names(one) for column in one.columns(name, asker)}
    asked = {column for column in columns if column == what or column.rpartition(".")[0] == what}
    if asked or _is_table(workspace, what):
        chosen = {
            one.version.id: {n for n in _feature_names(one) if asked & {*one.columns(n, asker)}} for one in models
        }
        return _downstream(asker, f"{'the column' if '.' in what else 'the table'} {what}", models, chosen, asked)
    found = _prediction(workspace, what)
    if found is not None:
        return found
    defined = _defined(workspace, what)
    if defined is not None:
        return defined
    known = {*columns, *features, *(one.version.name for one in models), *(e for one in models for e in one.endpoints)}
    raise NotFound(
        f"Nothing is known of {what!r}: it is no column that a feature reads, no table, feature, model, endpoint or "
        "prediction.",
        why=near(what, known, what="names in the lineage"),
        fix="For example: slipway catalog lineage flights.dep_delay",
    )


def _defined(workspace: Workspace, what: str) -> Trace | None:
    """A feature that a training set has used and no model that is at hand."""
    with workspace.ledger.read() as tx:
        names = tx.refs(workspace.project, "feature")
        known = [entries.get(tx, FeatureDefinition, id) for id in names.values()]
    for one in known:
        for column in one.columns:
            if what in (column.name, one.name):
                spec = FeatureSetSpec(name=one.name, parts=(one.part,))
                made = TracedFeature(
                    name=column.name, type=column.type, sort=_sort(spec, column.name), columns=one.sources
                )
                return Trace(what=f"the feature {what}", columns=one.sources, features=(made,), models=())
    return None


def known_models(workspace: Workspace) -> Iterator[KnownModel]:
    """Of each model of every project the newest version, and those that serve; newest first within a model."""
    with workspace.ledger.read() as tx:
        names = [project.name for project in entries.find(tx, Project, limit=_AT_MOST)]
        serving = {name: list(_serving(tx, name)) for name in names}
    for project in sorted(names):
        there = replace(workspace, project=project)
        for model in sorted(registry.names(there)):
            versions = registry.versions(there, model)
            for version in versions:
                endpoints = tuple(name for name, bundle in serving[project] if bundle == version.bundle)
                if endpoints or version.number == versions[0].number:
                    training = _training(there, version)
                    yield KnownModel(version=version, training=training, endpoints=endpoints)


def _serving(tx: ReadTransaction, project: str) -> Iterator[tuple[str, str]]:
    """Endpoints and the bundles that they answer with now."""
    for name, id in tx.refs(project, "endpoint").items():
        revision = entries.get(tx, Revision, id)
        yield name, revision.served.bundle
        if revision.challenger is not None:
            yield name, revision.challenger.served.bundle


def _training(workspace: Workspace, version: ModelVersion) -> TrainingSet | None:
    if not version.run_id:
        return None
    with workspace.ledger.read() as tx:
        run = entries.get(tx, Run, version.run_id)
    return training_set_of(workspace, run)


def _upstream(asker: str, what: str, models: Iterable[KnownModel], prediction: TracedPrediction | None = None) -> Trace:
    models = list(models)
    return _traced(asker, what, {one.version.id: set(_feature_names(one)) for one in models}, models, prediction)


def _downstream(
    asker: str,
    what: str,
    models: Iterable[KnownModel],
    chosen: dict[str, set[str]],
    columns: Collection[str] | None = None,
) -> Trace:
    on_the_way = [one for one in models if chosen.get(one.version.id)]
    made = _traced(asker, what, chosen, on_the_way, None)
    if columns is None:
        return made
    return Trace(what=made.what, columns=tuple(sorted(columns)), features=made.features, models=made.models)


def _traced(
    asker: str,
    what: str,
    chosen: dict[str, set[str]],
    models: Iterable[KnownModel],
    prediction: TracedPrediction | None,
) -> Trace:
    features: dict[str, TracedFeature] = {}
    found = []
    for one in models:
        names = chosen[one.version.id]
        if one.training is not None:
            types = {field.name: field.type for field in one.training.spec.features}
            for name in sorted(names & types.keys()):
                made = TracedFeature(
                    name=name,
                    type=types[name],
                    sort=_sort(one.training.spec, name),
                    columns=one.columns(name, asker),
                )
                features.setdefault(name, made)
        found.append(
            TracedModel(
                project=one.version.project,
                name=one.version.name,
                number=one.version.number,
                run_id=one.version.run_id,
                data=(one.training.table,) if one.training else (),
                endpoints=one.endpoints,
                features=tuple(sorted(names)),
            )
        )
    columns = {column for made in features.values() for column in made.columns}
    return Trace(
        what=what,
        columns=tuple(sorted(columns)),
        features=tuple(features[name] for name in sorted(features)),
        models=tuple(found),
        prediction=prediction,
    )


def _prediction(workspace: Workspace, id: str) -> Trace | None:
    """The trace of one answered row, None where no endpoint of the project gave it."""
    with workspace.ledger.read() as tx:
        endpoints = list(tx.refs(workspace.project, "endpoint"))
    for name in endpoints:
        rows, _ = read_segments(folder_of(workspace, name) / "log", PREDICTIONS, PredictionRow)
        for row in rows:
            if row.id == id:
                return _of_row(workspace, name, row)
    return None


def _of_row(workspace: Workspace, endpoint: str, row: PredictionRow) -> Trace:
    with workspace.ledger.read() as tx:
        (revision,) = entries.find(tx, Revision, project=workspace.project, name=endpoint, number=row.revision, limit=1)
    served = revision.served
    if not served.bundle.startswith(row.bundle) and revision.challenger is not None:
        served = revision.challenger.served
    version = registry.get(workspace, served.model, served.number)
    bundle: Bundle = registry.bundle_of(workspace, version)
    training = _training(workspace, version)
    hidden = set() if may_see(workspace.actor) else _personal(workspace, training)
    names = tuple(field.name for field in bundle.signature.inputs)
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
    model = KnownModel(version=version, training=training, endpoints=(endpoint,))
    return _upstream(workspace.project, f"the prediction {row.id}", [model], told)


def _personal(workspace: Workspace, training: TrainingSet | None) -> set[str]:
    """The features that read a personal column, or a field of the request that is called as one."""
    columns: set[str] = set()
    for head in catalog.heads(workspace):
        for name in head.about.personal:
            columns |= {f"{head.name}.{name}", f"{workspace.project}/{head.name}.{name}", f"{REQUEST}.{name}"}
    return {name for name, read in (training.reads if training else {}).items() if columns & set(read)}


def _feature_names(model: KnownModel) -> tuple[str, ...]:
    return tuple(field.name for field in model.training.spec.features) if model.training else ()


def _features_of(model: KnownModel, what: str) -> set[str]:
    """The features of a model that a name means: one, or all of a feature view."""
    if model.training is None:
        return set()
    if what in model.training.reads:
        return {what}
    names: set[str] = set()
    for part in model.training.spec.parts:
        if isinstance(part, View) and part.name == what:
            names |= {f"{what}_{field.name}" for field in part.fields}
    return names


def _sort(spec: FeatureSetSpec, feature: str) -> FeatureSort:
    for part in spec.parts:
        if isinstance(part, Windows) and any(f"{part.name}_{one.name}" == feature for one in part.aggregates):
            return "windows"
        if isinstance(part, View) and any(f"{part.name}_{field.name}" == feature for field in part.fields):
            return "view"
        if isinstance(part, RequestField) and part.name == feature:
            return "request"
    return "scalar"


def _named(column: str, owner: str, asker: str) -> str:
    if column.startswith(f"{REQUEST}."):
        return column
    whole = column if "/" in column else f"{owner}/{column}"
    return whole.removeprefix(f"{asker}/")


def _is_table(workspace: Workspace, what: str) -> bool:
    owner, _, name = what.rpartition("/")
    with workspace.ledger.read() as tx:
        return catalog.find_head(tx, owner or workspace.project, name) is not None
