"""Approvals and the audit log."""

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.events import Event, Root
from slipway.records.gates import Approval

__all__ = ["AuditState", "Events", "Grant", "Granted", "ListEvents", "Sealed", "operations"]


class Grant(Struct, frozen=True, kw_only=True):
    """Approve or reject one model version, bound to its bundle's digest.

    Args:
        model: The model's name.
        version: A number, an alias, or "latest".
        role: In which role: "accountable".
        decision: "approved" or "rejected".
        comment: Why.
    """

    model: str
    version: str = "latest"
    role: str = "accountable"
    decision: str = "approved"
    comment: str = ""


class Granted(Struct, frozen=True, kw_only=True):
    """The approval as it is kept."""

    approval: Approval


class ListEvents(Struct, frozen=True, kw_only=True):
    """Events after a position, of one subject or of all."""

    after: int = 0
    subject: str = ""
    limit: int = 100


class Events(Struct, frozen=True, kw_only=True):
    """Events in order."""

    events: tuple[Event, ...]


class AuditState(Struct, frozen=True, kw_only=True):
    """What verification found: sealed events whose seals hold, and the unsealed tail."""

    sealed: int
    unsealed: int


class Sealed(Struct, frozen=True, kw_only=True):
    """The new root, None when there was nothing to seal."""

    root: Root | None


operations = (
    Operation(
        name="approvals.grant",
        summary="Approve or reject a model version.",
        permission="approvals.grant",
        request=Grant,
        response=Granted,
        body="slipway.flows.approve:grant",
        changes=True,
    ),
    Operation(
        name="audit.list",
        summary="List what happened, in order.",
        permission="audit.read",
        request=ListEvents,
        response=Events,
        body="slipway.governance.audit:list_events",
    ),
    Operation(
        name="audit.verify",
        summary="Check the audit log's seals: any edit, deletion, swap or truncation is named.",
        permission="audit.read",
        request=Empty,
        response=AuditState,
        body="slipway.governance.audit:verify",
    ),
    Operation(
        name="audit.seal",
        summary="Seal all events so far under one signed root.",
        permission="audit.seal",
        request=Empty,
        response=Sealed,
        body="slipway.governance.audit:seal",
        changes=True,
    ),
)
