"""Standing approvals: a named person's word for a policy, under which challengers are let through unattended.

The word is bound to the policy's fingerprint: the pipeline's code, the gate, the roll-out, the triggers and what the
request's key is. A change of any of them voids it, and so do its date and its giver.
"""

from __future__ import annotations

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.flows.judging import declared_endpoint
from slipway.governance.raci import check_holds, check_speaks
from slipway.hashing import fingerprint
from slipway.ids import new_id
from slipway.ledger import entries, events, lineage
from slipway.ledger.sealed_records import kept
from slipway.operations.governance import ListStanding, Revoke, Stand, Standing, StandingApprovals
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint, declared_id
from slipway.records.loop import RetrainSpec, StandingApproval

__all__ = ["list_standing", "policy_of", "revoke", "stand", "standing_for"]


def policy_of(declared: DeclaredEndpoint) -> str:
    """The fingerprint of what a standing approval is given for, in one environment.

    Where the pipeline's code cannot be followed, any other snapshot of the project is other code.
    """
    is_followed = declared.retrain is None or declared.retrain.definition
    code = "" if is_followed else declared.snapshot
    contract = (declared.key, declared.strict)  # another contract is rolled out by nobody's comparison
    parts = (declared.id, declared.gate, declared.rollout, _plain(declared.retrain), contract, code)
    return fingerprint(tuple(msgspec.json.encode(part) for part in parts))


def _plain(spec: RetrainSpec | None) -> object:
    """Without what is not declared and was not known once: a word that was given before there was such a field holds."""
    if spec is None:
        return None
    found = msgspec.to_builtins(spec)
    found["when"] = [
        {name: value for name, value in one.items() if value or name not in ("labels", "custom")}
        for one in found["when"]
    ]
    later = ("since", "window_us", "recent_us", "at_most", "per_us", "min_labels")
    return {name: value for name, value in found.items() if value or name not in later}


def stand(workspace: Workspace, request: Stand) -> Standing:
    """Approve an endpoint's retraining policy until a date.

    Raises:
        Conflict: The endpoint declares no retraining: there is no policy to approve.
        InvalidInput: The date has no time zone, or has passed.
        Denied: Whoever asks does not hold the role, or is not who slipway.toml makes accountable.
    """
    check_speaks(workspace, request.role)
    check_holds(workspace, request.role)
    declared = declared_endpoint(workspace, request.endpoint)
    if declared.retrain is None:
        raise Conflict(
            f"The endpoint {request.endpoint!r} declares no retraining in {workspace.environment}.",
            why="A standing approval is given for a policy: what is trained, through which gate, rolled out how.",
            fix="Declare it, sw.Endpoint(..., retrain=sw.Retrain(pipeline, when=[...])), and run its pipeline once.",
        )
    now = workspace.clock.now()
    if request.until.tzinfo is None or request.until <= now:
        raise InvalidInput(
            f"A standing approval cannot end at {request.until.isoformat()}.",
            why="It needs a time zone." if request.until.tzinfo is None else f"It is {now.isoformat()} now.",
            fix="Give a later date, for example three months from now.",
            field="until",
        )
    approval = StandingApproval(
        id=new_id(),
        project=workspace.project,
        name=request.endpoint,
        created_at=now,
        policy=policy_of(declared),
        role=request.role,
        actor=workspace.actor,
        until=request.until,
        comment=request.comment,
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, approval, expect=0)
        lineage.link(tx, f"endpoint:{declared.id}", f"standing:{approval.id}", "approved")
        events.record(
            tx,
            workspace,
            "approvals.stand",
            f"standing:{approval.id}",
            endpoint=request.endpoint,
            role=request.role,
            policy=approval.policy,
            until=request.until.isoformat(),
            kept=kept(approval),
        )
    return Standing(approval=approval)


def list_standing(workspace: Workspace, request: ListStanding) -> StandingApprovals:
    """Standing approvals, newest first."""
    with workspace.ledger.read() as tx:
        found = entries.find(tx, StandingApproval, project=workspace.project, name=request.endpoint or None, limit=1000)
        id = declared_id(workspace.project, workspace.environment, request.endpoint)
        declared = entries.get(tx, DeclaredEndpoint, id) if entries.etag(tx, DeclaredEndpoint, id) else None
    return StandingApprovals(approvals=tuple(found), retrains=declared is not None and declared.retrain is not None)


def revoke(workspace: Workspace, request: Revoke) -> Standing:
    """Take a standing approval back.

    Raises:
        NotFound: There is none with that id.
        Conflict: It was taken back already.
    """
    with workspace.ledger.write() as tx:
        found = entries.get(tx, StandingApproval, request.id)
        if found.project != workspace.project:
            raise NotFound(
                f"There is no standing approval {request.id!r} in {workspace.project!r}.",
                fix="See them: slipway api approvals.standing",
            )
        if found.revoked_at is not None:
            raise Conflict(
                f"The standing approval {request.id!r} was taken back on {found.revoked_at:%Y-%m-%d} already.",
                fix="Nothing is left to do.",
            )
        found = msgspec.structs.replace(found, revoked_at=workspace.clock.now())
        entries.put(tx, found)
        events.record(
            tx, workspace, "approvals.revoke", f"standing:{found.id}", comment=request.comment, kept=kept(found)
        )
    return Standing(approval=found)


def standing_for(workspace: Workspace, declared: DeclaredEndpoint) -> tuple[StandingApproval | None, str]:
    """The standing approval that covers an endpoint's policy now, and why there is none.

    Returns:
        The newest one that holds, or None and a sentence.
    """
    policy, now = policy_of(declared), workspace.clock.now()
    given = list_standing(workspace, ListStanding(endpoint=declared.name)).approvals
    if not given:
        return None, "nobody has approved this policy ahead of time"
    reason = ""
    for approval in given:
        if approval.revoked_at is not None:
            reason = reason or f"{approval.actor} took their word back on {approval.revoked_at:%Y-%m-%d}"
        elif approval.until <= now:
            reason = reason or f"the word of {approval.actor} lapsed on {approval.until:%Y-%m-%d}"
        elif approval.policy != policy:
            reason = reason or f"the policy has changed since {approval.actor} approved it"
        else:
            return approval, ""
    return None, reason
