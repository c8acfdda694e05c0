"""Roll-outs: a challenger beside the champion, from its first unseen answer to all traffic or out again.

A roll-out's record and the revision that carries it out are written in one transaction: whatever is killed, both say
the same afterwards. What moves it on is a look at the evidence; who looks is the controller.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import msgspec

from slipway.errors import BackendError, Conflict
from slipway.flows.approve import approvals_of
from slipway.flows.behind import fallback_for
from slipway.flows.endpoints import revision_of
from slipway.flows.evidence import CHAMPION
from slipway.flows.judging import declared_endpoint
from slipway.flows.publish import publish_revision
from slipway.flows.rollout_incidents import ASKED, close_incident, open_incident
from slipway.flows.shadow_fits import check_shadow
from slipway.ids import new_id
from slipway.ledger import entries, events, lineage
from slipway.models import numbered, registry
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.endpoints import Challenger, FallbackSpec, Revision, Served
from slipway.records.loop import StandingApproval
from slipway.records.models import ModelVersion
from slipway.records.rollouts import CanarySpec, Look, Rollout
from slipway.rollout.looks import is_overdue

__all__ = [
    "Also",
    "advance",
    "begin",
    "carried",
    "challenger",
    "challenger_name",
    "drafted",
    "end",
    "ended",
    "is_carried",
    "keep",
    "newest",
    "objection",
    "onward",
    "planned",
    "publish_rollout",
    "put_ended",
    "refuse_while_under_way",
    "stop",
    "supersede",
    "under_way",
    "with_look",
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


def refuse_while_under_way(workspace: Workspace, endpoint: str, *, is_dry: bool = False) -> None:
    """Refuse a change while a challenger is being rolled out. The endpoint's turn must be held, or it is tried dry.

    Raises:
        Conflict: One is.
    """
    found = under_way(workspace, endpoint) if is_dry else carried(workspace, endpoint)
    if found is not None and is_carried(workspace, found):
        raise Conflict(
            f"{found.challenger.model} {found.challenger.number} is being rolled out at {endpoint!r} ({found.state}).",
            why="Two challengers at once could not be told apart.",
            fix=f"Wait, or end it first: slipway rollout abort {endpoint}; --at-once replaces everything.",
        )


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
        InvalidInput: A shadow is declared that cannot compare models of this task.
    """
    present, rollout = revision_of(workspace, declared.name), planned(workspace, declared, draft)
    rollout = msgspec.structs.replace(rollout, retraining_id=retraining_id)
    # The endpoint runs as it is declared now, from the beginning of the roll-out on.
    base = msgspec.structs.replace(draft, served=present.served, verdict_id=present.verdict_id)
    try:
        publish_rollout(workspace, rollout, base, f"{rollout.state} of {challenger_name(rollout)}", also=also)
    except BackendError as problem:
        return end(workspace, rollout, "stopped", f"It does not start: {problem}", also=also)
    return rollout


def planned(workspace: Workspace, declared: DeclaredEndpoint, draft: Revision) -> Rollout:
    """The declared roll-out of what a draft would serve, as it would begin now; nothing is written.

    Raises:
        InvalidInput: A shadow is declared, and what would be compared are no probabilities.
    """
    plan = declared.rollout
    assert plan is not None  # `is_due` was asked
    if plan.shadow is not None:
        check_shadow(workspace, plan.shadow, _version(workspace, draft.served))
    now = workspace.clock.now()
    return Rollout(
        id=new_id(),
        project=workspace.project,
        name=declared.name,
        created_at=now,
        parent_id=f"{workspace.project}/{declared.name}",
        state="shadow" if plan.shadow else "canary",
        champion=revision_of(workspace, declared.name).served,
        challenger=draft.served,
        spec=plan,
        since=now,
        verdict_id=draft.verdict_id,
    )


