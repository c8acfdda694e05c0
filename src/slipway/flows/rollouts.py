"""Roll-outs as people see them."""

from slipway.errors import NotFound
from slipway.ledger import entries
from slipway.operations.rollouts import GetRollout, ListRollouts, RolloutDetail, Rollouts
from slipway.ports.workspace import Workspace
from slipway.records.rollouts import Rollout

__all__ = ["get_rollout", "list_rollouts"]


def list_rollouts(workspace: Workspace, request: ListRollouts) -> Rollouts:
    """The project's roll-outs, or an endpoint's, newest first."""
    parent = f"{workspace.project}/{request.endpoint}" if request.endpoint else None
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Rollout, project=workspace.project, parent=parent, limit=request.limit)
    return Rollouts(rollouts=tuple(found))


def get_rollout(workspace: Workspace, request: GetRollout) -> RolloutDetail:
    """One roll-out.

    Raises:
        NotFound: The endpoint has none, or none with this id.
    """
    parent = f"{workspace.project}/{request.endpoint}"
    with workspace.ledger.read() as tx:
        if request.id:
            found = [entries.get(tx, Rollout, request.id)]
        else:
            found = entries.find(tx, Rollout, project=workspace.project, parent=parent, limit=1)
    if not found or found[0].parent_id != parent:
        which = f"roll-out {request.id!r}" if request.id else "roll-out"
        raise NotFound(
            f"The endpoint {request.endpoint!r} in {workspace.project!r} has no {which}.",
            why="A roll-out begins when a model is deployed to an endpoint that declares `rollout=[...]`.",
            fix=f"See how it stands: slipway endpoints show {request.endpoint}",
        )
    return RolloutDetail(rollout=found[0])
