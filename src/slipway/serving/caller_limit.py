"""How many requests a caller may send: one small file that all workers of an endpoint share.

For each caller there stands one instant, at which it has paid for what it sent: a request moves it on by the time that
belongs to one, and is refused where it is too far ahead. Source: the generic cell rate algorithm, ITU-T I.371 annex A.

Workers take no lock. Two that admit requests of one caller within the same microsecond may count them as one; nothing
worse comes of it.
"""

import time
from collections.abc import Callable
from pathlib import Path

from slipway.hashing import digest
from slipway.serving.counters import mapped
from slipway.serving.http import TooMany

__all__ = ["LIMITS_FILE", "CallerLimit", "written"]

LIMITS_FILE = "limits.bin"
_PLACES = 4096
_NEAR = 8
"""How many places are looked at for a caller's. Where all of them are others' who send just now, the first is shared."""
_S = 1_000_000_000


class CallerLimit:
    """Refuses what a caller sends beyond its rate. A second's worth may come at once.

    Args:
        rate: Requests a second.
        path: The file, made when it does not exist; None to count for this process alone.
        now_ns: A clock that all processes of this machine share, nanoseconds.
    """

    def __init__(self, rate: float, path: Path | None = None, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        size = _PLACES * 16
        shared = None if path is None else mapped(path, size)
        self._cells = memoryview(bytearray(size) if shared is None else shared).cast("Q")
        self._every_ns = round(_S / rate)
        self._ahead_ns = (max(int(rate), 1) - 1) * self._every_ns
        self._rate = rate
        self._now_ns = now_ns

    def check(self, caller: str) -> None:
        """Count a request of a caller.

        Args:
            caller: Who sends it; "" is everybody, where nobody is known.

        Raises:
            TooMany: It is one too many, and was not counted.
        """
        now = self._now_ns()
        at = self._place(caller, now)
        due = self._due(at, now)
        if (early := due - now - self._ahead_ns) > 0:
            who = caller or "Who calls without a token"
            raise TooMany(
                f"{who} has sent more requests than a caller may here.",
                why=f"{written(self._rate)} is the limit of each caller of this endpoint"
                + ("." if caller else "; all who are not known by a token count as one."),
                fix="Send it again after Retry-After seconds; several rows in one request count once.",
                after_s=-(-early // _S),
            )
        self._cells[at + 1] = due + self._every_ns

    def _place(self, caller: str, now: int) -> int:
        """Where a caller's cells begin: its own, or else a place of somebody who sends nothing just now."""
        key = int(digest(caller.encode())[:15], 16) + 1
        near = [(key + step) % _PLACES * 2 for step in range(_NEAR)]
        for at in near:
            if self._cells[at] == key:
                return at
        at = next((at for at in near if self._due(at, now) == now), near[0])
        self._cells[at] = key
        return at

    def _due(self, at: int, now: int) -> int:
        """Until when a place is paid for, now at least."""
        # A later instant than can be is of another rate, or of before a restart of the machine.
        due = self._cells[at + 1]
        return due if now < due <= now + self._ahead_ns + self._every_ns else now


def written(rate: float) -> str:
    """A rate, in requests a second, for a sentence."""
    per, unit = next((pair for pair in ((1, "second"), (60, "minute")) if rate * pair[0] >= 1), (3600, "hour"))
    count = round(rate * per, 1)
    return f"{count:g} request{'' if count == 1 else 's'} {'an' if unit == 'hour' else 'a'} {unit}"
