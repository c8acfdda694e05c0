"""One transaction of the online store in Redis: what it rests on is read, and checked again as it is written.

Running sums go beyond the numbers that Redis's scripts can hold, so they are folded here: the ends of the keys are read,
the new members are made, and one script writes all commands, if every end is still what was read. If one is not, nothing
is written and everything that was put is folded again. A writer that loses several times asks for its turn: the others
then wait for it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from slipway.backends.redis_layout import (
    StreamPlan,
    ViewPlan,
    event_start,
    fold,
    row_member,
    row_of,
    time_bytes,
    time_of,
)
from slipway.backends.redis_link import Link, pack
from slipway.backends.redis_scripts import ENDS, RANGES, WRITE
from slipway.backends.running_sums import is_news, once, place_of
from slipway.errors import Unavailable
from slipway.ids import new_id
from slipway.ports.online_store import precedence
from slipway.records.features import EventRow, ViewRow

__all__ = ["Transaction"]

_AT_ONCE = 4_000  # members or keys in one command: Lua's stack holds 8,000
_ARGUMENTS = 500_000  # in one script: Redis takes a million
_ASKED = 50_000
_PATIENCE_S = 60.0
_TURN_AFTER = 3
_TURN_MS = b"10000"
_STAGED_S = b"600"
_LONG = 1_000  # members of a key that are written beforehand, where all of them are new

_WRITTEN, _CHANGED = 1, 0


class _Events:
    """What becomes of one key of a stream.

    Args:
        rows: The events to be written, sorted, from `cut` on.
        members: The same as they are kept.
        cut: Stored members from this bound on give way; "" for none, "-" for all.
        sums: The running sums at the end.
        changed: How many are new or changed beside what was stored.
    """

    __slots__ = ("changed", "cut", "members", "rows", "sums")

    def __init__(
        self, rows: list[EventRow], members: list[bytes], cut: bytes, sums: Sequence[Any], changed: int
    ) -> None:
        self.rows, self.members, self.cut, self.sums, self.changed = rows, members, cut, sums, changed


class _Rows:
    """What becomes of one key of a timed view: its newest row, older ones, and up to when stored ones are forgotten."""

    __slots__ = ("forgotten_us", "is_new", "newest", "older", "stored", "taken_back")

    def __init__(self, newest: bytes | None) -> None:
        self.stored = self.newest = newest
        self.is_new = newest is None
        self.older: dict[int, bytes] = {}
        self.taken_back: list[bytes] = []
        self.forgotten_us: int | None = None


class Transaction:
    """One thread's open transaction.

    Args:
        link: Its connection; nothing else may be asked there meanwhile.
        home: The prefix of all keys.
        check: Refuses, given the identity that Redis has now, content that is no longer what it was.
    """

    def __init__(self, link: Link, home: bytes, check: Callable[[bytes | None], None]) -> None:
        self._link = link
        self._home = home
        self._check = check
        self._steps: list[Callable[[], int]] = []
        self._name = new_id().encode()
        self._staged_keys = 0
        self.answer = 0
        self.marks: dict[str, str] = {}
        self._begin()

    def _begin(self) -> None:
        self._expected: dict[tuple[bytes, bytes], bytes] = {}
        self._events: dict[str, dict[str, _Events]] = {}
        self._rows: dict[str, dict[str, _Rows]] = {}
        self._timeless: dict[str, dict[str, bytes]] = {}
        self._plans: dict[str, StreamPlan | ViewPlan] = {}
        self._gone: dict[str, set[str]] = {}
        self._replaced: set[bytes] = set()

    def do(self, step: Callable[[], int]) -> int:
        """Take a step; it is taken again should another's write come between."""
        self._steps.append(step)
        self.answer = step()
        return self.answer

    def commit(self) -> int:
        """Write everything; returns what the last step gave the last time that it was taken.

        Raises:
            Unavailable: Redis is gone, or others kept writing the same keys.
        """
        until = time.monotonic() + _PATIENCE_S
        lost = 0
        while True:
            told = self._write()
            if told == _WRITTEN:
                return self.answer
            if time.monotonic() > until:
                raise Unavailable(
                    f"The online store at {self._link.address} is busy: others wrote the same keys again and again.",
                    fix="Try again.",
                )
            lost += told == _CHANGED
            if lost == _TURN_AFTER:
                self._link.ask(pack(b"SET", self._home + b":turn", self._name, b"NX", b"PX", _TURN_MS))
            if told != _CHANGED:
                time.sleep(0.002 + 0.008 * random.random())
            staged = [key for kind, key in self._expected if kind == b"staged"]
            for command in _in_parts([b"UNLINK"], staged):
                self._link.ask(pack(*command))
            self._begin()
            for step in self._steps:
                self.answer = step()

    def _write(self) -> int:
        self._look_at(self._home + b":id")
        commands = list(self._commands())
        parts = [b"%d" % len(self._expected)]
        for (kind, key), expected in self._expected.items():
            parts += [kind, key, expected]
        # The first command asks for memory: where there is none, it fails before anything is written.
        parts += [b"3", b"SET", self._home + b":w", b"1"]
        for command in commands:
            parts.append(b"%d" % len(command))
            parts += command
        turn = self._home + b":turn"
        if len(parts) <= _ARGUMENTS:
            write = WRITE.call([turn], [self._name, *parts], whole=True)
            return int(self._link.ask_all(write, 1, again=False)[0])
        staged = self._home + b":s:" + self._name
        self._link.ask(pack(b"DEL", staged))
        for first in range(0, len(parts), _ASKED):
            some = pack(b"RPUSH", staged, *parts[first : first + _ASKED]) + pack(b"EXPIRE", staged, _STAGED_S)
            self._link.ask_all(some, 2, again=False)
        write = WRITE.call([turn, staged], [self._name], whole=True)
        return int(self._link.ask_all(write, 1, again=False)[0])

    def _look_at(self, *keys: bytes) -> None:
        """Read values on which everything rests: the content's identity, and how often a stream was replaced."""
        places = [key for key in (self._home + b":id", *keys) if (b"value", key) not in self._expected]
        if not places:
            return
        for key, found in zip(places, self._link.ask(pack(b"MGET", *places)), strict=True):
            self._expected[b"value", key] = found or b""
        self._check(self._expected[b"value", self._home + b":id"] or None)

    def _ends(self, plan: StreamPlan, keys: Sequence[str]) -> list[bytes]:
        """The last member of each key, empty where there is none."""
        found: list[bytes] = []
        for first in range(0, len(keys), _ASKED):
            places = [plan.events + key.encode() for key in keys[first : first + _ASKED]]
            ends = self._link.ask(ENDS.call([], places, whole=True))
            # The sums at its end tell whether anything in a key has changed.
            self._expected.update(((b"end", place), end) for place, end in zip(places, ends, strict=True))
            found += ends
        return found

    def _ranges(self, ranges: Sequence[tuple[bytes, bytes, bytes, bytes]]) -> list[list[bytes]]:
        """The members of each range; see `RANGES`."""
        found: list[list[bytes]] = []
        for first in range(0, len(ranges), _ASKED):
            some = [part for one in ranges[first : first + _ASKED] for part in one]
            found += self._link.ask(RANGES.call([], some, whole=True))
        return found

    def _names(self, plan: StreamPlan | ViewPlan) -> list[str]:
        """All keys of a stream or view; that there are no others is checked again at the end."""
        found = self._link.ask(pack(b"SMEMBERS", plan.keys))
        self._expected[b"size", plan.keys] = b"%d" % len(found)
        return [name.decode() for name in found]

    # Events

    def push(self, plan: StreamPlan, rows: Sequence[EventRow], until_us: int | None) -> int:
        """Fold events into their keys; returns how many are new or changed."""
        self._plans[plan.name] = plan
        self._look_at(plan.replaced)
        known = self._events.setdefault(plan.name, {})
        if until_us is not None:
            self._forget_events(plan, known, until_us)
        by_key = {key: once(group) for key, group in groupby(sorted(rows, key=itemgetter(0, 1, 2)), itemgetter(0))}
        changed = 0
        late: dict[str, list[EventRow]] = {}
        fresh = [key for key in by_key if key not in known]
        for key, end in zip(fresh, self._ends(plan, fresh), strict=True):
            given = by_key[key]
            if end and event_start(given[0].time_us, given[0].event_id) <= end:
                late[key] = given
            else:
                members, sums = fold(plan, given, plan.sums_of(end or None))
                known[key] = _Events(given, members, b"", sums, len(given))
                changed += len(given)
        for key in by_key.keys() - set(fresh):
            found, given = known[key], by_key[key]
            if not found.rows or place_of(given[0]) > place_of(found.rows[-1]):
                members, found.sums = fold(plan, given, found.sums)
                found.rows += given
                found.members += members
                found.changed += len(given)
                changed += len(given)
            elif found.cut == b"-":
                changed += self._merge_all(plan, found, given)
            else:  # known again beside what is stored, so that nothing counts twice
                late[key] = once(sorted([*found.rows, *given], key=place_of))
                changed -= found.changed
        return changed + self._merge_late(plan, known, late)

    def _merge_all(self, plan: StreamPlan, found: _Events, given: list[EventRow]) -> int:
        """Rows of a key of which nothing stored stays."""
        merged = {place_of(row): row for row in found.rows}
        new = [row for row in given if is_news(row, merged.get(place_of(row)))]
        merged.update((place_of(row), row) for row in new)
        found.rows = [merged[place] for place in sorted(merged)]
        found.members, found.sums = fold(plan, found.rows, plan.zeros)
        found.changed += len(new)
        return len(new)

    def _merge_late(self, plan: StreamPlan, known: dict[str, _Events], late: dict[str, list[EventRow]]) -> int:
        """Rows that come before stored ones: those are cut and folded again, from the first row that changes anything."""
        if not late:
            return 0
        ranges = [
            (plan.events + key.encode(), b"[" + start, b"(" + start + b"\xff", b"0")
            for key, rows in late.items()
            for start in (event_start(row.time_us, row.event_id) for row in rows)
        ]
        found = iter(self._ranges(ranges))
        changes: dict[str, list[EventRow]] = {}
        for key, rows in late.items():
            for row in rows:
                stored = next(found)
                if is_news(row, plan.event_of(key, stored[0]) if stored else None):
                    changes.setdefault(key, []).append(row)
        for key in late.keys() - changes.keys():
            known.pop(key, None)
        ranges = []
        for key, rows in changes.items():
            place, start = plan.events + key.encode(), event_start(rows[0].time_us, rows[0].event_id)
            ranges += [(place, b"-", b"(" + start, b"1"), (place, b"[" + start, b"+", b"0")]
        found = iter(self._ranges(ranges))
        for key, rows in changes.items():
            before, onward = next(found), next(found)
            merged = {place_of(row): row for row in [*(plan.event_of(key, member) for member in onward), *rows]}
            kept = [merged[place] for place in sorted(merged)]
            members, sums = fold(plan, kept, plan.sums_of(before[0] if before else None))
            cut = b"[" + event_start(rows[0].time_us, rows[0].event_id)
            known[key] = _Events(kept, members, cut, sums, len(rows))
        return sum(map(len, changes.values()))

    def _forget_events(self, plan: StreamPlan, known: dict[str, _Events], until_us: int) -> None:
        """Of every key of a stream, those events stay that are later; their sums begin anew."""
        self._replaced.add(plan.replaced)
        names = set(self._names(plan))
        later = b"(" + time_bytes(until_us) + b"\xff"
        stored = sorted(names - {key for key, one in known.items() if one.cut == b"-"})
        self._ends(plan, stored)
        ranges = [(plan.events + key.encode(), later, b"+", b"0") for key in stored]
        bases = dict(zip(stored, self._ranges(ranges), strict=True))
        for key in {*stored, *known}:
            before = known.get(key)
            rows = [plan.event_of(key, member) for member in bases.get(key, ())]
            if before is not None:
                rows += [row for row in before.rows if row.time_us > until_us]
            rows = once(sorted(rows, key=place_of))
            members, sums = fold(plan, rows, plan.zeros)
            known[key] = _Events(rows, members, b"-", sums, 0)

    # Rows of views

    def put(self, plan: ViewPlan, rows: Sequence[ViewRow], until_us: int | None) -> int:
        """Add a view's rows; returns how many were given."""
        self._plans[plan.name] = plan
        self._look_at(plan.replaced)
        if until_us is not None:
            self._replaced.add(plan.replaced)
        if not plan.timed:
            return self._put_timeless(plan, rows, until_us)
        known = self._rows.setdefault(plan.name, {})
        if until_us is not None:
            self._know(plan, known, self._names(plan))
            for one in known.values():
                _forget(one, until_us)
        self._know(plan, known, dict.fromkeys(row.key for row in rows))
        late = []
        for key, time_us, values in rows:
            one, member = known[key], row_member(time_us, values)
            newest = one.newest
            if newest is None or newest[:8] < member[:8]:
                if newest is not None:
                    one.older[time_of(newest)] = newest
                one.newest = member
            elif newest[:8] == member[:8]:
                one.newest = _greater(newest, member)
            else:
                late.append((key, time_us, member))
        self._put_late(plan, known, late)
        return len(rows)

    def _know(self, plan: ViewPlan, known: dict[str, _Rows], keys: Iterable[str]) -> None:
        """Read the newest rows of keys that are not known yet."""
        unknown = [key for key in keys if key not in known]
        for first in range(0, len(unknown), _AT_ONCE):
            some = unknown[first : first + _AT_ONCE]
            places = [plan.newest + key.encode() for key in some]
            for key, place, newest in zip(some, places, self._link.ask(pack(b"MGET", *places)), strict=True):
                known[key] = _Rows(newest)
                self._expected[b"value", place] = newest or b""

    def _put_late(self, plan: ViewPlan, known: dict[str, _Rows], late: Sequence[tuple[str, int, bytes]]) -> None:
        asked = [(key, at) for key, at, _ in late if at not in known[key].older and _is_stored(known[key], at)]
        asked = list(dict.fromkeys(asked))
        ranges = []
        for key, time_us in asked:
            start = time_bytes(time_us)
            ranges.append((plan.older + key.encode(), b"[" + start, b"[" + start + b"\xff", b"0"))
        for (key, time_us), found in zip(asked, self._ranges(ranges), strict=True):
            self._expected[time_bytes(time_us), plan.older + key.encode()] = found[0] if found else b""
            if found:
                known[key].older[time_us] = found[0]
        for key, time_us, member in late:
            one = known[key]
            former = one.older.get(time_us)
            kept = one.older[time_us] = member if former is None else _greater(former, member)
            if former is not None and kept != former:
                one.taken_back.append(former)

    def _put_timeless(self, plan: ViewPlan, rows: Sequence[ViewRow], until_us: int | None) -> int:
        known = self._timeless.setdefault(plan.name, {})
        if until_us is not None and until_us >= 0:
            self._gone.setdefault(plan.name, set()).update(self._names(plan))
            known.clear()
        known.update((row.key, row_member(0, row.values)) for row in rows)
        return len(rows)

    # Commands

    def _commands(self) -> Iterable[list[bytes]]:
        if self.marks:
            pairs = [part.encode() for pair in self.marks.items() for part in pair]
            yield [b"HSET", self._home + b":m", *pairs]
        for place in self._replaced:
            yield [b"INCR", place]
        for name, events in self._events.items():
            yield from self._event_commands(self._plans[name], events)  # type: ignore[arg-type]
        for name, rows in self._rows.items():
            yield from self._row_commands(self._plans[name], rows)  # type: ignore[arg-type]
        for name, timeless in self._timeless.items():
            plan = self._plans[name]
            assert isinstance(plan, ViewPlan)
            gone = [key.encode() for key in self._gone.get(name, set()) - timeless.keys()]
            yield from _in_parts([b"DEL"], [plan.newest + key for key in gone])
            yield from _in_parts([b"SREM", plan.keys], gone)
            yield from _in_parts([b"SADD", plan.keys], [key.encode() for key in timeless])
            pairs = [part for key, member in timeless.items() for part in (plan.newest + key.encode(), member)]
            yield from _in_parts([b"MSET"], pairs)

    def _event_commands(self, plan: StreamPlan, events: dict[str, _Events]) -> Iterable[list[bytes]]:
        written = [key.encode() for key, one in events.items() if one.members]
        gone = [key.encode() for key, one in events.items() if not one.members and one.cut]
        yield from _in_parts([b"SADD", plan.keys], written)
        yield from _in_parts([b"SREM", plan.keys], gone)
        yield from _in_parts([b"UNLINK"], [plan.events + key for key in gone])
        for key, one in events.items():
            place = plan.events + key.encode()
            if one.cut == b"-" and len(one.members) > _LONG:
                yield from self._exchanged(place, one.members)
                continue
            if one.members and one.cut == b"-":
                yield [b"UNLINK", place]
            elif one.members and one.cut:
                yield [b"ZREMRANGEBYLEX", place, one.cut, b"+"]
            yield from _in_parts([b"ZADD", place], [part for member in one.members for part in (b"0", member)])

    def _exchanged(self, place: bytes, members: Sequence[bytes]) -> Iterable[list[bytes]]:
        """A long key's new content, written apart now, so that the script has only to put it in its place.

        What is staged and never used is forgotten after a while; that it is still there is checked again at the end.
        """
        self._staged_keys += 1
        staged = self._home + b":s:%b:%d" % (self._name, self._staged_keys)
        for command in _in_parts([b"ZADD", staged], [part for member in members for part in (b"0", member)]):
            self._link.ask_all(pack(*command) + pack(b"EXPIRE", staged, _STAGED_S), 2, again=False)
        self._expected[b"staged", staged] = b"%d" % len(members)
        yield [b"RENAME", staged, place]
        yield [b"PERSIST", place]

    def _row_commands(self, plan: ViewPlan, rows: dict[str, _Rows]) -> Iterable[list[bytes]]:
        pairs, new, gone = [], [], []
        for key, one in rows.items():
            name = key.encode()
            place = plan.older + name
            if one.forgotten_us is not None:
                yield [b"ZREMRANGEBYLEX", place, b"-", b"[" + time_bytes(one.forgotten_us) + b"\xff"]
            yield from _in_parts([b"ZREM", place], one.taken_back)
            yield from _in_parts([b"ZADD", place], [part for member in one.older.values() for part in (b"0", member)])
            if one.newest is None:
                gone.append(name)
            elif one.newest != one.stored:
                pairs += [plan.newest + name, one.newest]
                new += [name] if one.is_new else []
        yield from _in_parts([b"DEL"], [plan.newest + name for name in gone])
        yield from _in_parts([b"SREM", plan.keys], gone)
        yield from _in_parts([b"SADD", plan.keys], new)
        yield from _in_parts([b"MSET"], pairs)


def _in_parts(head: list[bytes], parts: Sequence[bytes]) -> Iterable[list[bytes]]:
    for first in range(0, len(parts), _AT_ONCE):
        yield [*head, *parts[first : first + _AT_ONCE]]


def _greater(one: bytes, other: bytes) -> bytes:
    """Of two members of one time the one whose values are greater."""
    if one == other or precedence(row_of(other)[1]) <= precedence(row_of(one)[1]):
        return one
    return other


def _forget(one: _Rows, until_us: int) -> None:
    one.forgotten_us = until_us if one.forgotten_us is None else max(one.forgotten_us, until_us)
    one.older = {time_us: member for time_us, member in one.older.items() if time_us > until_us}
    if one.newest is not None and time_of(one.newest) <= until_us:
        one.newest = None


def _is_stored(one: _Rows, time_us: int) -> bool:
    """Whether a row of the time may be among the older ones that stay."""
    return one.forgotten_us is None or time_us > one.forgotten_us
