"""Moments as people write them: a date, an instant, an instant in a named zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from slipway.errors import InvalidInput

__all__ = ["moment"]


def moment(text: str, *, field: str = "at") -> datetime:
    """A written moment as an aware instant in UTC.

    Args:
        text: "2013-04-01", "2013-04-01T12:00Z", "2013-04-01T12:00+02:00", "2013-04-01 12:00 Europe/Berlin"; UTC where it
            names neither offset nor zone.
        field: What it was given as, for the error.

    Raises:
        InvalidInput: It cannot be read, the zone is not known, or the clocks of the zone were changed over it, so that
            it was never or twice.
    """
    words = text.split()
    zone = words[-1] if len(words) > 1 and words[-1][0].isalpha() else ""
    try:
        found = datetime.fromisoformat(text.removesuffix(zone).strip())
    except ValueError:
        raise InvalidInput(
            f"{text[:60]!r} is no moment.",
            fix="Write a date or an instant: 2013-04-01, 2013-04-01T12:00Z, '2013-04-01 12:00 Europe/Berlin'.",
            field=field,
        ) from None
    if not zone:
        return _in_utc(found, text, field) if found.tzinfo else found.replace(tzinfo=UTC)
    if found.tzinfo is not None:
        raise InvalidInput(f"{text[:60]!r} names an offset and a zone.", fix="Leave one of them out.", field=field)
    try:
        local = found.replace(tzinfo=ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(
            f"There is no time zone {zone!r}.",
            fix="Write it as the tz database does: Europe/Berlin, America/New_York, UTC; or give an offset: +02:00.",
            field=field,
        ) from None
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        raise InvalidInput(
            f"{text[:60]!r} was never or twice: the clocks were changed then.",
            fix="Give the offset instead: 2013-11-03T01:30-04:00.",
            field=field,
        )
    return _in_utc(local, text, field)


def _in_utc(found: datetime, text: str, field: str) -> datetime:
    try:
        return found.astimezone(UTC)
    except OverflowError:  # in UTC it is before the year 1, or after 9999
        raise InvalidInput(
            f"{text[:60]!r} is no moment in UTC.", fix="Write one of the years 1 to 9999 there.", field=field
        ) from None
