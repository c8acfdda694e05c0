"""How the online store in Redis keeps events and rows: the bytes of its members, and what is folded out of them.

A member begins with its time, shifted to be positive and big-endian, so that Redis's order of bytes is the order of time.
An event goes on with its id, ended by two zero bytes (a zero byte inside is followed by 255), and with its values and the
running sums of its key; a row with its values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from slipway.backends.running_sums import HIGHEST, LOWEST, NOTHING, columns_between, summed, zeros
from slipway.ports.online_store import FoundRow
from slipway.records.features import EventRow, StoredView, Stream, StreamColumn, WindowState

__all__ = [
    "StreamPlan",
    "ViewPlan",
    "event_start",
    "fold",
    "row_member",
    "row_of",
    "time_bytes",
    "time_of",
    "upper_bound",
]

_SHIFT = 2**63
_END = b"\x00\x00"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Any, ...]).decode


def time_bytes(time_us: int) -> bytes:
    """A time as eight bytes that sort as times do; what lies beyond 64 bits as the nearest that does not."""
    return (min(max(time_us, LOWEST), HIGHEST) + _SHIFT).to_bytes(8, "big")


def upper_bound(time_us: int) -> bytes:
    """The bound in an order of bytes that takes in everything up to a time, it included."""
    return b"[" + time_bytes(time_us) + b"\xff"


def _tag(name: str) -> bytes:
    """A short name that is the same in every process and after every loss; names are long and their keys many."""
    return blake2b(name.encode(), digest_size=8).hexdigest().encode()


class StreamPlan:
    """Where one stream lies, and how it is read."""

    def __init__(self, home: bytes, stream: Stream) -> None:
        tag = _tag(stream.name)
        self.name = stream.name
        self.columns = stream.columns
        self.width = len(stream.columns)
        self.squares = [column.squares for column in stream.columns]
        self.events = home + b":e:" + tag + b":"
        self.keys = home + b":k:" + tag
        self.replaced = home + b":r:" + tag
        self.looks_inside = any(column.extremes or column.last or column.groups for column in stream.columns)
        self.nothing = WindowState(0, (NOTHING,) * self.width)
        self.zeros = zeros(self.width)

    def sums_of(self, member: bytes | None) -> Sequence[Any]:
        """The running sums that a member carries: rows, then (count, sum, sum of squares) a column."""
        return self.zeros if member is None else _decode(member[member.index(_END, 8) + 2 :])[self.width :]

    def values_of(self, member: bytes) -> tuple[Any, ...]:
        """The values of a member's event."""
        return _decode(member[member.index(_END, 8) + 2 :])[: self.width]

    def event_of(self, key: str, member: bytes) -> EventRow:
        """The event of a member."""
        end = member.index(_END, 8)
        event_id = member[8:end].replace(b"\x00\xff", b"\x00").decode()
        return EventRow(key, time_of(member), event_id, _decode(member[end + 2 :])[: self.width])

    def states(
        self, seeks: Sequence[bytes | None], inside: Sequence[bytes], sinces_us: Sequence[int]
    ) -> list[WindowState]:
        """The windows of one key.

        Args:
            seeks: The last member at the decision, then the last one before each window.
            inside: The members of the widest window, where the stream looks inside.
            sinces_us: Where each window begins.
        """
        if seeks[0] is None:
            return [self.nothing] * len(sinces_us)
        upper = self.sums_of(seeks[0])
        rows = [(time_of(member), self.values_of(member)) for member in inside]
        states = []
        for since_us, seek in zip(sinces_us, seeks[1:], strict=True):
            lower = self.sums_of(seek)
            count = upper[0] - lower[0]
            columns = columns_between(upper, lower) if count else self.nothing.columns
            if count and self.looks_inside:
                columns = self._looked_inside(columns, [row for row in rows if row[0] > since_us])
            states.append(WindowState(count, columns))
        return states

    def _looked_inside(self, columns: tuple[Any, ...], rows: Sequence[tuple[int, tuple[Any, ...]]]) -> tuple[Any, ...]:
        """The columns with what only a look at the rows in the window tells."""
        found = [list(column) for column in columns]
        for index, column in enumerate(self.columns):
            if not (column.extremes or column.last or column.groups):
                continue
            kept = [(time_us, value) for time_us, values in rows if (value := values[index]) is not None]
            if kept and column.extremes:
                found[index][3:5] = min(value for _, value in kept), max(value for _, value in kept)
            if kept and column.last:
                found[index][5] = kept[-1][1]
            if column.groups:
                found[index][6] = _grouped(column, kept)
        return tuple([tuple(column) for column in found])


def _grouped(column: StreamColumn, kept: Iterable[tuple[int, int]]) -> tuple[tuple[int, int, int], ...]:
    groups: dict[int, tuple[int, int]] = {}
    for time_us, value in kept:
        group = value if column.groups == "value" else time_us // column.step_us
        n, total = groups.get(group, (0, 0))
        groups[group] = n + 1, total + value
    return tuple([(group, *groups[group]) for group in sorted(groups)])


class ViewPlan:
    """Where one view lies."""

    def __init__(self, home: bytes, view: StoredView) -> None:
        tag = _tag(view.name)
        self.name = view.name
        self.timed = view.timed
        self.newest = home + b":v:" + tag + b":"
        self.older = home + b":h:" + tag + b":"
        self.keys = home + b":k:" + tag
        self.replaced = home + b":r:" + tag


def event_start(time_us: int, event_id: str) -> bytes:
    """The bytes with which an event's member begins, and no other event's."""
    return time_bytes(time_us) + event_id.encode().replace(b"\x00", b"\x00\xff") + _END


def time_of(member: bytes) -> int:
    """The time of a member."""
    return int.from_bytes(member[:8], "big") - _SHIFT


def row_of(member: bytes) -> FoundRow:
    """The row of a view's member."""
    return int.from_bytes(member[:8], "big") - _SHIFT, _decode(member[8:])


def row_member(time_us: int, values: Sequence[Any]) -> bytes:
    """A view's row as it is kept."""
    return time_bytes(time_us) + _encode(values)


def fold(plan: StreamPlan, rows: Sequence[EventRow], start: Sequence[Any]) -> tuple[list[bytes], Sequence[Any]]:
    """One key's sorted rows as members whose running sums begin at `start`, and the sums at their end.

    Raises:
        InvalidInput: A row has not one value a column.
    """
    ends = list(zip(*summed(plan.name, rows, plan.squares, start), strict=True))
    members = [
        time_bytes(row[1]) + row[2].encode().replace(b"\x00", b"\x00\xff") + _END + _encode((*row[3], *end))
        for row, end in zip(rows, ends, strict=True)
    ]
    return members, ends[-1] if ends else start
