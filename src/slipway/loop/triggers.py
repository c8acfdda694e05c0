"""What asks for a retraining now: pure functions of the declaration, the clock and what happened before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from slipway.records.loop import Retraining, RetrainSpec, TriggerSpec
from slipway.records.monitors import Incident
from slipway.records.plugged import Plugged
from slipway.schema.schedules import in_words, last_time

__all__ = ["DEGRADED", "Due", "due"]

DEGRADED = frozenset({"quality", "kpi", "estimated quality"})
"""The causes of incidents that say a model is, or probably is, no longer good; a broken feed is none of them."""


class Due(Struct, frozen=True, kw_only=True):
    """A trigger that asks.

    Args:
        trigger: In words: "schedule 0 3 1 * *", "degraded: quality of log_loss".
        at: Since when; of labels and occasions, since when they are counted. One that is held asks again with the same time.
        subjects: Lineage nodes of what it goes by.
        is_degraded: Whether it asks because something got worse, and not because its time has come.
    """

    trigger: str
    at: datetime
    subjects: tuple[str, ...] = ()
    is_degraded: bool = False


def due(
    spec: RetrainSpec,
    *,
    now: datetime,
    since: datetime,
    earlier: Sequence[Retraining],
    incidents: Sequence[Incident],
    labels_since: Callable[[datetime], int] = lambda since: 0,
    occasion: Callable[[Plugged], str] = lambda plugin: "",
) -> Due | None:
    """The trigger that asks now: a schedule before new labels, a degradation and plug-ins; no occasion asks twice.

    A schedule that could not be followed stays due until it was, or until its next time: it is caught up once.

    Args:
        spec: What is declared.
        now: Business time.
        since: When the endpoint began to serve: earlier times of a schedule are not caught up.
        earlier: Its retrainings so far, in any order.
        incidents: Its open incidents.
        labels_since: Counts the answered rows whose label came after an instant; asked only where that matters.
        occasion: The newest occasion that a plug-in tells of, "" for none; asked last, for it may raise.
    """
    last = max((one.created_at for one in earlier), default=None)
    for trigger in spec.when:
        found = _of_schedule(trigger, now, since, earlier) if trigger.kind == "schedule" else None
        if found is not None:
            return found
    for trigger in spec.when:
        if trigger.kind == "labels" and labels_since(last or since) >= trigger.labels:
            return Due(trigger=f"{trigger.labels:,} new labels", at=last or since)
    is_cool = last is None or now - last >= timedelta(microseconds=spec.cooldown_us)
    is_warm = now - since >= timedelta(microseconds=spec.cooldown_us)
    # What a broken feed explains is no degradation: a model must not learn from the rows that it spoiled.
    degraded = [one for one in incidents if one.cause in DEGRADED and not one.silenced_by]
    open_ones = sorted(degraded, key=lambda one: (one.created_at, one.name))
    if open_ones and is_cool and is_warm and any(trigger.kind == "degraded" for trigger in spec.when):
        names = ", ".join(incident.name for incident in open_ones)
        subjects = tuple(f"incident:{incident.id}" for incident in open_ones)
        return Due(trigger=f"degraded: {names}", at=open_ones[0].created_at, subjects=subjects, is_degraded=True)
    for trigger in spec.when:
        if trigger.custom is not None and (name := occasion(trigger.custom)):
            words = f"custom {trigger.custom}: {name}"
            if not any(one.trigger == words for one in earlier):
                return Due(trigger=words, at=last or since)
    return None


def _of_schedule(trigger: TriggerSpec, now: datetime, since: datetime, earlier: Sequence[Retraining]) -> Due | None:
    at = last_time(trigger.cron, trigger.timezone, now)
    words = in_words(trigger.cron, trigger.timezone)
    if at is None or at <= since:
        return None
    if any(one.trigger == words and one.created_at >= at for one in earlier):
        return None
    return Due(trigger=words, at=at)
