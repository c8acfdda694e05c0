"""Service health: whether endpoints answer, apart from whether their answers are good."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.health import Counted, Health

__all__ = ["AllHealth", "AskHealth", "AskHours", "ServiceHour", "ServiceHours", "operations"]


class AskHealth(Struct, frozen=True, kw_only=True):
    """Of which endpoint."""

    name: str


class AllHealth(Struct, frozen=True, kw_only=True):
    """That of every endpoint that promises something, by name."""

    endpoints: tuple[Health, ...]


class AskHours(Struct, frozen=True, kw_only=True):
    """Of which endpoint, and how many of its last hours; at most 720 are kept."""

    name: str
    hours: int = 24


class ServiceHour(Struct, frozen=True, kw_only=True):
    """One hour.

    Args:
        at: When it begins.
        state: "answered": what was promised; "some failed": a share of the requests got no result, within the promise or
            not; "no results": nothing answered, or most requests got none; "asleep": nobody asked; "not watched".
        counted: What was counted.
    """

    at: datetime
    state: Literal["answered", "some failed", "no results", "asleep", "not watched"]
    counted: Counted


class ServiceHours(Struct, frozen=True, kw_only=True):
    """Hours, the oldest first; none where nothing is promised or nobody has watched."""

    endpoint: str
    hours: tuple[ServiceHour, ...] = ()


operations = (
    Operation(
        name="endpoints.health",
        summary="Say whether an endpoint answers, why not, and what is left of its budget.",
        permission="endpoints.read",
        request=AskHealth,
        response=Health,
        body="slipway.flows.health:get_health",
    ),
    Operation(
        name="endpoints.all_health",
        summary="Say of every endpoint that promises something whether it answers.",
        permission="endpoints.read",
        request=Empty,
        response=AllHealth,
        body="slipway.flows.health:list_health",
    ),
    Operation(
        name="endpoints.health_hours",
        summary="Show hour by hour whether callers of an endpoint got results.",
        permission="endpoints.read",
        request=AskHours,
        response=ServiceHours,
        body="slipway.flows.service_hours:service_hours",
    ),
)
