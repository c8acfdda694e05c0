"""The endpoint's ASGI app: predict, labels, events, and what it says of itself.

It is bare ASGI: a predict request's whole budget is 0.2 ms of CPU. All work is done by the functions in `Active` and by
the closures given to `build`; the app knows order, limits, identifiers and sentences.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from slipway.errors import BackendError, Corrupt, NotFound, SlipwayError, StepFailed, Unavailable
from slipway.records.predictions import FailureRow, LabelRow, PredictionRow, PushedRow
from slipway.records.reach import Reach
from slipway.serving import counters as count
from slipway.serving.active import Active, LoadedChallenger, Received
from slipway.serving.answers import Scorer
from slipway.serving.callers import Admit, CallerCounts, open_to_all
from slipway.serving.counters import Counters, request_counter
from slipway.serving.http import (
    App,
    ClientGone,
    MethodNotAllowed,
    Receive,
    Scope,
    Send,
    check_caller,
    for_callers,
    read_body,
    send,
    send_error,
)
from slipway.serving.pushes import EventsBody, LabelsBody, decode_body, find_check, label_rows, take_in
from slipway.serving.row_queue import RowQueue
from slipway.serving.scoring import RowScorer
from slipway.serving.shadow import Shadow

__all__ = ["build"]

LOCAL = Reach()
"""The loopback address, where no other machine reaches an endpoint."""

CALLER = "slipway.caller"
"""Under this key of a request's scope stands the name of whoever sent it, "" where nobody asks."""

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

    Returns:
        The ASGI app for HTTP scopes.
    """
    return _Endpoint(
        name,
        current,
        now,
        log,
        failures,
        shadow,
        append_labels,
        append_events,
        writer,
        counters,
        note,
        closing,
        reach,
        admit,
        callers or CallerCounts(),
    )


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

    def __post_init__(self) -> None:
        home = f"/endpoints/{self.name}"
        self._score = Scorer(self.now, RowScorer(self.counters, self._note_failure))
        self._unknown: dict[str, int] = {}
        self._routes: dict[str, tuple[str, str, Callable[[Scope, Receive, Send], Awaitable[None]]]] = {
            f"{home}/predict": ("predict", "POST", self._predict),
            f"{home}/labels": ("labels", "POST", self._labels),
            f"{home}/events": ("events", "POST", self._events),
            home: ("endpoint", "GET", self._describe),
            "/health": ("health", "GET", self._health),
            "/metrics": ("metrics", "GET", self._metrics),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route, status = "other", 200
        try:
            check_caller(scope, self.reach)
            found = self._routes.get(scope["path"])
            route, method, answer = found or (route, "", self._health)
            if route != "health":
                caller = self.admit(scope["headers"], route, self.now)
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
            status = await send_error(send, error, closing=self.closing())
        except Exception:
            _logger.exception("A request to %s failed.", scope["path"])
            status = await send_error(send, _our_fault(), closing=self.closing())
        self.counters.add(request_counter(route, status))

    async def _predict(self, scope: Scope, receive: Receive, sender: Send) -> None:
        active = self._active()
        body = await read_body(scope, receive, active.revision.contract.max_bytes)
        started = time.perf_counter_ns()
        answer, rows = self._score(active, active.contract.decode(body), scope[CALLER])
        # Counted before it is answered: whoever has the answer finds it in the counters, written or still under way.
        self.counters.add(count.ROWS, len(rows))
        if active.revision.log_sync:
            await asyncio.wrap_future(self.log.put_and_tell(rows))
        else:
            self.log.put(rows)
        if active.challenger is not None:
            self.shadow.put(active, rows)
        await send(sender, 200, answer, closing=self.closing())
        self.counters.observe_ns(time.perf_counter_ns() - started)
        if unknown := active.contract.unknown_fields(body):
            self._count_unknown(unknown)

    def _note_failure(self, row: FailureRow) -> None:
        self.counters.add(count.FAILURES)
        self.failures.put([row])

    async def _labels(self, scope: Scope, receive: Receive, sender: Send) -> None:
        active = self._active()
        body = decode_body(await read_body(scope, receive, active.revision.contract.max_bytes), LabelsBody)
        rows = label_rows(body, active, self.now())
        await self._in_writer(self.append_labels, rows)
        self.counters.add(count.LABELS, len(rows))
        await send(sender, 200, _encode({"accepted": len(rows)}), closing=self.closing())

    async def _events(self, scope: Scope, receive: Receive, sender: Send) -> None:
        active = self._active()
        body = decode_body(await read_body(scope, receive, active.revision.contract.max_bytes), EventsBody)
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
            "challenger": _told(active.challenger),
            "revision": revision.number,
            "simulation": revision.simulation,
            "contract": revision.contract,
            "unknown_fields": self._unknown,
            "note": self.note(),
        }
        await send(sender, 200, _encode(said), closing=self.closing())

    async def _health(self, scope: Scope, receive: Receive, sender: Send) -> None:
        revision = self._active().revision
        if self.closing():
            raise Unavailable(f"The endpoint {self.name!r} is stopping.", fix="Send no new requests.")
        await send(sender, 200, _encode({"status": "ready", "revision": revision.number}))

    async def _metrics(self, scope: Scope, receive: Receive, sender: Send) -> None:
        active = self.current()
        for queue in (self.log, self.failures, self.shadow):
            queue.hurry()
        text = self.counters.text(self.name)
        if active is not None and active.feeds is not None:
            text += active.feeds.text(self.name)
        text += self.callers.text(self.name)
        text += "# HELP slipway_revision The revision that answers.\n# TYPE slipway_revision gauge\n"
        text += f'slipway_revision{{endpoint="{self.name}"}} {active.revision.number if active else 0}\n'
        await send(sender, 200, text.encode(), closing=self.closing(), content_type=_PROMETHEUS)

    async def _in_writer(self, write: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self.writer, write, *arguments)
        except (BackendError, Corrupt) as error:
            raise for_callers(error) from error

    def _active(self) -> Active:
        active = self.current()
        if active is None:
            raise Unavailable(
                f"The endpoint {self.name!r} is still loading its first model.",
                fix="Ask again in a moment; GET /health answers 200 once it is warm.",
            )
        return active

    def _count_unknown(self, unknown: Mapping[str, int]) -> None:
        self.counters.add(count.UNKNOWN_FIELDS, sum(unknown.values()))
        for field, times in unknown.items():
            if field in self._unknown or len(self._unknown) < 20:  # callers choose the names: keep the list short
                self._unknown[field] = self._unknown.get(field, 0) + times

    def _nothing_here(self, path: str) -> NotFound:
        return NotFound(
            f"There is nothing at {path}.",
            why=f"This process answers for the endpoint {self.name!r} only.",
            fix=f"Its routes are: {', '.join(f'{method} {p}' for p, (_, method, _) in self._routes.items())}.",
        )


def _told(challenger: LoadedChallenger | None) -> Mapping[str, Any] | None:
    if challenger is None:
        return None
    plan = challenger.plan
    model = msgspec.to_builtins(Scorer.model_of(plan.served))
    return {**model, "fraction": plan.fraction, "rollout": plan.rollout_id}


def _our_fault() -> SlipwayError:
    return StepFailed(
        "The endpoint failed on this request.",
        step="serving",
        fix="Its operator finds the cause in the endpoint's front.log.",
    )
