"""MLflow's experiments."""

from typing import Any

from msgspec import Struct

from slipway.errors import NotFound
from slipway.flows.trash import delete_experiment, restore_experiment
from slipway.ledger.experiments import find_named, get_experiment, number_of
from slipway.ledger.search import search as find
from slipway.ports.workspace import Workspace
from slipway.records.runs import Experiment
from slipway.runs import experiments
from slipway.server.mlflow.places import check_location, experiment_root
from slipway.server.mlflow.routes import Area
from slipway.server.mlflow.stored_search import experiment_order, experiments_where
from slipway.server.mlflow.wire import EXISTS, Int64, Pair, given_pairs, millis, pairs
from slipway.server.mlflow.words import checked_limit, needed, view_of

__all__ = ["area"]

area = Area("2.0/mlflow/experiments", "runs")


class Create(Struct):
    """A new experiment."""

    name: str = ""
    artifact_location: str = ""
    tags: list[Pair] = []


class Which(Struct):
    """Which experiment."""

    experiment_id: str = ""


class ByName(Struct):
    """Which experiment, by its name."""

    experiment_name: str = ""


class Update(Struct):
    """Its new name."""

    experiment_id: str = ""
    new_name: str = ""


class Tag(Struct):
    """A tag of an experiment."""

    experiment_id: str = ""
    key: str = ""
    value: str = ""


class Search(Struct):
    """Which experiments."""

    max_results: Int64 = 1000
    page_token: str = ""
    filter: str = ""
    order_by: list[str] = []
    view_type: str | int = "ACTIVE_ONLY"


@area.changes("POST", "/create", Create, conflict=EXISTS)
def create(workspace: Workspace, asked: Create) -> dict[str, Any]:
    """Make an experiment."""
    check_location(asked.artifact_location)
    with workspace.ledger.write() as tx:
        made = experiments.create(tx, workspace, needed(asked.name, "name"), given_pairs(asked.tags))
    return {"experiment_id": made.id}


@area.reads("GET", "/get", Which)
def get(workspace: Workspace, asked: Which) -> dict[str, Any]:
    """One experiment, deleted or not."""
    with workspace.ledger.read() as tx:
        return {"experiment": shown(get_experiment(tx, workspace, needed(asked.experiment_id, "experiment_id")))}


@area.reads("GET", "/get-by-name", ByName)
def get_by_name(workspace: Workspace, asked: ByName) -> dict[str, Any]:
    """One experiment of a name, deleted or not."""
    name = needed(asked.experiment_name, "experiment_name")
    with workspace.ledger.read() as tx:
        found = find_named(tx, workspace, name)
    if found is None:
        raise NotFound(f"Could not find experiment with name {name[:80]!r}.", fix="Names are exact, capitals too.")
    return {"experiment": shown(found)}


@area.changes("POST", "/delete", Which)
def delete(workspace: Workspace, asked: Which) -> dict[str, Any]:
    """Put an experiment into the trash, with its runs."""
    delete_experiment(workspace, needed(asked.experiment_id, "experiment_id"))
    return {}


@area.changes("POST", "/restore", Which)
def restore(workspace: Workspace, asked: Which) -> dict[str, Any]:
    """Take an experiment back, with the runs that went with it."""
    restore_experiment(workspace, needed(asked.experiment_id, "experiment_id"))
    return {}


@area.changes("POST", "/update", Update, conflict=EXISTS)
def update(workspace: Workspace, asked: Update) -> dict[str, Any]:
    """Give an experiment another name."""
    number = needed(asked.experiment_id, "experiment_id")
    with workspace.ledger.write() as tx:
        experiments.rename(tx, workspace, number, needed(asked.new_name, "new_name"))
    return {}


@area.changes("POST", "/set-experiment-tag", Tag)
def set_tag(workspace: Workspace, asked: Tag) -> dict[str, Any]:
    """Set a tag of an experiment."""
    number, key = needed(asked.experiment_id, "experiment_id"), needed(asked.key, "key")
    with workspace.ledger.write() as tx:
        experiments.change_tags(tx, workspace, number, {key: asked.value})
    return {}


@area.changes("POST", "/delete-experiment-tag", Tag)
def delete_tag(workspace: Workspace, asked: Tag) -> dict[str, Any]:
    """Take a tag away from an experiment."""
    number, key = needed(asked.experiment_id, "experiment_id"), needed(asked.key, "key")
    with workspace.ledger.write() as tx:
        experiments.change_tags(tx, workspace, number, {}, drop=key)
    return {}


@area.reads("GET", "/search", Search)
@area.reads("POST", "/search", Search)
def search(workspace: Workspace, asked: Search) -> dict[str, Any]:
    """Experiments that fit, newest first unless told otherwise."""
    limit = checked_limit(asked.max_results, 50_000)
    where = experiments_where(asked.filter, workspace.project, view_of(asked.view_type))
    orders = experiment_order(asked.order_by)
    experiments.keep_default(workspace)
    with workspace.ledger.read() as tx:
        found = find(
            tx,
            Experiment,
            project=workspace.project,
            where=where,
            order=orders,
            token=asked.page_token,
            limit=limit,
        )
    return {"experiments": [shown(one) for one in found.records], "next_page_token": found.next_token}


def shown(one: Experiment) -> dict[str, Any]:
    """An experiment as MLflow shows it."""
    number = number_of(one)
    return {
        "experiment_id": number,
        "name": one.name,
        "artifact_location": experiment_root(number),
        "lifecycle_stage": one.state,
        "creation_time": millis(one.created_at),
        "last_update_time": millis(one.updated_at or one.created_at),
        "tags": pairs(one.tags),
    }
