"""What is done about it: one readable table from what was found to what happens, and who is told.

What is known of an endpoint is brought into six words (`Signals`); the first row of `TABLE` that they fit says what
follows. A retraining that is asked for by a schedule follows whatever the table says, except while a feed is broken: a
model must never learn from it. What stands in the way of any retraining comes after the table:

| what is the case | what happens |
|---|---|
| nothing asks for a retraining | nothing |
| a retraining is asked for while a feed is broken | held: mend the feed first, a model must not learn from it |
| ... while another retraining or a roll-out is under way | held until that has ended |
| ... and the budget is used up, or too few labels are new | held until it is not |
| ... because labels say that it is worse, and the version before answers the same rows better | that one serves again |
| ... because something got worse, and the table says that a retraining is no answer | held, and whose turn it is is told |
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

__all__ = ["BROKEN", "BROKEN_FEED", "TABLE", "Answer", "Do", "Row", "Signals", "answer", "decide"]

BROKEN_FEED = "broken feed"
BROKEN = frozenset({BROKEN_FEED, "schema", "stale feed"})
"""The causes of incidents that say that inputs do not arrive as they should."""

Do = Literal["ignore", "note", "alert", "roll back", "retrain", "retrain on recent rows", "broken pipe"]
Level = Literal["down", "flat", "unknown"]


class Signals(Struct, frozen=True, kw_only=True):
    """What is known of an endpoint.

    Args:
        service: "down" where answers are late, fail or say nothing.
        feed: "broken" where inputs are missing, new or stale from one day to the next.
        inputs: Whether they look as at training: "moved" where the model uses what moved, or nobody knows how much.
        estimated: The quality that can be expected without labels.
        realised: The quality by the labels that are in.
        kpi: What it costs or brings.
        former: Whether the version that served before answers the same rows better; asked only where `realised` is "down".
    """

    service: Level = "unknown"
    feed: Literal["broken", "whole"] = "whole"
    inputs: Literal["moved", "moved, little used", "still", "unknown"] = "unknown"
    estimated: Level = "unknown"
    realised: Level = "unknown"
    kpi: Level = "unknown"
    former: Literal["better", "not better", "unknown"] = "unknown"


class Row(Struct, frozen=True, kw_only=True):
    """One row of the table; a signal that is () may be anything.

    Args:
        name: Of the case.
        do: What is done.
        owner: The role that is told, "" for nobody.
        why: The reason, as a sentence.
        service: What the signal is to be, one of these.
        feed: The same.
        inputs: The same.
        estimated: The same.
        realised: The same.
        kpi: The same.
        former: The same.
    """

    name: str
    do: Do
    owner: str = ""
    why: str
    service: tuple[str, ...] = ()
    feed: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    estimated: tuple[str, ...] = ()
    realised: tuple[str, ...] = ()
    kpi: tuple[str, ...] = ()
    former: tuple[str, ...] = ()

    def fits(self, found: Signals) -> bool:
        """Whether the signals are a case of this row."""
        return all(
            not wanted or getattr(found, name) in wanted
            for name in found.__struct_fields__
            for wanted in (getattr(self, name),)
        )


TABLE = (
    Row(
        name="broken pipe", feed=("broken",), do="broken pipe", owner="data engineer",
        why="Broken pipe: inputs do not arrive as they should. Mend the feed; nothing is learnt from it meanwhile.",
    ),
    Row(
        name="no results", service=("down",), do="alert", owner="on-call",
        why="Callers get no results: that is the service, and no retraining mends it.",
    ),
    Row(
        name="roll back", realised=("down",), former=("better",), do="roll back", owner="data scientist",
        why="Labels say that it is worse, and the version before answers the same rows better: that one serves again, nothing is trained.",
    ),
    Row(
        name="concept change", realised=("down",), inputs=("still", "moved, little used"), estimated=("flat", "unknown"),
        do="retrain on recent rows", owner="data scientist",
        why="Concept change: labels say it is worse, while its inputs look as before. Recent rows teach it anew; look at labels and features too.",
    ),
    Row(
        name="concept change", realised=("down",), estimated=("flat",), do="retrain on recent rows", owner="data scientist",
        why="Concept change: labels say it is worse, where its inputs alone would not make it so. Recent rows teach it anew; look at labels and features too.",
    ),
    Row(
        name="changed inputs", realised=("down",), inputs=("moved",), do="retrain", owner="ml engineer",
        why="Its inputs moved, and labels say that it is worse on them. Gate and roll-out decide what becomes of a new one.",
    ),
    Row(
        name="worse", realised=("down",), do="retrain", owner="data scientist",
        why="Labels say that it is worse. Gate and roll-out decide what becomes of a new one.",
    ),
    Row(
        name="business", kpi=("down",), realised=("flat",), do="alert", owner="business owner",
        why="The business figure is worse while the model is as good as before: that is the threshold, the policy or the product, and no retraining mends it.",
    ),
    Row(
        name="cost alone", kpi=("down",), do="retrain", owner="data scientist",
        why="What it costs is worse, and nothing says that the model is as good as before.",
    ),
    Row(
        name="probably worse", estimated=("down",), realised=("unknown",), do="retrain", owner="data scientist",
        why="It is probably worse, labels are still out. A candidate is trained and judged by its gate; ask for labels of the rows that moved.",
    ),
    Row(
        name="labels say otherwise", estimated=("down",), realised=("flat",), do="note", owner="data scientist",
        why="It was estimated to be worse, and the labels that are in say that it is not.",
    ),
    Row(
        name="moved", inputs=("moved",), do="note", owner="data scientist",
        why="Inputs that it uses moved, and nothing says that it is worse.",
    ),
    Row(
        name="moved, little used", inputs=("moved, little used",), do="note", owner="data engineer",
        why="Inputs moved that it hardly uses.",
    ),
    Row(name="nothing", do="ignore", why="Nothing is found to be worse."),
)  # fmt: skip
"""The policy: the first row that fits holds."""


def decide(found: Signals) -> Row:
    """The row of the table that holds."""
    return next(row for row in TABLE if row.fits(found))


class Answer(Struct, frozen=True, kw_only=True):
    """What is done about a trigger that asks.

    Args:
        do: Train now, or hold it back for as long as the reason stands.
        why: In words.
        owner: The role that is told, "" for nobody.
        subjects: Lineage nodes of what it goes by.
        policy: The name of the row that it follows, "" where a schedule asks.
        is_recent: Whether only recent rows are to teach it.
    """

    do: Literal["retrain", "hold"]
    why: str
    owner: str = ""
    subjects: tuple[str, ...] = ()
    policy: str = ""
    is_recent: bool = False


def answer(
    asked: Due,
    *,
    incidents: Sequence[Incident],
    running: Retraining | None,
    rollout: Rollout | None,
    row: Row | None = None,
    against: str = "",
) -> Answer:
    """What is done about a trigger.

    Args:
        asked: What asks for a retraining.
        incidents: The endpoint's open incidents.
        running: The retraining under way, None for none.
        rollout: The roll-out under way, None for none.
        row: The row of the table that holds, None to go by the incidents alone.
        against: Why a declared limit stands in the way, "" where none does.
    """
    broken = [incident for incident in incidents if incident.cause in BROKEN]
    if broken:
        told = f"{asked.trigger}: held, because a feed is broken: {broken[0].sentence}"
        subjects = tuple(f"incident:{incident.id}" for incident in broken)
        return Answer(do="hold", why=told, owner=broken[0].owner, subjects=subjects, policy="broken pipe")
    if running is not None:
        told = f"{asked.trigger}: held, because the retraining of {running.created_at:%Y-%m-%d} has not ended."
        return Answer(do="hold", why=told, subjects=(f"retraining:{running.id}",))
    if rollout is not None:
        name = f"{rollout.challenger.model} {rollout.challenger.number}"
        told = f"{asked.trigger}: held, because {name} is being rolled out ({rollout.state})."
        return Answer(do="hold", why=told, subjects=(f"rollout:{rollout.id}",))
    is_degraded = asked.is_degraded and row is not None
    if is_degraded and row is not None and not row.do.startswith("retrain"):
        told = f"{asked.trigger}: held. {row.why}"
        return Answer(do="hold", why=told, owner=row.owner, subjects=asked.subjects, policy=row.name)
    if against:
        return Answer(do="hold", why=f"{asked.trigger}: held, because {against}", subjects=asked.subjects)
    if is_degraded and row is not None:
        is_recent = row.do == "retrain on recent rows"
        why = f"{asked.trigger}."
        return Answer(
            do="retrain", why=why, owner=row.owner, subjects=asked.subjects, policy=row.name, is_recent=is_recent
        )
    return Answer(do="retrain", why=f"{asked.trigger}.", subjects=asked.subjects)
