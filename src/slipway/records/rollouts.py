"""Roll-outs: how a challenger gets from its first unseen answer to all traffic, and the evidence at every look."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from slipway.records.endpoints import Served
from slipway.records.record import Record

__all__ = ["CanarySpec", "Look", "Phase", "Rollout", "RolloutSpec", "RolloutVerdict", "ShadowSpec"]

Phase = Literal["shadow", "canary"]
RolloutVerdict = Literal["worse", "not worse", "undecided"]


class ShadowSpec(Struct, frozen=True, kw_only=True):
    """Paired comparison off the critical path: both models score every row, only the champion's answer is given.

    Args:
        metric: A metric that is a mean of losses a row: "log_loss" or "brier".
        margin: How much worse the challenger may be, in the metric's unit; shown to be less, it goes on.
        alpha: The chance of a wrong "not worse", and of a wrong "worse", under any number of looks.
        min_us: The shortest time in shadow, business time.
        deadline_us: After that long without a verdict the roll-out ends undecided.
    """

    metric: str = "log_loss"
    margin: float = 0.01
    alpha: float = 0.05
    min_us: int = 3 * 86_400_000_000
    deadline_us: int = 12 * 86_400_000_000


class CanarySpec(Struct, frozen=True, kw_only=True):
    """Some callers get the challenger's answer: what only live traffic shows.

    Args:
        steps: Percent of rows that it answers, rising; the last is 100.
        margin: How much greater its share of failures may be, shown to be less before the next step.
        alpha: The chance of a wrong roll-back under any number of looks.
        deadline_us: After that long in one step without a verdict the roll-out ends undecided.
    """

    steps: tuple[int, ...] = (10, 50, 100)
    margin: float = 0.03
    alpha: float = 0.01
    deadline_us: int = 7 * 86_400_000_000


class RolloutSpec(Struct, frozen=True, kw_only=True):
    """The phases of a roll-out, in order; one that is None is left out."""

    shadow: ShadowSpec | None = None
    canary: CanarySpec | None = None


class Look(Struct, frozen=True, kw_only=True):
    """One look at the evidence.

    Args:
        at: Business time.
        phase: In which phase.
        step: The canary's step, 0 in shadow.
        verdict: What the evidence shows.
        sentence: In words, with figures.
        values: The figures, enough to judge again.
    """

    at: datetime
    phase: Phase
    step: int = 0
    verdict: RolloutVerdict
    sentence: str
    values: dict[str, Any] = {}


class Rollout(Record, frozen=True, kw_only=True, tag="rollout"):
    """One challenger's way into production; name: the endpoint's.

    Args:
        parent_id: `<project>/<endpoint>`.
        state: "stopped": worse, or failing; "undecided": the deadline came first; "superseded": somebody deployed
            something else meanwhile. The champion goes on serving after all three.
        champion: What served when it began.
        challenger: What is rolled out.
        spec: The plan.
        step: The canary's step, counted from 0.
        since: Business time at which the present phase or step began.
        ended_at: Business time, None while under way.
        verdict_id: The gate's verdict that let it begin.
        retraining_id: The retraining that made the challenger, "" where a person deployed it.
        looks: The looks, oldest first; of a day's undecided ones the last.
        reason: How it ended, in words.
    """

    parent_id: str
    state: Literal["shadow", "canary", "promoted", "stopped", "undecided", "superseded"]
    champion: Served
    challenger: Served
    spec: RolloutSpec
    step: int = 0
    since: datetime
    ended_at: datetime | None = None
    verdict_id: str = ""
    retraining_id: str = ""
    looks: tuple[Look, ...] = ()
    reason: str = ""

    @property
    def is_under_way(self) -> bool:
        """Whether it has not ended."""
        return self.ended_at is None
