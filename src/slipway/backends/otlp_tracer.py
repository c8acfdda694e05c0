"""Traces by OpenTelemetry, sent by OTLP over HTTP.

What the standard's environment variables say holds: OTEL_EXPORTER_OTLP_ENDPOINT, ..._HEADERS, OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_BSP_MAX_QUEUE_SIZE and OTEL_BSP_SCHEDULE_DELAY among them. No span has a
value out of a request or an answer, nor the text of an exception, which may quote one.

Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from slipway.ports.tracer import App, Call, Message

__all__ = ["OtlpTracer"]

_QUEUE_SPANS = 2048
_BATCH_SPANS = 512
_DELAY_MS = 5000
_CLOSE_WITHIN_S = 2.0
_COMPLAIN_EVERY_S = 600.0
_NOT_TRACED = ("/health", "/metrics", "/v2/health")
_request: ContextVar[Span | None] = ContextVar("request", default=None)
_propagator = TraceContextTextMapPropagator()
_logger = logging.getLogger("slipway.traces")
_NOBODY: Callable[[int], None] = lambda spans: None  # noqa: E731


class OtlpTracer:
    """See `Tracer`.

    Args:
        service: The service's name, where OTEL_SERVICE_NAME says none.
        receiver: The URL of the receiver, "" for the one that the environment names.
        told: What is said of each request.
        request_id: What names the request that is answered.
        route_of: The route of a request, "" where it is none: a path may hold anybody's name.
        sent: Told how many spans were sent.
        dropped: Told how many were dropped because the queue was full; called by whoever ends a span.
        lost: Told how many could not be sent.
    """

    def __init__(
        self,
        service: str,
        *,
        receiver: str = "",
        told: Mapping[str, str] = {},
        request_id: Callable[[], str] = str,
        route_of: Callable[[Message], str] = lambda scope: scope["path"],
        sent: Callable[[int], None] = _NOBODY,
        dropped: Callable[[int], None] = _NOBODY,
        lost: Callable[[int], None] = _NOBODY,
    ) -> None:
        # The exporter tells of each failure at length; what is lost is counted, and said here from time to time.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        self._told = dict(told)
        self._request_id = request_id
        self._route_of = route_of
        url = f"{receiver.rstrip('/')}/v1/traces" if receiver else None
        self._queue = _Queue(OTLPSpanExporter(endpoint=url), sent, dropped, lost)
        name = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: service}
        provider = TracerProvider(resource=Resource.create(name), shutdown_on_exit=False)
        provider.add_span_processor(self._queue)
        self._tracer = provider.get_tracer("slipway")

    def around(self, app: App) -> App:
        """See `Tracer.around`."""

        async def traced(
            scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
        ) -> None:
            if scope["type"] != "http" or scope["path"].startswith(_NOT_TRACED):
                await app(scope, receive, send)
                return
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            status = 0

            async def sending(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            span = self._tracer.start_span(
                scope["method"], _propagator.extract(headers), SpanKind.SERVER, attributes=self._told
            )
            token = _request.set(span)
            try:
                await app(scope, receive, sending)
            finally:
                _request.reset(token)
                self._end(span, scope, status)

        return traced

    def _end(self, span: Span, scope: Message, status: int) -> None:
        route = self._route_of(scope)
        span.update_name(f"{scope['method']} {route}".rstrip())
        span.set_attribute("http.request.method", scope["method"])
        span.set_attribute("slipway.request_id", self._request_id())
        if route:
            span.set_attribute("http.route", route)
        if status:
            span.set_attribute("http.response.status_code", status)
        if not status or status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()

    def inside(self, name: str, call: Call, told: Mapping[str, str | int] = {}) -> Call:
        """See `Tracer.inside`."""
        said = dict(told)

        def traced(rows: Any, *rest: Any) -> Any:
            request = _request.get()
            if request is None:
                return call(rows, *rest)
            span = self._tracer.start_span(
                name, set_span_in_context(request), attributes={**said, "slipway.rows": len(rows)}
            )
            try:
                return call(rows, *rest)
            except Exception as problem:
                span.set_attribute("error.type", type(problem).__qualname__)
                span.set_status(StatusCode.ERROR)
                raise
            finally:
                span.end()

        return traced  # type: ignore[return-value]  # takes and gives what the call does

    def close(self) -> None:
        """See `Tracer.close`."""
        self._queue.shutdown()


class _Queue(SpanProcessor):  # type: ignore[misc]  # it is untyped here
    """Ended spans, at most so many, and the thread that sends them."""

    def __init__(
        self,
        exporter: SpanExporter,
        sent: Callable[[int], None],
        dropped: Callable[[int], None],
        lost: Callable[[int], None],
    ) -> None:
        self._exporter = exporter
        self._sent, self._dropped, self._lost = sent, dropped, lost
        self._most = _number("OTEL_BSP_MAX_QUEUE_SIZE", _QUEUE_SPANS)
        self._delay_s = _number("OTEL_BSP_SCHEDULE_DELAY", _DELAY_MS) / 1000
        self._spans: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._complained_at = -_COMPLAIN_EVERY_S
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Take an ended span, without waiting."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._closing or len(self._spans) >= self._most:
            self._dropped(1)
            return
        self._spans.append(span)
        if len(self._spans) >= min(_BATCH_SPANS, self._most // 2):
            self._wake.set()

    def shutdown(self) -> None:
        """Send what waits, for a moment."""
        self._closing = True
        self._wake.set()
        self._thread.join(_CLOSE_WITHIN_S)
        self._exporter.shutdown()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._delay_s)
            self._wake.clear()
            closing = self._closing
            while self._spans:
                self._send([self._spans.popleft() for _ in range(min(len(self._spans), _BATCH_SPANS))])
            if closing:
                return

    def _send(self, spans: list[ReadableSpan]) -> None:
        try:
            is_sent = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:
            _logger.exception("Spans could not be exported.")
            is_sent = False
        (self._sent if is_sent else self._lost)(len(spans))
        if not is_sent and time.monotonic() - self._complained_at > _COMPLAIN_EVERY_S:
            self._complained_at = time.monotonic()
            _logger.error("%d spans could not be sent to the receiver of traces; requests are not held up.", len(spans))


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() and int(text) else default