def advance(workspace: Workspace, rollout: Rollout, look: Look, *, also: Also = lambda tx, rollout: None) -> Rollout:
    """Take a roll-out as far as a look at its evidence allows. The endpoint's turn must be held.

    Args:
        workspace: Whose endpoint.
        rollout: Under way.
        look: What the evidence shows in its present phase.
        also: What else is written where it moves.

    Returns:
        The roll-out as it stands then: the same phase where it is paused, or the look is undecided and whoever is asked at
        the deadline still has time to answer.

    Raises:
        BackendError: The endpoint's process has not taken the revision, which is written already.
    """
    now = workspace.clock.now()
    seen = with_look(rollout, look)
    phase = rollout.plan.shadow if rollout.state == "shadow" else rollout.plan.canary
    assert phase is not None  # it is in that phase
    if look.verdict == "worse":
        return end(workspace, seen, "stopped", look.sentence, also=also)
    if rollout.paused_at is not None:
        return keep(workspace, seen)
    if look.verdict == "undecided":
        if not is_overdue(phase, rollout.since, now):
            return keep(workspace, seen)
        if rollout.asked_at is None:
            return _ask(workspace, msgspec.structs.replace(seen, asked_at=now), look, also=also)
        if rollout.due_at is not None and now < rollout.due_at:
            return keep(workspace, seen)
        asked = f"The deadline came first, and nobody who was asked on {rollout.asked_at:%Y-%m-%d} decided."
        return end(workspace, seen, "undecided", f"{asked} {look.sentence}", also=also)
    further = onward(seen, now)
    if further is None:
        return end(workspace, seen, "promoted", look.sentence, also=also)
    reason = f"canary of {challenger_name(rollout)} at {further.percent} %"
    publish_rollout(workspace, further, revision_of(workspace, rollout.name), reason, also=also)
    return further


def onward(rollout: Rollout, now: datetime) -> Rollout | None:
    """A roll-out one step further on, the next phase or the canary's next share; None where that is all traffic.

    Args:
        rollout: Under way.
        now: Business time.
    """
    canary = rollout.spec.canary
    step = 0 if rollout.state == "shadow" else rollout.step + 1
    if canary is None or _fraction(canary, step) >= 1.0:
        return None
    return msgspec.structs.replace(
        rollout, state="canary", step=step, since=now, paused_at=None, asked_at=None, more_us=0
    )


def _ask(workspace: Workspace, rollout: Rollout, look: Look, *, also: Also) -> Rollout:
    """Ask who is accountable to decide what the evidence leaves open; the challenger keeps its present share."""
    name, there = rollout.name, "" if workspace.environment == "dev" else f" --env {workspace.environment}"
    share = f"{rollout.percent} % of the rows" if rollout.percent else "no row, in shadow"
    command = "slipway rollout"
    sentence = (
        f"{challenger_name(rollout)} is undecided at {name!r} and goes on answering {share}. {look.sentence} "
        f"Decide: {command} advance {name}{there} --reason WHY, {command} abort {name}{there} --reason WHY, or {command} resume "
        f"{name}{there} --more 7d --reason WHY. Without an answer by {rollout.due_at:%Y-%m-%d %H:%M} UTC it is taken back."
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, rollout)
        open_incident(tx, workspace, rollout, ASKED, sentence, owner="business owner")
        also(tx, rollout)
    return rollout


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
    return end(workspace, rollout, "stopped", reason, also=also)


def label_delay(revision: Revision) -> timedelta:
    """How long a label may take, by what the endpoint's monitors declare."""
    return timedelta(microseconds=max((monitor.label_delay_us for monitor in revision.monitors), default=0))


