"""Profiles of an endpoint's traffic by hour, kept beside its log and counted on from where they ended.

    profiles/BUNDLE/20418.bin     the hours of one day (days since 1970), each as counts over the bundle's reference
    profiles/BUNDLE/read.bin      up to where the log is counted
    profiles/BUNDLE/next.bin      a step that is being taken, for a moment

The counts and the cursor up to which they count change in one step: what they become is written whole into one file,
then put in its places. A kill before that file leaves the step untaken, a kill after it leaves a step that whoever comes
next completes. So a row counts once, however often its segment is read. Nothing waits for the disk: after a power cut a
file that does not hold what was written is noticed by its check sum, and everything is counted again from the log.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec
import numpy as np

from slipway.ids import new_id
from slipway.stats.flat_profiles import Counts
from slipway.tables.segments import Cursor

__all__ = ["HOUR_US", "Copy", "HourKey", "Progress", "TrafficProfiles", "merged"]

HOUR_US = 3_600_000_000
_HOURS_A_DAY = 24
_KINDS = ("<i2", "<i4", "<i8")
_READ, _NEXT, _LOCK = "read.bin", "next.bin", ".lock"


class HourKey(NamedTuple):
    """What is counted apart.

    Args:
        hour: Hours of business time since 1970, UTC.
        bundle: First 16 digits of the bundle that was asked.
        arm: Which arm of a roll-out.
        part: The value of the segment's column, "" where none is declared.
    """

    hour: int
    bundle: str
    arm: str
    part: str = ""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Up to where a log is counted.

    Args:
        source: Names this log's profiles among those of other replicas.
        steps: How many steps were taken: of two copies of one source the one with more has all that the other has.
        cursor: Where the reader of the log stands.
        about: What is counted: a change of it counts everything anew.
    """

    source: str
    steps: int = 0
    cursor: Cursor = {}
    about: str = ""


class Copy(NamedTuple):
    """What the profiles of one log hold at some moment, to be merged with those of other replicas."""

    progress: Progress
    hours: dict[HourKey, Counts]


