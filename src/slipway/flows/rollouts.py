"""Roll-outs: a challenger beside the champion, from its first unseen answer to all traffic or out again.

A roll-out's record and the revision that carries it out are written in one transaction: whatever is killed, both say
the same afterwards. What moves it on is a look at the evidence; who looks is the controller.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import TypeAlias

import msgspec

from slipway.errors import BackendError, Conflict, InvalidInput, NotFound
from slipway.flows.approve import approvals_of
from slipway.flows.endpoints import revision_of
from slipway.flows.evidence import CHAMPION
from slipway.flows.publish import publish_revision
from slipway.flows.turns import turn
from slipway.ids import new_id
from slipway.ledger import entries, events, lineage
from slipway.models import numbered, registry
from slipway.operations.rollouts import Abort, GetRollout, ListRollouts, RolloutDetail, Rollouts
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.endpoints import Challenger, Revision, Served
from slipway.records.loop import StandingApproval
from slipway.records.models import ModelVersion
from slipway.records.rollouts import CanarySpec, Look, Rollout
from slipway.rollout.judge import is_overdue

__all__ = [
    "Also",
    "abort",
    "advance",
    "begin",
    "get_rollout",
    "is_carried",
    "is_due",
    "list_rollouts",
    "newest",
    "objection",
    "refuse_while_under_way",
    "stop",
    "supersede",
    "under_way",
]

Also: TypeAlias = Callable[[WriteTransaction, Rollout], None]
"""What else is written in the transaction in which a roll-out moves, given the roll-out as it stands then."""
_WHOLE = 100


def newest(workspace: Workspace, endpoint: str) -> Rollout | None:
    """An endpoint's last roll-out, None where there was none."""
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Rollout, project=workspace.project, name=endpoint, limit=1)
    return found[0] if found else None


def under_way(workspace: Workspace, endpoint: str) -> Rollout | None:
    """The roll-out that has not ended, None where there is none."""
    found = newest(workspace, endpoint)
    return found if found is not None and found.is_under_way else None


def is_carried(workspace: Workspace, rollout: Rollout) -> bool:
    """Whether an endpoint's newest revision carries a roll-out out: a deployment at once, or a roll-back, does not."""
    carried = revision_of(workspace, rollout.name).challenger
    return carried is not None and carried.rollout_id == rollout.id


def refuse_while_under_way(workspace: Workspace, endpoint: str) -> None:
    """Refuse a change while a challenger is being rolled out. The endpoint's turn must be held.

    Raises:
        Conflict: One is.
    """
    found = _carried(workspace, endpoint)
    if found is not None:
        raise Conflict(
            f"{found.challenger.model} {found.challenger.number} is being rolled out at {endpoint!r} ({found.state}).",
            why="Two challengers at once could not be told apart.",
            fix=f"Wait, or end it first: slipway rollout abort {endpoint}; --at-once replaces everything.",
        )


def is_due(workspace: Workspace, declared: DeclaredEndpoint, draft: Revision) -> bool:
    """Whether a version has to be rolled out: a plan is declared, and another bundle of the same contract serves."""
    plan = declared.rollout
    if plan is None or (plan.shadow is None and plan.canary is None):
        return False
    try:
        present = revision_of(workspace, declared.name)
    except NotFound:
        return False
    if present.served.bundle == draft.served.bundle:
        return False
    if present.environment != draft.environment:
        workspace.say(f"What serves was let through for {present.environment}, so it is no champion: no roll-out.")
        return False
    if present.contract != draft.contract:
        workspace.say(f"The contract of {declared.name} changes, so its models cannot be compared: no roll-out.")
        return False
    return True


