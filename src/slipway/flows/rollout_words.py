"""What persons decide about a roll-out: pause it, let it go on, end it. Each is a new revision, and can be tried dry.

To take a step by hand needs the evidence, which the loop reads: see `slipway.loop.by_hand`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from slipway.errors import Conflict, NotFound
from slipway.flows.endpoints import revision_of
from slipway.flows.revision_changes import change_of
from slipway.flows.rollouts import (
    carried,
    challenger_name,
    drafted,
    ended,
    is_carried,
    newest,
    publish_rollout,
    under_way,
)
from slipway.flows.turns import check_seen, turn
from slipway.governance.asked import asked
from slipway.ledger import entries
from slipway.operations.rollouts import (
    Abort,
    Advance,
    GetRollout,
    ListRollouts,
    Pause,
    Resume,
    RolloutDetail,
    Rollouts,
)
from slipway.ports.workspace import Workspace
from slipway.records.rollouts import Rollout, RolloutWord
from slipway.schema.durations import in_words, microseconds

__all__ = ["Decided", "abort", "decide", "get_rollout", "list_rollouts", "pause", "resume", "worded"]


class Decided(NamedTuple):
    """A roll-out as somebody decided it to stand, why the revision is published, and what it means in sentences."""

    rollout: Rollout
    reason: str
    told: tuple[str, ...]


def pause(workspace: Workspace, request: Pause) -> RolloutDetail:
    """Let the traffic stay as it is: looks go on, no step is taken; what is worse is stopped all the same.

    Raises:
        NotFound: Nothing was ever deployed there.
        Conflict: No roll-out is under way, it is paused already, or somebody published another revision meanwhile.
    """

    def decided(found: Rollout) -> Decided:
        if found.paused_at is not None:
            raise Conflict(
                f"The roll-out of {challenger_name(found)} at {found.name!r} is paused already, since "
                f"{found.paused_at:%Y-%m-%d %H:%M} UTC{_by(found)}.",
                fix=f"Let it go on: slipway rollout resume {found.name}",
            )
        still = msgspec.structs.replace(found, paused_at=workspace.clock.now(), asked_at=None)
        told = "The traffic stays as it is. Looks go on; no step is taken and no deadline runs. Worse still stops it."
        return Decided(worded(workspace, still, "pause", request.reason), f"pause of {challenger_name(found)}", (told,))

    return decide(workspace, request, "rollouts.pause", decided)


def resume(workspace: Workspace, request: Resume) -> RolloutDetail:
    """Let a roll-out go on that was paused or whose deadline has come, or give it more time.

    What was left of its deadline when it was paused is left again. Where nothing was, it gets the declared time anew
    unless `more` says how long.

    Raises:
        NotFound: Nothing was ever deployed there.
        InvalidDeclaration: `more` is no duration.
        Conflict: No roll-out is under way, it goes on already, or somebody published another revision meanwhile.
    """
    given_us = microseconds(request.more, "more") if request.more else 0

    def decided(found: Rollout) -> Decided:
        if found.paused_at is None and found.asked_at is None and not given_us:
            raise Conflict(
                f"The roll-out of {challenger_name(found)} at {found.name!r} is not paused, and its deadline has not come.",
                fix=f"To give it more time: slipway rollout resume {found.name} --more 7d",
            )
        now = workspace.clock.now()
        more_us = _more_us(found, now, given_us)
        on = msgspec.structs.replace(found, paused_at=None, asked_at=None, more_us=more_us)
        told = f"It goes on at its present share; it has until {on.due_at:%Y-%m-%d %H:%M} UTC."
        reason = f"resumption of {challenger_name(found)}" + (f" with {in_words(given_us)} more" if given_us else "")
        return Decided(worded(workspace, on, "resume", request.reason), reason, (told,))

    return decide(workspace, request, "rollouts.resume", decided)


def _more_us(found: Rollout, now: datetime, given_us: int) -> int:
    """The time to be added to the declared deadline of the present phase or step, so that it ends where it should."""
    phase = found.spec.shadow if found.state == "shadow" else found.spec.canary
    assert phase is not None  # it is in that phase
    stood = found.paused_at if found.paused_at is not None else now
    left_us = phase.deadline_us + found.more_us - (stood - found.since) // timedelta(microseconds=1)
    left_us = left_us + given_us if left_us > 0 else given_us or phase.deadline_us
    return max(found.more_us, (now - found.since) // timedelta(microseconds=1) + left_us - phase.deadline_us)


def abort(workspace: Workspace, request: Abort) -> RolloutDetail:
    """End the roll-out under way by a person's word; the champion answers everything again.

    Raises:
        NotFound: Nothing was ever deployed there.
        Conflict: No roll-out is under way, or somebody published another revision meanwhile.
    """

    def decided(found: Rollout) -> Decided:
        reason = f"{workspace.actor} ended it" + (f": {request.reason}" if request.reason else ".")
        done = ended(workspace, worded(workspace, found, "abort", request.reason), "stopped", reason)
        told = f"The roll-out ends; {found.champion.model} {found.champion.number} answers everything."
        return Decided(done, f"back from {challenger_name(found)}", (told,))

    return decide(workspace, request, "rollouts.abort", decided)


def decide(
    workspace: Workspace,
    request: Pause | Resume | Advance | Abort,
    verb: str,
    decided: Callable[[Rollout], Decided],
) -> RolloutDetail:
    """Carry out, or try dry, what somebody decided about the roll-out under way.

    Args:
        workspace: Whose endpoint.
        request: Which endpoint, why, whether dry, and which revision was seen.
        verb: The event's verb.
        decided: Makes of the roll-out how it is to stand; it may refuse.

    Raises:
        NotFound: Nothing was ever deployed there.
        Conflict: No roll-out is under way, the endpoint is another environment's, or somebody published another revision
            meanwhile.
    """
    name = request.endpoint
    environment = revision_of(workspace, name).environment
    if environment != workspace.environment and not isinstance(request, Abort):  # the way out is always open
        raise Conflict(
            f"The endpoint {name!r} serves in {environment}, and this is {workspace.environment}.",
            fix=f"Add --env {environment}.",
        )
    with nullcontext() if request.dry_run else turn(workspace, name):
        check_seen(workspace, name, request.expect)
        found = _seen(workspace, name) if request.dry_run else carried(workspace, name)
        if found is None:
            raise Conflict(
                f"No roll-out is under way at {name!r}.", fix=f"See what serves: slipway endpoints show {name}"
            )
        after, reason, told = decided(found)
        present = revision_of(workspace, name)
        why = f"{reason}: {request.reason}" if request.reason else reason
        change = change_of(present, drafted(workspace, after, present, why), told=told)
        if request.dry_run:
            return RolloutDetail(rollout=found, change=change, is_dry=True)
        publish_rollout(workspace, after, present, why, verb=verb)
        return RolloutDetail(rollout=after, change=change)


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
    with workspace.ledger.read() as tx:
        who = asked(tx, workspace).shown("deploy", "accountable")
    return RolloutDetail(rollout=found, asked=who)


def worded(
    workspace: Workspace,
    rollout: Rollout,
    what: Literal["pause", "resume", "advance", "abort", "rollback"],
    reason: str,
) -> Rollout:
    """A roll-out with a person's word added."""
    word = RolloutWord(at=workspace.clock.now(), actor=workspace.actor, what=what, reason=reason)
    return msgspec.structs.replace(rollout, words=(*rollout.words, word))


def _seen(workspace: Workspace, name: str) -> Rollout | None:
    """The roll-out under way; nothing is written."""
    found = under_way(workspace, name)
    return found if found is not None and is_carried(workspace, found) else None


def _by(rollout: Rollout) -> str:
    last = next((word for word in reversed(rollout.words) if word.what == "pause"), None)
    if last is None:
        return ""
    return f", by {last.actor}" + (f": {last.reason.rstrip('.')}" if last.reason else "")
