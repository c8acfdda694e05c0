"""The endpoint's ASGI app: predict, labels, events, and what it says of itself.

It is bare ASGI: a predict request's whole budget is 0.2 ms of CPU. All work is done by the functions in `Active` and by
the closures given to `build`; the app knows order, limits, identifiers and sentences.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.metadata import version
from itertools import count as counting
from typing import Any

import msgspec

from slipway.errors import BackendError, Corrupt, NotFound, SlipwayError, StepFailed, Unavailable
from slipway.ids import new_id
from slipway.records.endpoints import Revision
from slipway.records.predictions import FailureRow, LabelRow, PredictionRow, PushedRow
from slipway.records.reach import Reach
from slipway.schema.validation import Request
from slipway.serving import counters as count
from slipway.serving import protocols, v2
from slipway.serving.active import Active, Received
from slipway.serving.answers import Answer, Scorer, challenger_status, encode
from slipway.serving.arrow import ARROW
from slipway.serving.aside import Aside
from slipway.serving.bulk import Bulk, room_in
from slipway.serving.caller_limit import CallerLimit
from slipway.serving.callers import LIMITED, Admit, CallerCounts, open_to_all
from slipway.serving.counters import Counters, request_counter
from slipway.serving.dialects import Dialect
from slipway.serving.explaining import Explaining, wanted
from slipway.serving.http import (
    HEADERS,
    JSON,
    REQUEST_ID,
    ROWS_NAMED,
    App,
    ClientGone,
    MethodNotAllowed,
    Receive,
    Scope,
    Send,
    TooMany,
    check_caller,
    for_callers,
    is_request_name,
    lost_by,
    read_body,
    send,
    send_error,
)
from slipway.serving.log_policy import LogPolicy
from slipway.serving.old_system import OldSystem
from slipway.serving.overdue import Overdue
from slipway.serving.pushes import EventsBody, LabelsBody, decode_body, find_check, label_rows, take_in
from slipway.serving.row_queue import RowQueue
from slipway.serving.row_scorer import RowScorer
from slipway.serving.scoring import ScoredRows
from slipway.serving.shadow import Shadow

__all__ = ["build"]

LOCAL = Reach()
"""The loopback address, where no other machine reaches an endpoint."""

CALLER = "slipway.caller"
"""Under this key of a request's scope stands the name of whoever sent it, "" where nobody asks."""

MOST_AT_ONCE = 1000
"""Prediction requests that one worker may hold at once, from their first byte to their answer."""

NO_HEADERS: tuple[tuple[bytes, bytes], ...] = ()

_PROMETHEUS = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_encode = msgspec.json.Encoder().encode
_logger = logging.getLogger("slipway.serving")


def build(
    *,
    name: str,
    current: Callable[[], Active | None],
    now: Callable[[], datetime],
    log: RowQueue[PredictionRow],
    failures: RowQueue[FailureRow],
    shadow: Shadow,
    append_labels: Callable[[list[LabelRow]], None],
    append_events: Callable[[list[PushedRow]], None],
    writer: Executor,
    counters: Counters,
    note: Callable[[], str] = str,
    closing: Callable[[], bool] = bool,
    reach: Reach = LOCAL,
    admit: Admit = open_to_all,
    callers: CallerCounts | None = None,
    overdue: Overdue | None = None,
    unknown: dict[str, int] | None = None,
    most_at_once: int = MOST_AT_ONCE,
    front: Callable[[], str] = str,
    workers: Callable[[], int] = lambda: 1,
    old_system: OldSystem | None = None,
) -> App:
    """Build the app of one worker.

    Args:
        name: The endpoint's.
        current: What answers now, None before the first revision is warm.
        now: Business time, aware UTC.
        log: Takes answered rows off the request's path.
        failures: Takes what a model could not answer.
        shadow: Takes answered rows for the model that did not answer them, during a roll-out.
        append_labels: Appends labels to their log; when it returns they are with the operating system.
        append_events: Appends pushed rows to their log; durable likewise.
        writer: One thread for labels and events, so that they never hold up a prediction.
        counters: This worker's.
        note: A sentence where something is wrong, "" otherwise.
        closing: Whether the worker is about to stop: answers then end their connections.
        reach: Where the endpoint answers.
        admit: Finds out who calls, and refuses whom nobody knows or who may not.
        callers: Counts requests by caller, None for counts of this process alone.
        overdue: Is told when a model begins to score in this thread, and when it is done.
        unknown: Takes how often which field came that the contract does not know.
        most_at_once: Prediction requests that may be under way; more are told to come back.
        front: What the front counts, in Prometheus's format; "" where there is none.
        workers: How many processes answer for the endpoint now, this one among them.
        old_system: Takes answered rows for the old system that a revision names, None where none is ever asked.

    Returns:
        The ASGI app for HTTP scopes.
    """
    return _Endpoint(
        name, current, now, log, failures, shadow, append_labels, append_events, writer, counters, note, closing, reach,
        admit, callers or CallerCounts(), overdue or Overdue(), {} if unknown is None else unknown, most_at_once, front,
        workers,
        old_system,
    )  # fmt: skip


