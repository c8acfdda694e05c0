"""What can be in the trash, by its name; what is there, since when, and when it goes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal, NamedTuple

from slipway.errors import InvalidInput, NotFound
from slipway.ledger import entries
from slipway.ledger.experiments import find_named, get_experiment, number_of
from slipway.ledger.facets import milliseconds
from slipway.ledger.search import search
from slipway.models import logged, numbered, registered
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import LoggedModel, ModelVersion, RegisteredModel
from slipway.records.runs import Experiment, Run
from slipway.records.search import And, Compare, Condition, Field, IsNull, Not, Order
from slipway.runs import outside
from slipway.runs.search import get_run

__all__ = [
    "DELETED",
    "Item",
    "deleted_experiments",
    "deleted_logged",
    "deleted_models",
    "deleted_runs",
    "deleted_versions",
    "ended_runs",
    "find_item",
    "item_of",
    "logged_in",
    "runs_in",
    "trashed_at",
]

DELETED = Field("attribute", "deleted")
"""What a search calls the time at which a run was put into the trash."""
_CREATED = Field("attribute", "created")

Sort = Literal["run", "experiment", "model", "version", "logged"]

_AT_ONCE = 200
_EXPERIMENT = Field("attribute", "experiment_id")


class Item(NamedTuple):
    """Something that can be put into the trash.

    Args:
        sort: What it is.
        id: Its record's id; a model's is its name, an experiment's its number.
        words: Its full name, as people write it.
        node: As the audit log calls it.
    """

    sort: Sort
    id: str
    words: str
    node: str


def find_item(workspace: Workspace, words: str) -> Item:
    """What a name means, in the trash or not.

    Raises:
        InvalidInput: It cannot be read.
        NotFound: There is nothing of this name.
    """
    sort, _, name = words.partition(":")
    if not name:
        raise InvalidInput(
            f"{words[:80]!r} does not say what it is.",
            fix="Write run:ID, experiment:NAME, model:NAME, model:NAME:NUMBER or logged:ID.",
            field="items",
        )
    match sort:
        case "run":
            run = get_run(workspace, name)
            with workspace.ledger.read() as tx:
                return item_of(outside.get(tx, workspace, run.id))
        case "experiment":
            with workspace.ledger.read() as tx:
                return item_of(find_named(tx, workspace, name) or get_experiment(tx, workspace, name))
        case "model":
            model, colon, number = name.partition(":")
            with workspace.ledger.read() as tx:
                return _version(tx, workspace, model, number) if colon else _model(tx, workspace, model)
        case "logged":
            with workspace.ledger.read() as tx:
                return item_of(logged.get(tx, workspace, name, deleted=True))
    raise InvalidInput(f"There is no sort {sort[:40]!r}.", fix="It is run, experiment, model or logged.", field="items")


def item_of(record: Run | Experiment | RegisteredModel | ModelVersion | LoggedModel) -> Item:
    """A record as something that can be put into the trash."""
    match record:
        case Run():
            return Item("run", record.id, f"run:{record.id}", f"run:{record.id}")
        case Experiment():
            return Item("experiment", number_of(record), f"experiment:{record.name}", f"experiment:{record.id}")
        case RegisteredModel():
            return Item("model", record.name, f"model:{record.name}", f"registered:{record.id}")
        case ModelVersion():
            return Item("version", record.id, f"model:{record.name}:{record.number}", f"model:{record.id}")
        case LoggedModel():
            return Item("logged", record.id, f"logged:{record.id}", f"logged:{record.id}")


def trashed_at(record: Run | Experiment | RegisteredModel | ModelVersion | LoggedModel) -> datetime | None:
    """Since when a record is in the trash, None where it is not there."""
    if isinstance(record, Experiment | ModelVersion) and record.state == "deleted":
        return record.deleted_at or record.updated_at or record.created_at  # earlier releases kept no time of its own
    return record.deleted_at


def deleted_runs(tx: ReadTransaction, workspace: Workspace, *, until: datetime | None = None) -> Iterator[Run]:
    """The project's runs in the trash, those that were put there last first.

    Args:
        tx: An open transaction; it stays open until the last run was taken.
        workspace: Whose.
        until: Only those that were put there by then.
    """
    where: Condition = Not(IsNull(DELETED)) if until is None else Compare(DELETED, "<=", milliseconds(until))
    yield from _paged(tx, workspace, where, Order(DELETED, descending=True))


def ended_runs(tx: ReadTransaction, workspace: Workspace, before: datetime) -> Iterator[Run]:
    """The project's runs that ended before a moment and are not in the trash; the transaction stays open until the last."""
    for run in _paged(tx, workspace, And((IsNull(DELETED), Compare(_CREATED, "<", milliseconds(before))))):
        if run.state not in ("running", "scheduled") and (run.ended_at or run.created_at) < before:
            yield run


def _paged(tx: ReadTransaction, workspace: Workspace, where: Condition, *order: Order) -> Iterator[Run]:
    token = ""
    while True:
        page = search(tx, Run, project=workspace.project, where=where, order=order, token=token, limit=_AT_ONCE)
        yield from page.records
        if not page.next_token:
            return
        token = page.next_token


def deleted_experiments(tx: ReadTransaction, workspace: Workspace) -> Iterator[Experiment]:
    """The project's experiments in the trash."""
    yield from entries.every(tx, Experiment, project=workspace.project, state="deleted")


def deleted_models(tx: ReadTransaction, workspace: Workspace) -> Iterator[RegisteredModel]:
    """The project's models that are in the trash as a whole."""
    found = entries.every(tx, RegisteredModel, project=workspace.project, state="deleted")
    yield from (one for one in found if one.deleted_at is not None)


def deleted_versions(tx: ReadTransaction, workspace: Workspace) -> Iterator[ModelVersion]:
    """The project's versions of models in the trash."""
    yield from entries.every(tx, ModelVersion, project=workspace.project, state="deleted")


def deleted_logged(tx: ReadTransaction, workspace: Workspace) -> Iterator[LoggedModel]:
    """The project's logged models in the trash."""
    yield from (one for one in entries.every(tx, LoggedModel, project=workspace.project) if one.deleted_at is not None)


def runs_in(tx: ReadTransaction, workspace: Workspace, number: str, *also: Condition) -> Iterator[Run]:
    """The runs of an experiment that conditions fit; the transaction stays open until the last one was taken."""
    yield from _paged(tx, workspace, And((Compare(_EXPERIMENT, "=", number), *also)))


def logged_in(tx: ReadTransaction, workspace: Workspace, number: str) -> Iterator[LoggedModel]:
    """The logged models of an experiment, in the trash or not."""
    yield from (one for one in entries.every(tx, LoggedModel, project=workspace.project) if one.experiment_id == number)


def _model(tx: ReadTransaction, workspace: Workspace, name: str) -> Item:
    gone = registered.in_trash(tx, workspace, name)
    return item_of(registered.get(tx, workspace, name) if gone is None else gone)


def _version(tx: ReadTransaction, workspace: Workspace, model: str, number: str) -> Item:
    for version in numbered.versions_in(tx, workspace.project, model, deleted=True):
        if str(version.number) == number:
            return item_of(version)
    raise NotFound(f"There is no version {number[:20]!r} of {model[:80]!r}.", fix="List them: slipway models list")
