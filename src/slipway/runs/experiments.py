"""Experiments: named collections of runs."""

from collections.abc import Mapping

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.ledger import entries, events
from slipway.ledger.experiments import (
    DEFAULT,
    check_experiment,
    default_of,
    experiment_in,
    find_named,
    get_experiment,
    put_new,
)
from slipway.ledger.run_rules import check_key
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.runs import Experiment

__all__ = ["change_tags", "create", "experiment_named", "keep_default", "rename", "set_deleted"]


_TAG_LENGTH = 20_000


def experiment_named(workspace: Workspace, name: str) -> Experiment:
    """The project's experiment of a name, made when it is new.

    Raises:
        InvalidInput: The name is empty or longer than 500 characters.
        Conflict: It was deleted.
    """
    with workspace.ledger.write() as tx:
        found = experiment_in(tx, workspace, name)
    if found.state == "deleted":
        raise Conflict(
            f"The experiment {name!r} was deleted.",
            fix="Restore it (slipway trash restore), purge it, or choose another name.",
        )
    return found


def create(tx: WriteTransaction, workspace: Workspace, name: str, tags: Mapping[str, str]) -> Experiment:
    """Make an experiment.

    Args:
        tx: The change's transaction.
        workspace: Where it is recorded.
        name: Not used yet in this project.
        tags: Free text by name.

    Raises:
        InvalidInput: The name or a tag does not fit.
        Conflict: There is one of this name, perhaps a deleted one.
    """
    check_experiment(name)
    _check_free(tx, workspace, name)
    return put_new(tx, workspace, name, _tags({}, tags))


def keep_default(workspace: Workspace) -> None:
    """Write the default experiment down, which is there unwritten, so that searches find it."""
    id = f"{DEFAULT}@{workspace.project}"
    with workspace.ledger.read() as tx:
        if tx.get("experiment", id) is not None:
            return
    with workspace.ledger.write() as tx:
        if tx.get("experiment", id) is None:
            entries.put(tx, default_of(tx, workspace), expect=0)


def rename(tx: WriteTransaction, workspace: Workspace, number: str, name: str) -> Experiment:
    """Give an experiment another name.

    Raises:
        NotFound: There is no such experiment.
        InvalidInput: The name does not fit, or the experiment is deleted.
        Conflict: There is another one of this name.
    """
    present = _active(tx, workspace, number)
    check_experiment(name)
    if name != present.name:
        _check_free(tx, workspace, name)
    return _put(tx, workspace, present, "experiments.rename", name=name)


def change_tags(
    tx: WriteTransaction,
    workspace: Workspace,
    number: str,
    tags: Mapping[str, str],
    *,
    drop: str | None = None,
) -> Experiment:
    """Set tags of an experiment, or take one away.

    Raises:
        NotFound: There is no such experiment, or it has no such tag.
        InvalidInput: A tag does not fit, or the experiment is deleted.
    """
    present = _active(tx, workspace, number)
    changed = _tags(present.tags, tags)
    if drop is not None:
        if drop not in changed:
            raise NotFound(f"The experiment has no tag {drop[:80]!r}.", fix="Its tags are listed with it.")
        del changed[drop]
    return _put(tx, workspace, present, "", tags=changed)


def set_deleted(
    tx: WriteTransaction, workspace: Workspace, number: str, *, deleted: bool, reason: str = ""
) -> Experiment:
    """Put an experiment into the trash, or take it back. It keeps its name; its runs are another matter.

    Raises:
        NotFound: There is no such experiment.
        InvalidInput: It is the default one, or it is in that state already.
    """
    present = get_experiment(tx, workspace, number)
    wanted = "deleted" if deleted else "active"
    if present.state == wanted:
        raise InvalidInput(f"The experiment {number} is {wanted} already.", fix="Look at its `lifecycle_stage`.")
    if deleted and number == DEFAULT:
        raise InvalidInput(
            "The default experiment cannot be deleted.", why="Runs of no experiment belong to it.", fix="Leave it."
        )
    verb = "experiments.delete" if deleted else "experiments.restore"
    at = workspace.clock.now() if deleted else None
    return _put(tx, workspace, present, verb, reason=reason, state=wanted, deleted_at=at)


def _active(tx: ReadTransaction, workspace: Workspace, number: str) -> Experiment:
    present = get_experiment(tx, workspace, number)
    if present.state != "active":
        raise InvalidInput(f"The experiment {number} is deleted and cannot be changed.", fix="Restore it first.")
    return present


def _check_free(tx: ReadTransaction, workspace: Workspace, name: str) -> None:
    taken = find_named(tx, workspace, name)
    if taken is not None:
        deleted = " It is deleted: restore it, or purge it to free its name." if taken.state == "deleted" else ""
        raise Conflict(
            f"Experiment(name={name[:80]}) already exists.{deleted}", fix="Choose another name, or use this one."
        )


def _put(
    tx: WriteTransaction, workspace: Workspace, present: Experiment, verb: str, *, reason: str = "", **fields: object
) -> Experiment:
    changed = msgspec.structs.replace(present, updated_at=workspace.clock.now(), **fields)
    entries.put(tx, changed)
    if verb:
        events.record(tx, workspace, verb, f"experiment:{changed.id}", name=changed.name, reason=reason)
    return changed


def _tags(present: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    tags = dict(present)
    for key, value in new.items():
        if len(value) > _TAG_LENGTH:
            raise InvalidInput(
                f"The tag {key[:80]!r} has {len(value)} characters.",
                why=f"At most {_TAG_LENGTH:,} are allowed.",
                fix="Shorten it.",
                field="value",
            )
        tags[check_key(key, "tag")] = value
    return tags
