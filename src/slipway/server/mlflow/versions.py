"""MLflow's model versions: registered, described, moved between stages, found."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from slipway.errors import InvalidInput
from slipway.ledger.search import every_found, search
from slipway.ledger.stored_files import check_path
from slipway.models import logged, numbered, registered_versions
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import LoggedModel, ModelVersion
from slipway.records.search import Field, In
from slipway.runs import outside
from slipway.server.mlflow.logged_models import metric_shown
from slipway.server.mlflow.places import Place, place_of_uri
from slipway.server.mlflow.routes import Area
from slipway.server.mlflow.stored_search import versions_order, versions_where
from slipway.server.mlflow.wire import EXISTS, Int64, Pair, given_pairs, millis, pairs
from slipway.server.mlflow.words import checked_limit, needed

__all__ = ["area", "version_shown", "versions_shown"]

area = Area("2.0/mlflow/model-versions", "models")

_PROMPT = "mlflow.prompt.is_prompt"
_VERSIONS_A_PAGE = 200_000
_MODELS_AT_ONCE = 1000


class Search(Struct):
    """Which versions."""

    filter: str = ""
    max_results: Int64 = _VERSIONS_A_PAGE
    order_by: list[str] = []
    page_token: str = ""


class VersionNamed(Struct):
    """Which version."""

    name: str = ""
    version: str = ""


class NewVersion(Struct):
    """A new version."""

    name: str = ""
    source: str = ""
    run_id: str = ""
    tags: list[Pair] = []
    run_link: str = ""
    description: str = ""
    model_id: str = ""


class VersionChange(VersionNamed):
    """What else is said of a version."""

    description: str = ""


class Transition(VersionNamed):
    """Where a version moves."""

    stage: str = ""
    archive_existing_versions: bool = False


class VersionTag(VersionNamed):
    """A tag of a version."""

    key: str = ""
    value: str = ""


@area.changes("POST", "/create", NewVersion, conflict=EXISTS)
def create_version(workspace: Workspace, asked: NewVersion) -> dict[str, Any]:
    """Make stored files the next version of a model."""
    tags = given_pairs(asked.tags)
    with workspace.ledger.write() as tx:
        source, run_id, model_id = needed(asked.source, "source"), asked.run_id, asked.model_id
        location = ""
        if tags.get(_PROMPT, "").lower() != "true":
            place, told = _resolve(tx, workspace, source)
            location = place
            if isinstance(told, LoggedModel):
                model_id, run_id = model_id or told.id, run_id or told.run_id
            elif isinstance(told, ModelVersion):
                model_id, run_id = model_id or told.logged_model_id, run_id or told.run_id
            else:
                run_id = run_id or told
        if run_id:
            outside.get(tx, workspace, run_id)
        if model_id:
            logged.get(tx, workspace, model_id)
        made = registered_versions.add_version(
            tx,
            workspace,
            needed(asked.name, "name"),
            source=source,
            location=location,
            run_id=run_id,
            logged_model_id=model_id,
            description=asked.description,
            run_link=asked.run_link[:500],
            tags=tags,
        )
        return {"model_version": version_shown(tx, workspace, made)}


@area.reads("GET", "/get", VersionNamed)
def get_version(workspace: Workspace, asked: VersionNamed) -> dict[str, Any]:
    """One version."""
    with workspace.ledger.read() as tx:
        return {"model_version": version_shown(tx, workspace, _named(tx, workspace, asked))}


@area.changes("PATCH", "/update", VersionChange)
def update_version(workspace: Workspace, asked: VersionChange) -> dict[str, Any]:
    """Describe a version anew."""
    with workspace.ledger.write() as tx:
        changed = registered_versions.change_version(
            tx, workspace, needed(asked.name, "name"), needed(asked.version, "version"), description=asked.description
        )
        return {"model_version": version_shown(tx, workspace, changed)}


@area.changes("DELETE", "/delete", VersionNamed)
def delete_version(workspace: Workspace, asked: VersionNamed) -> dict[str, Any]:
    """Delete a version."""
    with workspace.ledger.write() as tx:
        registered_versions.delete_version(tx, workspace, needed(asked.name, "name"), needed(asked.version, "version"))
    return {}


@area.changes("POST", "/transition-stage", Transition)
def transition(workspace: Workspace, asked: Transition) -> dict[str, Any]:
    """Move a version to a stage."""
    name, number = needed(asked.name, "name"), needed(asked.version, "version")
    with workspace.ledger.write() as tx:
        moved = registered_versions.move_to_stage(
            tx, workspace, name, number, needed(asked.stage, "stage"), archive=asked.archive_existing_versions
        )
        return {"model_version": version_shown(tx, workspace, moved)}


@area.changes("POST", "/set-tag", VersionTag)
def set_version_tag(workspace: Workspace, asked: VersionTag) -> dict[str, Any]:
    """Set a tag of a version."""
    name, number, key = needed(asked.name, "name"), needed(asked.version, "version"), needed(asked.key, "key")
    with workspace.ledger.write() as tx:
        registered_versions.change_version(tx, workspace, name, number, tags={key: asked.value})
    return {}


@area.changes("DELETE", "/delete-tag", VersionTag)
def delete_version_tag(workspace: Workspace, asked: VersionTag) -> dict[str, Any]:
    """Take a tag away from a version."""
    name, number, key = needed(asked.name, "name"), needed(asked.version, "version"), needed(asked.key, "key")
    with workspace.ledger.write() as tx:
        registered_versions.change_version(tx, workspace, name, number, drop=key)
    return {}


@area.reads("GET", "/get-download-uri", VersionNamed)
def download_uri(workspace: Workspace, asked: VersionNamed) -> dict[str, Any]:
    """Where a version's files are."""
    with workspace.ledger.read() as tx:
        found = _named(tx, workspace, asked)
    if found.bundle:
        raise InvalidInput(
            f"Version {found.number} of {found.name!r} is a signed bundle, not files of MLflow's layout.",
            why="It answers as it was proven to at packaging only where Slipway loads it.",
            fix=f"Deploy it: slipway deploy {found.name} --version {found.number}",
        )
    return {"artifact_uri": f"mlflow-artifacts:/{found.location}" if found.location else found.source}


