"""Hour by hour, whether callers of an endpoint got results: from what its health keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from slipway.errors import InvalidInput
from slipway.flows.endpoints import folder_of, revision_of
from slipway.flows.health import read_state, service_monitor
from slipway.operations.health import AskHours, ServiceHour, ServiceHours
from slipway.ports.workspace import Workspace
from slipway.records.health import Counted

__all__ = ["service_hours"]

_MOST = 30 * 24
_MOSTLY = 0.5


def service_hours(workspace: Workspace, request: AskHours) -> ServiceHours:
    """What was counted in each of the last hours.

    Raises:
        NotFound: Nothing was ever deployed there.
        InvalidInput: So many hours are not kept.
    """
    if not 0 < request.hours <= _MOST:
        raise InvalidInput(f"{request.hours} hours are not kept.", fix=f"Give 1 to {_MOST}.", field="hours")
    revision = revision_of(workspace, request.name)
    if service_monitor(revision) is None or revision.batch is not None:
        return ServiceHours(endpoint=request.name)
    state = read_state(folder_of(workspace, request.name))
    if not state.hours:
        return ServiceHours(endpoint=request.name)
    now = workspace.clock.now() if revision.simulation else datetime.now(UTC)
    last = int(now.timestamp() // 3600)
    places = range(last - request.hours + 1, last + 1)
    return ServiceHours(
        endpoint=request.name, hours=tuple(_hour(place, state.hours.get(place, Counted())) for place in places)
    )


def _hour(place: int, counted: Counted) -> ServiceHour:
    begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=place)
    return ServiceHour(at=begin, state=_state(counted), counted=counted)


def _state(counted: Counted) -> Literal["answered", "some failed", "no results", "asleep", "not watched"]:
    if counted.requests:
        share = counted.bad / counted.requests
        return "no results" if share > _MOSTLY else "some failed" if share > 0.0 else "answered"
    if counted.down_s > _MOSTLY * counted.watched_s or (counted.probes and counted.failed == counted.probes):
        return "no results" if counted.watched_s or counted.probes else "not watched"
    if counted.down_s or counted.failed:
        return "some failed"
    return "asleep" if counted.watched_s or counted.probes else "not watched"
