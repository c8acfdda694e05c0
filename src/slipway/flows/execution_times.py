"""When something that executes is late or stuck, and what begins next by a clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import NamedTuple

from slipway.ledger import entries
from slipway.operations.executions import Due, ExecutionKind
from slipway.operations.permissions import allowed
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint, declared_id
from slipway.records.endpoints import Revision
from slipway.records.schedules import Schedule
from slipway.records.scorings import Scoring
from slipway.schema.schedules import in_words, next_time

__all__ = ["GRACE", "RULE", "due", "missed", "silent_for"]

GRACE = timedelta(minutes=10)
"""So long after its time something may begin without being late."""
_FACTOR = 3
_SHORTEST = timedelta(minutes=10)
_NO_LIKE = timedelta(hours=24)
_LIKE = 10

RULE = (
    "Late: it should have begun more than 10 minutes ago and has not. Stuck: it runs, and nothing was heard of it for "
    f"longer than {_FACTOR} times what its like take (the median of the last {_LIKE} of the same name that finished; at least 10 minutes; "
    "24 hours where none finished yet)."
)


def silent_for(now: datetime, last_sign: datetime, like: Sequence[float]) -> str:
    """Why something that runs is stuck, "" where it is not.

    Args:
        now: By the clock that took the other times.
        last_sign: When it last showed that it goes on.
        like: How many seconds its like took, the newest first.
    """
    usual = median(like[:_LIKE]) if like else None
    most = _NO_LIKE if usual is None else max(_SHORTEST, timedelta(seconds=_FACTOR * usual))
    silent = now - last_sign
    if silent <= most:
        return ""
    beside = (
        "none of its like has finished yet" if usual is None else f"its like take {_span(timedelta(seconds=usual))}"
    )
    return f"Nothing was heard of it for {_span(silent)}; {beside}."


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.3g} seconds"


def due(tx: ReadTransaction, workspace: Workspace) -> list[Due]:
    """What clocks begin next: the first time of each, the soonest first."""
    now = workspace.clock.now()
    found = [
        _due(clock, at)
        for clock in _clocks(tx, workspace)
        if (at := next_time(clock.cron, clock.timezone, now)) is not None
    ]
    return sorted(found, key=lambda one: (one.at, one.kind, one.name))


def missed(tx: ReadTransaction, workspace: Workspace) -> list[Due]:
    """Times of clocks that came and went, and nothing has begun since: what looks at clocks does not."""
    late, found = workspace.clock.now() - GRACE, []
    for clock in _clocks(tx, workspace):
        at = None if clock.since is None else next_time(clock.cron, clock.timezone, clock.since)
        if at is not None and at < late:
            found.append(_due(clock, at))
    return found


def _due(clock: _Clock, at: datetime) -> Due:
    trigger = in_words(clock.cron, clock.timezone)
    return Due(kind=clock.kind, name=clock.name, at=at, trigger=trigger, place=clock.place)


class _Clock(NamedTuple):
    """A clock that begins something: up to when it was looked at, None where nobody can tell, and its page."""

    kind: ExecutionKind
    name: str
    cron: str
    timezone: str
    since: datetime | None
    place: tuple[str, ...]


def _clocks(tx: ReadTransaction, workspace: Workspace) -> Iterator[_Clock]:
    project, actor = workspace.project, workspace.actor
    if allowed(actor, "schedules.read"):
        home = f"{project}/{workspace.environment}"
        for schedule in entries.every(tx, Schedule, project=project, parent=home, state="active"):
            for trigger in schedule.spec.when:
                if trigger.kind == "cron":
                    seen = [mark.at for words, mark in schedule.marks.items() if trigger.cron in words]
                    place = ("schedules", schedule.name)
                    yield _Clock(
                        "firing", schedule.name, trigger.cron, trigger.timezone, max(seen, default=None), place
                    )
    if not allowed(actor, "endpoints.read"):
        return
    for name, id in tx.refs(project, "endpoint").items():
        revision, place = entries.get(tx, Revision, id), ("endpoints", name)
        for when in revision.batch.when if revision.batch is not None else ():
            if when.kind == "cron":
                last = tx.ref(project, "scoring", name)
                since = entries.get(tx, Scoring, last).created_at if last else revision.created_at
                yield _Clock("scoring", name, when.cron, when.timezone, max(since, revision.created_at), place)
        home = declared_id(project, workspace.environment, name)
        if entries.etag(tx, DeclaredEndpoint, home):
            declared = entries.get(tx, DeclaredEndpoint, home)
            for asked in declared.retrain.when if declared.retrain is not None else ():
                if asked.kind == "schedule":
                    yield _Clock("retraining", name, asked.cron, asked.timezone, None, place)
