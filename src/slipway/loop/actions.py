"""What the loop did, or decided not to do, and why."""

from slipway.ledger import entries
from slipway.operations.rollouts import Actions, ListActions
from slipway.ports.workspace import Workspace
from slipway.records.loop import Action

__all__ = ["list_actions"]

_ALL = 1_000_000


def list_actions(workspace: Workspace, request: ListActions) -> Actions:
    """An endpoint's actions after a number, oldest first."""
    parent = f"{workspace.project}/{request.endpoint}"
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Action, project=workspace.project, parent=parent, limit=_ALL)
    later = sorted((one for one in found if one.number > request.after), key=lambda action: action.number)
    return Actions(actions=tuple(later[: request.limit]))