def begin(
    workspace: Workspace,
    declared: DeclaredEndpoint,
    draft: Revision,
    *,
    retraining_id: str = "",
    also: Also = lambda tx, rollout: None,
) -> Rollout:
    """Begin the declared roll-out of what a draft would serve. The endpoint's turn must be held.

    Args:
        workspace: Whose endpoint.
        declared: Its declaration.
        draft: The revision as it would be if the challenger served at once.
        retraining_id: What made the challenger.
        also: What else is written when it begins; and once more where it is stopped at once.

    Returns:
        The roll-out; "stopped" already where the endpoint's process cannot load the challenger.

    Raises:
        InvalidInput: A shadow is declared, and what would be compared are no probabilities.
    """
    present = revision_of(workspace, declared.name)
    plan = declared.rollout
    assert plan is not None  # `is_due` was asked
    if plan.shadow is not None:
        _refuse_regression(workspace, declared, draft.served)
    now = workspace.clock.now()
    rollout = Rollout(
        id=new_id(),
        project=workspace.project,
        name=declared.name,
        created_at=now,
        parent_id=f"{workspace.project}/{declared.name}",
        state="shadow" if plan.shadow else "canary",
        champion=present.served,
        challenger=draft.served,
        spec=plan,
        since=now,
        verdict_id=draft.verdict_id,
        retraining_id=retraining_id,
    )
    # The endpoint runs as it is declared now, from the beginning of the roll-out on.
    base = msgspec.structs.replace(draft, served=present.served, verdict_id=present.verdict_id)
    try:
        _publish(workspace, rollout, base, f"{rollout.state} of {_name(rollout)}", also=also)
    except BackendError as problem:
        return _end(workspace, rollout, "stopped", f"It does not start: {problem}", also=also)
    return rollout


def advance(workspace: Workspace, rollout: Rollout, look: Look, *, also: Also = lambda tx, rollout: None) -> Rollout:
    """Take a roll-out as far as a look at its evidence allows. The endpoint's turn must be held.

    Args:
        workspace: Whose endpoint.
        rollout: Under way.
        look: What the evidence shows in its present phase.
        also: What else is written where it moves.

    Returns:
        The roll-out as it stands then: the same phase where the look is undecided and the deadline not reached.

    Raises:
        BackendError: The endpoint's process has not taken the revision, which is written already.
    """
    now = workspace.clock.now()
    seen = msgspec.structs.replace(rollout, looks=_looks_with(rollout, look))
    phase = rollout.spec.shadow if rollout.state == "shadow" else rollout.spec.canary
    assert phase is not None  # it is in that phase
    if look.verdict == "worse":
        return _end(workspace, seen, "stopped", look.sentence, also=also)
    if look.verdict == "undecided":
        if is_overdue(phase, rollout.since, now):
            return _end(workspace, seen, "undecided", f"The deadline came first. {look.sentence}", also=also)
        return _keep(workspace, seen)
    canary = rollout.spec.canary
    step = 0 if rollout.state == "shadow" else rollout.step + 1
    if canary is None or _fraction(canary, step) >= 1.0:
        return _end(workspace, seen, "promoted", look.sentence, also=also)
    onward = msgspec.structs.replace(seen, state="canary", step=step, since=now)
    reason = f"canary of {_name(rollout)} at {canary.steps[step]} %"
    _publish(workspace, onward, revision_of(workspace, rollout.name), reason, also=also)
    return onward


def objection(workspace: Workspace, rollout: Rollout) -> str:
    """Who has changed their mind about a challenger since its roll-out began, "" where nobody has.

    A word that has merely lapsed since counts: it held when the gate asked for it.
    """
    given = {(one.name, one.actor.name): one for one in approvals_of(workspace, rollout.challenger.bundle)}
    for one in given.values():
        if one.decision == "rejected" and one.created_at >= rollout.created_at:
            told = f"{one.actor} rejected it as {one.name} on {one.created_at:%Y-%m-%d}"
            return f"{told}: {one.comment}" if one.comment else f"{told}."
    with workspace.ledger.read() as tx:
        links = tx.links(f"verdict:{rollout.verdict_id}", towards=True)
        ids = [link.source.partition(":")[2] for link in links if link.source.startswith("standing:")]
        words = [entries.get(tx, StandingApproval, id) for id in ids]
    for word in words:
        is_replaced = any(one.name == word.role and one.decision == "approved" for one in given.values())
        if word.revoked_at is not None and not is_replaced:
            return f"{word.actor} took back on {word.revoked_at:%Y-%m-%d} the word by which it passed its gate."
    return ""


