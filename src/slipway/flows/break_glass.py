"""Break-glass: a bundle that its gate refused is let serve by a named person's word, for hours, while everybody is told.

What no word lets through: a bundle that is not signed by a trusted key, does not answer as its model did, or does not load.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from slipway.errors import GateRefused, InvalidInput
from slipway.flows.incidents import close
from slipway.flows.judging import refusal
from slipway.gates.floors import ALWAYS
from slipway.gates.wording import describe
from slipway.governance.telling import assigned
from slipway.ids import new_id
from slipway.ledger import entries, events, lineage
from slipway.ledger.sealed_records import kept
from slipway.operations.declare import Empty, check_allowed
from slipway.operations.floors import BrokenGlass
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Revision
from slipway.records.gates import BreakGlass, Verdict
from slipway.records.models import ModelVersion
from slipway.records.monitors import Incident

__all__ = ["CAUSE", "break_glass", "list_broken", "look_after", "pass_over"]

CAUSE = "break-glass"
_HOLDS = timedelta(hours=24)
_LATE = "Over time: "
_MOST = 10_000
_NEVER = frozenset(describe(check) for check in ALWAYS)


def list_broken(workspace: Workspace, request: Empty) -> BrokenGlass:
    """What was let through against a gate in this project, newest first."""
    with workspace.ledger.read() as tx:
        return BrokenGlass(uses=tuple(entries.find(tx, BreakGlass, project=workspace.project, limit=_MOST)))


def break_glass(
    workspace: Workspace, version: ModelVersion, ruling: Verdict, *, endpoint: str, reason: str
) -> BreakGlass:
    """Let a refused version serve by the word of whoever asks; an incident tells everybody until one that passed serves.

    Args:
        workspace: Says who asks.
        version: What was refused.
        ruling: The verdict that refused it, which is kept.
        endpoint: Where it is to serve.
        reason: Why.

    Raises:
        Denied: Whoever asks may not.
        InvalidInput: No reason is given.
        GateRefused: The verdict refused it for something that no word lets through.
    """
    _check(workspace, version, ruling, reason)
    now = workspace.clock.now()
    incident, against = new_id(), [one for one in ruling.outcomes if one.result in ("refused", "cannot tell")]
    sentence = (
        f"{version.name} {version.number} serves {endpoint} in {workspace.environment} though its gate refused it "
        f"({'; '.join(one.check for one in against)}). {workspace.actor} let it through until "
        f"{now + _HOLDS:%Y-%m-%d %H:%M} UTC: {reason.strip()}. Go back, or deploy what passes: slipway rollback {endpoint}"
    )
    used = BreakGlass(
        id=new_id(),
        project=workspace.project,
        name=endpoint,
        created_at=now,
        bundle=version.bundle,
        model=version.name,
        version=version.number,
        environment=workspace.environment,
        verdict_id=ruling.id,
        actor=workspace.actor,
        reason=reason.strip(),
        expires_at=now + _HOLDS,
        incident_id=incident,
    )
    opened = Incident(
        id=incident,
        project=workspace.project,
        name=CAUSE,
        created_at=now,
        parent_id=f"{workspace.project}/{endpoint}",
        sentence=sentence,
        owner="governance",
        cause=CAUSE,
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, used, expect=0)
        entries.put(tx, assigned(tx, workspace, opened), expect=0)
        lineage.link(tx, f"verdict:{ruling.id}", f"break_glass:{used.id}", "overruled")
        told = {"reason": reason.strip(), "kept": kept(used)}
        events.record(tx, workspace, "endpoints.break_glass", f"bundle:{version.bundle}", **told)
        events.record(tx, workspace, "incidents.open", f"incident:{incident}", monitor=CAUSE)
    workspace.say(sentence)
    return used


def _check(workspace: Workspace, version: ModelVersion, ruling: Verdict, reason: str) -> None:
    check_allowed(workspace, "endpoints.break_glass", "gates.break")
    if len(reason.strip()) < 10:
        raise InvalidInput(
            f"Breaking the glass needs a reason, and {reason!r} is none.",
            why="Whoever is told of it, and whoever audits it, reads why.",
            fix='Say what happens otherwise: --break-glass "the champion answers nothing since 10:00"',
            field="break_glass",
        )
    if any(one.check in _NEVER and one.result not in ("passed", "not applicable") for one in ruling.outcomes):
        refused: GateRefused = refusal(version, ruling)
        refused.why += " Nobody's word lets that through."
        raise refused


def look_after(tx: WriteTransaction, workspace: Workspace, revision: Revision, now: datetime) -> None:
    """Close what was opened by broken glass once something else serves, or what passed since; say when it is over time.

    Args:
        tx: An open transaction.
        workspace: The project's.
        revision: What serves.
        now: Business time.
    """
    parent = f"{workspace.project}/{revision.name}"
    for incident in entries.find(tx, Incident, parent=parent, name=CAUSE, state="open", limit=_MOST):
        uses = entries.find(tx, BreakGlass, project=workspace.project, name=revision.name, limit=_MOST)
        used = next(one for one in uses if one.incident_id == incident.id)
        if used.bundle != revision.served.bundle or entries.get(tx, Verdict, revision.verdict_id).passed:
            why = f"revision {revision.number} serves, whose gate passed or which is another model"
            close(tx, workspace, incident, why, now)
        elif used.expires_at <= now and not incident.sentence.startswith(_LATE):
            entries.put(tx, msgspec.structs.replace(incident, sentence=_LATE + incident.sentence))
            events.record(tx, workspace, "incidents.escalate", f"incident:{incident.id}", monitor=CAUSE)


def pass_over(workspace: Workspace, revision: Revision, now: datetime) -> None:
    """Look after what broken glass opened at an endpoint, monitors or none; without any nothing is written.

    Args:
        workspace: The project's.
        revision: What serves.
        now: Business time.
    """
    parent = f"{workspace.project}/{revision.name}"
    with workspace.ledger.read() as tx:
        if not entries.find(tx, Incident, parent=parent, name=CAUSE, state="open", limit=1):
            return
    with workspace.ledger.write() as tx:
        look_after(tx, workspace, revision, now)
