"""Which occasions there are for a schedule's pipeline to run: what has happened since each trigger was looked at.

Nothing here depends on who looks or how often: an occasion is named by what happened (an instant of the schedule, a move
of the table, an incident, a move of the branch), and how far was looked is kept with the schedule. Clocks may differ:
what one has fired the other finds done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from slipway.ledger import entries
from slipway.ports.ledger_store import ReadTransaction
from slipway.records.monitors import Incident
from slipway.records.schedules import CatchUp, Mark, Schedule, ScheduleTrigger
from slipway.schema.schedules import times_between, trigger_in_words
from slipway.tables.catalog import MOVES, node, subject

__all__ = ["GRACE", "MOST", "Moved", "Occasion", "occasions"]

MOST = 100
"""So many missed occasions of a trigger are caught up at most: the newest."""

GRACE = timedelta(minutes=5)
"""So long after its time an occasion counts as met, where missed ones are not caught up."""

_AHEAD = timedelta(days=1)
_PAGE = 1000


class Occasion(Struct, frozen=True, kw_only=True):
    """One occasion.

    Args:
        trigger: Of which trigger, in words.
        name: What it is told from others by.
        at: When it was.
        day: The day that it is for.
        subjects: Lineage nodes of what happened.
        commit: What was pushed.
        snapshot: The snapshot of it.
        missed: How many earlier ones it stands for.
        skipped: Why nothing runs, "" where something does.
    """

    trigger: str
    name: str
    at: datetime
    day: date
    subjects: tuple[str, ...] = ()
    commit: str = ""
    snapshot: str = ""
    missed: int = 0
    skipped: str = ""


class Moved(Struct, frozen=True, kw_only=True):
    """A branch that was found elsewhere than it is marked, or something new that a plug-in told of.

    Args:
        mark: The mark when it was looked for: where that is another by now, somebody else was faster.
        commit: Where it is; of a plug-in the name of the occasion.
        snapshot: The project's snapshot there; "" of a plug-in.
    """

    mark: Mark
    commit: str
    snapshot: str


def occasions(
    tx: ReadTransaction, schedule: Schedule, now: datetime, moved: Mapping[str, Moved]
) -> tuple[list[Occasion], dict[str, Mark]]:
    """The occasions that nobody has looked at yet, and the marks from which on the next look begins.

    Args:
        tx: An open transaction.
        schedule: As it is stored in it.
        now: Business time.
        moved: The branches that have moved, by the trigger in words.
    """
    found: list[Occasion] = []
    marks = dict(schedule.marks)
    for trigger in schedule.spec.when:
        words = trigger_in_words(trigger)
        mark = marks.get(words)
        if mark is None:  # a hook
            continue
        if trigger.kind == "cron":
            new, marks[words] = _of_clock(trigger, words, mark, now)
        elif trigger.kind == "table":
            new, marks[words] = _of_table(tx, schedule, trigger, words, mark)
        elif trigger.kind == "incident":
            new, marks[words] = _of_incidents(tx, schedule, trigger, words, mark)
        elif trigger.kind == "custom":
            new, marks[words] = _of_plugin(words, mark, now, moved.get(words))
        else:
            new, marks[words] = _of_branch(words, mark, now, moved.get(words))
        found += _caught_up(new, schedule.spec.catch_up, now)
    return found, marks


def _caught_up(new: Sequence[Occasion], policy: CatchUp, now: datetime) -> list[Occasion]:
    """What becomes of the occasions of one trigger, oldest first."""
    if not new:
        return []
    kept, beyond = list(new[-MOST:]), len(new) - len(new[-MOST:])
    if policy == "all":
        return [msgspec.structs.replace(kept[0], missed=beyond), *kept[1:]]
    newest = msgspec.structs.replace(kept[-1], missed=len(new) - 1)
    if policy == "none" and now - newest.at > GRACE:
        told = f"nobody looked in time, and what was missed is not caught up (it is {now:%Y-%m-%d %H:%M} UTC)"
        newest = msgspec.structs.replace(newest, skipped=told)
    return [newest]


def _of_clock(trigger: ScheduleTrigger, words: str, mark: Mark, now: datetime) -> tuple[list[Occasion], Mark]:
    if mark.at > now + _AHEAD:  # somebody's clock was wrong; what was fired by it is known by its name
        return [], Mark(at=now)
    zone = ZoneInfo(trigger.timezone)
    times = times_between(trigger.cron, trigger.timezone, after=mark.at, until=now, limit=MOST + 1)
    if not times:
        return [], mark
    instants = [at.astimezone(UTC) for at in times]
    found = [Occasion(trigger=words, name=at.isoformat(), at=at, day=at.astimezone(zone).date()) for at in instants]
    return found, Mark(at=instants[-1])


def _of_table(
    tx: ReadTransaction, schedule: Schedule, trigger: ScheduleTrigger, words: str, mark: Mark
) -> tuple[list[Occasion], Mark]:
    found: list[Occasion] = []
    owner, _, table = trigger.table.rpartition("/")
    owner, seq = owner or schedule.project, mark.seq
    while page := tx.events(after=seq, limit=_PAGE, subject=subject(owner, table)):
        seq = page[-1].seq
        for event in page:
            if event.verb in MOVES and not event.body.get("branch"):
                about = node(owner, table, str(event.body["version"]))
                found.append(_happened(words, str(event.seq), event.at, about))
    return found, msgspec.structs.replace(mark, seq=seq) if found else mark


def _of_incidents(
    tx: ReadTransaction, schedule: Schedule, trigger: ScheduleTrigger, words: str, mark: Mark
) -> tuple[list[Occasion], Mark]:
    parent = f"{schedule.project}/{trigger.endpoint}"
    newest = entries.find(tx, Incident, parent=parent, limit=MOST)
    known = set(mark.known)
    new = [one for one in reversed(newest) if one.id not in known]
    found = [_happened(words, one.id, one.created_at, f"incident:{one.id}") for one in new]
    return found, msgspec.structs.replace(mark, known=tuple(one.id for one in newest)) if new else mark


def _of_branch(words: str, mark: Mark, now: datetime, moved: Moved | None) -> tuple[list[Occasion], Mark]:
    if moved is None or moved.mark != mark:
        return [], mark
    onward = msgspec.structs.replace(mark, seen=moved.commit, count=mark.count + 1)
    if not mark.seen:  # it was not there when the schedule was declared
        onward = msgspec.structs.replace(mark, seen=moved.commit)
    name = f"{onward.count}:{moved.commit}"
    found = _happened(words, name, now, f"commit:{moved.commit}")
    return [msgspec.structs.replace(found, commit=moved.commit, snapshot=moved.snapshot)], onward


def _of_plugin(words: str, mark: Mark, now: datetime, told: Moved | None) -> tuple[list[Occasion], Mark]:
    if told is None or told.mark != mark:
        return [], mark
    found = Occasion(trigger=words, name=told.commit, at=now, day=now.astimezone(UTC).date())
    return [found], msgspec.structs.replace(mark, seen=told.commit)


def _happened(words: str, name: str, at: datetime, about: str) -> Occasion:
    return Occasion(trigger=words, name=name, at=at, day=at.astimezone(UTC).date(), subjects=(about,))