def supersede(workspace: Workspace, rollout: Rollout, *, also: Also = lambda tx, rollout: None) -> Rollout:
    """End a roll-out whose endpoint was deployed to otherwise meanwhile."""
    revision = revision_of(workspace, rollout.name)
    replaced = msgspec.structs.replace(
        rollout,
        state="superseded",
        ended_at=workspace.clock.now(),
        reason=f"Revision {revision.number} was published meanwhile ({revision.reason}).",
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, replaced)
        close_incident(tx, workspace, replaced, ASKED)
        also(tx, replaced)
        about = f"rollout:{replaced.id}"
        events.record(tx, workspace, "rollouts.end", about, state=replaced.state, reason=replaced.reason)
    return replaced


def carried(workspace: Workspace, endpoint: str) -> Rollout | None:
    """The roll-out under way; one that somebody's deployment has replaced ends here. The endpoint's turn must be held."""
    found = under_way(workspace, endpoint)
    if found is None or is_carried(workspace, found):
        return found
    supersede(workspace, found)
    return None


def with_look(rollout: Rollout, look: Look) -> Rollout:
    """A roll-out with one more look; of a day's undecided looks the last is kept, since there may be thousands."""
    last = rollout.looks[-1] if rollout.looks else None
    is_same = (
        last is not None
        and last.verdict == look.verdict == "undecided"
        and (last.phase, last.step) == (look.phase, look.step)
        and last.at.astimezone(UTC).date() == look.at.astimezone(UTC).date()
    )
    looks = (*(rollout.looks[:-1] if is_same else rollout.looks), look)
    return msgspec.structs.replace(rollout, looks=looks)


def ended(workspace: Workspace, rollout: Rollout, state: str, reason: str) -> Rollout:
    """A roll-out as it ends now; nothing is written."""
    now = workspace.clock.now()
    told = {"state": state, "ended_at": now, "reason": reason}
    if state == "promoted" and (delay := label_delay(revision_of(workspace, rollout.name))):
        told["watched_until"] = now + delay
    return msgspec.convert({**msgspec.structs.asdict(rollout), **told}, Rollout)


def put_ended(tx: WriteTransaction, workspace: Workspace, rollout: Rollout, reason: str) -> None:
    """Write that a roll-out ended because of a revision that does not carry it, in the transaction of that one."""
    done = ended(workspace, rollout, "stopped", reason)
    entries.put(tx, done)
    close_incident(tx, workspace, done, ASKED)
    events.record(tx, workspace, "rollouts.end", f"rollout:{done.id}", state=done.state, reason=reason)


def end(
    workspace: Workspace, rollout: Rollout, state: str, reason: str, *, also: Also = lambda tx, rollout: None
) -> Rollout:
    """End a roll-out by a revision of its own. The endpoint's turn must be held."""
    done = ended(workspace, rollout, state, reason)
    why = {
        "promoted": "promotion of",
        "stopped": "back from",
        "undecided": "undecided about",
        "reverted": "back after the promotion of",
    }[state]
    present, verb = revision_of(workspace, rollout.name), "rollouts.end"
    publish_rollout(workspace, done, present, f"{why} {challenger_name(rollout)}", verb=verb, also=also)
    return done


def keep(workspace: Workspace, rollout: Rollout) -> Rollout:
    """Keep a roll-out's record as it stands."""
    with workspace.ledger.write() as tx:
        entries.put(tx, rollout)
    return rollout


def drafted(workspace: Workspace, rollout: Rollout, present: Revision, reason: str) -> Revision:
    """The revision that carries out a roll-out as it stands, without its number.

    Args:
        workspace: Whose endpoint.
        rollout: As it is to stand.
        present: The revision that it follows.
        reason: Why.
    """
    serves = rollout.challenger if rollout.state == "promoted" else rollout.champion
    return msgspec.structs.replace(
        present,
        created_at=workspace.clock.now(),
        served=serves,
        challenger=challenger(workspace, rollout),
        fallback=_fallback(workspace, present, serves),
        verdict_id=_verdict_of(workspace, rollout, present),
        actor=workspace.actor,
        reason=reason,
    )


