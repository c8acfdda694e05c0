"""Firings: each is written once, started once, gone on with when it was killed, and its end is told once.

A firing's id follows from its schedule, trigger and occasion, and it is written in the transaction that moves the
trigger's mark: however many look, and whatever their clocks say, there is one. Its process holds a lease on it in the
ledger for as long as it lives, so that of several folders on one ledger only one runs it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from slipway.errors import Conflict, Corrupt, SlipwayError
from slipway.governance.outbox import announce_end
from slipway.governance.telling import assigned
from slipway.hashing import fingerprint
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.ledger.store_folder import folder_id
from slipway.loop import CONTROLLER
from slipway.loop.occasions import Occasion
from slipway.pipelines import staging
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.runner import TASK_FILE
from slipway.ports.workspace import Workspace
from slipway.records.monitors import Incident
from slipway.records.people import Actor
from slipway.records.schedules import Firing, Schedule
from slipway.records.tasks import PipelineAnswer

__all__ = ["FIRING_TAG", "absorb", "end", "firing_id", "firing_of", "held", "settle", "start_due", "started"]

FIRING_TAG = "slipway.firing"
"""The tag by which a run is known to be a firing's: its id, and behind it the number of the try where there were more."""

_ATTEMPTS = 3
_LEASE_S = 60.0
_RENEW_EVERY_S = 15.0
_SETTLES_WITHIN_S = 1800.0
_OWNER = "data scientist"
_DIGITS = 32


def firing_id(schedule: str, trigger: str, occasion: str) -> str:
    """The one id that the firing of an occasion can have.

    Args:
        schedule: The schedule's id.
        trigger: The trigger in words.
        occasion: What the occasion is told from others by.
    """
    return fingerprint((schedule, trigger, occasion))[:_DIGITS]


def firing_of(
    schedule: Schedule,
    occasion: Occasion,
    now: datetime,
    *,
    params: dict[str, object] | None = None,
    actor: Actor | None = None,
) -> Firing:
    """The record of an occasion.

    Args:
        schedule: Whose.
        occasion: What happened.
        now: Business time.
        params: Parameters that somebody gave, in JSON's types.
        actor: Who asked, None for nobody.
    """
    spec = schedule.spec
    days = dict.fromkeys(spec.today, occasion.day.isoformat())
    return Firing(
        id=firing_id(schedule.id, occasion.trigger, occasion.name),
        project=schedule.project,
        name=schedule.name,
        created_at=now,
        parent_id=schedule.id,
        state="skipped" if occasion.skipped else "due",
        trigger=occasion.trigger,
        occasion=occasion.name,
        due_at=occasion.at,
        pipeline=spec.pipeline,
        endpoint=spec.endpoint,
        snapshot=occasion.snapshot or schedule.snapshot,
        params={**spec.params, **days, **(params or {})},
        subjects=occasion.subjects,
        commit=occasion.commit,
        missed=occasion.missed,
        asked_by=actor,
        ended_at=now if occasion.skipped else None,
        sentence=f"Skipped: {occasion.skipped}." if occasion.skipped else "",
    )


def started(workspace: Workspace, schedule: str) -> list[Firing]:
    """The firings of a schedule that are under way, oldest first."""
    with workspace.ledger.read() as tx:
        return _in(tx, schedule, "started")


def settle(workspace: Workspace, schedule: str) -> None:
    """Wait until the firings under way have ended, so that machine time decides nothing."""
    for one in started(workspace, schedule):
        workspace.runner.wait(_folder(workspace, one), timeout_s=_SETTLES_WITHIN_S)


def start_due(workspace: Workspace, schedule: str) -> list[str]:
    """Start what is due, as the schedule lets firings overlap; returns what was done, a sentence each.

    Which ones start is written before any process does: a controller that is killed in between finds them, and goes on.

    Raises:
        BackendError: No process can be started.
    """
    with workspace.ledger.read() as tx:  # most looks find nothing, and keep nobody else from writing
        if not _in(tx, schedule, "due"):
            return []
    with workspace.ledger.write() as tx:
        chosen, told = _choose(tx, workspace, entries.get(tx, Schedule, schedule))
    for one in chosen:
        _launch(workspace, one)
    return told


