"""Schedules as people write them: five cron fields in a time zone. Which time was due last, which is next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from slipway.errors import InvalidDeclaration

__all__ = ["check_schedule", "in_words", "last_time", "next_time"]


def check_schedule(cron: str, timezone: str) -> None:
    """Refuse what is no schedule.

    Args:
        cron: Five fields: minute, hour, day of the month, month, weekday.
        timezone: The IANA name of the zone in which they are read.

    Raises:
        InvalidDeclaration: It is no cron expression, or no such zone.
    """
    try:
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


def last_time(cron: str, timezone: str, now: datetime) -> datetime | None:
    """The last time of a schedule until now, this minute included, in its zone; None where there was none."""
    # The reverse walk leaves its beginning out, so it begins a minute later, on the full minute.
    begin = now.astimezone(ZoneInfo(timezone)).replace(second=0, microsecond=0) + timedelta(minutes=1)
    return next(CronSim(cron, begin, reverse=True), None)


def next_time(cron: str, timezone: str, now: datetime) -> datetime | None:
    """The first time of a schedule after now, in its zone; None where there is none."""
    return next(CronSim(cron, now.astimezone(ZoneInfo(timezone))), None)
