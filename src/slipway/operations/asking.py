"""What a person asks of an endpoint from a page: one prediction, and how its traffic ran."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from slipway.operations.declare import Operation

__all__ = ["AskEndpoint", "AskTraffic", "EndpointAnswer", "GetSample", "SampleRow", "Span", "Traffic", "operations"]


class AskEndpoint(Struct, frozen=True, kw_only=True):
    """Ask an endpoint for one prediction. It is a request like any other: it is counted, and logged as its log says.

    Args:
        name: The endpoint.
        row: The request's fields.
        explain: How many contributions are told, the greatest first; 0 for no explanation.
        token: The asker's token, where the endpoint answers to known callers. It is kept nowhere.
    """

    name: str
    row: dict[str, Any]
    explain: int = 0
    token: str = ""


class EndpointAnswer(Struct, frozen=True, kw_only=True):
    """What the endpoint answered.

    Args:
        body: Its answer, as it sent it.
        took_ms: From sending the request until the answer was whole, in milliseconds.
        at: Machine time when it was asked.
    """

    body: dict[str, Any]
    took_ms: float
    at: datetime


class GetSample(Struct, frozen=True, kw_only=True):
    """A row to try: of which endpoint, and which of the rows that lie in its bundle, counted from 0."""

    name: str
    place: int = 0


class SampleRow(Struct, frozen=True, kw_only=True):
    """A row of the sample by which the bundle is proven.

    Args:
        row: The contract's fields whose values the model was shown; personal values are hidden from who may not see them.
        rows: How many rows there are.
    """

    row: dict[str, Any]
    rows: int


class AskTraffic(Struct, frozen=True, kw_only=True):
    """How an endpoint's traffic ran.

    Args:
        name: The endpoint.
        days: How many days back, from its last answer: 1 to 92.
    """

    name: str
    days: int = 28


class Span(Struct, frozen=True, kw_only=True):
    """What one arm answered in an hour or a day.

    Args:
        since: When the span begins.
        arm: "champion", "challenger", or an A/B test's arm.
        rows: Answered rows that were logged; where a share is logged, estimated from it.
        fallback: Of them, those that the fallback answered.
        failed: Rows that got no answer.
        p50_ms: The median time that features and model took, in milliseconds; None where nobody measured.
        p95_ms: The 95th percentile.
        p99_ms: The 99th percentile.
    """

    since: datetime
    arm: str
    rows: int
    fallback: int = 0
    failed: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class Traffic(Struct, frozen=True, kw_only=True):
    """An endpoint's traffic by span and arm, oldest first. By decision time; what was logged, and no more.

    Args:
        unit: "hour" or "day".
        spans: One a span and arm.
        rows: All rows of them.
        since: Where the first span begins, None without any.
        until: The last decision time.
    """

    unit: str
    spans: tuple[Span, ...]
    rows: int = 0
    since: datetime | None = None
    until: datetime | None = None


operations = (
    Operation(
        name="endpoints.ask",
        summary="Ask an endpoint for one prediction, as a caller would.",
        permission="endpoints.predict",
        request=AskEndpoint,
        response=EndpointAnswer,
        body="slipway.flows.ask_endpoint:ask",
        changes=True,
    ),
    Operation(
        name="endpoints.sample",
        summary="Show a row to try an endpoint with, out of the sample by which its bundle is proven.",
        permission="tables.read",
        request=GetSample,
        response=SampleRow,
        body="slipway.flows.ask_endpoint:sample",
    ),
    Operation(
        name="endpoints.traffic",
        summary="Show how many rows an endpoint answered, how fast, and by which arm, hour by hour or day by day.",
        permission="endpoints.read",
        request=AskTraffic,
        response=Traffic,
        body="slipway.flows.endpoint_traffic:traffic",
    ),
)
