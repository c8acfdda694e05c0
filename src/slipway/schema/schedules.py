"""Schedules as people write them: five cron fields in a time zone. Which times were due, which are next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import dropwhile, islice, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from slipway.errors import InvalidDeclaration
from slipway.records.schedules import ScheduleTrigger

__all__ = ["check_schedule", "in_words", "last_time", "next_time", "next_times", "times_between", "trigger_in_words"]

_LONGEST_BREAK = timedelta(days=8 * 366 + 1)
"""A 29 February may be followed by the next one after eight years: 1896 and 1904, 2096 and 2104."""


def check_schedule(cron: str, timezone: str) -> None:
    """Refuse what is no schedule.

    Args:
        cron: Five fields: minute, hour, day of the month, month, weekday.
        timezone: The IANA name of the zone in which they are read.

    Raises:
        InvalidDeclaration: It is no cron expression, or no such zone.
    """
    try:
        if isinstance(cron, str) and len(cron.split()) != 5:
            raise CronSimError("Wrong number of fields")  # with six the first would count seconds
        CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC))
    except (CronSimError, AttributeError) as problem:
        raise InvalidDeclaration(
            f"{cron!r} is no schedule{f': {problem}' if str(problem) else ''}.",
            fix="Write five fields, as in '0 3 1 * *': 03:00 on the first of each month.",
        ) from problem
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as problem:
        raise InvalidDeclaration(
            f"There is no time zone {timezone!r}.", fix="For example 'Europe/Berlin'."
        ) from problem


def in_words(cron: str, timezone: str) -> str:
    """A schedule for a sentence; also how it is told from others: "schedule 0 3 * * * Europe/Berlin"."""
    return f"schedule {cron}" + (f" {timezone}" if timezone != "UTC" else "")


def trigger_in_words(trigger: ScheduleTrigger) -> str:
    """A trigger for a sentence; also how it is told from others of its schedule: "table flights"."""
    match trigger.kind:
        case "cron":
            return in_words(trigger.cron, trigger.timezone)
        case "table":
            return f"table {trigger.table}"
        case "incident":
            return f"incident {trigger.endpoint}"
        case "push":
            return f"push {trigger.branch}" + (f" of {trigger.repository}" if trigger.repository else "")
        case "hook":
            return "hook"
        case "custom":
            return f"custom {trigger.custom}"


def last_time(cron: str, timezone: str, now: datetime) -> datetime | None:
    """The last time of a schedule until now, this moment included, in its zone; None where there was none."""
    found = times_between(cron, timezone, after=now - _LONGEST_BREAK, until=now, limit=1)
    return found[-1] if found else None


def next_time(cron: str, timezone: str, now: datetime) -> datetime | None:
    """The first time of a schedule after now, in its zone; None where there is none."""
    found = next_times(cron, timezone, now, count=1)
    return found[0] if found else None


def next_times(cron: str, timezone: str, now: datetime, *, count: int) -> list[datetime]:
    """The first times of a schedule after now, in its zone, at most `count`; fewer where there are no more."""
    return list(islice(_after(cron, timezone, now), count))


def times_between(cron: str, timezone: str, *, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """The newest times of a schedule in a stretch, in order, in its zone.

    What it costs goes with `limit`, not with the length of the stretch. A time of the hour that daylight saving leaves
    out comes at the next moment that there is; one of the hour that occurs twice comes once, the first time. Where
    every hour counts ("0 * * * *") each that passes does.

    Args:
        cron: Five fields.
        timezone: The zone in which they are read.
        after: Where the stretch begins, itself left out.
        until: Where it ends, itself included.
        limit: How many at most.
    """
    after, until, stretch = after.astimezone(UTC), until.astimezone(UTC), timedelta(hours=1)
    while True:
        begin = max(after, until - stretch)
        found = deque(takewhile(lambda at: at <= until, _after(cron, timezone, begin)), maxlen=limit)
        if len(found) >= limit or begin <= after:
            return list(found)
        stretch *= 8


def _after(cron: str, timezone: str, begin: datetime) -> Iterator[datetime]:
    """The times of a schedule after a moment, in order."""
    # The walk counts by the clock on the wall: begun in the second of two equal hours, it first gives times of the first.
    walk = CronSim(_of_the_wall(cron), begin.astimezone(ZoneInfo(timezone)))
    return dropwhile(lambda at: at.astimezone(UTC) <= begin.astimezone(UTC), walk)


def _of_the_wall(cron: str) -> str:
    """The expression with which the walk takes every fixed hour by the clock on the wall, whatever its minutes are."""
    minute, hour, *days = cron.split()
    if hour not in ("*", "*/1"):
        minute, hour = _spelt(minute, "0-59"), _spelt(hour, "0-23")
    return " ".join((minute, hour, *days))


def _spelt(field: str, all_of_it: str) -> str:
    return ",".join(f"{all_of_it}{term[1:]}" if term.startswith("*") else term for term in field.split(","))
