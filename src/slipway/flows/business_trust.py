"""Why a model may be trusted, as far as records show: who answers for it, who let it, who looks, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from slipway.flows.journey_evidence import Known
from slipway.flows.use_cases import revisions_by_time
from slipway.governance.raci import named
from slipway.ledger import entries
from slipway.operations.business import Trust
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.gates import Verdict
from slipway.records.loop import StandingApproval
from slipway.records.responsibility import Letter, Stage

__all__ = ["trust_of"]

_A_DAY = timedelta(hours=26)
"""What is due each day is seen within it, a little late or not."""
_MANY = 1000
_ALIKE = ("equal", "within tolerance")
_SHOWN = "passed"
_UNJUDGED = ("not applicable", "not judged")


def trust_of(tx: ReadTransaction, workspace: Workspace, known: Known, endpoints: Sequence[str]) -> Trust:
    """Gather why a model may be trusted.

    Args:
        tx: An open transaction.
        workspace: The project's.
        known: What the ledger has of it.
        endpoints: Where it answers or is declared to.
    """
    now = workspace.clock.now()
    present = known.live[0] if known.live else None
    looks = [one for one in known.findings if now - one.created_at <= _A_DAY]
    drill = known.drills[0] if known.drills else None
    again = known.reproductions[0] if known.reproductions else None
    owner = known.scope.terms.owner if known.scope is not None else ""
    trust = Trust(
        accountable=_people(tx, workspace, "accountable", ("scope", "approve")) or ((owner,) if owner else ()),
        responsible=_people(tx, workspace, "responsible", ("monitor",)),
        checked_at=max((one.created_at for one in known.findings), default=None),
        checks_a_day=len({(one.parent_id, one.name) for one in looks}),
        watches=len({(one.name, each.name) for one in known.live for each in one.monitors}),
        back_to=_back_to(known, present),
        drilled_at=None if drill is None else drill.created_at,
        drill_held=drill is not None and drill.state == "passed",
        drill_live=drill is not None and drill.live,
        repeated_at=None if again is None else again.created_at,
        repeated_alike=again is not None and again.verdict in _ALIKE,
    )
    return _approved(tx, workspace, known, present, _judged(known, trust), endpoints)


def _people(tx: ReadTransaction, workspace: Workspace, letter: Letter, stages: Sequence[Stage]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for stage in stages for name in named(tx, workspace, stage, letter)))


def _back_to(known: Known, present: Revision | None) -> int:
    """The newest earlier version that answered at the same place and is another one."""
    if present is None:
        return 0
    before = [
        one.served
        for one in revisions_by_time(known)
        if one.name == present.name and one.number < present.number and one.served.bundle != present.served.bundle
    ]
    spare = present.fallback.served if present.fallback else ()
    others = [*(one for one in spare if one.bundle != present.served.bundle), *before]
    return others[-1].number if others else 0


def _judged(known: Known, trust: Trust) -> Trust:
    """With what was checked before the version that is in use, or is the newest, came so far."""
    if known.version is None:
        return trust
    own: Verdict | None = next((one for one in known.verdicts if one.bundle == known.version.bundle), None)
    if own is None:
        return trust
    return msgspec.structs.replace(
        trust,
        claims=len(own.outcomes),
        shown=sum(one.result == _SHOWN for one in own.outcomes),
        unjudged=sum(one.result in _UNJUDGED for one in own.outcomes),
        judged_at=own.created_at,
    )


def _approved(
    tx: ReadTransaction,
    workspace: Workspace,
    known: Known,
    present: Revision | None,
    trust: Trust,
    endpoints: Sequence[str],
) -> Trust:
    """With who let it into use: this very version, or else all that comes of the same way of making it."""
    then = present.created_at if present is not None else workspace.clock.now()
    own = [one for one in known.approvals if one.decision == "approved"]
    if own:
        word = own[-1]
        return msgspec.structs.replace(
            trust,
            approved_by=str(word.actor),
            approved_at=word.created_at,
            approved_until=word.expires_at,
            said=word.comment,
        )
    ahead = [
        one
        for name in endpoints
        for one in entries.find(tx, StandingApproval, project=workspace.project, name=name, limit=_MANY)
        if one.created_at <= then < one.until and (one.revoked_at is None or one.revoked_at > then)
    ]
    if not ahead:
        return trust
    newest = max(ahead, key=lambda one: (one.created_at, one.id))
    return msgspec.structs.replace(
        trust,
        approved_by=str(newest.actor),
        approved_at=newest.created_at,
        approved_until=newest.until,
        approved_ahead=True,
        said=newest.comment,
    )
