"""MLflow 3's logged models."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from slipway.errors import InvalidInput, near
from slipway.ledger.experiments import get_experiment, number_of
from slipway.ledger.facets import dataset_figure
from slipway.ledger.search import search as find
from slipway.ledger.stored_files import check_path, listed
from slipway.models import logged, registered_versions
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import LoggedMetric, LoggedModel, ModelVersion
from slipway.runs import outside
from slipway.server.mlflow.places import model_root
from slipway.server.mlflow.routes import Area
from slipway.server.mlflow.stored_search import logged_order, logged_where
from slipway.server.mlflow.wire import INVALID, Int64, Pair, given_pairs, millis, number, pairs
from slipway.server.mlflow.words import MODEL_STATUS, checked_limit, needed

__all__ = ["area", "metric_shown"]

area = Area("2.0/mlflow/logged-models", "models")

_STATES = {word: state for state, word in MODEL_STATUS.items()}


class Create(Struct):
    """A model that is about to be stored."""

    experiment_id: str = ""
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[Pair] = []
    tags: list[Pair] = []


class Which(Struct):
    """Which model."""

    model_id: str = ""
    allow_deleted: bool = False


class Finalize(Which):
    """Whether its files are stored."""

    status: str | int = ""


class Params(Which):
    """More of its parameters."""

    params: list[Pair] = []


class Tags(Which):
    """Its tags."""

    tags: list[Pair] = []


class OneTag(Which):
    """One of its tags."""

    tag_key: str = ""


class Folder(Which):
    """A folder of its files."""

    artifact_directory_path: str = ""


class DatasetGiven(Struct, frozen=True):
    """A dataset that metrics were measured on."""

    dataset_name: str = ""
    dataset_digest: str = ""


class OrderGiven(Struct):
    """A field to order by."""

    field_name: str = ""
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


class Search(Struct):
    """Which models."""

    experiment_ids: list[str] = []
    filter: str = ""
    datasets: list[DatasetGiven] = []
    max_results: Int64 = 100
    order_by: list[OrderGiven] = []
    page_token: str = ""


@area.changes("POST", "", Create)
def create(workspace: Workspace, asked: Create) -> dict[str, Any]:
    """Record a model that is about to be stored."""
    with workspace.ledger.write() as tx:
        experiment = get_experiment(tx, workspace, asked.experiment_id or "0")
        if experiment.state != "active":
            raise InvalidInput(f"The experiment {asked.experiment_id} is deleted.", fix="Restore it first.")
        if asked.source_run_id:
            outside.get_active(tx, workspace, asked.source_run_id)
        made = logged.create(
            tx,
            workspace,
            experiment=number_of(experiment),
            name=asked.name,
            run_id=asked.source_run_id,
            model_type=asked.model_type,
            params=given_pairs(asked.params),
            tags=given_pairs(asked.tags),
        )
    return {"model": shown(made, [])}


@area.reads("GET", "/{model_id}", Which)
def get(workspace: Workspace, asked: Which) -> dict[str, Any]:
    """One model."""
    with workspace.ledger.read() as tx:
        found = logged.get(tx, workspace, asked.model_id, deleted=asked.allow_deleted)
        return {"model": _with_versions(tx, workspace, [found])[0]}


@area.changes("PATCH", "/{model_id}", Finalize)
def finalize(workspace: Workspace, asked: Finalize) -> dict[str, Any]:
    """Say whether its files are stored."""
    word = dict(enumerate(_STATES, 1)).get(asked.status if isinstance(asked.status, int) else 0, str(asked.status))
    if word not in _STATES:
        raise InvalidInput(f"There is no status {word[:40]!r} of a model.", fix=near(word, _STATES, what="statuses"))
    with workspace.ledger.write() as tx:
        changed = logged.set_state(tx, workspace, asked.model_id, _STATES[word])
        return {"model": _with_versions(tx, workspace, [changed])[0]}


@area.changes("DELETE", "/{model_id}", Which)
def delete(workspace: Workspace, asked: Which) -> dict[str, Any]:
    """Put a model into the trash."""
    with workspace.ledger.write() as tx:
        logged.set_deleted(tx, workspace, asked.model_id)
    return {}


@area.changes("POST", "/{model_id}/params", Params, conflict=INVALID)
def log_params(workspace: Workspace, asked: Params) -> dict[str, Any]:
    """Add parameters."""
    with workspace.ledger.write() as tx:
        logged.log_params(tx, workspace, asked.model_id, given_pairs(asked.params))
    return {}


@area.changes("PATCH", "/{model_id}/tags", Tags)
def set_tags(workspace: Workspace, asked: Tags) -> dict[str, Any]:
    """Set tags."""
    with workspace.ledger.write() as tx:
        changed = logged.change_tags(tx, workspace, asked.model_id, given_pairs(asked.tags))
        return {"model": _with_versions(tx, workspace, [changed])[0]}


@area.changes("DELETE", "/{model_id}/tags/{tag_key...}", OneTag)
def delete_tag(workspace: Workspace, asked: OneTag) -> dict[str, Any]:
    """Take a tag away."""
    with workspace.ledger.write() as tx:
        logged.change_tags(tx, workspace, asked.model_id, {}, drop=asked.tag_key)
    return {}


@area.reads("GET", "/{model_id}/artifacts/directories", Folder)
def folder(workspace: Workspace, asked: Folder) -> dict[str, Any]:
    """What lies in a folder of its files."""
    path = asked.artifact_directory_path.strip("/")
    if path:
        check_path(path)
    with workspace.ledger.read() as tx:
        found = logged.get(tx, workspace, asked.model_id)
    files = [
        {"path": name, "is_dir": size is None, "file_size": size}
        for name, size in listed(found.artifacts, path)
        if name != path
    ]
    return {"root_uri": model_root(found.experiment_id, found.id), "files": files}


@area.reads("POST", "/search", Search)
def search(workspace: Workspace, asked: Search) -> dict[str, Any]:
    """Models that fit, newest first unless told otherwise."""
    limit = checked_limit(asked.max_results, 50_000)
    on_each = [_on(needed(one.dataset_name, "datasets.dataset_name"), one.dataset_digest) for one in asked.datasets]
    where = logged_where(asked.filter, asked.experiment_ids, on_each)
    orders = logged_order(
        [
            (
                f"{needed(one.field_name, 'order_by.field_name')} {'ASC' if one.ascending else 'DESC'}",
                _on(one.dataset_name, one.dataset_digest),
            )
            for one in asked.order_by
        ]
    )
    with workspace.ledger.read() as tx:
        found = find(
            tx,
            LoggedModel,
            project=workspace.project,
            where=where,
            order=orders,
            token=asked.page_token,
            limit=limit,
        )
        answer = _with_versions(tx, workspace, found.records)
    return {"models": answer, "next_page_token": found.next_token}


def _on(dataset: str, digest: str) -> Callable[[str], str]:
    """What a metric is called on a data set, "" for any."""
    if digest and not dataset:
        raise InvalidInput(
            "`dataset_digest` can only be specified if `dataset_name` is also specified.",
            fix="Give the name of the data set as well.",
            field="dataset_digest",
        )
    return lambda key: dataset_figure(key, dataset, digest) if dataset else key


def _with_versions(tx: ReadTransaction, workspace: Workspace, models: Sequence[LoggedModel]) -> list[dict[str, Any]]:
    versions = registered_versions.versions_of_logged(tx, workspace, [one.id for one in models])
    return [shown(one, versions.get(one.id, [])) for one in models]


def shown(one: LoggedModel, versions: list[ModelVersion]) -> dict[str, Any]:
    """A logged model as MLflow shows it.

    Args:
        one: The record.
        versions: The registry's versions that it became.
    """
    return {
        "info": {
            "model_id": one.id,
            "experiment_id": one.experiment_id,
            "name": one.name,
            "creation_timestamp_ms": millis(one.created_at),
            "last_updated_timestamp_ms": millis(one.updated_at),
            "artifact_uri": model_root(one.experiment_id, one.id),
            "status": MODEL_STATUS[one.state],
            "model_type": one.model_type,
            "source_run_id": one.run_id,
            "status_message": one.message,
            "tags": pairs(one.tags),
            "registrations": [{"name": version.name, "version": str(version.number)} for version in versions],
        },
        "data": {"params": pairs(one.params), "metrics": [metric_shown(one.id, point) for point in one.metrics]},
    }


def metric_shown(model_id: str, point: LoggedMetric) -> dict[str, Any]:
    """A metric of a logged model as MLflow shows it."""
    return {
        "key": point.key,
        "value": number(point.value),
        "timestamp": point.at_us // 1000,
        "step": point.step,
        "dataset_name": point.dataset_name,
        "dataset_digest": point.dataset_digest,
        "model_id": model_id,
        "run_id": point.run_id,
    }
