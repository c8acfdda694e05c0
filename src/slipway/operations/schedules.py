"""Pipelines that run by themselves."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from slipway.operations.declare import Operation
from slipway.records.monitors import Incident
from slipway.records.schedules import Firing, Schedule

__all__ = [
    "Fire",
    "Fired",
    "GetSchedule",
    "Hook",
    "ListSchedules",
    "MakeHook",
    "Next",
    "PauseSchedule",
    "ResumeSchedule",
    "ScheduleDetail",
    "ScheduleRow",
    "Schedules",
    "operations",
]


class ListSchedules(Struct, frozen=True, kw_only=True):
    """Whether those that are declared no more are told too."""

    withdrawn: bool = False


class ScheduleRow(Struct, frozen=True, kw_only=True):
    """A schedule at a glance.

    Args:
        schedule: As it stands.
        last: Its newest firing.
        next_at: The next time of its clocks.
        incident: What is wrong, "" for nothing.
    """

    schedule: Schedule
    last: Firing | None = None
    next_at: datetime | None = None
    incident: str = ""


class Schedules(Struct, frozen=True, kw_only=True):
    """Schedules of the environment, by name."""

    schedules: tuple[ScheduleRow, ...]


class GetSchedule(Struct, frozen=True, kw_only=True):
    """Which schedule, how many of its firings, and how many next times of its clocks."""

    name: str
    limit: int = 50
    next: int = 5


class Next(Struct, frozen=True, kw_only=True):
    """A time at which a schedule will fire: in UTC, in words of its own zone, and by which trigger."""

    at: datetime
    local: str
    trigger: str


class ScheduleDetail(Struct, frozen=True, kw_only=True):
    """A schedule with its firings, newest first, its next times and its open incidents."""

    schedule: Schedule
    firings: tuple[Firing, ...] = ()
    next: tuple[Next, ...] = ()
    incidents: tuple[Incident, ...] = ()


class PauseSchedule(Struct, frozen=True, kw_only=True):
    """Which schedule fires no more for now, and why."""

    name: str
    reason: str = ""


class ResumeSchedule(Struct, frozen=True, kw_only=True):
    """Which schedule fires again."""

    name: str


class Fire(Struct, frozen=True, kw_only=True):
    """Run a schedule's pipeline now.

    Args:
        name: The schedule.
        params: Parameters of the pipeline, in place of the declared ones.
        key: The same key again is the same firing; each call is one of its own when missing.
        reason: Why; it is kept.
    """

    name: str
    params: dict[str, Any] = {}
    key: str = ""
    reason: str = ""


class Fired(Struct, frozen=True, kw_only=True):
    """The firing, and whether this call made it."""

    firing: Firing
    is_new: bool = True


class MakeHook(Struct, frozen=True, kw_only=True):
    """Of which schedule."""

    name: str


class Hook(Struct, frozen=True, kw_only=True):
    """Where requests go, and the secret, which is told this once."""

    path: str
    secret: str
    edition: int


operations = (
    Operation(
        name="schedules.list",
        summary="List schedules: what makes pipelines run, what ran last, what is next.",
        permission="schedules.read",
        request=ListSchedules,
        response=Schedules,
        body="slipway.flows.schedules:list_schedules",
    ),
    Operation(
        name="schedules.get",
        summary="Show one schedule: its triggers, its firings, its next times.",
        permission="schedules.read",
        request=GetSchedule,
        response=ScheduleDetail,
        body="slipway.flows.schedules:get_schedule",
    ),
    Operation(
        name="schedules.pause",
        summary="Pause a schedule; what runs runs on.",
        permission="schedules.write",
        request=PauseSchedule,
        response=ScheduleDetail,
        body="slipway.flows.schedules:pause",
        changes=True,
    ),
    Operation(
        name="schedules.resume",
        summary="Let a paused schedule fire again.",
        permission="schedules.write",
        request=ResumeSchedule,
        response=ScheduleDetail,
        body="slipway.flows.schedules:resume",
        changes=True,
    ),
    Operation(
        name="schedules.fire",
        summary="Run a schedule's pipeline now.",
        permission="schedules.write",
        request=Fire,
        response=Fired,
        body="slipway.loop.schedules:fire_by_hand",
        changes=True,
    ),
    Operation(
        name="schedules.hook",
        summary="Make the secret with which requests may fire a schedule; a former one is void.",
        permission="schedules.write",
        request=MakeHook,
        response=Hook,
        body="slipway.loop.hooks:make_hook",
        changes=True,
    ),
)
