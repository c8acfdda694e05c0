"""MLflow's registered models and their aliases."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from slipway.errors import InvalidInput
from slipway.ledger.search import search
from slipway.models import numbered, registered, registered_versions
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import ModelVersion, RegisteredModel
from slipway.records.search import And, Compare, Field, In
from slipway.server.mlflow.routes import Area
from slipway.server.mlflow.stored_search import models_order, models_where
from slipway.server.mlflow.versions import version_shown, versions_shown
from slipway.server.mlflow.wire import EXISTS, Int64, Pair, given_pairs, millis, pairs
from slipway.server.mlflow.words import checked_limit, needed

__all__ = ["area"]

area = Area("2.0/mlflow/registered-models", "models")

_MODELS_A_PAGE = 1000
_NAME, _STAGE = Field("attribute", "name"), Field("attribute", "stage")


class ModelNamed(Struct):
    """Which model."""

    name: str = ""


class NewModel(ModelNamed):
    """A new model."""

    tags: list[Pair] = []
    description: str = ""


class ModelChange(ModelNamed):
    """What else is said of a model."""

    description: str = ""


class Renaming(ModelNamed):
    """A model's new name."""

    new_name: str = ""


class ModelTag(ModelNamed):
    """A tag of a model."""

    key: str = ""
    value: str = ""


class AliasGiven(ModelNamed):
    """An alias of a model, and where it points."""

    alias: str = ""
    version: str = ""


class Latest(ModelNamed):
    """Of which stages."""

    stages: list[str] = []


class Search(Struct):
    """Which models."""

    filter: str = ""
    max_results: Int64 = 100
    order_by: list[str] = []
    page_token: str = ""


@area.changes("POST", "/create", NewModel, conflict=EXISTS)
def create_model(workspace: Workspace, asked: NewModel) -> dict[str, Any]:
    """Make a model that has no versions yet."""
    with workspace.ledger.write() as tx:
        made = registered.create(
            tx, workspace, needed(asked.name, "name"), description=asked.description, tags=given_pairs(asked.tags)
        )
        return {"registered_model": _shown(tx, workspace, made)}


@area.reads("GET", "/get", ModelNamed)
def get_model(workspace: Workspace, asked: ModelNamed) -> dict[str, Any]:
    """One model with its latest versions."""
    with workspace.ledger.read() as tx:
        found = registered.get(tx, workspace, needed(asked.name, "name"))
        return {"registered_model": _shown(tx, workspace, found)}


@area.changes("PATCH", "/update", ModelChange)
def update_model(workspace: Workspace, asked: ModelChange) -> dict[str, Any]:
    """Describe a model anew."""
    with workspace.ledger.write() as tx:
        changed = registered.change(tx, workspace, needed(asked.name, "name"), description=asked.description)
        return {"registered_model": _shown(tx, workspace, changed)}


@area.changes("POST", "/rename", Renaming, conflict=EXISTS)
def rename_model(workspace: Workspace, asked: Renaming) -> dict[str, Any]:
    """Give a model another name."""
    with workspace.ledger.write() as tx:
        name, new_name = needed(asked.name, "name"), needed(asked.new_name, "new_name")
        return {"registered_model": _shown(tx, workspace, registered.rename(tx, workspace, name, new_name))}


@area.changes("DELETE", "/delete", ModelNamed)
def delete_model(workspace: Workspace, asked: ModelNamed) -> dict[str, Any]:
    """Delete a model with its versions."""
    with workspace.ledger.write() as tx:
        registered.delete(tx, workspace, needed(asked.name, "name"))
    return {}


@area.changes("POST", "/set-tag", ModelTag)
def set_model_tag(workspace: Workspace, asked: ModelTag) -> dict[str, Any]:
    """Set a tag of a model."""
    with workspace.ledger.write() as tx:
        registered.change(tx, workspace, needed(asked.name, "name"), tags={needed(asked.key, "key"): asked.value})
    return {}


@area.changes("DELETE", "/delete-tag", ModelTag)
def delete_model_tag(workspace: Workspace, asked: ModelTag) -> dict[str, Any]:
    """Take a tag away from a model."""
    with workspace.ledger.write() as tx:
        registered.change(tx, workspace, needed(asked.name, "name"), drop=needed(asked.key, "key"))
    return {}


@area.changes("POST", "/alias", AliasGiven)
def set_alias(workspace: Workspace, asked: AliasGiven) -> dict[str, Any]:
    """Point an alias at a version."""
    with workspace.ledger.write() as tx:
        name, alias = needed(asked.name, "name"), needed(asked.alias, "alias")
        registered_versions.set_alias(tx, workspace, name, alias, needed(asked.version, "version"))
    return {}


