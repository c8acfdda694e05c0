"""MLflow's runs: begun, ended, searched, and what they read and made."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from slipway.errors import InvalidInput
from slipway.ledger.search import search as find
from slipway.models import found_by, logged
from slipway.ports.workspace import Workspace
from slipway.records.runs import Dataset, MetricPoint, ModelUse, Run
from slipway.runs import outside
from slipway.server.mlflow.places import run_root
from slipway.server.mlflow.routes import Area
from slipway.server.mlflow.stored_search import runs_order, runs_where
from slipway.server.mlflow.wire import Int64, Pair, given_pairs, instant, millis, number, pairs
from slipway.server.mlflow.words import STATUS, checked_limit, needed, state_of, view_of

__all__ = ["area", "points_shown", "shown"]

area = Area("2.0/mlflow/runs", "runs")

_MOST = 50_000
_DATASETS = 1000
_INPUT_BYTES = 20 << 20


class Create(Struct):
    """A run that begins."""

    experiment_id: str = ""
    user_id: str = ""
    run_name: str = ""
    start_time: Int64 = 0
    tags: list[Pair] = []


class Which(Struct):
    """Which run; the older name of its id counts where the newer is left out."""

    run_id: str = ""
    run_uuid: str = ""

    @property
    def id(self) -> str:
        """The run's id."""
        return needed(self.run_id or self.run_uuid, "run_id")


class Update(Which):
    """How a run stands."""

    status: str | int = ""
    end_time: Int64 = 0
    run_name: str = ""


class SearchRuns(Struct):
    """Which runs."""

    experiment_ids: list[str] = []
    filter: str = ""
    run_view_type: str | int = "ACTIVE_ONLY"
    max_results: Int64 = 1000
    order_by: list[str] = []
    page_token: str = ""


class DatasetGiven(Struct, frozen=True):
    """A dataset as MLflow describes it; `schema` is a word of its own there."""

    name: str = ""
    digest: str = ""
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""


class DatasetInput(Struct):
    """A dataset that a run reads, and what for."""

    dataset: DatasetGiven = DatasetGiven()
    tags: list[Pair] = []


class ModelGiven(Struct):
    """A logged model that a run reads or makes."""

    model_id: str = ""
    step: Int64 = 0


class LogInputs(Which):
    """What a run reads."""

    datasets: list[DatasetInput] = []
    models: list[ModelGiven] = []


class LogOutputs(Which):
    """What a run makes."""

    models: list[ModelGiven] = []


@area.changes("POST", "/create", Create)
def create(workspace: Workspace, asked: Create) -> dict[str, Any]:
    """Record that a run begins."""
    with workspace.ledger.write() as tx:
        run = outside.create(
            tx,
            workspace,
            experiment=asked.experiment_id or "0",
            name=asked.run_name,
            user=asked.user_id,
            started_at=instant(asked.start_time, "start_time") if asked.start_time else None,
            tags=given_pairs(asked.tags),
        )
    return {"run": shown(run, [])}


@area.reads("GET", "/get", Which)
def get(workspace: Workspace, asked: Which) -> dict[str, Any]:
    """One run, deleted or not."""
    with workspace.ledger.read() as tx:
        run = outside.get(tx, workspace, asked.id)
        return {"run": shown(run, tx.latest_points([run.id])[run.id])}


@area.changes("POST", "/update", Update)
def update(workspace: Workspace, asked: Update) -> dict[str, Any]:
    """Say how a run stands."""
    state = state_of(asked.status)
    ended = instant(asked.end_time, "end_time") if asked.end_time else None
    with workspace.ledger.write() as tx:
        run = outside.update(tx, workspace, asked.id, state=state, ended_at=ended, name=asked.run_name)
        found_by.told_anew(tx, f"run:{run.id}")
    return {"run_info": _info(run)}


@area.changes("POST", "/delete", Which)
def delete(workspace: Workspace, asked: Which) -> dict[str, Any]:
    """Put a run into the trash."""
    with workspace.ledger.write() as tx:
        outside.set_deleted(tx, workspace, asked.id, deleted=True)
    return {}


@area.changes("POST", "/restore", Which)
def restore(workspace: Workspace, asked: Which) -> dict[str, Any]:
    """Take a run back."""
    with workspace.ledger.write() as tx:
        outside.set_deleted(tx, workspace, asked.id, deleted=False)
    return {}


