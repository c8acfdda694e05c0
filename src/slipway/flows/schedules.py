"""Schedules of pipelines as people see them: published, listed, shown, paused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from slipway.errors import Conflict, InvalidDeclaration, InvalidInput, NotFound, near
from slipway.flows import repositories
from slipway.flows.endpoint import Endpoint
from slipway.flows.schedule import Schedule as Declared
from slipway.ids import check_name, new_id
from slipway.ledger import entries, events
from slipway.operations.declare import check_allowed
from slipway.operations.schedules import (
    GetSchedule,
    ListSchedules,
    Next,
    PauseSchedule,
    ResumeSchedule,
    ScheduleDetail,
    ScheduleRow,
    Schedules,
)
from slipway.pipelines.declare import Pipeline
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.declarations import declared_id
from slipway.records.monitors import Incident
from slipway.records.schedules import Firing, Mark, Schedule, ScheduleSpec, ScheduleTrigger
from slipway.schema.schedules import next_times, trigger_in_words
from slipway.tables.catalog import HEAD

__all__ = [
    "HOOK",
    "declare_schedules",
    "get_schedule",
    "known",
    "list_schedules",
    "named",
    "parent_of",
    "pause",
    "resume",
    "schedule_of",
]

_APPLY = "schedules.apply"
_WRITE = "schedules.write"
_MOST_NEXT = 100

HOOK = "hook"
"""The kind of the references, of no project, that name the schedule of each hook."""


def parent_of(workspace: Workspace) -> str:
    """What a workspace's schedules belong to: each environment has its own."""
    return f"{workspace.project}/{workspace.environment}"


def named(variables: Mapping[str, object]) -> dict[str, Declared]:
    """The schedules among a module's variables, by name: their own, else the variable's.

    Raises:
        InvalidDeclaration: Two share a name.
    """
    found: dict[str, Declared] = {}
    for variable, value in variables.items():
        if isinstance(value, Declared):
            name = value.name or variable.strip("_").replace("_", "-").lower()
            if found.setdefault(name, value) is not value:
                raise InvalidDeclaration(f"Two schedules are called {name!r}.", fix="Give one of them another name.")
    return found


def declare_schedules(
    workspace: Workspace,
    schedules: Mapping[str, Declared],
    *,
    snapshot: str,
    folder: Path,
    pipelines: Mapping[str, Pipeline[..., object]],
    endpoints: Collection[Endpoint] = (),
    tables: Collection[str] = (),
) -> list[Schedule]:
    """Publish what a project declares: from now on the server runs it. One that is declared no more is withdrawn.

    What was looked at already stays so; a trigger that is new begins now, and nothing from before is caught up.

    Args:
        workspace: Where.
        schedules: By name.
        snapshot: The digest of the project snapshot that shall run.
        folder: The project's folder.
        pipelines: The project's pipelines by name.
        endpoints: The project's endpoints.
        tables: The project's tables, by name.

    Raises:
        Denied: The actor may not.
        NotFound: A trigger names a table, endpoint or branch that is not there.
        InvalidDeclaration: A pipeline is not among the project's own.
        Unavailable: A repository cannot be read.
    """
    check_allowed(workspace, _APPLY, _WRITE)
    specs = {name: _spec(name, declared, pipelines, endpoints) for name, declared in schedules.items()}
    own = repositories.around(folder)
    heads = _checked(workspace, specs, own, endpoints, tables)
    now = workspace.clock.now()
    with workspace.ledger.write() as tx:
        seq = events.record(tx, workspace, _APPLY, f"project:{workspace.project}", schedules=sorted(specs))
        made = []
        for name, spec in specs.items():
            id = declared_id(workspace.project, workspace.environment, name)
            fresh = Schedule(
                id=id,
                project=workspace.project,
                name=name,
                created_at=now,
                parent_id=parent_of(workspace),
                spec=spec,
                snapshot=snapshot,
                applied_at=now,
                repository=own.repository,
                prefix=own.prefix,
            )
            present = entries.get(tx, Schedule, id) if tx.get(entries.kind_of(Schedule), id) is not None else None
            made.append(_put(tx, fresh, present, now, seq, heads))
        for one in list(entries.every(tx, Schedule, parent=parent_of(workspace))):
            if one.name not in specs and one.state != "withdrawn":
                entries.put(tx, replace(one, state="withdrawn"))
    return made