def _choose(tx: WriteTransaction, workspace: Workspace, schedule: Schedule) -> tuple[list[Firing], list[str]]:
    """Decide on each firing that is due: it starts, waits or is skipped."""
    now, spec = workspace.clock.now(), schedule.spec
    running, due = _in(tx, schedule.id, "started"), _in(tx, schedule.id, "due")
    newest = {one.trigger: one.id for one in due if one.asked_by is None}
    chosen: list[Firing] = []
    told: list[str] = []
    for one in due:
        if one.asked_by is None and schedule.state == "withdrawn":
            entries.put(tx, _skipped(one, "the schedule is declared no more", now))
            told.append(f"{one.name}: skipped ({one.trigger})")
            continue
        if (one.not_before is not None and now < one.not_before) or (
            one.asked_by is None and schedule.state == "paused"
        ):
            continue
        busy = next(iter([*running, *chosen]), None)
        if busy is None or spec.overlap == "allow":
            if not tx.take_lease(_lease(one.id), folder_id(workspace.root), seconds=_LEASE_S):
                continue  # its former process lives yet, elsewhere
            begun = msgspec.structs.replace(
                one, state="started", attempts=1, started_at=one.started_at or now, sentence="", run_id=""
            )
            entries.put(tx, begun)
            chosen.append(begun)
            told.append(f"{one.name}: {one.pipeline} began ({one.trigger})")
        elif one.tries or spec.catch_up == "all":
            continue  # has its turn when the other has ended
        elif spec.overlap == "queue" and newest.get(one.trigger, one.id) == one.id:
            continue
        else:
            also = " and a newer one of this trigger waits" if spec.overlap == "queue" else ""
            reason = f"the run for {busy.due_at:%Y-%m-%d %H:%M} UTC ({busy.trigger}) had not ended{also}"
            entries.put(tx, _skipped(one, reason, now))
            told.append(f"{one.name}: skipped ({one.trigger})")
    return chosen, told


def absorb(workspace: Workspace, present: Firing) -> str:
    """What has become of a firing under way; "" while it runs. One that was killed begins again, at most twice."""
    folder = _folder(workspace, present)
    state = workspace.runner.state(folder)
    if state == "running":
        return ""
    if state == "ended":  # its process told the end itself, unless it was killed right before
        try:
            answered = staging.answer(folder)
        except Corrupt as problem:
            answered = PipelineAnswer(state="failed")
            return end(workspace, present.id, answered, why=str(problem))
        return end(workspace, present.id, answered or PipelineAnswer(state="failed"))
    was_staged = (folder / TASK_FILE).exists()
    with workspace.ledger.write() as tx:
        now = entries.get(tx, Firing, present.id)
        if (now.state, now.tries) != ("started", present.tries):
            return ""
        if not tx.take_lease(_lease(now.id), folder_id(workspace.root), seconds=_LEASE_S):
            return ""  # it runs at another folder
        is_last = was_staged and now.attempts >= _ATTEMPTS
        if was_staged and not is_last:
            now = msgspec.structs.replace(now, attempts=now.attempts + 1)
            entries.put(tx, now)
    if is_last:
        why = f"its process ended {now.attempts} times without an answer"
        return end(workspace, now.id, PipelineAnswer(state="failed"), why=why)
    _launch(workspace, now)
    return ""


def end(workspace: Workspace, id: str, answer: PipelineAnswer, *, why: str = "", is_cancelled: bool = False) -> str:
    """Tell the end of a firing: its state, the schedule's incident and the event are one write; told again, nothing happens.

    A run that failed is run again where the schedule says so; an incident opens when no further try is left.

    Args:
        workspace: Where it is kept.
        id: The firing's.
        answer: What came of its run.
        why: Why it failed, where the answer does not say so.
        is_cancelled: Whether somebody ended it: then it is not run again, and no incident opens.

    Returns:
        What was done, "" for nothing.
    """
    now = workspace.clock.now()
    with workspace.ledger.write() as tx:
        present = entries.get(tx, Firing, id)
        if present.state != "started":
            return ""
        schedule = entries.get(tx, Schedule, present.parent_id)
        tries = 0 if is_cancelled else schedule.spec.retries
        ended = _ended(present, schedule, tries, answer, why, now)
        entries.put(tx, ended)
        if ended.state != "due" and not is_cancelled and (wanted := _incident(tx, ended, now)) is not None:
            is_new = wanted.state == "open"
            entries.put(tx, assigned(tx, workspace, wanted) if is_new else wanted)
            if not is_new:
                announce_end(tx, workspace, wanted)
        more = {"state": ended.state, "run": ended.run_id}
        events.record(tx, workspace, "schedules.end", f"schedule:{schedule.id}", firing=id, **more)
    return f"{ended.name}: {'failed, and is run again' if ended.state == 'due' else ended.state}"


