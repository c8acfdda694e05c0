"""The audit log: what happened, sealed so that an edit shows."""

from pathlib import Path

from slipway.errors import InvalidInput
from slipway.governance import anchors
from slipway.ledger import events, sealed_records
from slipway.operations.audit import ListRoots, Roots
from slipway.operations.declare import Empty
from slipway.operations.governance import AuditState, Events, ListEvents, Sealed
from slipway.ports.workspace import Workspace

__all__ = ["head_of", "list_events", "list_roots", "seal", "verify"]

_MOST = 100_000


def head_of(workspace: Workspace) -> Path:
    """The file beside the store's keys that names the newest root."""
    return workspace.root / "keys" / "audit.head"


def list_events(workspace: Workspace, request: ListEvents) -> Events:
    """Events of the project, in order.

    Raises:
        InvalidInput: The limit is none.
    """
    if not 0 < request.limit <= _MOST:
        raise InvalidInput(f"The limit {request.limit} does not fit.", fix=f"Give 1 to {_MOST:,}.", field="limit")
    with workspace.ledger.read() as tx:
        found = tx.events(
            after=request.after,
            limit=request.limit,
            project=workspace.project,
            subject=request.subject or None,
        )
    return Events(events=tuple(found))


def list_roots(workspace: Workspace, request: ListRoots) -> Roots:
    """Signed roots in order.

    Raises:
        InvalidInput: The limit is none.
    """
    if not 0 < request.limit <= _MOST:
        raise InvalidInput(f"The limit {request.limit} does not fit.", fix=f"Give 1 to {_MOST:,}.", field="limit")
    with workspace.ledger.read() as tx:
        return Roots(roots=tuple([root for root in tx.roots() if root.index > request.after][: request.limit]))


def verify(workspace: Workspace, request: Empty) -> AuditState:
    """Check every seal, hold the records that decide to what was sealed of them, and compare with the anchors.

    Raises:
        Corrupt: An edit, deletion, swap or truncation, named; a record is another; or an anchor says another history.
    """
    sealed, unsealed = events.verify(workspace.ledger, workspace.signer, head=head_of(workspace))
    records = sealed_records.verify(workspace.ledger)
    return AuditState(sealed=sealed, unsealed=unsealed, records=records, anchors=anchors.look(workspace))


def seal(workspace: Workspace, request: Empty) -> Sealed:
    """Seal all events so far, the sealing itself among them, and write the roots to every anchor that lacks some."""
    with workspace.ledger.write() as tx:
        events.record(tx, workspace, "audit.seal", f"project:{workspace.project}")
    root = events.seal(workspace.ledger, workspace.signer, head=head_of(workspace))
    return Sealed(root=root, anchors=anchors.catch_up(workspace))
