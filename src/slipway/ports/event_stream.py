"""A stream of events that one group of readers takes in: each entry is given until it is acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

__all__ = ["Entry", "EventStream"]


class Entry(NamedTuple):
    """One entry: its id in the stream, and its content, None where it holds no row."""

    id: str
    row: bytes | None


class EventStream(Protocol):
    """Reads a stream for a group. One process at a time reads for a group; its successor gets what it had not ended.

    Guarantees: an entry is given again, first, until it was acknowledged or refused, also to another process after a
    kill; entries that were added before the group first asked are given too.
    """

    def read(self, count: int, wait_s: float) -> list[Entry]:
        """The next entries, those that were given before and not ended first.

        Args:
            count: At most so many.
            wait_s: How long to wait for the first.

        Raises:
            Unavailable: The stream cannot be reached.
        """
        ...

    def acknowledge(self, ids: Sequence[str]) -> None:
        """End entries: they are not given again."""
        ...

    def refuse(self, entries: Sequence[tuple[Entry, str]]) -> None:
        """Put entries aside with the reason of each, where people find them, and end them; both at once."""
        ...

    def behind(self) -> int:
        """How many entries are not ended yet."""
        ...

    def close(self) -> None:
        """Release connections; calling it twice is fine."""
        ...
