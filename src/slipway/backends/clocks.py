"""Business clocks: the system's, and one that a simulation moves."""

import threading
from datetime import UTC, datetime

from slipway.errors import InvalidInput

__all__ = ["SimulatedClock", "SystemClock"]


class SystemClock:
    """Business time is the machine's time."""

    def now(self) -> datetime:
        """The present, aware UTC."""
        return datetime.now(UTC)


class SimulatedClock:
    """Business time stands still until it is moved forward.

    Args:
        start: Where it begins, aware.
    """

    def __init__(self, start: datetime) -> None:
        self._lock = threading.Lock()
        self._now = self._aware(start)

    def now(self) -> datetime:
        """The simulated present, aware UTC."""
        with self._lock:
            return self._now

    def advance_to(self, instant: datetime) -> None:
        """Move forward to an instant.

        Raises:
            InvalidInput: It lies before the present, or has no time zone.
        """
        instant = self._aware(instant)
        with self._lock:
            if instant < self._now:
                raise InvalidInput(
                    f"The simulated clock stands at {self._now.isoformat()} and cannot go back to {instant.isoformat()}.",
                    fix="Start a new simulation to begin earlier.",
                )
            self._now = instant

    @staticmethod
    def _aware(instant: datetime) -> datetime:
        if instant.tzinfo is None:
            raise InvalidInput(
                f"The instant {instant.isoformat()} has no time zone.",
                fix="Give an aware datetime, in UTC if in doubt.",
            )
        return instant.astimezone(UTC)