@area.changes("POST", "/log-inputs", LogInputs, limit=_INPUT_BYTES)
def log_inputs(workspace: Workspace, asked: LogInputs) -> dict[str, Any]:
    """Say what a run reads."""
    if len(asked.datasets) > _DATASETS:
        raise InvalidInput(
            f"{len(asked.datasets)} datasets are too many at once.", fix=f"Log at most {_DATASETS} in one request."
        )
    datasets = [_dataset(one) for one in asked.datasets]
    models = [needed(one.model_id, "model_id") for one in asked.models]
    with workspace.ledger.write() as tx:
        for one in models:
            logged.get(tx, workspace, one)
        if datasets:
            outside.add_datasets(tx, workspace, asked.id, datasets)
        outside.add_models(tx, workspace, asked.id, read=models)
    return {}


@area.changes("POST", "/outputs", LogOutputs)
def log_outputs(workspace: Workspace, asked: LogOutputs) -> dict[str, Any]:
    """Say what a run makes."""
    made = [ModelUse(needed(one.model_id, "model_id"), one.step) for one in asked.models]
    with workspace.ledger.write() as tx:
        for one in made:
            logged.get(tx, workspace, one.model_id)
        outside.add_models(tx, workspace, asked.id, made=made)
    return {}


@area.reads("POST", "/search", SearchRuns)
def search(workspace: Workspace, asked: SearchRuns) -> dict[str, Any]:
    """Runs that fit, in order, page by page."""
    if asked.max_results:
        checked_limit(asked.max_results, _MOST)
    where = runs_where(asked.filter, asked.experiment_ids, view_of(asked.run_view_type))
    orders = runs_order(asked.order_by)
    if not (asked.experiment_ids and asked.max_results):
        return {}
    with workspace.ledger.read() as tx:
        found = find(
            tx,
            Run,
            project=workspace.project,
            where=where,
            order=orders,
            token=asked.page_token,
            limit=asked.max_results,
        )
        points = tx.latest_points([run.id for run in found.records])
    return {"runs": [shown(run, points[run.id]) for run in found.records], "next_page_token": found.next_token}


def shown(run: Run, points: Sequence[MetricPoint]) -> dict[str, Any]:
    """A run as MLflow shows it.

    Args:
        run: The record.
        points: The latest point of each of its metrics.
    """
    return {
        "info": _info(run),
        "data": {"metrics": points_shown(points), "params": pairs(run.params), "tags": pairs(_tags(run))},
        "inputs": {
            "dataset_inputs": [{"dataset": _described(one), "tags": pairs(one.tags)} for one in run.datasets],
            "model_inputs": [{"model_id": one.model_id} for one in run.models_read],
        },
        "outputs": {"model_outputs": [{"model_id": one.model_id, "step": one.step} for one in run.models_made]},
    }


def points_shown(points: Sequence[MetricPoint]) -> list[dict[str, Any]]:
    """Points as MLflow shows them."""
    return [
        {"key": point.key, "value": number(point.value), "timestamp": point.at_us // 1000, "step": point.step}
        for point in points
    ]


def _info(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "run_uuid": run.id,
        "run_name": run.name,
        "experiment_id": run.experiment_id,
        "user_id": run.tags.get("mlflow.user") or run.actor.name,
        "status": STATUS[run.state],
        "start_time": millis(run.started_at),
        "end_time": millis(run.ended_at) or None,
        "artifact_uri": run_root(run.experiment_id, run.id),
        "lifecycle_stage": "deleted" if run.deleted_at else "active",
    }


def _tags(run: Run) -> Mapping[str, str]:
    """A run's tags; what was begun natively has its name and the run that it is inside of as MLflow's tags too."""
    own = {outside.RUN_NAME: run.name, outside.PARENT: run.parent_id}
    return {name: value for name, value in own.items() if value} | run.tags


def _dataset(given: DatasetInput) -> Dataset:
    described = given.dataset
    return Dataset(
        name=needed(described.name, "dataset.name"),
        digest=needed(described.digest, "dataset.digest"),
        source_type=described.source_type,
        source=described.source,
        schema=described.schema,
        profile=described.profile,
        tags=given_pairs(given.tags),
    )


def _described(one: Dataset) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(one)
    del plain["tags"]
    return plain
