"""Pipelines that run by themselves: what is declared, what is remembered between two looks, and every firing."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from slipway.records.people import Actor
from slipway.records.plugged import Plugged
from slipway.records.record import Record

__all__ = [
    "CatchUp",
    "Firing",
    "FiringState",
    "Mark",
    "Overlap",
    "ParameterKind",
    "ParameterSpec",
    "Schedule",
    "ScheduleSpec",
    "ScheduleTrigger",
]

CatchUp = Literal["latest", "all", "none"]
Overlap = Literal["skip", "queue", "allow"]
ParameterKind = Literal["text", "integer", "number", "boolean", "date", "instant", "any"]
FiringState = Literal["due", "started", "skipped", "finished", "failed"]


class ScheduleTrigger(Struct, frozen=True, kw_only=True):
    """What makes a pipeline run.

    Args:
        kind: "cron": the clock; "table": a table gets a new version; "incident": one opens; "push": a branch moves;
            "hook": an HTTP request; "custom": what a plug-in tells of.
        cron: Five fields, in `timezone`.
        timezone: An IANA name.
        table: The table's name.
        endpoint: The endpoint's name, or `table:<name>` for incidents of a table.
        branch: The branch's name.
        repository: Where the branch is looked for: a folder or a URL, "" for the project's own repository.
        params: The parameters that a request may set.
        custom: The plug-in.
    """

    kind: Literal["cron", "table", "incident", "push", "hook", "custom"]
    cron: str = ""
    timezone: str = "UTC"
    table: str = ""
    endpoint: str = ""
    branch: str = ""
    repository: str = ""
    params: tuple[str, ...] = ()
    custom: Plugged | None = None


class ParameterSpec(Struct, frozen=True, kw_only=True):
    """A parameter of the pipeline, so that what is given can be checked without the project's code.

    Args:
        name: Its name.
        kind: What its values are; "any" where the annotation is none of these.
        is_optional: Whether null is a value too.
        is_needed: Whether it has no default.
        default: Its default as JSON carries it; None for none, or where JSON carries none like it.
        choices: The only values that it takes, where the annotation names them; () for any of its kind.
    """

    name: str
    kind: ParameterKind = "any"
    is_optional: bool = False
    is_needed: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()


class ScheduleSpec(Struct, frozen=True, kw_only=True):
    """A schedule as declared.

    Args:
        pipeline: The pipeline's name in the project snapshot.
        endpoint: The endpoint that its model is for, "" for none.
        when: What makes it run.
        params: Parameters that are fixed, as JSON carries them.
        today: Parameters that get the day of the firing.
        parameters: What the pipeline takes.
        catch_up: What becomes of occasions that were missed.
        overlap: What becomes of a firing while an earlier one still runs.
        retries: How often a run that failed is run again.
        retry_delay_us: How long after a failure, business time.
    """

    pipeline: str
    endpoint: str = ""
    when: tuple[ScheduleTrigger, ...] = ()
    params: dict[str, Any] = {}
    today: tuple[str, ...] = ()
    parameters: tuple[ParameterSpec, ...] = ()
    catch_up: CatchUp = "latest"
    overlap: Overlap = "queue"
    retries: int = 0
    retry_delay_us: int = 300_000_000


class Mark(Struct, frozen=True, kw_only=True):
    """Up to where a trigger has been looked at.

    Args:
        at: For a cron: the last time that was decided on.
        seq: For a table: the last event.
        seen: For a branch: the commit; for a plug-in: the name of the last occasion.
        count: For a branch: how often it has moved, so that one that returns to an old commit has moved too.
        known: For incidents: the newest ones, by id.
    """

    at: datetime
    seq: int = 0
    seen: str = ""
    count: int = 0
    known: tuple[str, ...] = ()


class Schedule(Record, frozen=True, kw_only=True, tag="schedule"):
    """A pipeline that runs by itself: what is wanted, and up to where it is done. Id: `<project>/<environment>/<name>`.

    Args:
        parent_id: `<project>/<environment>`.
        state: "withdrawn": no longer declared.
        spec: What is declared.
        snapshot: The digest of the project snapshot that runs.
        applied_at: Since when it runs that one, None in older records.
        repository: The project's own repository when it was declared: where one that is not named lies, "" for none.
        prefix: Where the project lies in its repository: "examples/flights/".
        marks: Up to where each trigger has been looked at, by the trigger in words.
        paused_by: Who paused it, None while it is not paused.
        paused_at: Since when.
        reason: Why it was paused.
        hook: The id under which it takes requests, "" without `sw.on_hook()`.
        hook_edition: Counts the secrets that were made, 0 before the first.
        hook_secret: The SHA-256 of the present secret, "" before the first.
    """

    parent_id: str
    state: Literal["active", "paused", "withdrawn"] = "active"
    spec: ScheduleSpec
    snapshot: str
    repository: str = ""
    prefix: str = ""
    marks: dict[str, Mark] = {}
    paused_by: Actor | None = None
    paused_at: datetime | None = None
    reason: str = ""
    hook: str = ""
    hook_edition: int = 0
    hook_secret: str = ""
    applied_at: datetime | None = None


class Firing(Record, frozen=True, kw_only=True, tag="firing"):
    """One occasion on which a schedule's pipeline runs, or why it did not. Name: the schedule's.

    Its id follows from schedule, trigger and occasion, so that nobody can write the same one twice.

    Args:
        parent_id: The schedule's id.
        state: "due": waits for its start; "skipped": it never ran, see `sentence`.
        trigger: What asked, in words: "schedule 0 3 * * *", "table flights", "by hand".
        occasion: What exactly: an instant, a move of the table, an incident, a commit, a delivery.
        due_at: When it was to begin, business time.
        pipeline: The pipeline's name.
        endpoint: The endpoint that its model is for, "" for none.
        snapshot: The digest of the project snapshot that runs.
        params: The pipeline's parameters, as JSON carries them.
        subjects: Lineage nodes of what asked: "table:...", "incident:...".
        commit: For a push: what was pushed, which is what runs.
        missed: How many earlier occasions it stands for.
        asked_by: Who asked by hand or by the hook.
        attempts: How often its process was started in the present try.
        tries: How often its run has failed and is run again.
        not_before: A failed one is not run again before this, business time.
        started_at: When it first began.
        ended_at: When it ended.
        run_id: Its run, once known.
        model: The model that came of it, "" for none.
        version: Its version's number.
        sentence: What came of it, in words.
    """

    parent_id: str
    state: FiringState = "due"
    trigger: str
    occasion: str
    due_at: datetime
    pipeline: str
    endpoint: str = ""
    snapshot: str
    params: dict[str, Any] = {}
    subjects: tuple[str, ...] = ()
    commit: str = ""
    missed: int = 0
    asked_by: Actor | None = None
    attempts: int = 0
    tries: int = 0
    not_before: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    run_id: str = ""
    model: str = ""
    version: int = 0
    sentence: str = ""