def publish_rollout(
    workspace: Workspace,
    rollout: Rollout,
    present: Revision,
    reason: str,
    *,
    verb: str = "endpoints.deploy",
    also: Also = lambda tx, rollout: None,
) -> Revision:
    """Publish the revision that carries out a roll-out as it stands; its record is kept in the same transaction.

    Args:
        workspace: Whose endpoint; its turn must be held.
        rollout: As it is to stand.
        present: The revision that it follows.
        reason: Why.
        verb: The event's verb.
        also: What else is written.

    Raises:
        BackendError: The endpoint's process has not taken the revision, which is written already.
    """
    draft = drafted(workspace, rollout, present, reason)
    serves, beside = draft.served, draft.challenger

    def written(tx: WriteTransaction, revision: Revision) -> None:
        entries.put(tx, rollout)
        if rollout.asked_at is None or rollout.ended_at is not None:
            close_incident(tx, workspace, rollout, ASKED)
        also(tx, rollout)
        if rollout.state in ("promoted", "reverted"):
            why = f"serves {rollout.name}"
            numbered.point_alias(tx, workspace, serves.model, CHAMPION, serves.number, reason=why)
        lineage.link(tx, f"bundle:{rollout.challenger.bundle}", f"rollout:{rollout.id}", "challenger")
        lineage.link(tx, f"rollout:{rollout.id}", f"revision:{revision.id}", rollout.state)
        if rollout.ended_at is not None and verb != "rollouts.end":
            events.record(tx, workspace, "rollouts.end", f"rollout:{rollout.id}", state=rollout.state)

    versions = [_version(workspace, served) for served in (serves, beside.served if beside else None) if served]
    return publish_revision(workspace, draft, versions, verb, also=written)[0]


def _fallback(workspace: Workspace, present: Revision, serves: Served) -> FallbackSpec | None:
    """What stands behind a revision's model: behind a promoted challenger what is declared, the former champion first."""
    if serves == present.served:
        return present.fallback
    declared = declared_endpoint(workspace, present.name, model=serves.model)
    bundle = registry.bundle_of(workspace, _version(workspace, serves))
    return fallback_for(workspace, bundle, serves, present.contract, declared)


def _verdict_of(workspace: Workspace, rollout: Rollout, present: Revision) -> str:
    """The verdict that let through what serves."""
    if rollout.state == "promoted":
        return rollout.verdict_id
    if rollout.state != "reverted":
        return present.verdict_id
    with workspace.ledger.read() as tx:
        known = entries.find(tx, Revision, project=workspace.project, name=rollout.name, limit=100_000)
    return max((one for one in known if one.served == rollout.champion), key=lambda one: one.number).verdict_id


def challenger(workspace: Workspace, rollout: Rollout) -> Challenger | None:
    """What stands beside the one that serves by a roll-out as it is, None after its end."""
    now = workspace.clock.now()
    if rollout.state == "promoted" and rollout.watched_until is not None and now < rollout.watched_until:
        # The way back is warm: the former champion stays loaded and scores unseen, beside what took its place.
        return Challenger(served=rollout.champion, rollout_id=rollout.id)
    if rollout.ended_at is not None:
        return None
    canary = rollout.spec.canary
    fraction = _fraction(canary, rollout.step) if rollout.state == "canary" and canary else 0.0
    sample = 1.0 if rollout.spec.shadow is None else rollout.spec.shadow.sample
    return Challenger(served=rollout.challenger, fraction=fraction, rollout_id=rollout.id, sample=sample)


def _fraction(canary: CanarySpec, step: int) -> float:
    return canary.steps[step] / _WHOLE if step < len(canary.steps) else 1.0


def _version(workspace: Workspace, served: Served) -> ModelVersion:
    return registry.get(workspace, served.model, str(served.number))


def challenger_name(rollout: Rollout) -> str:
    """What is rolled out, in words: "delays 4"."""
    return f"{rollout.challenger.model} {rollout.challenger.number}"
