"""Experiments: looked up, and found or made inside somebody's transaction."""

from datetime import UTC, datetime

from slipway.errors import InvalidInput, NotFound
from slipway.ids import new_experiment_id
from slipway.ledger import entries, events
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.projects import Project
from slipway.records.runs import Experiment

__all__ = [
    "DEFAULT",
    "DEFAULT_NAME",
    "check_experiment",
    "default_of",
    "experiment_in",
    "find_named",
    "get_experiment",
    "number_of",
    "put_new",
]

DEFAULT = "0"
"""What runs call the default experiment, in whatever project."""

DEFAULT_NAME = "Default"
_NAME_LENGTH = 500


def check_experiment(name: str) -> str:
    """Check an experiment's name; returns it.

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
    return name


def experiment_in(tx: WriteTransaction, workspace: Workspace, name: str) -> Experiment:
    """The project's experiment of a name, made when it is new: in one transaction, so that nobody makes it twice.

    A deleted one is found too.

    Raises:
        InvalidInput: The name is empty or longer than 500 characters.
    """
    check_experiment(name)
    return find_named(tx, workspace, name) or put_new(tx, workspace, name, {})


def number_of(experiment: Experiment) -> str:
    """What runs and tracking clients call an experiment: its id, or "0" for a project's default one."""
    return DEFAULT if experiment.id.startswith(f"{DEFAULT}@") else experiment.id


def get_experiment(tx: ReadTransaction, workspace: Workspace, number: str) -> Experiment:
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
        return default_of(tx, workspace)
    raise NotFound(
        f"No Experiment with id={number[:80]} exists.", fix="See the experiments of this project; ids are not names."
    )


def find_named(tx: ReadTransaction, workspace: Workspace, name: str) -> Experiment | None:
    """The project's experiment of a name, deleted or not; None where there is none."""
    found = entries.find(tx, Experiment, project=workspace.project, name=name, limit=1)
    if found:
        return found[0]
    default = get_experiment(tx, workspace, DEFAULT)
    return default if default.name == name else None


def default_of(tx: ReadTransaction, workspace: Workspace) -> Experiment:
    """The default experiment as it is while nothing was said of it."""
    project = tx.get("project", workspace.project)
    since = entries.get(tx, Project, workspace.project).created_at if project else datetime(1970, 1, 1, tzinfo=UTC)
    return Experiment(
        id=f"{DEFAULT}@{workspace.project}", project=workspace.project, name=DEFAULT_NAME, created_at=since
    )


def put_new(tx: WriteTransaction, workspace: Workspace, name: str, tags: dict[str, str]) -> Experiment:
    """Make an experiment of a name that is not taken."""
    now = workspace.clock.now()
    made = Experiment(
        id=new_experiment_id(), project=workspace.project, name=name, created_at=now, tags=tags, updated_at=now
    )
    entries.put(tx, made, expect=0)
    events.record(tx, workspace, "experiments.create", f"experiment:{made.id}", name=name)
    return made
