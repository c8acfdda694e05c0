"""What asks for a retraining now: pure functions of the declaration, the clock and what happened before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from slipway.records.loop import Retraining, RetrainSpec, TriggerSpec
from slipway.records.monitors import Incident
from slipway.schema.schedules import in_words, last_time

__all__ = ["DEGRADED", "Due", "due"]

DEGRADED = frozenset({"quality", "kpi"})
"""The causes of incidents that say a model is no longer good; a broken feed is none of them."""


class Due(Struct, frozen=True, kw_only=True):
    """A trigger that asks.

    Args:
        trigger: In words: "schedule 0 3 1 * *", "degraded: quality of log_loss".
        at: Since when.
        subjects: Lineage nodes of what it goes by.
    """

    trigger: str
    at: datetime
    subjects: tuple[str, ...] = ()


def due(
    spec: RetrainSpec,
    *,
    now: datetime,
    since: datetime,
    earlier: Sequence[Retraining],
    incidents: Sequence[Incident],
) -> Due | None:
    """The trigger that asks now; a schedule before a degradation, the same schedule only once.

    A schedule that could not be followed stays due until it was, or until its next time: it is caught up once.

    Args:
        spec: What is declared.
        now: Business time.
        since: When the endpoint began to serve: earlier times of a schedule are not caught up.
        earlier: Its retrainings so far, in any order.
        incidents: Its open incidents.
    """
    last = max((one.created_at for one in earlier), default=None)
    for trigger in spec.when:
        found = _of_schedule(trigger, now, since, earlier) if trigger.kind == "schedule" else None
        if found is not None:
            return found
    is_cool = last is None or now - last >= timedelta(microseconds=spec.cooldown_us)
    is_warm = now - since >= timedelta(microseconds=spec.cooldown_us)
    open_ones = sorted((i for i in incidents if i.cause in DEGRADED), key=lambda i: (i.created_at, i.name))
    if open_ones and is_cool and is_warm and any(trigger.kind == "degraded" for trigger in spec.when):
        names = ", ".join(incident.name for incident in open_ones)
        subjects = tuple(f"incident:{incident.id}" for incident in open_ones)
        return Due(trigger=f"degraded: {names}", at=open_ones[0].created_at, subjects=subjects)
    return None


def _of_schedule(trigger: TriggerSpec, now: datetime, since: datetime, earlier: Sequence[Retraining]) -> Due | None:
    at = last_time(trigger.cron, trigger.timezone, now)
    words = in_words(trigger.cron, trigger.timezone)
    if at is None or at <= since:
        return None
    if any(one.trigger == words and one.created_at >= at for one in earlier):
        return None
    return Due(trigger=words, at=at)