def stop(workspace: Workspace, rollout: Rollout, reason: str, *, also: Also = lambda tx, rollout: None) -> Rollout:
    """End a roll-out against which somebody has spoken; the champion goes on. The endpoint's turn must be held."""
    return _end(workspace, rollout, "stopped", reason, also=also)


def supersede(workspace: Workspace, rollout: Rollout, *, also: Also = lambda tx, rollout: None) -> Rollout:
    """End a roll-out whose endpoint was deployed to otherwise meanwhile."""
    revision = revision_of(workspace, rollout.name)
    ended = msgspec.structs.replace(
        rollout,
        state="superseded",
        ended_at=workspace.clock.now(),
        reason=f"Revision {revision.number} was published meanwhile ({revision.reason}).",
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, ended)
        also(tx, ended)
        events.record(tx, workspace, "rollouts.end", f"rollout:{ended.id}", state=ended.state, reason=ended.reason)
    return ended


def abort(workspace: Workspace, request: Abort) -> RolloutDetail:
    """End the roll-out under way by a person's word; the champion answers everything again.

    Raises:
        NotFound: Nothing was ever deployed there.
        Conflict: No roll-out is under way.
    """
    revision_of(workspace, request.endpoint)
    with turn(workspace, request.endpoint):
        found = _carried(workspace, request.endpoint)
        if found is None:
            raise Conflict(
                f"No roll-out is under way at {request.endpoint!r}.",
                fix=f"See what serves: slipway endpoints show {request.endpoint}",
            )
        reason = f"{workspace.actor} ended it" + (f": {request.reason}" if request.reason else ".")
        return RolloutDetail(rollout=_end(workspace, found, "stopped", reason, verb="rollouts.abort"))


def list_rollouts(workspace: Workspace, request: ListRollouts) -> Rollouts:
    """Roll-outs, newest first."""
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Rollout, project=workspace.project, name=request.endpoint or None, limit=request.limit)
    return Rollouts(rollouts=tuple(found))


def get_rollout(workspace: Workspace, request: GetRollout) -> RolloutDetail:
    """One roll-out.

    Raises:
        NotFound: There is none.
    """
    found: Rollout | None
    if request.id:
        with workspace.ledger.read() as tx:
            found = entries.get(tx, Rollout, request.id)
    else:
        found = newest(workspace, request.endpoint)
    if found is None or (found.project, found.name) != (workspace.project, request.endpoint):
        which = f"roll-out {request.id!r}" if request.id else "roll-out"
        raise NotFound(
            f"The endpoint {request.endpoint!r} in {workspace.project!r} has no {which}.",
            fix="One begins when an endpoint that declares a roll-out, and serves already, gets another model.",
        )
    return RolloutDetail(rollout=found)


def _carried(workspace: Workspace, endpoint: str) -> Rollout | None:
    """The roll-out under way; one that somebody's deployment has replaced ends here. The endpoint's turn must be held."""
    found = under_way(workspace, endpoint)
    if found is None or is_carried(workspace, found):
        return found
    supersede(workspace, found)
    return None


def _looks_with(rollout: Rollout, look: Look) -> tuple[Look, ...]:
    """The looks with one more; of a day's undecided looks the last is kept, since there may be thousands."""
    last = rollout.looks[-1] if rollout.looks else None
    is_same = (
        last is not None
        and last.verdict == look.verdict == "undecided"
        and (last.phase, last.step) == (look.phase, look.step)
        and last.at.astimezone(UTC).date() == look.at.astimezone(UTC).date()
    )
    return (*(rollout.looks[:-1] if is_same else rollout.looks), look)