def _spec(
    name: str,
    declared: Declared,
    pipelines: Mapping[str, Pipeline[..., object]],
    endpoints: Collection[Endpoint],
) -> ScheduleSpec:
    check_name(name, "schedule")
    if pipelines.get(declared.pipeline.name) is not declared.pipeline:
        raise InvalidDeclaration(
            f"The schedule {name!r} runs {declared.pipeline.name!r}, which the project's module does not declare.",
            fix=near(declared.pipeline.name, pipelines, what="pipelines there"),
        )
    return declared.spec(_fed(endpoints, declared.pipeline))


def _checked(
    workspace: Workspace,
    specs: Mapping[str, ScheduleSpec],
    own: repositories.Place,
    endpoints: Collection[Endpoint],
    tables: Collection[str],
) -> dict[tuple[str, str], str]:
    """Look whether everything is there that triggers name; returns where each branch is, by schedule and trigger."""
    with workspace.ledger.read() as tx:
        known_tables = {*tables, *tx.refs(workspace.project, HEAD)}
        known_endpoints = {*(one.name for one in endpoints), *tx.refs(workspace.project, "endpoint")}
    heads: dict[tuple[str, str], str] = {}
    for name, spec in specs.items():
        for trigger in spec.when:
            _check_trigger(workspace, name, trigger, known_tables, known_endpoints)
            if trigger.kind == "push":
                place = repositories.Place(trigger.repository or own.repository, own.prefix)
                heads[name, trigger_in_words(trigger)] = _head(place, trigger.branch, name)
    return heads


def _put(
    tx: WriteTransaction,
    fresh: Schedule,
    former: Schedule | None,
    now: datetime,
    seq: int,
    heads: Mapping[tuple[str, str], str],
) -> Schedule:
    is_going_on = former is not None and former.state != "withdrawn"
    marks = {}
    for trigger in fresh.spec.when:
        words = trigger_in_words(trigger)
        if former is not None and is_going_on and words in former.marks:
            marks[words] = former.marks[words]
        elif trigger.kind != "hook":
            seen = heads.get((fresh.name, words), "")
            marks[words] = Mark(at=now, seq=seq, seen=seen, count=seq, known=_incidents(tx, fresh.project, trigger))
    is_hooked = any(trigger.kind == "hook" for trigger in fresh.spec.when)
    new = replace(fresh, marks=marks, hook=new_id() if is_hooked else "")
    if former is not None:
        kept = {"created_at": former.created_at, "hook_edition": former.hook_edition}
        if former.snapshot == fresh.snapshot:
            kept["applied_at"] = former.applied_at
        if is_hooked and former.hook:
            kept |= {"hook": former.hook, "hook_secret": former.hook_secret}
        if is_going_on:
            kept |= {"state": former.state, "paused_by": former.paused_by, "paused_at": former.paused_at}
            kept |= {"reason": former.reason}
        new = replace(new, **kept)
    if new != former:
        entries.put(tx, new)
    if new.hook and tx.ref("", HOOK, new.hook) is None:
        tx.set_ref("", HOOK, new.hook, new.id, expect=None)
    return new


def _incidents(tx: ReadTransaction, project: str, trigger: ScheduleTrigger) -> tuple[str, ...]:
    if trigger.kind != "incident":
        return ()
    return tuple(one.id for one in entries.find(tx, Incident, parent=f"{project}/{trigger.endpoint}", limit=100))


def _fed(endpoints: Collection[Endpoint], pipeline: Pipeline[..., object]) -> str:
    """The endpoint that a pipeline feeds, "" for none or several: then its model has the pipeline's name."""
    fed = [one.name for one in endpoints if one.pipeline is pipeline]
    return fed[0] if len(fed) == 1 else ""


