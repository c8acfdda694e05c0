"""The audit log: what happened, sealed so that an edit shows."""

from slipway.ledger import events
from slipway.operations.declare import Empty
from slipway.operations.governance import AuditState, Events, ListEvents, Sealed
from slipway.ports.workspace import Workspace

__all__ = ["list_events", "seal", "verify"]


def list_events(workspace: Workspace, request: ListEvents) -> Events:
    """Events of the project, in order."""
    with workspace.ledger.read() as tx:
        found = tx.events(
            after=request.after,
            limit=request.limit,
            project=workspace.project,
            subject=request.subject or None,
        )
    return Events(events=tuple(found))


def verify(workspace: Workspace, request: Empty) -> AuditState:
    """Check every seal.

    Raises:
        Corrupt: An edit, deletion, swap or truncation, named.
    """
    sealed, unsealed = events.verify(workspace.ledger, workspace.signer)
    return AuditState(sealed=sealed, unsealed=unsealed)


def seal(workspace: Workspace, request: Empty) -> Sealed:
    """Seal all events so far, the sealing itself among them."""
    with workspace.ledger.write() as tx:
        events.record(tx, workspace, "audit.seal", f"project:{workspace.project}")
    return Sealed(root=events.seal(workspace.ledger, workspace.signer))
