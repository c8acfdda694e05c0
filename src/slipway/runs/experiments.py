"""Experiments: named collections of runs."""

from slipway.ledger.experiments import experiment_in
from slipway.ports.workspace import Workspace
from slipway.records.runs import Experiment

__all__ = ["experiment_named"]


def experiment_named(workspace: Workspace, name: str) -> Experiment:
    """The project's experiment of a name, made when it is new.

    Raises:
        InvalidInput: The name is empty or longer than 500 characters.
    """
    with workspace.ledger.write() as tx:
        return experiment_in(tx, workspace, name)
