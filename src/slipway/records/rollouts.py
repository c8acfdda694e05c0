"""Roll-outs: how a challenger gets from its first unseen answer to all traffic, and the evidence at every look."""

from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from msgspec import Struct

from slipway.records.contracts import ContractTerms
from slipway.records.endpoints import Served
from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = [
    "CanarySpec",
    "Drill",
    "Look",
    "Phase",
    "RevisionChange",
    "Rollout",
    "RolloutSpec",
    "RolloutVerdict",
    "RolloutWord",
    "ShadowSpec",
    "Share",
]

Phase = Literal["shadow", "canary"]
RolloutVerdict = Literal["worse", "not worse", "undecided"]


class ShadowSpec(Struct, frozen=True, kw_only=True):
    """Paired comparison off the critical path: both models score every row, only the champion's answer is given.

    Args:
        metric: A metric that is a mean of losses a row: "log_loss" or "brier"; for a regression "squared_error" or
            "absolute_error".
        margin: How much worse the challenger may be, in the metric's unit; shown to be less, it goes on.
        alpha: The chance of a wrong "not worse", and of a wrong "worse", under any number of looks.
        min_us: The shortest time in shadow, business time.
        deadline_us: After that long without a verdict the accountable are asked; after as long again it ends undecided.
        sample: The share of the answered rows that both models score.
        most_flips: A greater share of rows decided otherwise stops it; None shows the share only.
        most_moved: Where more than half of the rows have scores further apart than this, it is stopped; None shows only.
        most_slower: Where it takes more than so many times the champion's time in more than half of the measurements, it
            is stopped; None shows only.
    """

    metric: str = "log_loss"
    margin: float = 0.01
    alpha: float = 0.05
    min_us: int = 3 * 86_400_000_000
    deadline_us: int = 12 * 86_400_000_000
    sample: float = 1.0
    most_flips: float | None = None
    most_moved: float | None = None
    most_slower: float | None = None


class CanarySpec(Struct, frozen=True, kw_only=True):
    """Some callers get the challenger's answer: what only live traffic shows.

    Args:
        steps: Percent of rows that it answers, rising; the last is 100.
        margin: How much greater its share of failures may be, shown to be less before the next step.
        alpha: The chance of a wrong roll-back under any number of looks.
        deadline_us: After that long in one step without a verdict the accountable are asked; after as long again it
            ends undecided.
        slow_us: An answer that takes longer is slow; 0 for twice what the champion usually takes, and at least a millisecond.
        kpi: How much greater its mean loss per label may be, shown to be less before the next step; None where labels
            may stop it and are not waited for. Of a contract whose KPI is a ratio the greatest that it can be.
        contract: The metric contract whose KPI its labelled rows are compared by, None for what decisions cost.
    """

    steps: tuple[int, ...] = (10, 50, 100)
    margin: float = 0.03
    alpha: float = 0.01
    deadline_us: int = 7 * 86_400_000_000
    slow_us: int = 0
    kpi: float | None = None
    contract: ContractTerms | None = None


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


class RolloutWord(Struct, frozen=True, kw_only=True):
    """What a person decided about a roll-out.

    Args:
        at: Business time.
        actor: Who.
        what: What they did.
        reason: Why, in their words.
    """

    at: datetime
    actor: Actor
    what: Literal["pause", "resume", "advance", "abort", "rollback"]
    reason: str = ""


