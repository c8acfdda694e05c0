"""The loop: what makes a model be trained again, under whose word, and what was done about it and why."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from slipway.records.people import Actor
from slipway.records.plugged import Plugged
from slipway.records.record import Record

__all__ = ["Action", "ActionKind", "Gain", "RetrainSpec", "Retraining", "StandingApproval", "TriggerSpec"]


class TriggerSpec(Struct, frozen=True, kw_only=True):
    """What asks for a retraining.

    Args:
        kind: "schedule": the clock; "degraded": an open incident of a quality, estimated quality or KPI monitor;
            "labels": so many labels that came since the last retraining began; "custom": what a plug-in tells of.
        cron: For a schedule: five fields, in `timezone`.
        timezone: An IANA name.
        labels: How many.
        custom: The plug-in.
    """

    kind: Literal["schedule", "degraded", "labels", "custom"]
    cron: str = ""
    timezone: str = "UTC"
    labels: int = 0
    custom: Plugged | None = None


class RetrainSpec(Struct, frozen=True, kw_only=True):
    """How an endpoint's model is trained again without anybody's hand.

    Args:
        pipeline: The pipeline's name in the project snapshot.
        definition: The fingerprint of the pipeline's code closure: other code voids a standing approval.
        when: What asks for it.
        cooldown_us: A degraded model is not trained again within this time after the last retraining began.
        until: The pipeline's parameter that takes the business day up to which data counts, "" for none.
        since: The pipeline's parameter that takes the business day from which data counts, "" for none.
        window_us: How much data before `until` counts, 0 for all that there is.
        recent_us: The same after a concept change, 0 for `window_us`.
        at_most: How many retrainings may begin within `per_us`, 0 for any number.
        per_us: See `at_most`.
        min_labels: How many labels have to be new to the model that serves.
    """

    pipeline: str
    definition: str = ""
    when: tuple[TriggerSpec, ...] = ()
    cooldown_us: int = 14 * 86_400_000_000
    until: str = "until"
    since: str = ""
    window_us: int = 0
    recent_us: int = 0
    at_most: int = 0
    per_us: int = 0
    min_labels: int = 0


class Gain(Struct, frozen=True, kw_only=True):
    """Whether a retraining helped: its model beside the one before, on labelled rows that came after its promotion.

    Args:
        verdict: "helped" or "harmed" where the whole interval says so.
        metric: Of which loss a row.
        difference: The new model's mean loss less the former one's: below 0 it is better. None where there is none.
        low: Lower end of the 95 % interval by days.
        high: Upper end.
        rows: Labelled rows that both scored.
        days: Of how many days.
        sentence: The same in words.
        at: When it was measured, business time.
    """

    verdict: Literal["helped", "harmed", "cannot tell"]
    metric: str = ""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    rows: int = 0
    days: int = 0
    sentence: str
    at: datetime


class StandingApproval(Record, frozen=True, kw_only=True, tag="standing_approval"):
    """A person's word for a policy: what comes out of this definition, through this gate and roll-out, may serve.

    Name: the endpoint's.

    Args:
        policy: The fingerprint of definition, gate, roll-out and triggers: any change voids it.
        role: In which role: "accountable".
        actor: Who.
        until: It lapses then, business time.
        comment: Why.
        revoked_at: When it was taken back, None while it stands.
    """

    policy: str
    role: str
    actor: Actor
    until: datetime
    comment: str = ""
    revoked_at: datetime | None = None


class Retraining(Record, frozen=True, kw_only=True, tag="retraining"):
    """One retraining; name: the endpoint's.

    Args:
        parent_id: `<project>/<endpoint>`.
        state: "running"; "made": it brought a challenger; "refused": the gate refused that; "unchanged": it brought
            the champion itself; "failed".
        trigger: What asked for it, in words: "schedule 0 3 1,15 * *".
        snapshot: The digest of the project snapshot that ran.
        until: The business day up to which data counted.
        standing_id: The standing approval that it ran under, "" where there was none.
        attempts: How often its process was started: one that was killed is started again.
        run_id: Its run, once known.
        version: The model version that came of it, 0 for none.
        sentence: What came of it, in words.
        since: The business day from which data counted, None for all that there was.
        policy: The row of the loop's policy that it follows, "" where a schedule or a person asked.
        causes: The incidents that asked for it, as lineage nodes.
        gain: Whether it helped, once that was measured; None until then, and where it was never promoted.
    """

    parent_id: str
    state: Literal["running", "made", "refused", "unchanged", "failed"] = "running"
    trigger: str
    snapshot: str
    until: datetime
    standing_id: str = ""
    attempts: int = 0
    run_id: str = ""
    version: int = 0
    sentence: str = ""
    since: datetime | None = None
    policy: str = ""
    causes: tuple[str, ...] = ()
    gain: Gain | None = None


ActionKind = Literal[
    "ignore", "note", "alert", "close", "retrain", "hold", "refuse", "shadow", "canary", "promote", "stop", "ask",
    "undecided", "superseded", "abtest",
]  # fmt: skip


class Action(Record, frozen=True, kw_only=True, tag="action"):
    """Something that the loop did, or decided not to do, and why; name: its kind.

    Args:
        parent_id: `<project>/<endpoint>`.
        number: Counts the endpoint's actions from 1.
        sentence: What and why, with figures.
        owner: The role that is told, "" where nobody needs to be.
        evidence: The figures that it rests on.
        subjects: Lineage nodes it is about: "rollout:...", "incident:...", "retraining:...", "verdict:...".
    """

    name: ActionKind
    parent_id: str
    number: int
    sentence: str
    owner: str = ""
    evidence: dict[str, Any] = {}
    subjects: tuple[str, ...] = ()