def _check_trigger(
    workspace: Workspace, name: str, trigger: ScheduleTrigger, tables: Collection[str], endpoints: Collection[str]
) -> None:
    if trigger.kind == "table":
        owner, _, table = trigger.table.rpartition("/")
        known: Collection[str] = tables
        if owner:
            with workspace.ledger.read() as tx:
                known = set(tx.refs(owner, HEAD))
        if table not in known:
            raise NotFound(
                f"The schedule {name!r} waits for the table {trigger.table!r}, which there is not.",
                fix=near(table, known, what="tables"),
            )
    if trigger.kind == "incident":
        kind, _, table = trigger.endpoint.rpartition(":")
        known = tables if kind == "table" else endpoints
        if table not in known or kind not in ("", "table"):
            raise NotFound(
                f"The schedule {name!r} waits for incidents of {trigger.endpoint!r}, which there is not.",
                fix=near(table, known, what="tables" if kind == "table" else "endpoints"),
            )


def _head(place: repositories.Place, branch: str, name: str) -> str:
    if not place.repository:
        raise NotFound(
            f"The schedule {name!r} waits for pushes to {branch!r}, but the project lies in no git repository.",
            fix="Name one: sw.on_push('main', repository='https://git.example.org/flights.git').",
        )
    found = repositories.head(place, branch)
    if not found:
        raise NotFound(
            f"The schedule {name!r} waits for pushes to {branch!r}, a branch that {place.repository!r} does not have.",
            fix="Push it once, or correct its name in sw.on_push(...).",
        )
    return found


def known(workspace: Workspace) -> list[Schedule]:
    """The schedules of the workspace's environment, by name, those withdrawn too."""
    with workspace.ledger.read() as tx:
        return sorted(entries.every(tx, Schedule, parent=parent_of(workspace)), key=lambda one: one.name)


def schedule_of(workspace: Workspace, name: str) -> Schedule:
    """A schedule by name.

    Raises:
        NotFound: There is none.
    """
    with workspace.ledger.read() as tx:
        return _schedule(tx, workspace, name)


def _schedule(tx: ReadTransaction, workspace: Workspace, name: str) -> Schedule:
    id = declared_id(workspace.project, workspace.environment, name)
    if tx.get(entries.kind_of(Schedule), id) is None:
        names = [one.name for one in entries.every(tx, Schedule, parent=parent_of(workspace))]
        raise NotFound(
            f"There is no schedule {name!r} in {workspace.project!r} ({workspace.environment}).",
            fix=near(name, names, what="schedules") + " Publish what is declared: slipway schedules apply",
        )
    return entries.get(tx, Schedule, id)


def list_schedules(workspace: Workspace, request: ListSchedules) -> Schedules:
    """The schedules of the environment, with their last and next firings."""
    now = workspace.clock.now()
    rows = []
    for one in known(workspace):
        if one.state == "withdrawn" and not request.withdrawn:
            continue
        with workspace.ledger.read() as tx:
            last = entries.find(tx, Firing, parent=one.id, limit=1)
            incidents = _open(tx, one)
        following = _next(one, now, 1)
        rows.append(
            ScheduleRow(
                schedule=_shown(one),
                last=last[0] if last else None,
                next_at=following[0].at if following else None,
                incident=incidents[0].sentence if incidents else "",
            )
        )
    return Schedules(schedules=tuple(rows))


def get_schedule(workspace: Workspace, request: GetSchedule) -> ScheduleDetail:
    """One schedule: what is declared, its firings newest first, its next times.

    Raises:
        NotFound: There is none.
        InvalidInput: More next times are asked for than are told.
    """
    if not 0 <= request.next <= _MOST_NEXT:
        raise InvalidInput(
            f"{request.next} next times were asked for.", fix=f"Ask for at most {_MOST_NEXT}.", field="next"
        )
    with workspace.ledger.read() as tx:
        found = _schedule(tx, workspace, request.name)
        firings = entries.find(tx, Firing, parent=found.id, limit=max(1, min(request.limit, 1000)))
        incidents = _open(tx, found)
    return ScheduleDetail(
        schedule=_shown(found),
        firings=tuple(firings),
        next=tuple(_next(found, workspace.clock.now(), request.next)),
        incidents=tuple(incidents),
    )


