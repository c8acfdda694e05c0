"""What an old system answers to the rows that were answered here: asked off the requests' path, compared row by row.

It is asked only where the signed revision says, by POST, and followed nowhere else: a redirection is a failure. Each row
that is sampled is compared, which means that its answer, or why there is none, stands in the log, or dropped.
"""

import json
import logging
import math
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from slipway.errors import BackendError, SlipwayError
from slipway.ports.secrets import filled
from slipway.records.endpoints import OldSystemSpec, Revision
from slipway.records.predictions import PredictionRow, ShadowProblem, ShadowRow
from slipway.serving import counters as count
from slipway.serving.arms import share_of
from slipway.serving.counters import Counters
from slipway.serving.row_queue import Counted, RowQueue

__all__ = ["OldCaller", "OldSaid", "OldSystem", "body_of", "scores_in"]

_SALT = "old system"
_COUNTED = Counted(count.OLD_COMPARED, count.OLD_DROPPED, count.OLD_LOST)
_ROWS = 64
_MOST_BYTES = 4 << 20
_PIECE = 1 << 16
_FINISH_S, _END_S = 2.0, 3.0
_COMPLAIN_EVERY_S = 10.0
_encode = msgspec.json.Encoder().encode
_logger = logging.getLogger("slipway.serving")


class _Waiting(NamedTuple):
    revision: Revision
    row: PredictionRow


class OldSaid(NamedTuple):
    """What an old system said of the rows of a request: a score each, why there is none, and how long a row took."""

    scores: list[float | None]
    problem: ShadowProblem
    took_ns: int