class TrafficProfiles:
    """The hourly profiles of one log over one reference.

    Args:
        folder: Where they are kept; made when something is added.
        about: What is counted. Where the folder holds counts of something else, or damaged ones, they are dropped.
    """

    def __init__(self, folder: Path, about: str = "") -> None:
        self._folder = folder
        self._about = about
        self._is_held = False

    def progress(self) -> Progress:
        """Up to where the log is counted."""
        with self.held():
            return self._progress()

    def add(self, cursor: Cursor, more: Mapping[HourKey, Counts]) -> None:
        """Take one step: add counts, and remember the cursor behind them.

        Args:
            cursor: Behind the rows that were counted.
            more: Their counts by hour.
        """
        days: dict[int, dict[HourKey, Counts]] = {}
        for key, counts in more.items():
            days.setdefault(key.hour // _HOURS_A_DAY, {})[key] = counts
        files: dict[str, bytes] = {}
        with self.held():
            before = self._progress()
            for day, hours in days.items():
                known = self._day(day)
                for key, counts in hours.items():
                    known[key] = known[key] + counts if key in known else np.asarray(counts, dtype=np.int64)
                files[_name(day)] = _packed(known)
            after = msgspec.structs.replace(before, steps=before.steps + 1, cursor=cursor)
            files[_READ] = _sealed(msgspec.msgpack.encode(after))
            self._put(_NEXT, _sealed(msgspec.msgpack.encode(files)))
            self._finish()

    def hours(self, since: int = 0) -> dict[HourKey, Counts]:
        """Counts by hour, from an hour on, in order."""
        found: dict[HourKey, Counts] = {}
        with self.held():
            for day in self._days():
                if day >= since // _HOURS_A_DAY:
                    found |= {key: counts for key, counts in self._day(day).items() if key.hour >= since}
        return dict(sorted(found.items()))

    def copy(self) -> Copy:
        """Everything, to be merged with the profiles of other replicas."""
        with self.held():
            return Copy(self._progress(), self.hours())

    def forget(self, before: int) -> None:
        """Remove whole days before an hour."""
        with self.held():
            for day in self._days():
                if (day + 1) * _HOURS_A_DAY <= before:
                    (self._folder / _name(day)).unlink(missing_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let nobody else count while the block runs; may be nested."""
        if self._is_held:
            yield
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._is_held = True
            self._finish()
            self._drop_what_does_not_fit()
            yield
        finally:
            self._is_held = False
            os.close(handle)

    def _progress(self) -> Progress:
        content = self._opened(_READ)
        if content is None:
            return Progress(source=new_id(), about=self._about)
        return msgspec.msgpack.decode(content, type=Progress)

    def _drop_what_does_not_fit(self) -> None:
        content = self._opened(_READ)
        is_ours = content is not None and msgspec.msgpack.decode(content, type=Progress).about == self._about
        if not is_ours or any(self._opened(_name(day)) is None for day in self._days()):
            (self._folder / _READ).unlink(missing_ok=True)
            for day in self._days():
                (self._folder / _name(day)).unlink(missing_ok=True)

    def _finish(self) -> None:
        """Complete a step that was written down: to write the same files again changes nothing."""
        content = self._opened(_NEXT)
        if content is not None:
            files = msgspec.msgpack.decode(content, type=dict[str, bytes])
            # The cursor last: whoever finds it finds the counts behind it.
            for name in sorted(files, key=lambda name: name == _READ):
                self._put(name, files[name])
        (self._folder / _NEXT).unlink(missing_ok=True)

    def _put(self, name: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{name}.{new_id()}.part"
        try:
            part.write_bytes(content)
            part.replace(self._folder / name)
        finally:
            part.unlink(missing_ok=True)

    def _opened(self, name: str) -> bytes | None:
        """A file's content, None where it is none or not what was written."""
        try:
            content = (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        return content[4:] if int.from_bytes(content[:4], "little") == crc32(content[4:]) else None

    def _days(self) -> list[int]:
        stems = (path.stem for path in self._folder.glob("*.bin"))
        return sorted(int(stem) for stem in stems if stem.lstrip("-").isdigit())

    def _day(self, day: int) -> dict[HourKey, Counts]:
        content = self._opened(_name(day))
        rows = [] if content is None else msgspec.msgpack.decode(content, type=list[tuple[HourKey, str, bytes]])
        return {key: np.frombuffer(counts, kind).astype(np.int64) for key, kind, counts in rows}


def merged(copies: Iterable[Copy]) -> dict[HourKey, Counts]:
    """The hours of several replicas together: exact, in any order, each source once however often it is given.

    Args:
        copies: Of logs over the same reference. An older copy of a source that is there newer adds nothing.
    """
    newest: dict[str, Copy] = {}
    for copy in copies:
        known = newest.get(copy.progress.source)
        if known is None or copy.progress.steps > known.progress.steps:
            newest[copy.progress.source] = copy
    together: dict[HourKey, Counts] = {}
    for copy in newest.values():
        for key, counts in copy.hours.items():
            together[key] = together[key] + counts if key in together else counts
    return dict(sorted(together.items()))


def _name(day: int) -> str:
    return f"{day}.bin"


def _packed(hours: Mapping[HourKey, Counts]) -> bytes:
    """The same bytes for the same counts."""
    return _sealed(msgspec.msgpack.encode([(key, *_narrow(counts)) for key, counts in sorted(hours.items())]))


def _narrow(counts: Counts) -> tuple[str, bytes]:
    """Counts in as few bytes as hold them, and in which."""
    least, most = int(counts.min(initial=0)), int(counts.max(initial=0))
    kind = next(kind for kind in _KINDS if np.iinfo(kind).min <= least and most <= np.iinfo(kind).max)
    return kind, counts.astype(kind).tobytes()


def _sealed(content: bytes) -> bytes:
    return crc32(content).to_bytes(4, "little") + content
