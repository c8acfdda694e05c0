"""Business clocks: the system's, one that a simulation moves, and one that all processes of a store share."""

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from slipway.errors import BackendError, Corrupt, InvalidInput

__all__ = ["FileClock", "SimulatedClock", "SystemClock"]


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
        self._now = _aware(start)

    def now(self) -> datetime:
        """The simulated present, aware UTC."""
        with self._lock:
            return self._now

    def advance_to(self, instant: datetime) -> None:
        """Move forward to an instant.

        Raises:
            InvalidInput: It lies before the present, or has no time zone.
        """
        instant = _aware(instant)
        with self._lock:
            _refuse_back(self._now, instant)
            self._now = instant


class FileClock:
    """Business time stands in a file, so that every process of a simulation's store lives in the same time.

    One process moves it; any number read it. Reading costs one small file, and nothing is kept that could be old.

    Args:
        path: The file, which holds one instant as ISO 8601: "2013-04-01T06:00:00+00:00". `advance_to` makes it.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._lock = threading.Lock()
        self._seen: tuple[bytes, datetime] | None = None  # the last text that was read, and the instant that it says

    def now(self) -> datetime:
        """The simulated present, aware UTC.

        Raises:
            Corrupt: The file holds no instant.
            BackendError: It cannot be read.
        """
        try:
            file = os.open(self._path, os.O_RDONLY)
            try:
                told = os.read(file, 100)
            finally:
                os.close(file)
        except OSError as problem:
            raise BackendError(
                f"The clock of this simulation's store cannot be read: {problem}.",
                why="All processes of the store take their business time from it.",
                fix="Start the simulation anew.",
            ) from problem
        seen = self._seen
        if seen is None or told != seen[0]:
            self._seen = seen = (told, self._instant(told))
        return seen[1]

    def advance_to(self, instant: datetime) -> None:
        """Move forward to an instant, for all processes at once.

        Raises:
            InvalidInput: It lies before the present, or has no time zone.
            Corrupt: The file holds no instant.
            BackendError: It cannot be read or written.
        """
        instant = _aware(instant)
        with self._lock:
            if os.path.exists(self._path):
                _refuse_back(self.now(), instant)
            part = f"{self._path}.{os.getpid()}.part"
            try:
                with open(part, "w", encoding="ascii") as file:
                    file.write(instant.isoformat() + "\n")
                os.replace(part, self._path)  # readers see the former instant or this one, never a part
            except OSError as problem:
                raise BackendError(
                    f"The clock {self._path} cannot be written: {problem}.",
                    fix="Make room, or give this user the right to write there.",
                ) from problem

    def _instant(self, told: bytes) -> datetime:
        try:
            instant = datetime.fromisoformat(told.decode("ascii").strip())
        except ValueError:
            instant = None
        if instant is None or instant.tzinfo is None:
            raise Corrupt(
                f"The clock {self._path} holds {told!r}, which is no instant with its time zone.",
                why="All processes of the store take their business time from it.",
                fix="Write the simulation's present into it, as in 2013-04-01T06:00:00+00:00, or start it anew.",
            )
        return instant.astimezone(UTC)


def _refuse_back(present: datetime, instant: datetime) -> None:
    if instant < present:
        raise InvalidInput(
            f"The simulated clock stands at {present.isoformat()} and cannot go back to {instant.isoformat()}.",
            fix="Start a new simulation to begin earlier.",
        )


def _aware(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise InvalidInput(
            f"The instant {instant.isoformat()} has no time zone.",
            fix="Give an aware datetime, in UTC if in doubt.",
        )
    return instant.astimezone(UTC)