class Rollout(Record, frozen=True, kw_only=True, tag="rollout"):
    """One challenger's way into production; name: the endpoint's.

    Args:
        parent_id: `<project>/<endpoint>`.
        state: "stopped": worse, failing, or ended by a person; "undecided": the deadline came first, and nobody who was
            asked answered; "superseded": somebody deployed something else meanwhile. The champion goes on serving after
            all three. "reverted": promoted, and taken back by what became known while it
            was watched.
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
        watched_until: Of a promoted one: until then late labels are judged, and the former champion stays loaded.
        paused_at: Since when no step is taken, None where it goes on. What is worse is stopped all the same.
        asked_at: When the accountable were asked because the deadline had come, None where they are not being asked.
        more_us: Time that was added to the deadline of the present phase or step: by a person, or by a pause.
        words: What persons decided, oldest first.
    """

    parent_id: str
    state: Literal["shadow", "canary", "promoted", "stopped", "undecided", "superseded", "reverted"]
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
    watched_until: datetime | None = None
    paused_at: datetime | None = None
    asked_at: datetime | None = None
    more_us: int = 0
    words: tuple[RolloutWord, ...] = ()

    @property
    def is_under_way(self) -> bool:
        """Whether it has not ended."""
        return self.ended_at is None

    @property
    def plan(self) -> RolloutSpec:
        """The plan, with the time that was added to the deadline of the present phase or step."""
        if not self.more_us:
            return self.spec
        phase = self.spec.shadow if self.state == "shadow" else self.spec.canary
        if phase is None:
            return self.spec
        longer = msgspec.structs.replace(phase, deadline_us=phase.deadline_us + self.more_us)
        return msgspec.structs.replace(self.spec, **{"shadow" if self.state == "shadow" else "canary": longer})

    @property
    def percent(self) -> int:
        """The share of rows that the challenger answers while it is under way, in percent; 0 in shadow."""
        canary = self.spec.canary
        if self.state != "canary" or canary is None:
            return 0
        return canary.steps[self.step] if self.step < len(canary.steps) else 100

    @property
    def due_at(self) -> datetime | None:
        """When something happens without a verdict: the accountable are asked or, once they were, it ends.

        None while it is paused, and after its end.
        """
        phase = self.plan.shadow if self.state == "shadow" else self.plan.canary
        if phase is None or not self.is_under_way or self.paused_at is not None:
            return None
        if self.asked_at is not None:
            return self.asked_at + timedelta(microseconds=phase.deadline_us - self.more_us)
        return self.since + timedelta(microseconds=phase.deadline_us)


class Share(Struct, frozen=True, kw_only=True):
    """Which part of the rows a version answers.

    Args:
        served: The version.
        fraction: From 0 to 1; 0 for one that scores unseen.
    """

    served: Served
    fraction: float


class RevisionChange(Struct, frozen=True, kw_only=True):
    """What a new revision changes, or would.

    Args:
        endpoint: Whose.
        former: The number of the revision that stands, 0 for none.
        number: The number of the new one.
        before: The traffic that stands, the version that serves first.
        after: The traffic by the new one.
        other: What else differs, in words: "workers: 1, then 2".
        told: What the change means beyond traffic, in sentences.
        obstacle: Why it would be refused as things stand, "" where it would not.
    """

    endpoint: str
    former: int
    number: int
    before: tuple[Share, ...] = ()
    after: tuple[Share, ...] = ()
    other: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    obstacle: str = ""


class Drill(Record, frozen=True, kw_only=True, tag="drill"):
    """A proof that the way back of an endpoint works, or does not; name: the endpoint's.

    Times are machine time, in seconds.

    Args:
        parent_id: `<project>/<endpoint>`.
        state: Whether everything held.
        actor: Who asked for it.
        present: The revision that served.
        back_to: The earlier revision that was tried.
        live: Whether it was really gone back and forward again, under the traffic of the time.
        verify_s: How long it took to verify the earlier bundle.
        load_s: How long its worker took until it was ready.
        asked: Rows of the bundle's sample that were asked over HTTP.
        differing: How many of these were answered otherwise than in training.
        revisions: Of a live drill: the revisions by which it went back and forward.
        back_s: From publishing the way back until the last answer of what had served.
        forth_s: From publishing the way forward until the last answer of the earlier one.
        requests: Rows of callers answered during a live drill, by the prediction log.
        failures: How many of the callers' rows failed meanwhile.
        sentence: What was shown, in words.
    """

    parent_id: str
    state: Literal["passed", "failed"]
    actor: Actor
    present: int
    back_to: int
    live: bool = False
    verify_s: float = 0.0
    load_s: float = 0.0
    asked: int = 0
    differing: int = 0
    revisions: tuple[int, ...] = ()
    back_s: float | None = None
    forth_s: float | None = None
    requests: int = 0
    failures: int = 0
    sentence: str = ""
