"""MLflow 3's logged models."""

from typing import Any, Literal

from msgspec import Struct

from slipway.errors import InvalidInput, near
from slipway.ledger.experiments import get_experiment, number_of
from slipway.ledger.stored_files import check_path, listed
from slipway.models import logged, registered_versions
from slipway.ports.workspace import Workspace
from slipway.records.models import LoggedMetric, LoggedModel, ModelVersion
from slipway.runs import outside
from slipway.server.mlflow.filters import Condition, Fields, Order, Value, fits, order_by, page, parse
from slipway.server.mlflow.places import model_root
from slipway.server.mlflow.routes import Area
from slipway.server.mlflow.wire import INVALID, Int64, Pair, given_pairs, millis, number, pairs
from slipway.server.mlflow.words import checked_limit, needed

__all__ = ["area", "metric_shown"]

area = Area("2.0/mlflow/logged-models", "models")

_STATES: dict[str, Literal["pending", "ready", "failed"]] = {
    "LOGGED_MODEL_PENDING": "pending",
    "LOGGED_MODEL_READY": "ready",
    "LOGGED_MODEL_UPLOAD_FAILED": "failed",
}
_SHOWN = {state: word for word, state in _STATES.items()}
_FIELDS = Fields(
    frozenset({"name", "model_id", "model_type", "status", "source_run_id", "experiment_id"}),
    frozenset({"creation_timestamp", "last_updated_timestamp"}),
    frozenset({"metric", "param", "tag"}),
    {"creation_time": "creation_timestamp", "creation_timestamp_ms": "creation_timestamp",
     "last_updated_timestamp_ms": "last_updated_timestamp"},
)  # fmt: skip


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
        return {"model": shown(found, registered_versions.versions_of_logged(tx, workspace, found.id))}


@area.changes("PATCH", "/{model_id}", Finalize)
def finalize(workspace: Workspace, asked: Finalize) -> dict[str, Any]:
    """Say whether its files are stored."""
    word = {1: "LOGGED_MODEL_PENDING", 2: "LOGGED_MODEL_READY", 3: "LOGGED_MODEL_UPLOAD_FAILED"}.get(
        asked.status if isinstance(asked.status, int) else 0, str(asked.status)
    )
    if word not in _STATES:
        raise InvalidInput(f"There is no status {word[:40]!r} of a model.", fix=near(word, _STATES, what="statuses"))
    with workspace.ledger.write() as tx:
        changed = logged.set_state(tx, workspace, asked.model_id, _STATES[word])
        return {"model": shown(changed, registered_versions.versions_of_logged(tx, workspace, changed.id))}


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
        return {"model": shown(changed, registered_versions.versions_of_logged(tx, workspace, changed.id))}


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
    conditions = parse(asked.filter, _FIELDS)
    orders: list[Order] = []
    of_dataset: list[DatasetGiven] = []
    for one in asked.order_by:
        way = "ASC" if one.ascending else "DESC"
        orders += order_by([f"{needed(one.field_name, 'order_by.field_name')} {way}"], _FIELDS)
        of_dataset.append(DatasetGiven(one.dataset_name, one.dataset_digest))
    if not orders:
        orders, of_dataset = [Order("attribute", "creation_timestamp", True)], [DatasetGiven()]
    keyed = [Order(one.space, f"{number}:{one.key}", one.falls) for number, one in enumerate(orders)]
    with workspace.ledger.read() as tx:
        known = [one for one in logged.all_of(tx, workspace) if one.experiment_id in asked.experiment_ids]
        found = [one for one in known if _fits(one, conditions, asked.datasets)]
        chosen, following = page(
            found,
            keyed,
            lambda one, space, key: _ordered(one, space, key, of_dataset),
            lambda one: (-millis(one.created_at), one.id),
            after=asked.page_token,
            limit=limit,
        )
        answer = [shown(one, registered_versions.versions_of_logged(tx, workspace, one.id)) for one in chosen]
    return {"models": answer, "next_page_token": following}


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
            "status": _SHOWN[one.state],
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


def _fits(one: LoggedModel, conditions: list[Condition], datasets: list[DatasetGiven]) -> bool:
    """Whether all conditions hold; one of a metric holds when any of its points on the given datasets fits."""
    for condition in conditions:
        if condition.space != "metric":
            values = [_look(one, condition.space, condition.key)]
        else:
            values = [
                point.value
                for point in one.metrics
                if point.key == condition.key and (not datasets or any(_is_of(point, each) for each in datasets))
            ]
        if not any(fits(condition, value) for value in values):
            return False
    return True


def _ordered(one: LoggedModel, space: str, key: str, of_dataset: list[DatasetGiven]) -> Value:
    place, _, name = key.partition(":")
    if space != "metric":
        return _look(one, space, name)
    points = [point for point in one.metrics if point.key == name and _is_of(point, of_dataset[int(place)])]
    newest = max(points, key=lambda point: (point.at_us, point.step), default=None)
    return None if newest is None else newest.value


def _is_of(point: LoggedMetric, dataset: DatasetGiven) -> bool:
    return dataset.dataset_name in ("", point.dataset_name) and dataset.dataset_digest in ("", point.dataset_digest)


def _look(one: LoggedModel, space: str, key: str) -> Value:
    match space:
        case "param":
            return one.params.get(key)
        case "tag":
            return one.tags.get(key)
    known: dict[str, Value] = {
        "name": one.name,
        "model_id": one.id,
        "model_type": one.model_type,
        "status": _SHOWN[one.state].removeprefix("LOGGED_MODEL_"),
        "source_run_id": one.run_id,
        "experiment_id": one.experiment_id,
        "creation_timestamp": millis(one.created_at),
        "last_updated_timestamp": millis(one.updated_at),
    }
    return known[key]