@area.changes("DELETE", "/alias", AliasGiven)
def delete_alias(workspace: Workspace, asked: AliasGiven) -> dict[str, Any]:
    """Take an alias away."""
    with workspace.ledger.write() as tx:
        numbered.drop_alias(tx, workspace, needed(asked.name, "name"), needed(asked.alias, "alias"))
    return {}


@area.reads("GET", "/alias", AliasGiven)
def get_by_alias(workspace: Workspace, asked: AliasGiven) -> dict[str, Any]:
    """The version that an alias points at."""
    alias = needed(asked.alias, "alias")
    with workspace.ledger.read() as tx:
        registered.get(tx, workspace, needed(asked.name, "name"))
        number = tx.ref(workspace.project, *numbered.alias_node(asked.name, alias))
        if alias.lower() == numbered.LATEST:
            found = numbered.look_up(tx, workspace.project, asked.name, numbered.LATEST)
        elif not number:
            # MLflow's own answer to an alias that is not there is this code, and clients test for it.
            raise InvalidInput(f"Registered model alias {alias[:80]} not found.", fix="List the model's aliases.")
        else:
            found = registered_versions.get_version(tx, workspace, asked.name, number)
        return {"model_version": version_shown(tx, workspace, found)}


@area.reads("GET", "/get-latest-versions", Latest)
@area.reads("POST", "/get-latest-versions", Latest)
def get_latest(workspace: Workspace, asked: Latest) -> dict[str, Any]:
    """The latest version of each stage."""
    known = {stage.lower(): stage for stage in registered_versions.STAGES}
    for stage in asked.stages:
        if stage.lower() not in known:
            raise InvalidInput(
                f"Invalid Model Version stage: {stage[:40]}.",
                fix=f"The stages are {', '.join(registered_versions.STAGES)}.",
            )
    wanted = {known[stage.lower()] for stage in asked.stages} or set(registered_versions.STAGES)
    with workspace.ledger.read() as tx:
        found = registered.get(tx, workspace, needed(asked.name, "name"))
        latest = [one for one in _latest(tx, workspace, [found.name])[found.name] if one.stage in wanted]
        return {"model_versions": versions_shown(tx, workspace, latest)}


@area.reads("GET", "/search", Search)
def search_models(workspace: Workspace, asked: Search) -> dict[str, Any]:
    """Models that fit, by name unless told otherwise."""
    limit = checked_limit(asked.max_results, _MODELS_A_PAGE)
    where, orders = models_where(asked.filter), models_order(asked.order_by)
    with workspace.ledger.read() as tx:
        found = search(
            tx,
            RegisteredModel,
            project=workspace.project,
            where=where,
            order=orders,
            token=asked.page_token,
            limit=limit,
        )
        answer = _all_shown(tx, workspace, found.records)
    return {"registered_models": answer, "next_page_token": found.next_token}


def _latest(tx: ReadTransaction, workspace: Workspace, names: Sequence[str]) -> dict[str, list[ModelVersion]]:
    """Of each model the latest version of each stage that it has one in, by number."""
    found: dict[str, list[ModelVersion]] = {name: [] for name in names}
    for stage in registered_versions.STAGES:
        of_stage = And((Compare(_STAGE, "=", stage), In(_NAME, tuple(names))))
        for name, version in numbered.latest_by_name(tx, workspace.project, of_stage).items():
            found[name].append(version)
    return {name: sorted(versions, key=lambda version: version.number) for name, versions in found.items()}


def _shown(tx: ReadTransaction, workspace: Workspace, one: RegisteredModel) -> dict[str, Any]:
    return _all_shown(tx, workspace, [one])[0]


def _all_shown(tx: ReadTransaction, workspace: Workspace, models: Sequence[RegisteredModel]) -> list[dict[str, Any]]:
    """Models as MLflow shows them, by as many queries for a thousand as for one."""
    aliases = numbered.aliases_of_all(tx, workspace.project)
    latest = _latest(tx, workspace, [one.name for one in models])
    shown = iter(versions_shown(tx, workspace, [version for one in models for version in latest[one.name]]))
    return [
        {
            "name": one.name,
            "creation_timestamp": millis(one.created_at),
            "last_updated_timestamp": millis(one.updated_at),
            "user_id": one.actor.name,
            "description": one.description,
            "latest_versions": [next(shown) for _ in latest[one.name]],
            "tags": pairs(one.tags),
            "aliases": [
                {"alias": alias, "version": str(number)} for alias, number in sorted(aliases.get(one.name, {}).items())
            ],
        }
        for one in models
    ]
