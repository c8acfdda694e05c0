"""Experiments: named collections of runs."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.ids import new_experiment_id
from slipway.ledger import entries, events
from slipway.ledger.run_rules import check_key
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.projects import Project
from slipway.records.runs import Experiment

__all__ = [
    "DEFAULT",
    "change_tags",
    "create",
    "experiment_named",
    "find_named",
    "get",
    "keep_default",
    "number_of",
    "rename",
    "set_deleted",
]

DEFAULT = "0"
"""What runs call the default experiment, in whatever project."""

_NAME_LENGTH = 500
_TAG_LENGTH = 20_000


def experiment_named(workspace: Workspace, name: str) -> Experiment:
    """The project's experiment of a name, made when it is new.

    Raises:
        InvalidInput: The name is empty or longer than 500 characters.
        Conflict: It was deleted.
    """
    check_experiment_name(name)
    # Found and made in one write transaction, so that two processes cannot make it twice.
    with workspace.ledger.write() as tx:
        found = find_named(tx, workspace, name)
        if found is None:
            return _put_new(tx, workspace, name, {})
    if found.state == "deleted":
        raise Conflict(f"The experiment {name!r} was deleted.", fix="Restore it, or give the experiment another name.")
    return found


def check_experiment_name(name: str) -> None:
    """Check an experiment's name.

    Raises:
        InvalidInput: It is empty or longer than 500 characters.
    """
    if not name.strip() or len(name) > _NAME_LENGTH:
        raise InvalidInput(
            f"{name[:40]!r} cannot be the name of an experiment.",
            why=f"It has {len(name)} characters; between 1 and {_NAME_LENGTH} are allowed, not only spaces.",
            fix="Give it a short name, for example 'learning rates'.",
            field="experiment",
        )


def number_of(experiment: Experiment) -> str:
    """What runs and tracking clients call an experiment: its id, or "0" for a project's default one."""
    return DEFAULT if experiment.id.startswith(f"{DEFAULT}@") else experiment.id


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
    check_experiment_name(name)
    _check_free(tx, workspace, name)
    return _put_new(tx, workspace, name, _tags({}, tags))


def get(tx: ReadTransaction, workspace: Workspace, number: str) -> Experiment:
    """The project's experiment of an id; "0" is the default one, which is always there.

    Raises:
        NotFound: There is none.
    """
    is_default = number == DEFAULT
    id = f"{DEFAULT}@{workspace.project}" if is_default else number
    stored = tx.get("experiment", id)
    if stored is not None and stored.project == workspace.project:
        return entries.get(tx, Experiment, id)
    if is_default:
        return _default(tx, workspace)
    raise NotFound(
        f"No Experiment with id={number[:80]} exists.", fix="See the experiments of this project; ids are not names."
    )


def find_named(tx: ReadTransaction, workspace: Workspace, name: str) -> Experiment | None:
    """The project's experiment of a name, deleted or not; None where there is none."""
    found = entries.find(tx, Experiment, project=workspace.project, name=name, limit=1)
    if found:
        return found[0]
    default = get(tx, workspace, DEFAULT)
    return default if default.name == name else None


def keep_default(workspace: Workspace) -> None:
    """Write the default experiment down, which is there unwritten, so that searches find it."""
    id = f"{DEFAULT}@{workspace.project}"
    with workspace.ledger.read() as tx:
        if tx.get("experiment", id) is not None:
            return
    with workspace.ledger.write() as tx:
        if tx.get("experiment", id) is None:
            entries.put(tx, _default(tx, workspace), expect=0)


def rename(tx: WriteTransaction, workspace: Workspace, number: str, name: str) -> Experiment:
    """Give an experiment another name.

    Raises:
        NotFound: There is no such experiment.
        InvalidInput: The name does not fit, or the experiment is deleted.
        Conflict: There is another one of this name.
    """
    present = _active(tx, workspace, number)
    check_experiment_name(name)
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


def set_deleted(tx: WriteTransaction, workspace: Workspace, number: str, *, deleted: bool) -> Experiment:
    """Put an experiment aside, or take it back. It keeps its name and its runs.

    Raises:
        NotFound: There is no such experiment.
        InvalidInput: It is the default one, or it is in that state already.
    """
    present = get(tx, workspace, number)
    wanted = "deleted" if deleted else "active"
    if present.state == wanted:
        raise InvalidInput(f"The experiment {number} is {wanted} already.", fix="Look at its `lifecycle_stage`.")
    if deleted and number == DEFAULT:
        raise InvalidInput(
            "The default experiment cannot be deleted.", why="Runs of no experiment belong to it.", fix="Leave it."
        )
    return _put(tx, workspace, present, "experiments.delete" if deleted else "experiments.restore", state=wanted)


def _default(tx: ReadTransaction, workspace: Workspace) -> Experiment:
    project = tx.get("project", workspace.project)
    since = entries.get(tx, Project, workspace.project).created_at if project else datetime(1970, 1, 1, tzinfo=UTC)
    return Experiment(id=f"{DEFAULT}@{workspace.project}", project=workspace.project, name="Default", created_at=since)


def _active(tx: ReadTransaction, workspace: Workspace, number: str) -> Experiment:
    present = get(tx, workspace, number)
    if present.state != "active":
        raise InvalidInput(f"The experiment {number} is deleted and cannot be changed.", fix="Restore it first.")
    return present


def _check_free(tx: ReadTransaction, workspace: Workspace, name: str) -> None:
    taken = find_named(tx, workspace, name)
    if taken is not None:
        deleted = " It is deleted, and can be restored." if taken.state == "deleted" else ""
        raise Conflict(
            f"Experiment(name={name[:80]}) already exists.{deleted}", fix="Choose another name, or use this one."
        )


def _put_new(tx: WriteTransaction, workspace: Workspace, name: str, tags: dict[str, str]) -> Experiment:
    now = workspace.clock.now()
    made = Experiment(
        id=new_experiment_id(), project=workspace.project, name=name, created_at=now, tags=tags, updated_at=now
    )
    entries.put(tx, made, expect=0)
    events.record(tx, workspace, "experiments.create", f"experiment:{made.id}", name=name)
    return made


def _put(tx: WriteTransaction, workspace: Workspace, present: Experiment, verb: str, **fields: object) -> Experiment:
    changed = msgspec.structs.replace(present, updated_at=workspace.clock.now(), **fields)
    entries.put(tx, changed)
    if verb:
        events.record(tx, workspace, verb, f"experiment:{changed.id}", name=changed.name)
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
