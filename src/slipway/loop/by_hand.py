"""A step that a person lets a roll-out take: where the evidence is undecided, never where it is worse."""

from __future__ import annotations

from slipway.errors import Conflict, InvalidInput
from slipway.flows.endpoints import revision_of
from slipway.flows.rollout_words import Decided, decide, worded
from slipway.flows.rollouts import challenger_name, ended, objection, onward, with_look
from slipway.loop.reconcile import looking
from slipway.operations.rollouts import Advance, RolloutDetail
from slipway.ports.workspace import Workspace
from slipway.records.rollouts import Rollout

__all__ = ["advance"]


def advance(workspace: Workspace, request: Advance) -> RolloutDetail:
    """Let the roll-out under way take one step by a person's word: the next phase, the canary's next share, or all traffic.

    The evidence is looked at afresh first.

    Raises:
        NotFound: Nothing was ever deployed there.
        InvalidInput: No reason is given.
        Conflict: The challenger is shown to be worse, or somebody spoke against it; no roll-out is under way; or somebody
            published another revision meanwhile.
    """
    if not request.reason.strip():
        raise InvalidInput(
            f"No reason was given to advance the roll-out at {request.endpoint!r}.",
            why="Where the evidence does not decide, a person does, and it is kept why.",
            fix=f'Say why: slipway rollout advance {request.endpoint} --reason "..."',
            field="reason",
        )
    revision_of(workspace, request.endpoint)
    with looking(workspace, request.endpoint) as look:

        def decided(found: Rollout) -> Decided:
            if against := objection(workspace, found):
                raise Conflict(
                    f"{challenger_name(found)} does not go on at {found.name!r}: {against}",
                    fix=f"End it: slipway rollout abort {found.name}",
                )
            seen = look(found)
            if seen is not None and seen.verdict == "worse":
                raise Conflict(
                    f"{challenger_name(found)} is worse than what serves at {found.name!r}, and does not go on. "
                    f"{seen.sentence}",
                    why="A person decides what the evidence leaves open; here it leaves nothing open.",
                    fix=f"End it: slipway rollout abort {found.name}",
                )
            judged = found if seen is None else with_look(found, seen)
            evidence = "Nothing has been looked at yet." if seen is None else seen.sentence
            word = worded(workspace, judged, "advance", request.reason)
            lifted = (f"Its pause since {found.paused_at:%Y-%m-%d %H:%M} UTC ends with it.",) if found.paused_at else ()
            further = onward(word, workspace.clock.now())
            if further is None:
                why = f"{workspace.actor} let it serve: {request.reason}"
                done = ended(workspace, word, "promoted", why)
                return Decided(
                    done, f"promotion of {challenger_name(found)}", ("It answers everything.", *lifted, evidence)
                )
            told = f"It answers {further.percent} % of the rows, one step on from {found.percent} %."
            return Decided(
                further, f"canary of {challenger_name(found)} at {further.percent} %", (told, *lifted, evidence)
            )

        return decide(workspace, request, "rollouts.advance", decided)
