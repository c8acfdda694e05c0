"""Experiments by name, found or made inside somebody's transaction."""

from slipway.errors import InvalidInput
from slipway.ids import new_experiment_id
from slipway.ledger import entries
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.runs import Experiment

__all__ = ["check_experiment", "experiment_in"]

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

    Raises:
        InvalidInput: The name is empty or longer than 500 characters.
    """
    check_experiment(name)
    found = entries.find(tx, Experiment, project=workspace.project, name=name, limit=1)
    if found:
        return found[0]
    made = Experiment(id=new_experiment_id(), project=workspace.project, name=name, created_at=workspace.clock.now())
    entries.put(tx, made, expect=0)
    return made