def _end(
    workspace: Workspace,
    rollout: Rollout,
    state: str,
    reason: str,
    *,
    verb: str = "rollouts.end",
    also: Also = lambda tx, rollout: None,
) -> Rollout:
    ended = msgspec.convert(
        {**msgspec.structs.asdict(rollout), "state": state, "ended_at": workspace.clock.now(), "reason": reason},
        Rollout,
    )
    present = revision_of(workspace, rollout.name)
    why = {"promoted": "promotion of", "stopped": "back from", "undecided": "undecided about"}[state]
    _publish(workspace, ended, present, f"{why} {_name(rollout)}", verb=verb, also=also)
    return ended


def _keep(workspace: Workspace, rollout: Rollout) -> Rollout:
    with workspace.ledger.write() as tx:
        entries.put(tx, rollout)
    return rollout


def _publish(
    workspace: Workspace,
    rollout: Rollout,
    present: Revision,
    reason: str,
    *,
    verb: str = "endpoints.deploy",
    also: Also,
) -> None:
    """Publish the revision that carries out a roll-out as it stands; its record is kept in the same transaction."""
    serves = rollout.challenger if rollout.state == "promoted" else rollout.champion
    challenger = _challenger(rollout)
    draft = msgspec.structs.replace(
        present,
        created_at=workspace.clock.now(),
        served=serves,
        challenger=challenger,
        verdict_id=rollout.verdict_id if rollout.state == "promoted" else present.verdict_id,
        actor=workspace.actor,
        reason=reason,
    )

    def written(tx: WriteTransaction, revision: Revision) -> None:
        entries.put(tx, rollout)
        also(tx, rollout)
        if rollout.state == "promoted":
            why = f"serves {rollout.name}"
            numbered.point_alias(tx, workspace, serves.model, CHAMPION, serves.number, reason=why)
        lineage.link(tx, f"bundle:{rollout.challenger.bundle}", f"rollout:{rollout.id}", "challenger")
        lineage.link(tx, f"rollout:{rollout.id}", f"revision:{revision.id}", rollout.state)
        if rollout.ended_at is not None and verb != "rollouts.end":
            events.record(tx, workspace, "rollouts.end", f"rollout:{rollout.id}", state=rollout.state)

    is_fed = present.challenger is not None and present.challenger.rollout_id == rollout.id
    versions = [_version(workspace, served) for served in (serves, challenger.served if challenger else None) if served]
    publish_revision(workspace, draft, versions, verb, is_fed=is_fed, also=written)


def _refuse_regression(workspace: Workspace, declared: DeclaredEndpoint, served: Served) -> None:
    task = registry.bundle_of(workspace, _version(workspace, served)).task
    if task != "classification":
        raise InvalidInput(
            f"{served.model} {served.number} is a {task}, and a shadow of {declared.name!r} compares probabilities.",
            why="It has the log loss or the Brier score of yes and no; it would never be decided.",
            fix="Declare rollout=[sw.Canary()], or deploy it with --at-once.",
        )


def _challenger(rollout: Rollout) -> Challenger | None:
    if rollout.ended_at is not None:
        return None
    canary = rollout.spec.canary
    fraction = _fraction(canary, rollout.step) if rollout.state == "canary" and canary else 0.0
    return Challenger(served=rollout.challenger, fraction=fraction, rollout_id=rollout.id)


def _fraction(canary: CanarySpec, step: int) -> float:
    return canary.steps[step] / _WHOLE if step < len(canary.steps) else 1.0


def _version(workspace: Workspace, served: Served) -> ModelVersion:
    return registry.get(workspace, served.model, str(served.number))


def _name(rollout: Rollout) -> str:
    return f"{rollout.challenger.model} {rollout.challenger.number}"
