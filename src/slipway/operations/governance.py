"""Approvals and the audit log."""

from datetime import datetime

from msgspec import Struct

from slipway.operations.audit import AnchorState
from slipway.operations.declare import Empty, Operation
from slipway.records.events import Event, Root
from slipway.records.gates import Approval
from slipway.records.loop import StandingApproval

__all__ = [
    "AuditState",
    "Events",
    "Grant",
    "Granted",
    "ListEvents",
    "ListStanding",
    "Revoke",
    "Sealed",
    "Stand",
    "Standing",
    "StandingApprovals",
    "operations",
]


class Grant(Struct, frozen=True, kw_only=True):
    """Approve or reject one model version, bound to its bundle's digest.

    Args:
        model: The model's name.
        version: A number, an alias, or "latest".
        role: In which role: "accountable".
        decision: "approved" or "rejected".
        comment: Why.
        days: For how long an approval counts, 1 to 366; a rejection counts until it is taken back.
    """

    model: str
    version: str = "latest"
    role: str = "accountable"
    decision: str = "approved"
    comment: str = ""
    days: int = 30


class Granted(Struct, frozen=True, kw_only=True):
    """The approval as it is kept."""

    approval: Approval


class Stand(Struct, frozen=True, kw_only=True):
    """Approve an endpoint's policy ahead of time: what comes of it and passes its gate may serve unattended.

    Args:
        endpoint: The endpoint's name.
        until: When the word lapses, business time.
        role: In which role: "accountable".
        comment: Why.
    """

    endpoint: str
    until: datetime
    role: str = "accountable"
    comment: str = ""


class Standing(Struct, frozen=True, kw_only=True):
    """The standing approval as it is kept."""

    approval: StandingApproval


class ListStanding(Struct, frozen=True, kw_only=True):
    """Of which endpoint, "" for all."""

    endpoint: str = ""


class StandingApprovals(Struct, frozen=True, kw_only=True):
    """Standing approvals, newest first; lapsed and revoked ones too.

    Args:
        approvals: Of the endpoint that was asked for, or of all.
        retrains: Whether that endpoint declares a retraining in this environment: without, there is nothing to approve.
    """

    approvals: tuple[StandingApproval, ...]
    retrains: bool = False


class Revoke(Struct, frozen=True, kw_only=True):
    """Take a standing approval back: nothing more is let through under it."""

    id: str
    comment: str = ""


class ListEvents(Struct, frozen=True, kw_only=True):
    """Events after a position, those of which all that is given holds.

    Args:
        after: Only those behind this position.
        before: Only those in front of this position, 0 for no such bound.
        subject: Of what, as a lineage node, whole.
        thing: What it is about, a piece of the subject: "flight-delays".
        person: Who did it, whole.
        act: What, the verb or the beginning of it: "endpoints.deploy", "endpoints".
        since: Not before this instant, with a time zone.
        until: Before this instant.
        newest: Whether the newest come first.
        limit: How many at most.
    """

    after: int = 0
    before: int = 0
    subject: str = ""
    thing: str = ""
    person: str = ""
    act: str = ""
    since: datetime | None = None
    until: datetime | None = None
    newest: bool = False
    limit: int = 100


class Events(Struct, frozen=True, kw_only=True):
    """Events in order, or the newest first.

    Args:
        events: They.
        next: Where to go on, as `before` of the newest first, as `after` otherwise; 0 where all were looked at.
    """

    events: tuple[Event, ...]
    next: int = 0


class AuditState(Struct, frozen=True, kw_only=True):
    """What verification found: sealed events whose seals hold, the unsealed tail, records as they were kept, and anchors."""

    sealed: int
    unsealed: int
    records: int = 0
    anchors: tuple[AnchorState, ...] = ()


class Sealed(Struct, frozen=True, kw_only=True):
    """The new root, None when there was nothing to seal; and how the anchors stand then."""

    root: Root | None
    anchors: tuple[AnchorState, ...] = ()


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
        name="approvals.stand",
        summary="Approve an endpoint's retraining policy ahead of time.",
        permission="approvals.grant",
        request=Stand,
        response=Standing,
        body="slipway.flows.standing:stand",
        changes=True,
    ),
    Operation(
        name="approvals.standing",
        summary="List standing approvals.",
        permission="approvals.read",
        request=ListStanding,
        response=StandingApprovals,
        body="slipway.flows.standing:list_standing",
    ),
    Operation(
        name="approvals.revoke",
        summary="Take a standing approval back.",
        permission="approvals.grant",
        request=Revoke,
        response=Standing,
        body="slipway.flows.standing:revoke",
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
