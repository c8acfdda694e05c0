"""What the loop did, told as stories: from an alarm over the decision, the retraining, gate and roll-out to what came of it.

Nothing more is stored for it: each action names what it is about, an incident, a retraining, a roll-out, and what has one
of these in common is one story.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slipway.flows.endpoints import revision_of
from slipway.ledger import entries
from slipway.operations.rollouts import GetStories, Stories, Story, StoryLine
from slipway.ports.workspace import Workspace
from slipway.records.loop import Action, Retraining
from slipway.records.rollouts import Rollout

__all__ = ["get_stories", "stories", "yield_words"]

_MANY = 100_000
_TIES = frozenset({"incident", "retraining", "rollout"})


def get_stories(workspace: Workspace, request: GetStories) -> Stories:
    """An endpoint's stories, the newest first.

    Raises:
        NotFound: Nothing was ever deployed there.
    """
    revision_of(workspace, request.endpoint)
    parent = f"{workspace.project}/{request.endpoint}"
    with workspace.ledger.read() as tx:
        actions = entries.find(tx, Action, parent=parent, limit=_MANY)
        retrainings = entries.find(tx, Retraining, parent=parent, limit=_MANY)
        rollouts = entries.find(tx, Rollout, project=workspace.project, name=request.endpoint, limit=_MANY)
    told = stories(actions, retrainings, rollouts)
    promoted = {one.retraining_id for one in rollouts if one.state == "promoted"}
    return Stories(
        stories=tuple(told[: request.limit]), more=max(0, len(told) - request.limit), sentence=yield_words(retrainings, promoted)
    )  # fmt: skip


def stories(actions: Sequence[Action], retrainings: Sequence[Retraining], rollouts: Sequence[Rollout]) -> list[Story]:
    """Actions, put together where they are about the same, the newest story first.

    Args:
        actions: In any order.
        retrainings: Those that they are about.
        rollouts: The same.
    """
    group = _Groups()
    for one in retrainings:
        group.join(f"retraining:{one.id}", one.causes)
    for rollout in rollouts:
        group.join(f"rollout:{rollout.id}", [f"retraining:{rollout.retraining_id}"] if rollout.retraining_id else [])
    for action in actions:
        ties = _ties(action)
        if ties:
            group.join(ties[0], ties[1:])
    parts: dict[str, list[Action]] = {}
    for action in sorted(actions, key=lambda one: one.number):
        ties = _ties(action)
        parts.setdefault(group.of(ties[0]) if ties else f"action:{action.number}", []).append(action)
    by_id = {f"retraining:{one.id}": one for one in retrainings}
    by_rollout = {f"rollout:{rollout.id}": rollout for rollout in rollouts}
    found = [_told(part, by_id, by_rollout) for part in parts.values()]
    return sorted(found, key=lambda one: (one.until, one.number), reverse=True)


def yield_words(retrainings: Iterable[Retraining], promoted: set[str]) -> str:
    """What retraining was worth so far, in a sentence; "" before the first."""
    made = list(retrainings)
    if not made:
        return ""
    counts = dict.fromkeys(("helped", "harmed", "cannot tell"), 0)
    for one in made:
        if one.gain is not None:
            counts[one.gain.verdict] += 1
    open_ones = len([one for one in made if one.id in promoted and one.gain is None])
    told = (
        f"Of {len(made)} retraining{'' if len(made) == 1 else 's'} {len({one.id for one in made} & promoted)} were "
        f"promoted: {counts['helped']} helped, {counts['harmed']} did harm, {counts['cannot tell']} cannot be told"
    )
    return f"{told}, {open_ones} are not measured yet." if open_ones else f"{told}."


class _Groups:
    """What belongs together, by whatever links it."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}

    def of(self, node: str) -> str:
        at = node
        while (further := self._first.setdefault(at, at)) != at:
            at = further
        self._first[node] = at
        return at

    def join(self, node: str, others: Iterable[str]) -> None:
        home = self.of(node)
        for other in others:
            self._first[self.of(other)] = home


def _ties(action: Action) -> list[str]:
    return [node for node in action.subjects if node.partition(":")[0] in _TIES]


def _told(part: Sequence[Action], retrainings: dict[str, Retraining], rollouts: dict[str, Rollout]) -> Story:
    lines = [
        StoryLine(at=one.created_at, what=one.name, sentence=one.sentence, owner=one.owner, subjects=one.subjects)
        for one in part
    ]
    about = dict.fromkeys(node for one in part for node in one.subjects if node in retrainings)
    for node in about:
        gain = retrainings[node].gain
        if gain is not None:
            lines.append(StoryLine(at=gain.at, what="yield", sentence=gain.sentence, subjects=(node,)))
    tried = [rollouts[node] for node in dict.fromkeys(n for one in part for n in one.subjects) if node in rollouts]
    lines += [_by_hand(one) for one in tried if one.ended_at and not _is_told(one, part)]
    lines.sort(key=lambda line: line.at)
    policy = next((retrainings[node].policy for node in about if retrainings[node].policy), "")
    policy = policy or next((str(one.evidence["policy"]) for one in part if "policy" in one.evidence), "")
    return Story(
        number=part[0].number,
        since=lines[0].at,
        until=lines[-1].at,
        lines=tuple(lines),
        policy=policy,
        outcome=_outcome(part, tried[-1] if tried else None),
    )


def _is_told(rollout: Rollout, part: Sequence[Action]) -> bool:
    node = f"rollout:{rollout.id}"
    return any(one.name in _ENDS and node in one.subjects for one in part)


def _by_hand(rollout: Rollout) -> StoryLine:
    """How a roll-out ended that a person ended: the loop did nothing then."""
    node = f"rollout:{rollout.id}"
    at = rollout.ended_at or rollout.since
    return StoryLine(at=at, what="by hand", sentence=rollout.reason or f"It ended: {rollout.state}.", subjects=(node,))


def _outcome(part: Sequence[Action], rollout: Rollout | None) -> str:
    """How it ended, or how far it is, in a few words."""
    kinds = [one.name for one in part]
    last = next((kind for kind in reversed(kinds) if kind not in ("close", "hold")), kinds[-1])
    if last == "stop" and rollout is not None and rollout.state == "promoted":
        return _STATES["reverted"]
    if rollout is not None and rollout.ended_at is not None and last not in ("retrain", "refuse", "ignore", "alert"):
        return _STATES[rollout.state]
    if last == "alert" and kinds[-1] == "close":
        return "over"
    return _ENDS.get(last) or _UNDER_WAY.get(last, last)


_ENDS: dict[str, str] = {
    "promote": "promoted", "stop": "taken back", "undecided": "not promoted", "superseded": "replaced by hand",
    "refuse": "refused", "ignore": "nothing new", "close": "over", "note": "noted",
}  # fmt: skip
_UNDER_WAY: dict[str, str] = {
    "retrain": "training", "shadow": "compared unseen", "canary": "answers some rows", "ask": "waits for a person",
    "hold": "held", "alert": "open", "abtest": "compared side by side",
}  # fmt: skip
_STATES: dict[str, str] = {
    "promoted": "promoted", "stopped": "taken back", "undecided": "not promoted", "superseded": "replaced by hand",
    "reverted": "taken back after its promotion", "shadow": "compared unseen", "canary": "answers some rows",
}  # fmt: skip
