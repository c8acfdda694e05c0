"""Schedules of pipelines: what is due fires once, what fires runs once, what failed opens an incident."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from typing import Any

from msgspec.structs import replace as changed

from slipway.errors import Conflict, SlipwayError
from slipway.flows import repositories
from slipway.flows.schedules import known, parent_of, schedule_of
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.loop import CONTROLLER, firings
from slipway.loop.occasions import Moved, Occasion, occasions
from slipway.operations.schedules import Fire, Fired
from slipway.pipelines.given import fitting
from slipway.ports.workspace import Workspace
from slipway.records.schedules import Firing, Schedule
from slipway.schema.plugged import occasion_of
from slipway.schema.schedules import trigger_in_words

__all__ = ["BY_HAND", "fire_by_hand", "pass_over_schedules", "running_firings", "settle_firings"]

BY_HAND = "by hand"
_KEPT_FOLDERS = 20


def pass_over_schedules(workspace: Workspace) -> list[str]:
    """Bring each schedule one step further; returns what was done, a sentence each.

    Raises:
        BackendError: No process can be started, or a repository cannot be read. The other schedules have had their turn.
    """
    done: list[str] = []
    problems: list[SlipwayError] = []
    for schedule in known(workspace):
        try:
            done += _schedule(workspace, schedule)
        except SlipwayError as problem:
            problems.append(problem)
    if problems:
        for other in problems[1:]:
            workspace.say(str(other))
        raise problems[0]
    return done


def running_firings(workspace: Workspace) -> list[Firing]:
    """The firings under way in the workspace's environment."""
    with workspace.ledger.read() as tx:
        found = entries.every(tx, Firing, project=workspace.project, state="started")
        return [one for one in found if one.parent_id.startswith(f"{parent_of(workspace)}/")]


def settle_firings(workspace: Workspace) -> None:
    """Wait until the firings under way have ended, so that machine time decides nothing."""
    for schedule in known(workspace):
        firings.settle(workspace, schedule.id)


def _schedule(workspace: Workspace, schedule: Schedule) -> list[str]:
    done = []
    for one in firings.started(workspace, schedule.id):
        if told := firings.absorb(workspace, one):
            done.append(told)
            _tidy(workspace, one)
    problem: SlipwayError | None = None
    if schedule.state == "active":
        try:
            done += decide(workspace, schedule)
        except SlipwayError as raised:  # a repository that cannot be read keeps nothing else from its start
            problem = raised
    done += firings.start_due(workspace, schedule.id)
    if problem is not None:
        raise problem
    return done


def decide(workspace: Workspace, schedule: Schedule) -> list[str]:
    """Write down the firings of all occasions that nobody has looked at; they and the marks are one write."""
    moved, problem = _moved(workspace, schedule)
    now = workspace.clock.now()
    with workspace.ledger.read() as tx:  # most looks find nothing, and keep nobody else from writing
        is_news = occasions(tx, schedule, now, moved) != ([], schedule.marks)
    told = _written(workspace, schedule.id, moved) if is_news else []
    if problem is not None:
        raise problem
    return told


def _written(workspace: Workspace, id: str, moved: Mapping[str, Moved]) -> list[str]:
    now, told = workspace.clock.now(), []
    with workspace.ledger.write() as tx:
        present = entries.get(tx, Schedule, id)
        if present.state != "active":
            return []
        new, marks = occasions(tx, present, now, moved)
        for occasion in new:
            one = firings.firing_of(present, occasion, now)
            if tx.get(entries.kind_of(Firing), one.id) is not None:  # fired when a clock was ahead
                continue
            entries.put(tx, one, expect=0)
            why = {"firing": one.id, "trigger": one.trigger, "occasion": one.occasion}
            events.record(tx, workspace, "schedules.fire", f"schedule:{present.id}", **why)
            told.append(f"{one.name}: {one.state} ({one.trigger})")
        if marks != present.marks:
            entries.put(tx, changed(present, marks=marks))
    return told


def _moved(workspace: Workspace, schedule: Schedule) -> tuple[dict[str, Moved], SlipwayError | None]:
    """The branches that are elsewhere than they are marked, each with the project's snapshot there; what plug-ins tell of."""
    found: dict[str, Moved] = {}
    problem: SlipwayError | None = None
    for trigger in schedule.spec.when:
        if trigger.kind not in ("push", "custom"):
            continue
        words = trigger_in_words(trigger)
        mark = schedule.marks[words]
        try:
            if trigger.custom is not None:
                name = occasion_of(trigger.custom, workspace.clock.now())
                if name and name != mark.seen:
                    found[words] = Moved(mark=mark, commit=name, snapshot="")
                continue
            where = repositories.place_of(trigger, schedule)
            if not repositories.is_time(workspace, where):
                continue
            commit = repositories.head(where, trigger.branch)
            if commit and commit != mark.seen:
                snapshot = repositories.snapshot_at(workspace, where, trigger.branch, commit)
                found[words] = Moved(mark=mark, commit=commit, snapshot=snapshot)
        except SlipwayError as raised:
            problem = raised
    return found, problem


def fire_by_hand(workspace: Workspace, request: Fire) -> Fired:
    """Fire a schedule because somebody says so. The same key again gives the same firing.

    Raises:
        NotFound: There is no such schedule.
        Conflict: It is declared no more.
        InvalidInput: A parameter is not the pipeline's, or does not fit it.
    """
    schedule = schedule_of(workspace, request.name)
    params = fitting(schedule.spec.parameters, request.params, of=f"the schedule {schedule.name!r}")
    return fire(workspace, schedule, BY_HAND, request.key or new_id(), params, reason=request.reason)


def fire(
    workspace: Workspace, schedule: Schedule, trigger: str, name: str, params: Mapping[str, Any], *, reason: str = ""
) -> Fired:
    """Write down a firing that somebody asks for, and start it.

    Args:
        workspace: Who asks.
        schedule: Of which schedule.
        trigger: What asks, in words.
        name: What the occasion is told from others by: the same again is the same firing.
        params: Parameters of it, which fit.
        reason: Why, for the audit log.

    Raises:
        Conflict: The schedule is declared no more.
    """
    if schedule.state == "withdrawn":
        raise Conflict(
            f"The schedule {schedule.name!r} is declared no more.",
            fix="Declare it in the project's module, and publish it: slipway schedules apply",
        )
    now = workspace.clock.now()
    occasion = Occasion(trigger=trigger, name=name, at=now, day=now.astimezone(UTC).date())
    with workspace.ledger.write() as tx:
        one = firings.firing_of(schedule, occasion, now, params=dict(params), actor=workspace.actor)
        is_new = tx.get(entries.kind_of(Firing), one.id) is None
        if is_new:
            entries.put(tx, one, expect=0)
            why = {"firing": one.id, "trigger": trigger, "occasion": name, "reason": reason.strip()}
            events.record(tx, workspace, "schedules.fire", f"schedule:{schedule.id}", **why)
    firings.start_due(replace(workspace, actor=CONTROLLER), schedule.id)
    with workspace.ledger.read() as tx:
        return Fired(firing=entries.get(tx, Firing, one.id), is_new=is_new)


def _tidy(workspace: Workspace, ended: Firing) -> None:
    """Remove the folders of earlier firings that ended well: a schedule of minutes would fill the disk."""
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Firing, parent=ended.parent_id, state="finished", limit=_KEPT_FOLDERS)
    for one in found[1:]:
        folder = workspace.root / "tasks" / one.id
        if one.tries == 0 and folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)
