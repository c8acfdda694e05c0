"""The time after a promotion: late labels are still judged, and the former champion stays loaded for the way back."""

from __future__ import annotations

from slipway.flows.endpoints import revision_of
from slipway.flows.rollouts import Also, challenger_name, end, is_carried, keep, newest, publish_rollout, with_look
from slipway.ports.workspace import Workspace
from slipway.records.rollouts import Look, Rollout

__all__ = ["end_watch", "keep_look", "take_back", "watched"]


def watched(workspace: Workspace, endpoint: str) -> Rollout | None:
    """The promoted roll-out whose former champion is still kept loaded, None where there is none."""
    found = newest(workspace, endpoint)
    is_promoted = found is not None and found.state == "promoted" and found.watched_until is not None
    return found if found is not None and is_promoted and is_carried(workspace, found) else None


def keep_look(workspace: Workspace, rollout: Rollout, look: Look) -> Rollout:
    """Keep a look that moves nothing."""
    return keep(workspace, with_look(rollout, look))


def take_back(workspace: Workspace, rollout: Rollout, look: Look, *, also: Also = lambda tx, rollout: None) -> Rollout:
    """Let the former champion serve again after a promotion. The endpoint's turn must be held."""
    return end(workspace, with_look(rollout, look), "reverted", look.sentence, also=also)


def end_watch(workspace: Workspace, rollout: Rollout) -> None:
    """Let go of the former champion once the time of late labels is over. The endpoint's turn must be held."""
    present = revision_of(workspace, rollout.name)
    reason = f"end of the watch over {challenger_name(rollout)}"
    publish_rollout(workspace, rollout, present, reason, verb="rollouts.end")
