"""Retrainings: what asked for them, and what came of them."""

from slipway.ledger import entries
from slipway.operations.rollouts import ListRetrainings, Retrainings
from slipway.ports.workspace import Workspace
from slipway.records.loop import Retraining

__all__ = ["list_retrainings"]


def list_retrainings(workspace: Workspace, request: ListRetrainings) -> Retrainings:
    """An endpoint's retrainings, newest first."""
    parent = f"{workspace.project}/{request.endpoint}"
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Retraining, project=workspace.project, parent=parent, limit=request.limit)
    return Retrainings(retrainings=tuple(found))