def _shown(schedule: Schedule) -> Schedule:
    """Without what only the server needs."""
    return replace(schedule, hook_secret="")


def _open(tx: ReadTransaction, schedule: Schedule) -> list[Incident]:
    parent = f"{schedule.project}/schedule:{schedule.name}"
    return entries.find(tx, Incident, parent=parent, state="open", limit=10)


def _next(schedule: Schedule, now: datetime, count: int) -> list[Next]:
    """The next times of a schedule's clocks, in order; none while it is not active."""
    if schedule.state != "active":
        return []
    found = []
    for trigger in schedule.spec.when:
        if trigger.kind == "cron":
            begin = max(now, schedule.marks[trigger_in_words(trigger)].at) if schedule.marks else now
            for at in next_times(trigger.cron, trigger.timezone, begin, count=count):
                words = trigger_in_words(trigger)
                found.append(Next(at=at.astimezone(UTC), local=f"{at:%a %Y-%m-%d %H:%M %Z}", trigger=words))
    return sorted(found, key=lambda one: one.at)[:count]


def pause(workspace: Workspace, request: PauseSchedule) -> ScheduleDetail:
    """Pause a schedule: nothing fires by itself until it is resumed. What runs runs on; one that is paused stays so.

    Raises:
        NotFound: There is none.
        Conflict: It is declared no more.
    """
    with workspace.ledger.write() as tx:
        found = _declared(tx, workspace, request.name)
        if found.state == "active":
            told = {"paused_by": workspace.actor, "paused_at": workspace.clock.now(), "reason": request.reason.strip()}
            entries.put(tx, replace(found, state="paused", **told))
            events.record(tx, workspace, "schedules.pause", f"schedule:{found.id}", reason=request.reason.strip())
    return get_schedule(workspace, GetSchedule(name=request.name))


def resume(workspace: Workspace, request: ResumeSchedule) -> ScheduleDetail:
    """Let a paused schedule fire again; one that is active stays so. What happened meanwhile is not caught up.

    Raises:
        NotFound: There is none.
        Conflict: It is declared no more.
        Unavailable: A repository cannot be read.
    """
    present = schedule_of(workspace, request.name)
    heads = {
        trigger_in_words(trigger): repositories.head(repositories.place_of(trigger, present), trigger.branch)
        for trigger in present.spec.when
        if trigger.kind == "push" and present.state == "paused"
    }
    with workspace.ledger.write() as tx:
        found = _declared(tx, workspace, request.name)
        if found.state == "paused":
            seq = events.record(tx, workspace, "schedules.resume", f"schedule:{found.id}")
            marks = _marks_now(tx, found, found.spec, workspace.clock.now(), seq, heads)
            entries.put(tx, replace(found, state="active", paused_by=None, paused_at=None, reason="", marks=marks))
    return get_schedule(workspace, GetSchedule(name=request.name))


def _declared(tx: ReadTransaction, workspace: Workspace, name: str) -> Schedule:
    found = _schedule(tx, workspace, name)
    if found.state == "withdrawn":
        raise Conflict(
            f"The schedule {name!r} is declared no more.",
            fix="Declare it in the project's module, and publish it: slipway schedules apply",
        )
    return found


def _marks_now(
    tx: ReadTransaction, found: Schedule, spec: ScheduleSpec, now: datetime, seq: int, heads: Mapping[str, str]
) -> dict[str, Mark]:
    marks: dict[str, Mark] = {}
    for trigger in spec.when:
        words = trigger_in_words(trigger)
        if (former := found.marks.get(words)) is not None:
            seen, ids = heads.get(words, former.seen), _incidents(tx, found.project, trigger)
            at = max(former.at, now) if trigger.kind == "cron" else now
            marks[words] = Mark(at=at, seq=seq, seen=seen, count=former.count, known=ids)
    return marks