class OldSystem:
    """Takes answered rows and asks the old system for them: one bounded queue, so many requests at once as are declared.

    Args:
        append: Appends shadow rows to the log; when it returns they are with the operating system.
        counters: Where sampled, compared, dropped and failed rows are counted.
        capacity_rows: How many rows may wait; what comes on top is dropped and counted.
    """

    def __init__(
        self, append: Callable[[list[ShadowRow]], None], counters: Counters, *, capacity_rows: int = 5_000
    ) -> None:
        self._append = append
        self._counters = counters
        self._until = math.inf
        self._pool: ThreadPoolExecutor | None = None
        self._wide = 0
        self._caller = OldCaller()
        self._queue: RowQueue[_Waiting] = RowQueue(
            self._compare, counters, _COUNTED, what="old-system", capacity_rows=capacity_rows, batch_rows=_ROWS
        )

    def put(self, revision: Revision, rows: Sequence[PredictionRow]) -> None:
        """Take answered rows without waiting; what finds the queue full is dropped and counted."""
        spec = revision.old_system
        assert spec is not None  # rows are only put where there is one
        if spec.sample < 1.0:
            rows = [row for row in rows if share_of(_SALT, row.id) < spec.sample]
        self._counters.add(count.OLD_SAMPLED, len(rows))
        for start in range(0, len(rows), _ROWS):
            self._queue.put([_Waiting(revision, row) for row in rows[start : start + _ROWS]])

    def hurry(self) -> None:
        """Have what waits compared now: somebody is looking at the counters."""
        self._queue.hurry()

    def close(self) -> None:
        """Compare what waits for two seconds at most, count the rest as lost, then stop the threads."""
        self._until = time.monotonic() + _FINISH_S
        self._queue.close(_FINISH_S + _END_S)
        self._caller.close()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _compare(self, waiting: list[_Waiting]) -> int:
        written: list[ShadowRow] = []
        for revision, rows in _by_revision(waiting):
            spec = revision.old_system
            assert spec is not None
            wide = max(1, spec.at_once // max(revision.workers, 1))
            together = 1 if spec.rows is None else math.ceil(len(rows) / wide)
            parts = [rows[i : i + together] for i in range(0, len(rows), together)]
            for i in range(0, len(parts), wide):
                if time.monotonic() > self._until:
                    break
                some = parts[i : i + wide]
                said = self._threads(wide).map(
                    lambda part, r=revision, s=spec: self._caller.ask(s, _sent(r, s, part)), some
                )
                for part, answer in zip(some, said, strict=True):
                    written += [
                        ShadowRow(row.id, row.at_us, revision.number, "reference", spec.mark, score, answer.took_ns,
                                  "" if score is not None else answer.problem or "unreadable", 0, row.log_again)
                        for row, score in zip(part, answer.scores, strict=True)
                    ]  # fmt: skip
        if written:
            self._append(written)
        self._counters.add(count.OLD_FAILED, sum(row.score is None for row in written))
        return len(written)

    def _threads(self, wide: int) -> ThreadPoolExecutor:
        if self._pool is None or wide != self._wide:
            if self._pool is not None:
                self._pool.shutdown(wait=False)
            self._pool, self._wide = ThreadPoolExecutor(wide, thread_name_prefix="old-system"), wide
        return self._pool


class OldCaller:
    """Asks an old system, over connections that it keeps open; several threads may ask at once."""

    def __init__(self) -> None:
        self._idle: deque[tuple[str, HTTPConnection]] = deque()
        self._is_closed = False
        self._complained_at = -_COMPLAIN_EVERY_S

    def close(self) -> None:
        """Close what is open; what is under way closes its own connection when it ends."""
        self._is_closed = True
        while self._idle:
            self._idle.pop()[1].close()

    def ask(self, spec: OldSystemSpec, rows: list[dict[str, Any]]) -> OldSaid:
        """One request, whatever comes of it.

        Args:
            spec: Where and how it is asked.
            rows: Values under the old system's names; one where it takes one row a request.
        """
        started = time.perf_counter_ns()
        nothing: list[float | None] = [None] * len(rows)
        problem: ShadowProblem = ""
        found = nothing
        try:
            found = scores_in(self._send(spec, body_of(spec, rows)), spec.score, len(rows))
        except (TimeoutError, _Late):
            problem = "timeout"
        except (_Unreadable, ValueError, RecursionError) as error:
            problem = "unreadable"
            self._complain(error)
        except (OSError, HTTPException, SlipwayError) as error:
            problem = "error"
            self._complain(error)
        return OldSaid(found, problem, (time.perf_counter_ns() - started) // len(rows))

    def _complain(self, error: Exception) -> None:
        if time.monotonic() - self._complained_at > _COMPLAIN_EVERY_S:
            self._complained_at = time.monotonic()
            _logger.warning("The old system cannot be compared with: %s: %s", type(error).__name__, error)

    def _send(self, spec: OldSystemSpec, body: bytes) -> bytes:
        """The body of its answer.

        Raises:
            TimeoutError, _Late: It took too long.
            OSError: It cannot be reached.
            BackendError: It did not answer 200.
            _Unreadable: Its answer is too long.
        """
        until = time.monotonic() + spec.timeout_us / 1e6
        kept = self._take_idle(spec.url)
        connection = kept or _connection(spec)
        try:
            answer = _request(connection, spec, body, until)
        except (ConnectionError, HTTPException):
            connection.close()
            if kept is None:
                raise
            connection = _connection(spec)  # it had closed the connection that was kept
            try:
                answer = _request(connection, spec, body, until)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            connection.close()
            raise
        try:
            content = _read(connection, answer, until)
        except BaseException:
            connection.close()
            raise
        if answer.will_close or self._is_closed:
            connection.close()
        else:
            self._idle.append((spec.url, connection))
        if answer.status != 200:
            raise BackendError(
                f"The old system answered {answer.status}.",
                fix="Read its own log; until it answers 200 nothing is compared.",
            )
        return content

    def _take_idle(self, url: str) -> HTTPConnection | None:
        """A connection that was kept open; those to where a former revision asked are closed."""
        while True:
            try:
                of, connection = self._idle.pop()
            except IndexError:
                return None
            if of == url:
                return connection
            connection.close()


class _Late(Exception):
    """An answer was not whole in time."""


class _Unreadable(Exception):
    """An answer that holds no score where one is declared to stand."""


def scores_in(content: bytes, path: str, rows: int) -> list[float | None]:
    """The scores of an answer, one a row; None where what stands there is no finite number.

    Args:
        content: JSON.
        path: Names and places between dots, "*" for the rows of a list.
        rows: How many rows were asked for.

    Raises:
        ValueError: It is no JSON.
        _Unreadable: It has nothing at that path, or another number of rows.
    """
    found = list(_walk(json.loads(content), path.split(".") if path else []))
    if len(found) != rows:
        raise _Unreadable(f"{len(found)} scores at {path!r} for {rows} rows")
    return [_score(one) for one in found]


def _score(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number of hundreds of digits
        return None


def _walk(value: Any, steps: list[str]) -> Iterator[Any]:
    if not steps:
        yield value
        return
    step, rest = steps[0], steps[1:]
    if step == "*":
        if not isinstance(value, list):
            raise _Unreadable("no list where rows should stand")
        for one in value:
            yield from _walk(one, rest)
    elif isinstance(value, dict) and step in value:
        yield from _walk(value[step], rest)
    elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        yield from _walk(value[int(step)], rest)
    else:
        raise _Unreadable(f"nothing is called {step!r} there")


def _by_revision(waiting: list[_Waiting]) -> list[tuple[Revision, list[PredictionRow]]]:
    found: dict[int, tuple[Revision, list[PredictionRow]]] = {}
    for revision, row in waiting:
        found.setdefault(revision.number, (revision, []))[1].append(row)
    return list(found.values())


def _sent(revision: Revision, spec: OldSystemSpec, rows: list[PredictionRow]) -> list[dict[str, Any]]:
    places = {field.name: place for place, field in enumerate(revision.contract.fields)}
    names = spec.fields or {name: name for name in places}
    return [{theirs: row.request[places[ours]] for theirs, ours in names.items()} for row in rows]


def body_of(spec: OldSystemSpec, rows: list[dict[str, Any]]) -> bytes:
    """The body of a request for rows: the row itself, a list of them, or tensors of the Open Inference Protocol V2."""
    if spec.protocol == "v2":
        return _encode({"inputs": [_tensor(name, value) for name, value in rows[0].items()]})
    if spec.rows is None:
        return _encode(rows[0])
    return _encode({spec.rows: rows} if spec.rows else rows)


def _tensor(name: str, value: Any) -> dict[str, Any]:
    kinds = {bool: "BOOL", int: "INT64", str: "BYTES"}  # what is unknown is a null in a floating tensor
    return {"name": name, "shape": [1, 1], "datatype": kinds.get(type(value), "FP64"), "data": [value]}


def _connection(spec: OldSystemSpec) -> HTTPConnection:
    parts = urlsplit(spec.url)
    assert parts.hostname is not None  # the declaration was checked
    timeout_s = spec.timeout_us / 1e6
    if parts.scheme == "https":
        return HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=ssl.create_default_context())
    return HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)


def _request(connection: HTTPConnection, spec: OldSystemSpec, body: bytes, until: float) -> HTTPResponse:
    parts = urlsplit(spec.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {name: filled(value) for name, value in spec.headers.items()}
    if connection.sock is not None:
        connection.sock.settimeout(max(until - time.monotonic(), 0.001))
    connection.request(
        "POST", target, body, {"Content-Type": "application/json", "Accept": "application/json", **headers}
    )
    return connection.getresponse()


def _read(connection: HTTPConnection, answer: HTTPResponse, until: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    while piece := answer.read1(_PIECE):
        parts.append(piece)
        size += len(piece)
        if size > _MOST_BYTES:
            raise _Unreadable(f"its answer has more than {_MOST_BYTES:,} bytes")
        left = until - time.monotonic()
        if left <= 0:
            raise _Late
        if connection.sock is not None:
            connection.sock.settimeout(left)
    return b"".join(parts)
