"""The audit log's proofs, and what it tells: its roots, where they are anchored, and what was serving when, and why."""

from datetime import datetime

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.events import Root
from slipway.records.gates import Approval, BreakGlass, Verdict
from slipway.records.loop import StandingApproval
from slipway.records.people import Actor
from slipway.records.runs import CodeVersion

__all__ = ["AnchorState", "Arm", "AskServing", "ListRoots", "Roots", "Served", "Serving", "operations"]


class AnchorState(Struct, frozen=True, kw_only=True):
    """How an anchor stands: a place outside the store where roots are written too.

    Args:
        anchor: "file:..." or "git:...".
        roots: How many roots it names that are the ledger's.
        problem: Why it could not be read or written, "" where it could.
    """

    anchor: str
    roots: int
    problem: str = ""


class ListRoots(Struct, frozen=True, kw_only=True):
    """Roots after a number."""

    after: int = 0
    limit: int = 1000


class Roots(Struct, frozen=True, kw_only=True):
    """Signed roots in order."""

    roots: tuple[Root, ...]


class AskServing(Struct, frozen=True, kw_only=True):
    """What served at an endpoint, at a moment or over a period; all of its life when nothing is named.

    Args:
        endpoint: The endpoint's name.
        at: A moment: "2013-04-01", "2013-04-01T12:00Z", "2013-04-01 12:00 Europe/Berlin"; UTC unless it says otherwise.
        since: The period's begin, in the same words, with it.
        until: The period's end, without it.
    """

    endpoint: str
    at: str = ""
    since: str = ""
    until: str = ""


class Arm(Struct, frozen=True, kw_only=True):
    """One model that took part in answering.

    Args:
        model: The model's name.
        version: The version's number.
        bundle: The bundle's digest.
        share: The share of rows that it answered, 0 to 1; 0 for one in the shadow, whose answers nobody saw.
    """

    model: str
    version: int
    bundle: str
    share: float


class Served(Struct, frozen=True, kw_only=True):
    """What an endpoint was to serve from one moment to the next, and why: what the ledger says, not what a process did.

    Args:
        since: From when on.
        until: Until when, without it; None where it goes on.
        revision: The revision's number.
        environment: Where.
        arms: What answered, and what stood beside it.
        actor: Who deployed.
        reason: Why, in their words.
        stopped_at: When somebody stopped the endpoint within that time, None where nobody did.
        verdict: What let it through, None where the record is gone.
        approvals: Words given for that bundle until the end of that time, oldest first; rejections too.
        standing: The policies' approvals by which it passed, where it was let through unattended.
        broken: The word that let it serve against its verdict, None where it passed.
        data: The table versions that it was trained on, as lineage nodes.
        code: The code that trained it.
        run_id: The run that made it, "" where unknown.
        note: What is not known any more, "" where all is.
    """

    since: datetime
    until: datetime | None
    revision: int
    environment: str
    arms: tuple[Arm, ...]
    actor: Actor
    reason: str
    stopped_at: datetime | None = None
    verdict: Verdict | None = None
    approvals: tuple[Approval, ...] = ()
    standing: tuple[StandingApproval, ...] = ()
    broken: BreakGlass | None = None
    data: tuple[str, ...] = ()
    code: CodeVersion = CodeVersion()
    run_id: str = ""
    note: str = ""


class Serving(Struct, frozen=True, kw_only=True):
    """What served, oldest first: one entry for a moment, as many as there were for a period."""

    endpoint: str
    served: tuple[Served, ...]


operations = (
    Operation(
        name="audit.roots",
        summary="List the signed roots of the audit log, in order.",
        permission="audit.read",
        request=ListRoots,
        response=Roots,
        body="slipway.governance.audit:list_roots",
    ),
    Operation(
        name="audit.serving",
        summary="Tell what was serving at an endpoint at a moment or over a period, who let it, and on which evidence.",
        permission="audit.read",
        request=AskServing,
        response=Serving,
        body="slipway.flows.served:serving",
    ),
)
