"""Times of schedules, beside a clock on the wall that is read minute by minute."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from slipway.errors import InvalidDeclaration
from slipway.schema.schedules import check_schedule, last_time, next_time, next_times, times_between

BERLIN = "Europe/Berlin"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def between(cron: str, zone: str, after: datetime, until: datetime, limit: int = 1000) -> list[datetime]:
    return [at.astimezone(UTC) for at in times_between(cron, zone, after=after, until=until, limit=limit)]


def matches(field: str, value: int, low: int, high: int) -> bool:
    """One field of a cron expression, as plainly as it can be said."""
    for term in field.split(","):
        span, _, step = term.partition("/")
        begin, _, end = span.partition("-")
        first, last = (low, high) if span == "*" else (int(begin), int(end or begin))
        if first <= value <= last and (value - first) % int(step or 1) == 0:
            return True
    return False


def on_the_wall(cron: str, zone: str, after: datetime, until: datetime) -> list[datetime]:
    """Each minute of the wall's calendar that fits, at its first instant, or the next there is where it does not exist."""
    minute, hour, *_ = cron.split()
    there = ZoneInfo(zone)
    wall = (after - timedelta(days=2)).replace(tzinfo=None, second=0, microsecond=0)
    found = set()
    while wall < (until + timedelta(days=2)).replace(tzinfo=None):
        if matches(minute, wall.minute, 0, 59) and matches(hour, wall.hour, 0, 23):
            at = wall.replace(tzinfo=there)
            while at.astimezone(UTC).astimezone(there).replace(tzinfo=None) != at.replace(tzinfo=None):
                at += timedelta(minutes=1)
            found.add(at.astimezone(UTC))
        wall += timedelta(minutes=1)
    return sorted(at for at in found if after < at <= until)


FIXED = [
    "30 2 * * *",
    "0 2 * * *",
    "0,30 2,3 * * *",
    "*/15 2 * * *",
    "* 1-3 * * *",
    "15 */5 * * *",
    "0 */2 * * *",
    "0 0 * * *",
]
CHANGES = [
    (BERLIN, utc(2013, 3, 31)),
    (BERLIN, utc(2013, 10, 27)),
    ("America/New_York", utc(2013, 3, 10)),
    ("America/New_York", utc(2013, 11, 3)),
    ("Australia/Lord_Howe", utc(2013, 10, 6)),  # half an hour
    ("Australia/Lord_Howe", utc(2013, 4, 7)),
    ("America/Havana", utc(2013, 3, 10)),  # at midnight
    ("Asia/Kathmandu", utc(2013, 3, 10)),  # never
]


@pytest.mark.parametrize("cron", FIXED)
@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_fixed_hours_go_by_the_clock_on_the_wall(cron: str, zone: str, day: datetime) -> None:
    after, until = day - timedelta(hours=30), day + timedelta(hours=60)
    assert between(cron, zone, after, until) == on_the_wall(cron, zone, after, until)


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_however_the_stretch_is_cut_each_time_comes_once(zone: str, day: datetime) -> None:
    for cron in FIXED:
        whole = between(cron, zone, day - timedelta(days=1), day + timedelta(days=2))
        cut, begin = [], day - timedelta(days=1)
        while begin < day + timedelta(days=2):
            end = begin + timedelta(minutes=7)
            cut += between(cron, zone, begin, min(end, day + timedelta(days=2)))
            begin = end
        assert cut == whole, cron


def test_an_hour_that_does_not_exist_fires_once_at_the_next_moment() -> None:
    assert between("30 2 * * *", BERLIN, utc(2013, 3, 30, 12), utc(2013, 3, 31, 12)) == [utc(2013, 3, 31, 1)]
    assert between("*/10 2 * * *", BERLIN, utc(2013, 3, 30, 12), utc(2013, 3, 31, 12)) == [utc(2013, 3, 31, 1)]


def test_an_hour_that_occurs_twice_fires_once_the_first_time() -> None:
    assert between("30 2 * * *", BERLIN, utc(2013, 10, 26, 12), utc(2013, 10, 27, 12)) == [utc(2013, 10, 27, 0, 30)]
    # 02:10 on the second of the two hours: 02:30 was there an hour ago
    assert between("30 2 * * *", BERLIN, utc(2013, 10, 27, 1, 10), utc(2013, 10, 27, 12)) == []
    following = next_time("30 2 * * *", BERLIN, utc(2013, 10, 27, 1, 10))
    assert following is not None
    assert following.astimezone(UTC) == utc(2013, 10, 28, 1, 30)


def test_where_every_hour_counts_each_that_passes_does() -> None:
    assert len(between("0 * * * *", BERLIN, utc(2013, 3, 30, 23), utc(2013, 3, 31, 22))) == 23
    assert len(between("0 * * * *", BERLIN, utc(2013, 10, 26, 22), utc(2013, 10, 27, 23))) == 25


def test_leap_days() -> None:
    days = between("0 0 29 2 *", "UTC", utc(1890, 1, 1), utc(2013, 1, 1), limit=3)
    assert days == [utc(2004, 2, 29), utc(2008, 2, 29), utc(2012, 2, 29)]
    assert last_time("0 0 29 2 *", "UTC", utc(1904, 2, 28)) == utc(1896, 2, 29)  # 1900 has none
    assert next_time("0 0 29 2 *", "UTC", utc(2097, 1, 1)) == utc(2104, 2, 29)


def test_a_long_stretch_costs_no_more_than_what_is_asked_for() -> None:
    ages = between("* * * * *", "UTC", utc(1000, 1, 1), utc(2013, 1, 1), limit=3)  # half a billion minutes
    assert ages == [utc(2012, 12, 31, 23, 58), utc(2012, 12, 31, 23, 59), utc(2013, 1, 1)]
    assert between("0 3 * * *", BERLIN, utc(2013, 1, 2), utc(2013, 1, 1)) == []


def test_next_times_are_told_in_the_zone() -> None:
    told = next_times("0 3 * * *", BERLIN, utc(2013, 3, 29, 12), count=3)
    assert [f"{at:%a %H:%M %Z}" for at in told] == ["Sat 03:00 CET", "Sun 03:00 CEST", "Mon 03:00 CEST"]


@pytest.mark.parametrize("cron", ["", "3 * * *", "0 0 3 * * *", "60 * * * *", "0 0 30 2 *", "@daily", "a b c d e"])
def test_what_is_no_schedule_is_refused_in_a_sentence(cron: str) -> None:
    with pytest.raises(InvalidDeclaration, match="is no schedule"):
        check_schedule(cron, "UTC")


@pytest.mark.parametrize("zone", ["Europe/Berlln", "", "../etc/passwd", "Mars/Base"])
def test_what_is_no_zone_is_refused_in_a_sentence(zone: str) -> None:
    with pytest.raises(InvalidDeclaration, match="no time zone"):
        check_schedule("0 3 * * *", zone)
