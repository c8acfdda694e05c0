"""Schedules and their firings, written as records."""

from datetime import UTC, datetime, timedelta
from typing import Any

from slipway.records.monitors import Incident
from slipway.records.people import Actor
from slipway.records.record import Record
from slipway.records.schedules import Firing, Mark, ParameterSpec, Schedule, ScheduleSpec, ScheduleTrigger

AT = datetime(2013, 4, 1, 1, tzinfo=UTC)
HOOK = "5" * 32
CRON = ScheduleTrigger(kind="cron", cron="0 3 * * *", timezone="Europe/Berlin")
TABLE = ScheduleTrigger(kind="table", table="flights")
REQUESTS = ScheduleTrigger(kind="hook", params=("until",))
SPEC = ScheduleSpec(
    pipeline="release",
    when=(CRON, TABLE, REQUESTS),
    today=("until",),
    parameters=(ParameterSpec(name="until", kind="date"), ParameterSpec(name="depth", kind="integer")),
    retries=2,
)


def scheduled_records(run: str, nasty: str) -> list[Record]:
    """A schedule that is active, one that is paused, one that is withdrawn, and firings in every state."""
    late = datetime(2100, 1, 1, tzinfo=UTC)  # a server that is started on this store has nothing to do
    marks = {"schedule 0 3 * * * Europe/Berlin": Mark(at=late), "table flights": Mark(at=AT, seq=10**6)}
    common: dict[str, Any] = {"parent_id": "flights/dev", "project": "flights", "created_at": AT, "snapshot": "9" * 64}
    active = Schedule(id="flights/dev/nightly", name="nightly", spec=SPEC, marks=marks, hook=HOOK, **common)
    by_hand = ScheduleSpec(pipeline="release")
    resting = Schedule(
        id="flights/dev/resting",
        name="resting",
        spec=by_hand,
        state="paused",
        paused_by=Actor("Grace", "simulated"),
        paused_at=AT,
        reason=nasty,
        **common,
    )
    gone = Schedule(id="flights/dev/gone", name="gone", spec=by_hand, state="withdrawn", **common)
    incident = Incident(
        id="6" * 32,
        project="flights",
        name="schedule",
        created_at=AT,
        parent_id="flights/schedule:nightly",
        sentence=f"The schedule could not run {nasty}.",
        owner="data scientist",
    )
    return [active, resting, gone, incident, *(_firing(*one, run, nasty) for one in _STATES)]


_STATES = ((0, "failed"), (1, "skipped"), (2, "finished"), (3, "due"))


def _firing(number: int, state: Any, run: str, nasty: str) -> Firing:
    due = AT + timedelta(days=number)
    name = "resting" if state == "due" else "nightly"
    return Firing(
        id=f"{number:032x}",
        project="flights",
        name=name,
        created_at=due,
        parent_id=f"flights/dev/{name}",
        state=state,
        trigger="schedule 0 3 * * * Europe/Berlin",
        occasion=due.isoformat(),
        due_at=due,
        pipeline="release",
        snapshot="9" * 64,
        missed=number,
        started_at=due + timedelta(minutes=3) if state in ("failed", "finished") else None,
        run_id=run if state in ("failed", "finished") else "",
        sentence=f"{state} {nasty}",
        asked_by=Actor("Ada") if number == 2 else None,
    )