@dataclass
class _Endpoint:
    name: str
    current: Callable[[], Active | None]
    now: Callable[[], datetime]
    log: RowQueue[PredictionRow]
    failures: RowQueue[FailureRow]
    shadow: Shadow
    append_labels: Callable[[list[LabelRow]], None]
    append_events: Callable[[list[PushedRow]], None]
    writer: Executor
    counters: Counters
    note: Callable[[], str]
    closing: Callable[[], bool]
    reach: Reach
    admit: Admit
    callers: CallerCounts
    overdue: Overdue
    unknown: dict[str, int]
    most_at_once: int
    front: Callable[[], str]
    workers: Callable[[], int]
    old_system: OldSystem | None

    def __post_init__(self) -> None:
        home = f"/endpoints/{self.name}"
        self._rows = RowScorer(self.counters, self._note_failure)
        self._score = Scorer(self.now, self._rows)
        self._aside = Aside(self._rows, self.counters, limit_s=self.overdue.limit_s)
        self.overdue.aside = self._aside.stuck
        self._at_once = 0
        self.shadow.is_live = lambda: self._at_once > 0
        self._explaining = Explaining()
        self._bulk = Bulk(self.closing)
        self._requests = counting(1)
        self._worker = new_id()[-12:].encode()
        self._routes: dict[str, tuple[str, str, Callable[[Scope, Receive, Send], Awaitable[None]]]] = {
            f"{home}/predict": ("predict", "POST", self._predict),
            f"{home}/labels": ("labels", "POST", self._labels),
            f"{home}/events": ("events", "POST", self._events),
            home: ("endpoint", "GET", self._describe),
            "/health": ("health", "GET", self._health),
            "/metrics": ("metrics", "GET", self._metrics),
            "/v2": ("endpoint", "GET", self._v2_server),
            "/v2/health/live": ("health", "GET", self._v2_live),
            "/v2/health/ready": ("health", "GET", self._health),
            f"/v2/models/{self.name}": ("endpoint", "GET", self._v2_model),
            f"/v2/models/{self.name}/ready": ("health", "GET", self._health),
        }
        for path, dialect in protocols.dialects(self.name).items():
            self._routes[path] = ("predict", "POST", partial(self._predict, dialect=dialect))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route, status = "other", 200
        headers = scope[HEADERS] = dict(scope["headers"])
        given = headers.get(b"x-request-id")
        REQUEST_ID.set(given if given and is_request_name(given) else b"%b-%x" % (self._worker, next(self._requests)))
        try:
            check_caller(scope, self.reach)
            found = self._routes.get(scope["path"])
            route, method, answer = found or (route, "", self._health)
            if route != "health":
                caller = self.admit(scope["headers"], route, self.now)
                if caller:
                    self.callers.add(caller, route)
                scope[CALLER] = caller
            if found is None:
                raise self._nothing_here(scope["path"])
            if scope["method"] != method:
                raise MethodNotAllowed(scope["method"], scope["path"], method)
            await answer(scope, receive, send)
        except ClientGone:
            status = 499
        except SlipwayError as error:
            if lost := lost_by(error):
                self.counters.add(count.FAILED_REQUESTS[lost])
            status = await send_error(send, error, closing=self.closing(), form=protocols.error_form(scope))
        except Exception:
            _logger.exception("A request to %s failed. [%s]", scope["path"], REQUEST_ID.get().decode())
            status = await send_error(send, _our_fault(), closing=self.closing(), form=protocols.error_form(scope))
        self.counters.add(request_counter(route, status))

    async def _predict(self, scope: Scope, receive: Receive, sender: Send, dialect: Dialect | None = None) -> None:
        if self._at_once >= self.most_at_once:
            raise Unavailable(
                "The endpoint has as many requests as it may hold; this one was not looked at.",
                why=f"{self._at_once:,} are under way in this worker.",
                fix="Send it again in a moment; more workers answer more requests at once.",
            )
        self._at_once += 1
        try:
            await self._answer(scope, receive, sender, dialect)
        finally:
            self._at_once -= 1

    async def _answer(self, scope: Scope, receive: Receive, sender: Send, dialect: Dialect | None) -> None:
        active, headers = self.current(), scope[HEADERS]
        if active is None:
            raise self._still_loading()
        if active.caller_limit is not None:
            self._check_rate(active.caller_limit, scope[CALLER])
        if dialect is None and headers.get(b"content-type") == ARROW:
            await self._answer_bulk(active, scope, receive, sender)
            return
        body = await read_body(headers, receive, active.revision.contract.max_bytes)
        started = time.perf_counter_ns()
        write, kind = encode, JSON
        # Looked up without a call: who asks for no explanation pays nothing for those who do.
        query = scope["query_string"] if "query_string" in scope else b""  # noqa: SIM401
        top = wanted(query, is_own=dialect is None) if query else 0
        if dialect is not None:
            (body, write), kind = dialect.read(body, headers, active.revision), (b"content-type", dialect.content_type)
        request = active.contract.decode(body)
        if top:
            self._explaining.take_place(len(request.rows))
        try:
            at = self._score.decided_at(active, request)
            if active.is_aside:
                begun = time.monotonic() - (time.perf_counter_ns() - started) / 1e9
                scored: ScoredRows = await self._aside(active, request.rows, at, begun)
            else:
                self.overdue.begun_ns = started
                try:
                    scored = self._rows(active, request.rows, at)
                finally:
                    self.overdue.begun_ns = 0
            answer, rows = self._score.answer(active, request, at, scored, scope[CALLER], scope.get(ROWS_NAMED))
            # Counted before it is answered: whoever has the answer finds it in the counters, written or still under way.
            self.counters.add(count.ROWS, len(rows))
            kept, written = (rows, rows) if active.log_policy is None else self._chosen(active.log_policy, rows)
            if active.revision.log.sync and written:
                await asyncio.wrap_future(self.log.put_and_tell(written))
            else:
                self.log.put(written)
            if active.challenger is not None or active.revision.old_system is not None:
                self._compare(active, kept)
            if top:
                await self._send_explained(active, answer, rows, top, sender)
            else:
                marked = NO_HEADERS if active.fallback is None else _marked(rows)
                await send(sender, 200, write(answer), closing=self.closing(), content_type=kind, more_headers=marked)
                self.counters.observe_ns(time.perf_counter_ns() - started)
        finally:
            if top:
                self._explaining.leave_place()
        if request.has_unknown:
            self._count_unknown(active.contract.unknown_fields(body))

    async def _answer_bulk(self, active: Active, scope: Scope, receive: Receive, sender: Send) -> None:
        """Answer an Arrow stream; the histogram of predictions does not tell of it."""
        wanted(scope.get("query_string", b""), is_own=False)
        at, caller = self.now(), scope[CALLER]

        async def score(rows: list[list[Any]]) -> list[PredictionRow]:
            if active.is_aside:
                scored: ScoredRows = await self._aside(active, rows, at, time.monotonic())
            else:
                self.overdue.begun_ns = time.perf_counter_ns()
                try:
                    scored = self._rows(active, rows, at)
                finally:
                    self.overdue.begun_ns = 0
            kept = written = answered = self._score.answer(active, Request(rows, None), at, scored, caller)[1]
            self.counters.add(count.ROWS, len(rows))
            self.counters.add(count.BULK_ROWS, len(rows))
            if active.log_policy is not None:
                kept, written = self._chosen(active.log_policy, answered)
            if active.revision.log.sync and written:
                await asyncio.wrap_future(self.log.put_and_tell(written))
            else:
                await room_in(self.log)
                self.log.put(written)
            self._compare(active, kept)
            return answered

        self._count_unknown(await self._bulk(active, scope[HEADERS], receive, sender, score))

    def _compare(self, active: Active, rows: list[PredictionRow]) -> None:
        """Have answered rows scored by the model, and by the old system, that did not answer them."""
        if active.challenger is not None and active.revision.split is None:
            self.shadow.put(active, [row for row in rows if not row.fallback])
        if active.revision.old_system is not None and self.old_system is not None:
            self.old_system.put(active.revision, [row for row in rows if not row.fallback])

    def _chosen(self, policy: LogPolicy, rows: list[PredictionRow]) -> tuple[list[PredictionRow], list[PredictionRow]]:
        """The rows of which something is logged, and what of them."""
        kept = policy.kept(rows)
        self.counters.add(count.LOG_PASSED_OVER, len(rows) - len(kept))
        return kept, policy.written(kept)

    async def _send_explained(
        self, active: Active, answer: Answer, rows: list[PredictionRow], top: int, sender: Send
    ) -> None:
        """Send an answer with its explanations; the histogram of predictions does not tell of them."""
        explained = await self._explaining.add(active, encode(answer), rows, top)
        self.counters.add(count.EXPLAINED_ROWS, len(rows))
        await send(sender, 200, explained, closing=self.closing())

    def _note_failure(self, row: FailureRow) -> None:
        self.counters.add(count.FAILURES)
        self.failures.put([row])

    async def _labels(self, scope: Scope, receive: Receive, sender: Send) -> None:
        active = self._active_for(scope[CALLER])
        body = decode_body(await read_body(scope[HEADERS], receive, active.revision.contract.max_bytes), LabelsBody)
        rows = label_rows(body, active, self.now())
        if active.log_policy is not None:
            rows = active.log_policy.labels(rows)
        await self._in_writer(self.append_labels, rows)
        self.counters.add(count.LABELS, len(rows))
        await send(sender, 200, _encode({"accepted": len(rows)}), closing=self.closing())

    async def _events(self, scope: Scope, receive: Receive, sender: Send) -> None:
        active = self._active_for(scope[CALLER])
        body = decode_body(await read_body(scope[HEADERS], receive, active.revision.contract.max_bytes), EventsBody)
        kind, name, check = find_check(body, active)

        def store() -> Received:
            check(body.rows)
            return take_in(active, kind, name, body.rows, self.append_events)

        received: Received = await self._in_writer(store)
        self.counters.add(count.EVENTS, len(body.rows))
        self.counters.add(count.EVENTS_NEW, received.changed)
        said = {"accepted": len(body.rows), "new": received.changed, "passed_over": received.passed_over}
        await send(sender, 200, _encode(said), closing=self.closing())

    async def _describe(self, scope: Scope, receive: Receive, sender: Send) -> None:
        active = self._active()
        revision = active.revision
        said = {
            "endpoint": self.name,
            "project": revision.project,
            "environment": revision.environment,
            "model": Scorer.model_of(revision.served),
            "challenger": challenger_status(active.challenger),
            "arms": [challenger_status(one) for one in active.challengers] if revision.split is not None else None,
            "revision": revision.number,
            "fallback": _behind(revision),
            "joining": None if active.joining is None else active.joining._asdict(),
            "simulation": revision.simulation,
            "simulated_tables": active.simulated,
            "contract": revision.contract,
            "unknown_fields": self.unknown,
            "note": self.note(),
        }
        await send(sender, 200, _encode(said), closing=self.closing())

    async def _health(self, scope: Scope, receive: Receive, sender: Send) -> None:
        revision = self._active().revision
        if self.closing():
            raise Unavailable(f"The endpoint {self.name!r} is stopping.", fix="Send no new requests.")
        await send(sender, 200, _encode({"status": "ready", "revision": revision.number}))

    async def _v2_server(self, scope: Scope, receive: Receive, sender: Send) -> None:
        await send(sender, 200, _encode(v2.server_metadata("slipway", version("slipway"))), closing=self.closing())

    async def _v2_live(self, scope: Scope, receive: Receive, sender: Send) -> None:
        await send(sender, 200, _encode({"live": True}), closing=self.closing())

    async def _v2_model(self, scope: Scope, receive: Receive, sender: Send) -> None:
        await send(sender, 200, _encode(v2.model_metadata(self._active().revision)), closing=self.closing())

    async def _metrics(self, scope: Scope, receive: Receive, sender: Send) -> None:
        active = self.current()
        for queue in (self.log, self.failures, self.shadow, self.old_system):
            if queue is not None:
                queue.hurry()
        text = self.counters.text(self.name)
        if active is not None and active.feeds is not None:
            text += active.feeds.text(self.name)
        text += self.callers.text(self.name) + self.front()
        text += "# HELP slipway_revision The revision that answers.\n# TYPE slipway_revision gauge\n"
        text += f'slipway_revision{{endpoint="{self.name}"}} {active.revision.number if active else 0}\n'
        text += "# HELP slipway_workers Worker processes that answer now.\n# TYPE slipway_workers gauge\n"
        text += f'slipway_workers{{endpoint="{self.name}"}} {self.workers()}\n'
        await send(sender, 200, text.encode(), closing=self.closing(), content_type=_PROMETHEUS)

    async def _in_writer(self, write: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self.writer, write, *arguments)
        except (BackendError, Corrupt) as error:
            raise for_callers(error) from error

    def _active(self) -> Active:
        active = self.current()
        if active is None:
            raise self._still_loading()
        return active

    def _active_for(self, caller: str) -> Active:
        """What answers, after a look at how many requests the caller sent."""
        active = self._active()
        if active.caller_limit is not None:
            self._check_rate(active.caller_limit, caller)
        return active

    def _check_rate(self, limit: CallerLimit, caller: str) -> None:
        try:
            limit.check(caller)
        except TooMany:
            if caller:
                self.callers.add(caller, LIMITED)
            raise

    def _still_loading(self) -> Unavailable:
        return Unavailable(
            f"The endpoint {self.name!r} is still loading its first model.",
            fix="Ask again in a moment; GET /health answers 200 once it is warm.",
        )

    def _count_unknown(self, unknown: Mapping[str, int]) -> None:
        self.counters.add(count.UNKNOWN_FIELDS, sum(unknown.values()))
        for field, times in unknown.items():
            if field in self.unknown or len(self.unknown) < 20:  # callers choose the names: keep the list short
                self.unknown[field] = self.unknown.get(field, 0) + times

    def _nothing_here(self, path: str) -> NotFound:
        return NotFound(
            f"There is nothing at {path}.",
            why=f"This process answers for the endpoint {self.name!r} only.",
            fix=f"Its routes are: {', '.join(f'{method} {p}' for p, (_, method, _) in self._routes.items())}.",
        )


def _marked(rows: Sequence[PredictionRow]) -> tuple[tuple[bytes, bytes], ...]:
    """The header that says how many rows the fallback answered, also where a protocol has no place for it."""
    fallen = sum(row.fallback != "" for row in rows)
    return ((b"x-slipway-fallback", b"%d" % fallen),) if fallen else NO_HEADERS


def _behind(revision: Revision) -> Mapping[str, Any] | None:
    """What stands behind the model, without the code of rules."""
    spec = revision.fallback
    if spec is None:
        return None
    ways = [
        {"by": way.by}
        | ({"version": way.served.number} if way.served else {})
        | ({"rule": way.rule.function.name} if way.rule else {})
        | ({"value": way.value} if way.by == "value" else {})
        for way in spec.ways
    ]
    return {"ways": ways, "within_ms": spec.within_us / 1000, "required": spec.required}


def _our_fault() -> SlipwayError:
    return StepFailed(
        "The endpoint failed on this request.",
        step="serving",
        fix="Its operator finds the cause in the endpoint's front.log.",
    )
