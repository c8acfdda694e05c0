"""The catalogue: tables, features and what projects share, with the models and endpoints that use each."""

from __future__ import annotations

from slipway.features.definitions import in_use
from slipway.flows.known_models import KnownModel, known_models
from slipway.ledger import publications
from slipway.operations.catalog import Found, Hit, Search
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.features import FeatureDefinition, Scalar, View
from slipway.records.sharing import Publication
from slipway.records.tables import TableVersion
from slipway.tables.catalog import heads

__all__ = ["search"]

_KEPT_RESULTS = "view."  # tables in which releases keep the results of feature views


def search(workspace: Workspace, request: Search) -> Found:
    """Everything whose words contain all that were given: of the project, and what others share with it."""
    words = request.text.lower().split()
    models = known_models(workspace)
    with workspace.ledger.read() as tx:
        features = in_use(tx, workspace.project)
        shared = [
            (one, _made_with(tx, one, models))
            for one in publications.every(tx)
            if one.project != workspace.project and publications.may_use(one, workspace.project)
        ]
    hits = [_table(workspace, one, models) for one in heads(workspace) if not one.name.startswith(_KEPT_RESULTS)]
    hits += [_feature(workspace, features[name], models) for name in sorted(features)]
    hits += [_shared(workspace, one, users) for one, users in shared if _is_offered(workspace, one, users)]
    return Found(hits=tuple(hit for hit in hits if all(word in _text(hit) for word in words)))


def _table(workspace: Workspace, version: TableVersion, models: list[KnownModel]) -> Hit:
    asker = workspace.project
    return Hit(
        sort="table",
        project=asker,
        name=version.name,
        owner=version.about.owner,
        description=version.about.description,
        tags=version.about.tags,
        columns=tuple(field.name for field in version.fields),
        **_used(asker, [model for model in models if model.is_of(f"{asker}/{version.name}")]),
    )


def _feature(workspace: Workspace, one: FeatureDefinition, models: list[KnownModel]) -> Hit:
    asker = workspace.project
    names = {f"{asker}/{field.name}" for field in one.columns}

    def takes(model: KnownModel) -> bool:
        return any(model.identity(feature) in names for feature in model.features)

    return Hit(
        sort="feature" if isinstance(one.part, Scalar) else "view" if isinstance(one.part, View) else "windows",
        project=asker,
        name=one.name,
        owner=one.about.owner,
        description=one.about.description,
        tags=one.about.tags,
        columns=tuple(field.name for field in one.columns),
        **_used(asker, [model for model in models if takes(model)]),
    )


def _shared(workspace: Workspace, one: Publication, users: list[KnownModel]) -> Hit:
    return Hit(
        sort="shared",
        project=one.project,
        name=one.id,
        owner=one.about.owner,
        description=one.about.description,
        tags=one.about.tags,
        columns=tuple(field.name for field in one.fields),
        **_used(workspace.project, users),
    )


def _made_with(tx: ReadTransaction, one: Publication, models: list[KnownModel]) -> list[KnownModel]:
    """The models that stand on something shared, also by way of a table that was made from it."""
    made = set(publications.made_with(tx, one))
    return [model for model in models if f"model:{model.version.id}" in made]


def _is_offered(workspace: Workspace, one: Publication, users: list[KnownModel]) -> bool:
    """Whether the project may begin to use it, or uses it already: then it goes on, also where it was withdrawn."""
    return one.state == "published" or any(model.version.project == workspace.project for model in users)


def _used(asker: str, models: list[KnownModel]) -> dict[str, tuple[str, ...]]:
    def named(project: str, name: str) -> str:
        return name if project == asker else f"{project}/{name}"

    return {
        "models": tuple(sorted({named(one.version.project, one.version.name) for one in models})),
        "endpoints": tuple(sorted({named(one.version.project, e) for one in models for e in one.endpoints})),
    }


def _text(hit: Hit) -> str:
    return " ".join((hit.sort, hit.name, hit.owner, hit.description, *hit.tags, *hit.columns)).lower()
