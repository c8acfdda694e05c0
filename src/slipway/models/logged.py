"""Logged models: what tracking clients store as a model, before or without registering it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.ids import new_model_id
from slipway.ledger import entries, events, stored_files
from slipway.ledger.lineage import link
from slipway.ledger.run_rules import check_key, plain_param
from slipway.models import found_by
from slipway.operations.models import GetLoggedModel
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import LoggedMetric, LoggedModel
from slipway.records.runs import Artifact

__all__ = [
    "add_metrics",
    "change_tags",
    "create",
    "drop_files",
    "get",
    "log_params",
    "logged_model",
    "set_deleted",
    "set_state",
    "store_file",
]

_PARAMS = 100_000
_TAG_LENGTH = 8000
_NAME_LENGTH = 500
_BAD_IN_NAMES = frozenset("/:.%\"'")


def create(
    tx: WriteTransaction,
    workspace: Workspace,
    *,
    experiment: str,
    name: str,
    run_id: str = "",
    model_type: str = "",
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> LoggedModel:
    """Record a model whose files are about to be stored.

    Args:
        tx: The change's transaction.
        workspace: Where it is recorded.
        experiment: The experiment that it belongs to; it exists.
        name: What people call it; its id where left out.
        run_id: The run that made it, "" for none; it exists.
        model_type: Free text.
        params: Its parameters.
        tags: Free text by name.

    Raises:
        InvalidInput: The name, a parameter or a tag does not fit.
    """
    now = workspace.clock.now()
    id = new_model_id()
    made = LoggedModel(
        id=id,
        project=workspace.project,
        name=_check_name(name) if name else id,
        created_at=now,
        experiment_id=experiment,
        run_id=run_id,
        model_type=model_type,
        actor=workspace.actor,
        params=_params({}, params),
        tags=_tags({}, tags),
        updated_at=now,
    )
    entries.put(tx, made, expect=0)
    if run_id:
        link(tx, f"run:{run_id}", f"logged:{id}", "made")
    events.record(tx, workspace, "models.log", f"logged:{id}", name=made.name, run_id=run_id)
    return made


def get(tx: ReadTransaction, workspace: Workspace, id: str, *, deleted: bool = False) -> LoggedModel:
    """The project's logged model of an id.

    Args:
        tx: An open transaction.
        workspace: Where to look.
        id: The model.
        deleted: Whether a deleted one may be had.

    Raises:
        NotFound: There is none.
    """
    stored = tx.get("logged_model", id)
    if stored is not None and stored.project == workspace.project:
        found = entries.get(tx, LoggedModel, id)
        if deleted or found.deleted_at is None:
            return found
    raise NotFound(f"Logged model with ID {id[:80]!r} not found.", fix="See the logged models of the experiment.")


def logged_model(workspace: Workspace, request: GetLoggedModel) -> LoggedModel:
    """The project's logged model of an id, also one that lies in the trash.

    Raises:
        NotFound: There is none.
    """
    with workspace.ledger.read() as tx:
        return get(tx, workspace, request.id, deleted=True)


def set_state(
    tx: WriteTransaction, workspace: Workspace, id: str, state: Literal["pending", "ready", "failed"]
) -> LoggedModel:
    """Say whether its files are stored.

    Raises:
        NotFound: There is no such model.
    """
    return _put(tx, workspace, get(tx, workspace, id), state=state)


def set_deleted(
    tx: WriteTransaction, workspace: Workspace, id: str, *, deleted: bool = True, reason: str = ""
) -> LoggedModel:
    """Put a logged model into the trash, or take it back; nothing happens to one that is taken back already.

    Raises:
        NotFound: There is no such model; to be deleted, it is not in the trash.
    """
    present = get(tx, workspace, id, deleted=not deleted)
    if not deleted and present.deleted_at is None:
        return present
    changed = _put(tx, workspace, present, deleted_at=workspace.clock.now() if deleted else None)
    verb = "models.forget" if deleted else "models.recall"
    events.record(tx, workspace, verb, f"logged:{id}", name=changed.name, reason=reason)
    return changed


def change_tags(
    tx: WriteTransaction, workspace: Workspace, id: str, tags: Mapping[str, str], *, drop: str | None = None
) -> LoggedModel:
    """Set tags, or take one away.

    Raises:
        NotFound: There is no such model, or it has no such tag.
        InvalidInput: A tag does not fit.
    """
    present = get(tx, workspace, id)
    changed = _tags(present.tags, tags)
    if drop is not None:
        if drop not in changed:
            raise NotFound(f"No tag with key {drop[:80]!r} in the model {id!r}.", fix="Its tags are listed with it.")
        del changed[drop]
    return _put(tx, workspace, present, tags=changed)


def log_params(tx: WriteTransaction, workspace: Workspace, id: str, params: Mapping[str, str]) -> None:
    """Add parameters; each is written once.

    Raises:
        NotFound: There is no such model.
        Conflict: A parameter has another value already.
        InvalidInput: One does not fit.
    """
    present = get(tx, workspace, id)
    _put(tx, workspace, present, params=_params(present.params, params))
    found_by.told_anew(tx, f"logged:{id}")


def add_metrics(tx: WriteTransaction, workspace: Workspace, id: str, points: Iterable[LoggedMetric]) -> None:
    """Keep the latest point of each metric, run and dataset.

    Raises:
        NotFound: There is no such model.
    """
    present = get(tx, workspace, id)
    kept = {_series(one): one for one in present.metrics}
    for point in points:
        former = kept.get(_series(point))
        if former is None or (point.step, point.at_us) >= (former.step, former.at_us):
            kept[_series(point)] = point
    _put(tx, workspace, present, metrics=tuple(kept.values()))
    found_by.told_anew(tx, f"logged:{id}")


def store_file(tx: WriteTransaction, workspace: Workspace, id: str, stored: Artifact) -> None:
    """Name a stored blob as a file of the model; one of the same path gives way.

    Raises:
        NotFound: There is no such model.
        InvalidInput: The path does not fit.
    """
    present = get(tx, workspace, id)
    _put(tx, workspace, present, artifacts=stored_files.replaced(present.artifacts, stored))


def drop_files(tx: WriteTransaction, workspace: Workspace, id: str, path: str) -> None:
    """Forget a file of the model, or a folder of them; "" for all.

    Raises:
        NotFound: There is no such model.
    """
    present = get(tx, workspace, id)
    _put(tx, workspace, present, artifacts=stored_files.without(present.artifacts, path))


def _put(tx: WriteTransaction, workspace: Workspace, present: LoggedModel, **fields: object) -> LoggedModel:
    changed = msgspec.structs.replace(present, updated_at=workspace.clock.now(), **fields)
    entries.put(tx, changed)
    return changed


def _series(point: LoggedMetric) -> tuple[str, str, str, str]:
    return (point.key, point.run_id, point.dataset_name, point.dataset_digest)


def _check_name(name: str) -> str:
    if len(name) > _NAME_LENGTH or set(name) & _BAD_IN_NAMES or not name.strip() or not name.isprintable():
        raise InvalidInput(
            f"{name[:80]!r} cannot be the name of a logged model.",
            why="It must not be empty, nor hold a slash, colon, period, percent sign or quote.",
            fix="For example 'flight-delays'.",
            field="name",
        )
    return name


def _params(present: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    params = dict(present)
    for key, value in new.items():
        plain = str(plain_param(check_key(key, "parameter"), value))
        if params.setdefault(key, plain) != plain:
            raise Conflict(
                f"The parameter {key!r} is {params[key][:60]!r} already and cannot become {plain[:60]!r}.",
                fix="Log another model.",
            )
    if len(params) > _PARAMS:
        raise InvalidInput(f"The model has {len(params)} parameters.", fix=f"At most {_PARAMS:,} are kept.")
    return params


def _tags(present: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    tags = dict(present)
    for key, value in new.items():
        if len(value) > _TAG_LENGTH:
            raise InvalidInput(
                f"The tag {key[:80]!r} has {len(value)} characters.", fix=f"At most {_TAG_LENGTH:,} are kept."
            )
        tags[check_key(key, "tag")] = value
    return tags
