"""Approve: a person's word for one bundle, bound to its digest."""

from typing import Literal, cast

from slipway.errors import InvalidInput, near
from slipway.ids import new_id
from slipway.ledger import entries, events, lineage
from slipway.models import registry
from slipway.operations.governance import Grant, Granted
from slipway.ports.workspace import Workspace
from slipway.records.gates import Approval

__all__ = ["approvals_of", "grant"]

_DECISIONS = ("approved", "rejected")


def grant(workspace: Workspace, request: Grant) -> Granted:
    """Approve or reject a model version in a role.

    Raises:
        InvalidInput: Neither "approved" nor "rejected".
        NotFound: No such model or version.
    """
    if request.decision not in _DECISIONS:
        raise InvalidInput(
            f"{request.decision!r} is no decision.",
            fix=near(request.decision, _DECISIONS, what="decisions"),
            field="decision",
        )
    version = registry.get(workspace, request.model, request.version)
    approval = Approval(
        id=new_id(),
        project=workspace.project,
        name=request.role,
        created_at=workspace.clock.now(),
        bundle=version.bundle,
        actor=workspace.actor,
        decision=cast("Literal['approved', 'rejected']", request.decision),
        comment=request.comment,
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, approval, expect=0)
        lineage.link(tx, f"bundle:{version.bundle}", f"approval:{approval.id}", request.decision)
        events.record(
            tx,
            workspace,
            "approvals.grant",
            f"bundle:{version.bundle}",
            model=version.name,
            number=version.number,
            role=request.role,
            decision=request.decision,
        )
    return Granted(approval=approval)


def approvals_of(workspace: Workspace, bundle: str) -> list[Approval]:
    """The approvals and rejections bound to a bundle's digest, oldest first."""
    with workspace.ledger.read() as tx:
        links = tx.links(f"bundle:{bundle}", towards=False)
        ids = [link.target.partition(":")[2] for link in links if link.target.startswith("approval:")]
        found = [entries.get(tx, Approval, id) for id in ids]
    return sorted(found, key=lambda approval: (approval.created_at, approval.id))
