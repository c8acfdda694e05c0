"""What is done about it: one readable table from what was found to what happens, and who is told.

| what is the case | what happens |
|---|---|
| nothing asks for a retraining | nothing |
| inputs moved, quality holds | noted by the drift monitor, not acted on |
| a retraining is asked for while a feed is broken | held: mend the feed first, a model must not learn from it |
| ... while another retraining or a roll-out is under way | held until that has ended |
| ... without a standing approval where the gate asks for one | trained and judged; the gate then waits for a person |
| ... otherwise | trained from the snapshot; gate, shadow and canary decide what becomes of it |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from slipway.loop.triggers import Due
from slipway.records.loop import Retraining
from slipway.records.monitors import Incident
from slipway.records.rollouts import Rollout

__all__ = ["BROKEN_FEED", "Answer", "answer"]

BROKEN_FEED = "broken feed"


class Answer(Struct, frozen=True, kw_only=True):
    """What is done about a trigger that asks.

    Args:
        do: Train now, or hold it back for as long as the reason stands.
        why: In words.
        owner: The role that is told, "" for nobody.
        subjects: Lineage nodes of what it goes by.
    """

    do: Literal["retrain", "hold"]
    why: str
    owner: str = ""
    subjects: tuple[str, ...] = ()


def answer(asked: Due, *, incidents: Sequence[Incident], running: Retraining | None, rollout: Rollout | None) -> Answer:
    """What is done about a trigger.

    Args:
        asked: What asks for a retraining.
        incidents: The endpoint's open incidents.
        running: The retraining under way, None for none.
        rollout: The roll-out under way, None for none.
    """
    broken = [incident for incident in incidents if incident.cause == BROKEN_FEED]
    if broken:
        told = f"{asked.trigger}: held, because a feed is broken: {broken[0].sentence}"
        subjects = tuple(f"incident:{incident.id}" for incident in broken)
        return Answer(do="hold", why=told, owner=broken[0].owner, subjects=subjects)
    if running is not None:
        told = f"{asked.trigger}: held, because the retraining of {running.created_at:%Y-%m-%d} has not ended."
        return Answer(do="hold", why=told, subjects=(f"retraining:{running.id}",))
    if rollout is not None:
        name = f"{rollout.challenger.model} {rollout.challenger.number}"
        told = f"{asked.trigger}: held, because {name} is being rolled out ({rollout.state})."
        return Answer(do="hold", why=told, subjects=(f"rollout:{rollout.id}",))
    return Answer(do="retrain", why=f"{asked.trigger}.", subjects=asked.subjects)
