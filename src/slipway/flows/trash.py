"""The trash: runs, experiments with their runs, models with their versions, logged models; there and back.

What is there counts nowhere else and can be taken back until it is purged (`flows/purge.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

import msgspec

from slipway.errors import InvalidInput
from slipway.flows.trashed import (
    DELETED,
    Item,
    deleted_experiments,
    deleted_logged,
    deleted_models,
    deleted_runs,
    deleted_versions,
    find_item,
    item_of,
    logged_in,
    runs_in,
    trashed_at,
)
from slipway.ledger import entries, events
from slipway.ledger.experiments import get_experiment, number_of
from slipway.ledger.facets import milliseconds
from slipway.ledger.retention import goes_at, keep_days
from slipway.models import logged, registered, registered_versions
from slipway.operations.declare import check_allowed
from slipway.operations.trash import KeepTrash, ListTrash, PutInTrash, RestoreFromTrash, Trash, TrashItem, TrashMoved
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import LoggedModel, ModelVersion
from slipway.records.runs import Run
from slipway.records.search import Compare, IsNull
from slipway.records.trash import TrashRule
from slipway.runs import experiments, outside

__all__ = ["delete_experiment", "keep", "list_trash", "put_in_trash", "restore", "restore_experiment"]

_AT_ONCE = 200


def put_in_trash(workspace: Workspace, request: PutInTrash) -> TrashMoved:
    """Put things into the trash; what is there already stays as it is.

    Raises:
        NotFound: There is no such thing; nothing was moved.
        InvalidInput: A name cannot be read, or a version with a signed bundle is held. What came before it was moved.
        Denied: Whoever asks may not.
    """
    check_allowed(workspace, "trash.put", "trash.write")
    items = [find_item(workspace, words) for words in request.items]
    for item in items:
        _put(workspace, item, request.reason)
    return _told(workspace, "trash.put", items, request.reason)


def restore(workspace: Workspace, request: RestoreFromTrash) -> TrashMoved:
    """Take things out of the trash; what is not there stays as it is.

    Raises:
        NotFound: There is no such thing; nothing was moved.
        InvalidInput: A name cannot be read, or a version's model is in the trash. What came before it was moved.
        Denied: Whoever asks may not.
    """
    check_allowed(workspace, "trash.restore", "trash.write")
    items = [find_item(workspace, words) for words in request.items]
    for item in items:
        _take_back(workspace, item, request.reason)
    return _told(workspace, "trash.restore", items, request.reason)


def _told(workspace: Workspace, verb: str, items: list[Item], reason: str) -> TrashMoved:
    words = tuple(item.words for item in items)
    with workspace.ledger.write() as tx:
        events.record(tx, workspace, verb, f"project:{workspace.project}", items=words, reason=reason)
    return TrashMoved(items=words)


def _put(workspace: Workspace, item: Item, reason: str) -> None:
    if item.sort == "experiment":
        with workspace.ledger.read() as tx:
            present = get_experiment(tx, workspace, item.id)
            is_whole = present.state == "deleted" and not _is_half_deleted(tx, workspace, item.id)
        if not is_whole:
            delete_experiment(workspace, item.id, reason=reason)
        return
    with workspace.ledger.write() as tx:
        match item.sort:
            case "run":
                outside.set_deleted(tx, workspace, item.id, deleted=True, reason=reason)
            case "version":
                version = entries.get(tx, ModelVersion, item.id)
                if not version.state:
                    number = str(version.number)
                    registered_versions.delete_version(tx, workspace, version.name, number, reason=reason)
            case "logged":
                if logged.get(tx, workspace, item.id, deleted=True).deleted_at is None:
                    logged.set_deleted(tx, workspace, item.id, reason=reason)
            case "model":
                if registered.in_trash(tx, workspace, item.id) is None:
                    registered.delete(tx, workspace, item.id, reason=reason)


def _take_back(workspace: Workspace, item: Item, reason: str) -> None:
    if item.sort == "experiment":
        with workspace.ledger.read() as tx:
            there = get_experiment(tx, workspace, item.id).state == "deleted"
        if there:
            restore_experiment(workspace, item.id, reason=reason)
        return
    with workspace.ledger.write() as tx:
        match item.sort:
            case "run":
                outside.set_deleted(tx, workspace, item.id, deleted=False, reason=reason)
            case "version":
                version = entries.get(tx, ModelVersion, item.id)
                if version.state:
                    registered_versions.restore_version(tx, workspace, version.name, version.number, reason=reason)
            case "logged":
                logged.set_deleted(tx, workspace, item.id, deleted=False, reason=reason)
            case "model":
                if registered.in_trash(tx, workspace, item.id) is not None:
                    registered.restore(tx, workspace, item.id, reason=reason)


def delete_experiment(workspace: Workspace, number: str, *, reason: str = "") -> None:
    """Put an experiment into the trash with its runs and logged models, a few in each transaction.

    The experiment goes first, so that it takes no new run. Killed midway, asking again goes on.

    Raises:
        NotFound: There is no such experiment.
        InvalidInput: It is the default one, or it is there already with all that it has.
    """
    with workspace.ledger.write() as tx:
        if _is_half_deleted(tx, workspace, number):
            present = get_experiment(tx, workspace, number)
        else:
            present = experiments.set_deleted(tx, workspace, number, deleted=True, reason=reason)
        at = present.deleted_at or workspace.clock.now()
        entries.put(tx, msgspec.structs.replace(present, deleted_at=at))
    while True:
        with workspace.ledger.write() as tx:
            runs = list(islice(runs_in(tx, workspace, number, IsNull(DELETED)), _AT_ONCE))
            _put_all(tx, runs, at)
        if not runs:
            break
    with workspace.ledger.write() as tx:
        _put_all(tx, [one for one in logged_in(tx, workspace, number) if one.deleted_at is None], at)


def restore_experiment(workspace: Workspace, number: str, *, reason: str = "") -> None:
    """Take an experiment out of the trash, with the runs and logged models that were put there with it.

    Raises:
        NotFound: There is no such experiment.
        InvalidInput: It is not there.
    """
    with workspace.ledger.read() as tx:
        at = get_experiment(tx, workspace, number).deleted_at
    while at is not None:
        with workspace.ledger.write() as tx:
            went = Compare(DELETED, "=", milliseconds(at))
            runs = list(islice(runs_in(tx, workspace, number, went), _AT_ONCE))
            _put_all(tx, runs, None)
        if not runs:
            break
    with workspace.ledger.write() as tx:
        if at is not None:
            _put_all(tx, [one for one in logged_in(tx, workspace, number) if one.deleted_at == at], None)
        experiments.set_deleted(tx, workspace, number, deleted=False, reason=reason)


def keep(workspace: Workspace, request: KeepTrash) -> TrashRule:
    """Say how long the project's things stay in the trash.

    Raises:
        InvalidInput: It is less than a day.
        Denied: Whoever asks may not.
    """
    check_allowed(workspace, "trash.keep", "trash.purge")
    if request.days is not None and request.days < 1:
        raise InvalidInput(
            f"Things cannot stay in the trash for {request.days} days.",
            fix="Keep them for a day or longer; purge by hand what must go at once.",
            field="days",
        )
    name, now = workspace.project, workspace.clock.now()
    rule = TrashRule(id=name, project=name, name=name, created_at=now, keep_days=request.days)
    with workspace.ledger.write() as tx:
        entries.put(tx, rule)
        events.record(tx, workspace, "trash.keep", f"project:{name}", days=request.days)
    return rule


def list_trash(workspace: Workspace, request: ListTrash) -> Trash:
    """What is in the trash, newest first."""
    with workspace.ledger.read() as tx:
        days = keep_days(tx, workspace)
        found = sorted(_listed(tx, workspace, request.limit), key=lambda one: one[1], reverse=True)
        items = tuple(_shown(tx, item, at, name, days) for item, at, name in found)
    return Trash(items=items, keep_days=days)


def _listed(tx: ReadTransaction, workspace: Workspace, limit: int) -> Iterator[tuple[Item, datetime, str]]:
    gone = {number_of(one): one for one in deleted_experiments(tx, workspace)}
    models = {one.name: one for one in deleted_models(tx, workspace)}
    yield from ((item_of(one), at, one.name) for one in [*gone.values()][:limit] if (at := trashed_at(one)))
    yield from ((item_of(one), at, one.name) for one in [*models.values()][:limit] if (at := trashed_at(one)))
    left = limit
    for run in deleted_runs(tx, workspace):
        if left and (run.experiment_id not in gone or run.deleted_at != gone[run.experiment_id].deleted_at):
            left -= 1
            yield item_of(run), run.deleted_at or run.created_at, run.name
        if not left:
            break
    alone = [one for one in deleted_versions(tx, workspace) if one.name not in models]
    yield from ((item_of(one), at, one.name) for one in alone[:limit] if (at := trashed_at(one)))
    with_none = [one for one in deleted_logged(tx, workspace) if one.experiment_id not in gone]
    yield from ((item_of(one), at, one.name) for one in with_none[:limit] if (at := trashed_at(one)))


def _shown(tx: ReadTransaction, item: Item, at: datetime, name: str, days: int | None) -> TrashItem:
    verbs = ("runs.delete", "experiments.delete", "models.delete", "models.forget")
    told = [event for event in tx.events(subject=item.node) if event.verb in verbs]
    by, reason = (str(told[-1].actor), str(told[-1].body.get("reason", ""))) if told else ("", "")
    return TrashItem(item=item.words, name=name, deleted_at=at, by=by, reason=reason, goes_at=goes_at(at, days))


def _put_all(tx: WriteTransaction, records: Iterable[Run] | Iterable[LoggedModel], at: datetime | None) -> None:
    for record in records:
        entries.put(tx, msgspec.structs.replace(record, deleted_at=at))


def _is_half_deleted(tx: ReadTransaction, workspace: Workspace, number: str) -> bool:
    """Whether an experiment is in the trash and something that it has is not: a deletion was killed."""
    if get_experiment(tx, workspace, number).state != "deleted":
        return False
    return bool(
        any(runs_in(tx, workspace, number, IsNull(DELETED)))
        or any(one.deleted_at is None for one in logged_in(tx, workspace, number))
    )