@area.reads("GET", "/search", Search)
def search_versions(workspace: Workspace, asked: Search) -> dict[str, Any]:
    """Versions that fit, the last changed first unless told otherwise."""
    limit = checked_limit(asked.max_results, _VERSIONS_A_PAGE)
    where, orders = versions_where(asked.filter), versions_order(asked.order_by)
    with workspace.ledger.read() as tx:
        found = search(
            tx,
            ModelVersion,
            project=workspace.project,
            where=where,
            order=orders,
            token=asked.page_token,
            limit=limit,
        )
        answer = versions_shown(tx, workspace, found.records)
    return {"model_versions": answer, "next_page_token": found.next_token}


def _named(tx: ReadTransaction, workspace: Workspace, asked: VersionNamed) -> ModelVersion:
    return registered_versions.get_version(tx, workspace, needed(asked.name, "name"), needed(asked.version, "version"))


def _resolve(tx: ReadTransaction, workspace: Workspace, source: str) -> tuple[str, LoggedModel | ModelVersion | str]:
    """Where the files of a source are, and what it is: a logged model, another version, or a run's id."""
    parts = urlsplit(source)
    path = parts.path.strip("/")
    if parts.query or parts.fragment or parts.netloc:
        raise _no_source(source)
    if parts.scheme == "runs":
        run_id, _, inside = path.partition("/")
        run = outside.get(tx, workspace, run_id)
        return Place(run.experiment_id, run.id, False, check_path(inside) if inside else "").text, run.id
    if parts.scheme == "models":
        return _resolve_model(tx, workspace, source, path)
    place = place_of_uri(source)
    if place is None:
        raise _no_source(source)
    if place.is_model:
        model = logged.get(tx, workspace, place.record)
        return Place(model.experiment_id, model.id, True, place.path).text, model
    run = outside.get(tx, workspace, place.record)
    return Place(run.experiment_id, run.id, False, place.path).text, run.id


def _resolve_model(
    tx: ReadTransaction, workspace: Workspace, source: str, path: str
) -> tuple[str, LoggedModel | ModelVersion]:
    if path.startswith("m-") and "/" not in path:
        model = logged.get(tx, workspace, path)
        return Place(model.experiment_id, model.id, True).text, model
    if "@" in path:
        name, _, version = path.rpartition("@")
    else:
        name, _, version = path.rpartition("/")
    if not name or not version:
        raise _no_source(source)
    found = numbered.look_up(tx, workspace.project, name, version)
    if found.bundle:
        raise InvalidInput(
            f"{source[:80]!r} is a signed bundle, which keeps its own version.",
            fix="Point an alias at it instead of registering it again.",
        )
    return found.location, found


def _no_source(source: str) -> InvalidInput:
    return InvalidInput(
        f"Invalid model version source: {source[:200]!r}.",
        why="Versions are made of what is stored here: this server opens no address or folder that a client names.",
        fix="Log the model to a run first, and register 'runs:/<run id>/<path>' or 'models:/<model id>'.",
        field="source",
    )


def version_shown(tx: ReadTransaction, workspace: Workspace, one: ModelVersion) -> dict[str, Any]:
    """A version as MLflow shows it."""
    return versions_shown(tx, workspace, [one])[0]


def versions_shown(tx: ReadTransaction, workspace: Workspace, versions: Sequence[ModelVersion]) -> list[dict[str, Any]]:
    """Versions as MLflow shows them, each with what its logged model says; these are read all at once."""
    ids = tuple(dict.fromkeys(one.logged_model_id for one in versions if one.logged_model_id))
    models: dict[str, LoggedModel] = {}
    for begin in range(0, len(ids), _MODELS_AT_ONCE):
        where = In(Field("attribute", "id"), ids[begin : begin + _MODELS_AT_ONCE])
        models |= {one.id: one for one in every_found(tx, LoggedModel, project=workspace.project, where=where)}
    return [_shown(one, models.get(one.logged_model_id)) for one in versions]


def _shown(one: ModelVersion, model: LoggedModel | None) -> dict[str, Any]:
    return {
        "name": one.name,
        "version": str(one.number),
        "creation_timestamp": millis(one.created_at),
        "last_updated_timestamp": millis(one.updated_at or one.created_at),
        "user_id": one.actor.name,
        "current_stage": one.stage,
        "description": one.description,
        "source": one.shown_source,
        "run_id": one.run_id,
        "status": "READY",
        "tags": pairs(one.tags),
        "run_link": one.run_link,
        "aliases": list(one.aliases),
        "model_id": one.logged_model_id,
        "model_params": [] if model is None else [{"name": k, "value": v} for k, v in sorted(model.params.items())],
        "model_metrics": [] if model is None else [metric_shown(model.id, point) for point in model.metrics],
    }
