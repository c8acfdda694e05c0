"""Which incident explains another: nobody needs to be told of what follows from something that they are told of.

| while there is | nobody is told of | as long as |
|---|---|---|
| a broken feed | drift, skew, quality, calibration and KPI of the same endpoint, if they name no column beyond the feed's | rows of the time in which it was broken are among those that they look at |
| a process that gives no results | service, latency, saturation, quality, KPI, drift and fallback of the same endpoint | it is open |
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from slipway.records.monitors import Incident

__all__ = ["BROKEN_FEED", "explained", "is_dead", "spoilt"]

BROKEN_FEED = "broken feed"
_DEAD = (("no results", ""), ("service", "process down"))

_BY_FEED = frozenset(
    {"drift", "skew", "quality", "calibration", "estimated quality", "kpi", "kpi against metric", "cost"}
)
_BY_DEATH = frozenset({"service", "latency", "saturation", "fallback", "freshness"}) | _BY_FEED
_ANSWERS = "score"  # as profiles call what the model answers, which follows from whichever input is broken
_DAY = timedelta(days=1)


def spoilt(feed: Incident, now: datetime) -> tuple[datetime, datetime]:
    """From when to when a broken feed spoilt rows; without a first row, since a day before it was seen."""
    return feed.since or feed.created_at - _DAY, feed.closed_at or now


def is_dead(one: Incident) -> bool:
    """Whether an incident says that nothing answers."""
    return any(one.cause == kind and about in ("", one.about) for kind, about in _DEAD)


def explained(one: Incident, others: Iterable[Incident], now: datetime) -> tuple[Incident, str] | None:
    """The incident that explains another, and how, in words; None where nothing does.

    Args:
        one: What may be explained.
        others: Incidents of the same endpoint, open ones and those that were closed lately.
        now: Business time.
    """
    for other in others:
        if other.id == one.id:
            continue
        why = _by_death(one, other) or _by_feed(one, other, now)
        if why:
            return other, why
    return None


def _by_death(one: Incident, other: Incident) -> str:
    if not is_dead(other) or is_dead(one) or other.state != "open" or one.cause not in _BY_DEATH:
        return ""
    return f"nothing answers there ({other.name}, since {_moment(other.since or other.created_at)})"


def _by_feed(one: Incident, other: Incident, now: datetime) -> str:
    if other.cause != BROKEN_FEED or one.cause not in _BY_FEED:
        return ""
    beyond = set(one.columns) - set(other.columns) - {_ANSWERS}
    if beyond:
        return ""
    since, until = spoilt(other, now)
    first, last = one.seen_from or one.created_at, one.seen_until or now
    if last <= since or first >= until:
        return ""
    feed = other.about or other.name
    if other.state == "open":
        return f"{feed} is broken since {_moment(since)}, and what follows from it is no news of its own"
    return f"{feed} was broken from {_moment(since)} to {_moment(until)}, and rows of that time are among these"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