def _ended(
    present: Firing, schedule: Schedule, retries: int, answer: PipelineAnswer, why: str, now: datetime
) -> Firing:
    run = answer.run_id or present.run_id
    if answer.state == "finished":
        made = f"It made {answer.model} {answer.version}." if answer.model else "It finished."
        is_old = bool(answer.model) and not answer.is_new
        return msgspec.structs.replace(
            present,
            state="finished",
            ended_at=now,
            run_id=run,
            model=answer.model,
            version=answer.version,
            sentence=f"It made {answer.model} {answer.version} again, which was there." if is_old else made,
        )
    told = why or (answer.error.message if answer.error is not None else "it left no answer")
    if present.tries < retries:
        later = now + timedelta(microseconds=schedule.spec.retry_delay_us)
        words = f"Failed: {told} It is run again at {later:%Y-%m-%d %H:%M} UTC."
        return msgspec.structs.replace(
            present, state="due", tries=present.tries + 1, attempts=0, not_before=later, run_id=run, sentence=words
        )
    return msgspec.structs.replace(present, state="failed", ended_at=now, run_id=run, sentence=f"Failed: {told}")


def _incident(tx: ReadTransaction, ended: Firing, now: datetime) -> Incident | None:
    """The incident that is to be opened or closed, None where all stands as it should."""
    parent = f"{ended.project}/schedule:{ended.name}"
    present = next(iter(entries.find(tx, Incident, parent=parent, state="open", limit=1)), None)
    if ended.state == "failed" and present is None:
        told = f"The schedule {ended.name!r} could not run {ended.pipeline} ({ended.trigger}). {ended.sentence}"
        return Incident(
            id=new_id(),
            project=ended.project,
            name="schedule",
            created_at=now,
            parent_id=parent,
            sentence=told,
            owner=_OWNER,
            cause="schedule",
        )
    if ended.state == "finished" and present is not None:
        return msgspec.structs.replace(present, state="closed", closed_at=now, why=f"{ended.pipeline} ran again")
    return None


@contextmanager
def held(workspace: Workspace, id: str) -> Iterator[Firing]:
    """Be the only process that runs a firing, on whichever folder; gives the firing as it stands.

    Raises:
        Conflict: Another folder's process runs it.
    """
    holder, done = folder_id(workspace.root), threading.Event()

    def take(seconds: float) -> bool:
        with workspace.ledger.write() as tx:
            return tx.take_lease(_lease(id), holder, seconds=seconds)

    def renew() -> None:
        while not done.wait(_RENEW_EVERY_S):
            with suppress(SlipwayError):  # what the run writes fails too, and says so
                take(_LEASE_S)

    if not take(_LEASE_S):
        raise Conflict(f"The firing {id} runs at another folder of this ledger.", fix="Nothing needs to be done.")
    keeper = threading.Thread(target=renew, name="slipway-firing-lease", daemon=True)
    keeper.start()
    try:
        with workspace.ledger.read() as tx:
            present = entries.get(tx, Firing, id)
        yield present
    finally:
        done.set()
        keeper.join()


def _in(tx: ReadTransaction, schedule: str, state: str) -> list[Firing]:
    """The firings of a schedule in a state, in the order in which they were due."""
    found: Sequence[Firing] = tuple(entries.every(tx, Firing, parent=schedule, state=state))
    return sorted(found, key=lambda one: (one.due_at, one.id))


def _skipped(one: Firing, why: str, now: datetime) -> Firing:
    return msgspec.structs.replace(one, state="skipped", ended_at=now, sentence=f"Skipped: {why}.")


def _launch(workspace: Workspace, one: Firing) -> None:
    folder = _folder(workspace, one)
    if not (folder / TASK_FILE).exists():  # what was begun is gone on with as it was
        task = staging.task(
            workspace,
            snapshot=one.snapshot,
            pipeline=one.pipeline,
            actor=CONTROLLER,
            endpoint=one.endpoint,
            params=one.params,
            tags={FIRING_TAG: folder.name},
            firing=one.id,
        )
        staging.stage(workspace, folder.name, task)
    workspace.runner.start(folder)


def _folder(workspace: Workspace, one: Firing) -> Path:
    name = one.id if not one.tries else f"{one.id}-{one.tries}"
    return workspace.root.resolve() / "tasks" / name


def _lease(id: str) -> str:
    return f"firing {id}"
