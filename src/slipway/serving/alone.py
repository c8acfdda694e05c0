"""The app of an image: a model answers, and nothing else of an endpoint: no log, no labels, no events, no other revision.

Its answers are an endpoint's to the letter, in every protocol that an endpoint speaks, but for the revision, which is 0.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import count as counting
from typing import Any

import msgspec

from slipway.errors import NotFound, SlipwayError, StepFailed
from slipway.ids import new_id
from slipway.records.endpoints import StandAlone
from slipway.records.predictions import PredictionRow
from slipway.records.reach import Reach
from slipway.schema.validation import Request
from slipway.serving import counters as count
from slipway.serving import protocols, v2
from slipway.serving.active import Active
from slipway.serving.answers import Scorer, encode
from slipway.serving.arrow import ARROW
from slipway.serving.bulk import Bulk
from slipway.serving.caller_limit import CallerLimit
from slipway.serving.counters import Counters, request_counter
from slipway.serving.dialects import Dialect
from slipway.serving.http import (
    HEADERS,
    JSON,
    REQUEST_ID,
    App,
    ClientGone,
    MethodNotAllowed,
    Receive,
    Scope,
    Send,
    check_caller,
    is_request_name,
    read_body,
    send,
    send_error,
)
from slipway.serving.row_scorer import RowScorer

__all__ = ["build_alone"]

_LOCAL = Reach()
"""What stands before a container decides who reaches it; only what a browser might send is refused here."""
_PROMETHEUS = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_encode = msgspec.json.Encoder().encode
_logger = logging.getLogger("slipway.serving")


def build_alone(about: StandAlone, active: Active, counters: Counters, closing: Callable[[], bool] = bool) -> App:
    """Build the app.

    Args:
        about: What is served.
        active: The loaded model.
        counters: This process's.
        closing: Whether the process is about to stop: answers then end their connections.

    Returns:
        The ASGI app for HTTP scopes.
    """
    return _Alone(about, active, counters, closing)


@dataclass
class _Alone:
    about: StandAlone
    active: Active
    counters: Counters
    closing: Callable[[], bool]

    def __post_init__(self) -> None:
        home = f"/endpoints/{self.about.name}"
        scorer = RowScorer(self.counters, lambda row: self.counters.add(count.FAILURES))
        self._score = Scorer(lambda: datetime.now(UTC), scorer)
        # Of this process alone, for a container is one; it knows nobody by a token, so all callers count as one.
        self._limit = CallerLimit(self.about.caller_rate) if self.about.caller_rate else None
        self._bulk = Bulk(self.closing)
        self._requests = counting(1)
        self._worker = new_id()[-12:].encode()
        self._routes: dict[str, tuple[str, str, Callable[[Scope, Receive, Send], Awaitable[None]]]] = {
            f"{home}/predict": ("predict", "POST", self._predict),
            home: ("endpoint", "GET", self._describe),
            "/health": ("health", "GET", self._health),
            "/metrics": ("metrics", "GET", self._metrics),
            "/v2": ("endpoint", "GET", self._v2_server),
            "/v2/health/live": ("health", "GET", self._health),
            "/v2/health/ready": ("health", "GET", self._health),
            f"/v2/models/{self.about.name}": ("endpoint", "GET", self._v2_model),
            f"/v2/models/{self.about.name}/ready": ("health", "GET", self._health),
        }
        for path, dialect in protocols.dialects(self.about.name).items():
            self._routes[path] = ("predict", "POST", partial(self._predict, dialect=dialect))

    async def __call__(self, scope: Scope, receive: Receive, sender: Send) -> None:
        headers = scope[HEADERS] = dict(scope["headers"])
        given = headers.get(b"x-request-id")
        REQUEST_ID.set(given if given and is_request_name(given) else b"%b-%x" % (self._worker, next(self._requests)))
        found = self._routes.get(scope["path"])
        route, status = found[0] if found else "other", 200
        try:
            check_caller(scope, _LOCAL)
            if found is None:
                raise self._nothing_here(scope["path"])
            if scope["method"] != found[1]:
                raise MethodNotAllowed(scope["method"], scope["path"], found[1])
            await found[2](scope, receive, sender)
        except ClientGone:
            status = 499
        except SlipwayError as error:
            status = await send_error(sender, error, closing=self.closing(), form=protocols.error_form(scope))
        except Exception:
            _logger.exception("A request to %s failed. [%s]", scope["path"], REQUEST_ID.get().decode())
            status = await send_error(sender, _our_fault(), closing=self.closing(), form=protocols.error_form(scope))
        self.counters.add(request_counter(route, status))

    async def _predict(self, scope: Scope, receive: Receive, sender: Send, dialect: Dialect | None = None) -> None:
        headers = scope[HEADERS]
        if self._limit is not None:
            self._limit.check("")
        if dialect is None and headers.get(b"content-type") == ARROW:
            await self._bulk(self.active, headers, receive, sender, self._score_part)
            return
        body = await read_body(headers, receive, self.about.contract.max_bytes)
        started = time.perf_counter_ns()
        write, kind = encode, JSON
        if dialect is not None:
            (body, write), kind = (
                dialect.read(body, headers, self.active.revision),
                (b"content-type", dialect.content_type),
            )
        answer, rows = self._score(self.active, self.active.contract.decode(body))
        self.counters.add(count.ROWS, len(rows))
        await send(sender, 200, write(answer), closing=self.closing(), content_type=kind)
        self.counters.observe_ns(time.perf_counter_ns() - started)

    async def _score_part(self, rows: list[list[Any]]) -> list[PredictionRow]:
        answered = self._score(self.active, Request(rows, None))[1]
        self.counters.add(count.ROWS, len(rows))
        self.counters.add(count.BULK_ROWS, len(rows))
        return answered

    async def _describe(self, scope: Scope, receive: Receive, sender: Send) -> None:
        said = {
            "endpoint": self.about.name,
            "project": self.about.project,
            "model": Scorer.model_of(self.about.served),
            "contract": self.about.contract,
        }
        await send(sender, 200, _encode(said), closing=self.closing())

    async def _health(self, scope: Scope, receive: Receive, sender: Send) -> None:
        closing = self.closing()
        said = _encode({"status": "stopping" if closing else "ready"})
        await send(sender, 503 if closing else 200, said, closing=closing)

    async def _v2_server(self, scope: Scope, receive: Receive, sender: Send) -> None:
        await send(sender, 200, _encode(v2.server_metadata("slipway", version("slipway"))), closing=self.closing())

    async def _v2_model(self, scope: Scope, receive: Receive, sender: Send) -> None:
        await send(sender, 200, _encode(v2.model_metadata(self.active.revision)), closing=self.closing())

    async def _metrics(self, scope: Scope, receive: Receive, sender: Send) -> None:
        text = self.counters.text(self.about.name).encode()
        await send(sender, 200, text, closing=self.closing(), content_type=_PROMETHEUS)

    def _nothing_here(self, path: str) -> NotFound:
        return NotFound(
            f"There is nothing at {path}.",
            why="An image answers predictions only: it takes no labels and no events.",
            fix=f"Its routes are: {', '.join(f'{method} {path}' for path, (_, method, _) in self._routes.items())}.",
        )


def _our_fault() -> SlipwayError:
    return StepFailed("The model failed on this request.", step="serving", fix="The container's log has the cause.")
