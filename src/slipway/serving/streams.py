"""Streams that an endpoint takes in by itself: one of its workers reads them, and ends an entry once the store has it.

The worker that holds the lock of the folder reads; the system frees the lock with the process, and another takes over
where it ended. Nothing is read ahead: the next entries are asked for when the store has the last ones.
"""

from __future__ import annotations

import fcntl
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

from slipway.errors import InvalidInput, SlipwayError
from slipway.ports.event_stream import Entry, EventStream
from slipway.records.endpoints import StreamSpec
from slipway.records.predictions import PushedRow
from slipway.serving import counters as count
from slipway.serving.active import Active
from slipway.serving.counters import Counters
from slipway.serving.pushes import take_in

__all__ = ["StreamReader"]

_LOCK = "streams.lock"
_AT_ONCE = 500
_WAIT_S = 0.5
_REST_S = 1.0
_logger = logging.getLogger("slipway.serving")
_decode = msgspec.json.Decoder(dict[str, Any]).decode

Row = dict[str, Any]
Open = Callable[[StreamSpec], EventStream]


class StreamReader:
    """A worker's part in reading the streams of its endpoint.

    Args:
        folder: The endpoint's.
        current: What answers now, None before the first revision is warm.
        open: Opens a stream for the endpoint's group.
        append: Appends pushed rows to their log.
        counters: The worker's.
    """

    def __init__(
        self,
        folder: Path,
        current: Callable[[], Active | None],
        open: Open,
        append: Callable[[list[PushedRow]], None],
        counters: Counters,
    ) -> None:
        self._path = folder / _LOCK
        self._current = current
        self._open = open
        self._append = append
        self._counters = counters
        self._lock: IO[str] | None = None
        self._streams: dict[StreamSpec, EventStream] = {}
        self._said: dict[StreamSpec, str] = {}
        self._behind: dict[StreamSpec, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="streams", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Finish what was read, and let another worker read."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for stream in self._streams.values():
            stream.close()
        if self._lock is not None:
            self._lock.close()

    def _work(self) -> None:
        while not self._stop.is_set():
            active = self._current()
            specs = () if active is None else active.revision.streams
            for gone in self._streams.keys() - set(specs):
                self._streams.pop(gone).close()
                self._behind.pop(gone, None)
            if active is None or not specs or not self._holds():
                if not specs and self._lock is not None:
                    self._counters.set_shared(count.STREAM_BEHIND, 0)
                self._stop.wait(_REST_S)
                continue
            worked = [self._pass(active, spec, _WAIT_S / len(specs)) for spec in specs]
            # Of a stream that cannot be read at the moment, what was known last.
            self._counters.set_shared(count.STREAM_BEHIND, sum(self._behind.values()))
            if not any(worked):
                self._stop.wait(_REST_S)

    def _holds(self) -> bool:
        """Whether this worker is the one that reads."""
        if self._lock is None:
            file = self._path.open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return False
            self._lock = file
        return True

    def _pass(self, active: Active, spec: StreamSpec, wait_s: float) -> bool:
        """Take in the next entries; false where it could not be done: they are given again."""
        try:
            if spec not in self._streams:
                self._streams[spec] = self._open(spec)
            stream = self._streams[spec]
            entries = stream.read(_AT_ONCE, wait_s)
            try:
                if entries:
                    self._take(active, spec, stream, entries)
            finally:  # also where the store takes nothing at the moment: then it counts most
                self._behind[spec] = stream.behind()
        except SlipwayError as problem:
            if self._said.get(spec) != str(problem):
                self._said[spec] = str(problem)
                _logger.error("The stream %s is not taken in at the moment: %s", spec.name, problem)
            return False
        except Exception:
            _logger.exception("The stream %s cannot be taken in.", spec.name)
            return False
        if self._said.pop(spec, None):
            _logger.info("The stream %s is taken in again.", spec.name)
        return True

    def _take(self, active: Active, spec: StreamSpec, stream: EventStream, entries: Sequence[Entry]) -> None:
        kind: Literal["source", "view"] = "source" if spec.source else "view"
        name = spec.source or spec.view
        if name not in (active.sources if spec.source else active.views):
            raise InvalidInput(
                f"The features of this endpoint read no {kind} {name!r}.",
                fix=f"Deploy a model whose features do, or take the stream {spec.name!r} out of the declaration.",
            )
        rows: list[tuple[Entry, Row]] = []
        refused: list[tuple[Entry, str]] = []
        for entry in entries:
            try:
                row = _row(entry)
                # Each alone: one that does not fit must not keep the others out.
                (active.sources if spec.source else active.views)[name]([row])
            except InvalidInput as problem:
                refused.append((entry, str(problem)))
            else:
                rows.append((entry, row))
        taken, changed = self._take_rows(active, kind, name, rows, refused)
        stream.acknowledge(taken)
        stream.refuse(refused)
        self._counters.add(count.STREAM_TAKEN, len(taken))
        self._counters.add(count.STREAM_NEW, changed)
        self._counters.add(count.STREAM_REFUSED, len(refused))

    def _take_rows(
        self,
        active: Active,
        kind: Literal["source", "view"],
        name: str,
        rows: Sequence[tuple[Entry, Row]],
        refused: list[tuple[Entry, str]],
    ) -> tuple[list[str], int]:
        """Put rows into the store: all at once, or one after the other where the store refuses one."""
        if not rows:
            return [], 0
        try:
            return [entry.id for entry, _ in rows], take_in(
                active, kind, name, [r for _, r in rows], self._append
            ).changed
        except InvalidInput as problem:
            if len(rows) == 1:
                refused.append((rows[0][0], str(problem)))
                return [], 0
        parts = [self._take_rows(active, kind, name, [one], refused) for one in rows]
        return [id for ids, _ in parts for id in ids], sum(changed for _, changed in parts)


def _row(entry: Entry) -> Row:
    if entry.row is None:
        raise InvalidInput("The entry has no field 'row'.", fix="Give it one, with the row as a JSON object.")
    found: Row | None = None
    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = _decode(entry.row)
    if found is None:
        raise InvalidInput("The field 'row' of the entry is no JSON object.", fix="Give the columns of a row by name.")
    return found
