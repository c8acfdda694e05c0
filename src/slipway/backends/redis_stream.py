"""A stream of events in Redis, read by a consumer group.

Whoever reads for the group has one name in it, so that a successor finds what its predecessor was given and had not
ended. Refused entries go to `<name>:refused`, in one transaction with their acknowledgement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slipway.backends.redis_link import Address, Link, pack
from slipway.errors import BackendError
from slipway.ports.event_stream import Entry

__all__ = ["RedisStream"]

_PATIENCE_S = 10.0
_READER = b"endpoint"
_FIELD = b"row"
_KEPT_REFUSALS = b"100000"


class RedisStream:
    """A stream, read for a group.

    Args:
        url: Where it is: redis://, rediss:// or unix://, with password and database; or what tells it.
        name: The stream's key.
        group: Who reads.

    Raises:
        InvalidSetting: The URL does not fit.
    """

    def __init__(self, url: Address, name: str, group: str) -> None:
        self._link = Link(url, patience_s=_PATIENCE_S)
        self._name = name.encode()
        self._group = group.encode()
        self._is_joined = False
        self._after = b"0"  # first what was given before and not ended
        self._given: set[str] = set()

    def read(self, count: int, wait_s: float) -> list[Entry]:
        """See the port."""
        self._join()
        if self._given:
            self._after, self._given = b"0", set()
        block = [b"BLOCK", b"%d" % max(round(wait_s * 1000), 1)] if self._after == b">" else []
        head = [b"XREADGROUP", b"GROUP", self._group, _READER, b"COUNT", b"%d" % count, *block, b"STREAMS"]
        try:
            answer = self._link.ask_all(pack(*head, self._name, self._after), 1, again=False)[0]
        except BackendError as problem:
            self._after = b"0"  # entries may have been given in an answer that did not arrive
            if "NOGROUP" not in str(problem):
                raise
            self._is_joined = False  # the stream was deleted, or Redis emptied
            return []
        entries = [] if not answer else [_entry(*one) for one in answer[0][1]]
        if self._after != b">":
            self._after = entries[-1].id.encode() if entries else b">"
            if not entries:
                return self.read(count, wait_s)
        self._given.update(entry.id for entry in entries)
        return entries

    def acknowledge(self, ids: Sequence[str]) -> None:
        """See the port."""
        if ids:
            self._link.ask(pack(b"XACK", self._name, self._group, *[one.encode() for one in ids]))
            self._given.difference_update(ids)

    def refuse(self, entries: Sequence[tuple[Entry, str]]) -> None:
        """See the port."""
        if not entries:
            return
        commands = [pack(b"MULTI")]
        for entry, reason in entries:
            kept = [b"id", entry.id.encode(), b"reason", reason.encode(), _FIELD, entry.row or b""]
            commands.append(pack(b"XADD", self._name + b":refused", b"MAXLEN", b"~", _KEPT_REFUSALS, b"*", *kept))
        commands.append(pack(b"XACK", self._name, self._group, *[entry.id.encode() for entry, _ in entries]))
        commands.append(pack(b"EXEC"))
        self._link.ask_all(b"".join(commands), len(commands), again=False)
        self._given.difference_update([entry.id for entry, _ in entries])

    def behind(self) -> int:
        """See the port."""
        self._join()
        for group in self._link.ask(pack(b"XINFO", b"GROUPS", self._name)):
            told = dict(zip(group[::2], group[1::2], strict=True))
            if told[b"name"] == self._group:
                # Redis cannot tell the lag after entries were deleted from the middle.
                return int(told[b"pending"]) + int(told.get(b"lag") or 0)
        return 0

    def close(self) -> None:
        """See the port."""
        self._link.close()

    def _join(self) -> None:
        if self._is_joined:
            return
        try:
            self._link.ask(pack(b"XGROUP", b"CREATE", self._name, self._group, b"0", b"MKSTREAM"))
        except BackendError as problem:
            if "BUSYGROUP" not in str(problem):
                raise
        self._is_joined, self._after = True, b"0"


def _entry(id: bytes, fields: list[Any] | None) -> Entry:
    """An entry as it came; one that was deleted from the stream meanwhile has no fields."""
    told = dict(zip(fields[::2], fields[1::2], strict=True)) if fields else {}
    return Entry(id.decode(), told.get(_FIELD))
