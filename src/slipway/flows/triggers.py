"""What makes a model be trained again, a table be synced, or a pipeline run: `sw.cron(...)` and the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slipway.errors import InvalidDeclaration
from slipway.records.loop import TriggerSpec
from slipway.records.plugged import Value
from slipway.records.schedules import ScheduleTrigger
from slipway.schema.plugged import plugged
from slipway.schema.schedules import check_schedule

__all__ = [
    "Trigger",
    "cron",
    "custom_trigger",
    "degraded",
    "new_labels",
    "on_hook",
    "on_incident",
    "on_push",
    "on_table",
]


@dataclass(frozen=True, slots=True)
class Trigger:
    """What asks for something: `sw.cron(...)`, `sw.degraded`, `sw.on_table(...)` and so on."""

    spec: TriggerSpec | ScheduleTrigger


def cron(expression: str, *, timezone: str = "UTC") -> Trigger:
    """Fixed times: for a retraining, the sync of a table, or the run of a pipeline.

    Where daylight saving leaves an hour out, what was to begin in it begins at the next moment that there is, once; what
    lies in an hour that occurs twice begins once, the first time.

    Args:
        expression: Five fields: minute, hour, day of the month, month, weekday: "0 3 1 * *" is 03:00 on the first.
        timezone: The IANA name of the zone in which they are read: "America/New_York".

    Raises:
        InvalidDeclaration: It is no cron expression, or no such zone.
    """
    check_schedule(expression, timezone)
    return Trigger(TriggerSpec(kind="schedule", cron=expression, timezone=timezone))


degraded = Trigger(TriggerSpec(kind="degraded"))
"""Ask for a retraining while an incident of a quality, estimated quality or KPI monitor is open. Drift alone is no reason."""


def new_labels(count: int) -> Trigger:
    """Ask for a retraining once so many labels came since the last one began, or since the endpoint began to serve.

    Args:
        count: How many answered rows, at least 1.

    Raises:
        InvalidDeclaration: It is no such number.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InvalidDeclaration(
            f"sw.new_labels was given {count!r}.", fix="Give a whole number of labels: sw.new_labels(1000)."
        )
    return Trigger(TriggerSpec(kind="labels", labels=count))


def custom_trigger(plugin: str, **options: Value) -> Trigger:
    """Run, or train again, when an installed plug-in tells of something new: see docs/plug-ins.md.

    Each occasion that it names starts once what waits for it, one that was there at the first look too.

    Args:
        plugin: The name under which its package installed it.
        **options: Its keyword arguments.

    Raises:
        InvalidDeclaration: It is no name of a plug-in, or an option is no plain value.
        NotFound: No installed package brings one of that name.

    Example:
        `sw.Schedule(nightly, when=[sw.custom_trigger("file_arrived", path="/data/drop/orders.csv")])`
    """
    return Trigger(TriggerSpec(kind="custom", custom=plugged("trigger", plugin, options)))


def on_table(table: object) -> Trigger:
    """Run when a table gets a new version: rows come, or it is altered or merged. Work on a branch does not count.

    Args:
        table: The table, or its name.

    Raises:
        InvalidDeclaration: It is neither.
    """
    name = table if isinstance(table, str) else getattr(table, "name", None)
    return Trigger(ScheduleTrigger(kind="table", table=_text("on_table", name, table, "'flights'")))


def on_incident(endpoint: object) -> Trigger:
    """Run when an incident opens.

    Args:
        endpoint: The endpoint, or its name; "table:flights" for the incidents of a table's syncs.

    Raises:
        InvalidDeclaration: It is neither.
    """
    name = endpoint if isinstance(endpoint, str) else getattr(endpoint, "name", None)
    return Trigger(ScheduleTrigger(kind="incident", endpoint=_text("on_incident", name, endpoint, "'flight-delays'")))


def on_push(branch: str, *, repository: str = "") -> Trigger:
    """Run when a branch of a git repository moves: the pushed code runs, not the code that was applied.

    Args:
        branch: Its name.
        repository: A folder on the server or a URL that git can read without asking anything; "" for the repository in
            which the project lay when the schedule was applied. The server looks over the network only for a URL.

    Raises:
        InvalidDeclaration: They cannot be such names.
    """
    name = _text("on_push", branch, branch, "'main'")
    if not isinstance(repository, str) or repository.startswith("-") or name.startswith("-") or " " in name:
        raise InvalidDeclaration(
            f"sw.on_push was given the branch {branch!r} of {repository!r}.",
            fix="Give a branch's name, and a folder or URL: sw.on_push('main', repository='https://git.example.org/flights.git').",
        )
    return Trigger(ScheduleTrigger(kind="push", branch=name, repository=repository))


def on_hook(params: Sequence[str] = ()) -> Trigger:
    """Run when an HTTP request asks for it, with the secret that `slipway schedules hook NAME` makes.

    Args:
        params: The pipeline's parameters that the request may set; it may set no others.

    Raises:
        InvalidDeclaration: It is no list of names.
    """
    if not isinstance(params, list | tuple) or not all(isinstance(name, str) and name for name in params):
        raise InvalidDeclaration(
            f"sw.on_hook was given {params!r} as the parameters that a request may set.",
            fix="Give a list of names: sw.on_hook(params=['until']).",
        )
    return Trigger(ScheduleTrigger(kind="hook", params=tuple(params)))


def _text(function: str, name: object, given: object, example: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise InvalidDeclaration(f"sw.{function} was given {given!r}.", fix=f"Give a name: sw.{function}({example}).")
    return name
