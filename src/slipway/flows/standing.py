"""Standing approvals: a person's word for a policy, given ahead of time."""

from slipway.ledger import entries
from slipway.operations.governance import ListStanding, StandingApprovals
from slipway.ports.workspace import Workspace
from slipway.records.loop import StandingApproval

__all__ = ["list_standing"]

_ALL = 1_000_000


def list_standing(workspace: Workspace, request: ListStanding) -> StandingApprovals:
    """Standing approvals of an endpoint or of all, newest first; lapsed and revoked ones too."""
    with workspace.ledger.read() as tx:
        found = entries.find(tx, StandingApproval, project=workspace.project, name=request.endpoint or None, limit=_ALL)
    return StandingApprovals(approvals=tuple(found))
