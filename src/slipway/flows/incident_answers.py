"""What people see of incidents and say to them: list, show, acknowledge, put off, close, judge."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.flows.incidents import BY_HAND, close, hold_id
from slipway.flows.letters import about
from slipway.flows.run_books import run_book
from slipway.governance.channels import notify_settings
from slipway.ledger import entries, events
from slipway.operations.incidents import (
    AckIncident,
    CloseIncident,
    Delivered,
    GetIncident,
    GetRunBook,
    IncidentDetail,
    IncidentKept,
    Incidents,
    JudgeIncident,
    ListIncidents,
    PerhapsBy,
    Precision,
    RunBook,
    SnoozeIncident,
)
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.monitors import Incident
from slipway.records.notifications import Delivery, Hold, Notification
from slipway.schema.durations import microseconds
from slipway.stats.intervals import share_interval

__all__ = [
    "acknowledge",
    "close_by_hand",
    "delivered",
    "get_incident",
    "get_run_book",
    "judge",
    "list_incidents",
    "precision_of",
    "snooze",
]

_STATES = ("open", "closed", "")
_MOST = 10_000
_LEAST_ID = 6
_LONGEST = 2000
_LONGEST_HOLD = 8


def list_incidents(workspace: Workspace, request: ListIncidents) -> Incidents:
    """Incidents of the project, or of one endpoint.

    Raises:
        InvalidInput: The state is none, or the limit.
    """
    if request.state not in _STATES:
        raise InvalidInput(
            f"{request.state!r} is no state.", fix='It is "open", "closed" or "" for all.', field="state"
        )
    if not 0 < request.limit <= _MOST:
        raise InvalidInput(f"The limit {request.limit} does not fit.", fix=f"Give 1 to {_MOST:,}.", field="limit")
    parent = f"{workspace.project}/{request.endpoint}" if request.endpoint else None
    with workspace.ledger.read() as tx:
        every = list(entries.every(tx, Incident, project=workspace.project, parent=parent))
    shown = [one for one in every if request.state in ("", one.state)]
    return Incidents(incidents=tuple(shown[: request.limit]), precision=precision_of(every))


def precision_of(incidents: list[Incident]) -> Precision:
    """Which share of the incidents that people judged was useful, with Wilson's interval."""
    counts = {word: sum(one.feedback == word for one in incidents) for word in ("useful", "noise", "known")}
    judged, told = sum(counts.values()), sum(one.told_at is not None for one in incidents)
    if not judged:
        return Precision(told=told)
    found = share_interval(counts["useful"], judged)
    share, low, high = (round(one, 4) if math.isfinite(one) else None for one in (found.value, found.low, found.high))
    return Precision(**counts, told=told, share=share, low=low, high=high)


def get_incident(workspace: Workspace, request: GetIncident) -> IncidentDetail:
    """One incident, with what is to be said of it.

    Raises:
        NotFound: There is none, or several begin so.
    """
    with workspace.ledger.read() as tx:
        incident = _found(tx, workspace, request.id)
        told = delivered(tx, incident.id)
    found = about(workspace, incident)
    return IncidentDetail(
        incident=incident,
        where=found.where,
        level=found.level,
        much=found.much,
        cost=found.cost,
        suspects=tuple(
            PerhapsBy(
                sentence=one.change.sentence,
                at=one.change.at,
                node=one.change.node,
                command=one.change.command,
                weight=one.weight,
            )
            for one in found.suspects
        ),
        command=found.command,
        run_book=found.run_book,
        book=run_book(found.run_book),
        delivered=told,
    )


def get_run_book(workspace: Workspace, request: GetRunBook) -> RunBook:
    """A run book.

    Raises:
        NotFound: There is none of that name.
    """
    return RunBook(name=request.name, text=run_book(request.name))


def delivered(tx: ReadTransaction, incident: str) -> tuple[Delivered, ...]:
    """How people were told of an incident, in the order of the occasions.

    Args:
        tx: An open transaction.
        incident: Its id.
    """
    told = []
    for one in reversed(list(entries.every(tx, Notification, parent=f"incident:{incident}"))):
        by = sorted(entries.every(tx, Delivery, parent=one.within or one.id), key=lambda sent: sent.name)
        if not by:
            told.append(Delivered(channel="", occasion=one.name, state=one.state))
        told += [
            Delivered(
                channel=sent.name,
                occasion=one.name,
                state=sent.state,
                attempts=sent.attempts,
                problem=sent.problem,
                sent_at=sent.sent_at,
            )
            for sent in by
        ]
    return tuple(told)


def acknowledge(workspace: Workspace, request: AckIncident) -> IncidentKept:
    """Say that one looks at an incident.

    Raises:
        NotFound: There is none.
        Conflict: It is closed.
    """
    with workspace.ledger.write() as tx:
        one = _still_open(tx, workspace, request.id)
        by, now = workspace.actor.name, workspace.clock.now()
        kept = msgspec.structs.replace(
            one, acknowledged_by=by, acknowledged_at=now, comment=_said(request.comment) or one.comment
        )
        entries.put(tx, kept)
        events.record(tx, workspace, "incidents.ack", f"incident:{one.id}", comment=request.comment)
    return IncidentKept(incident=kept)


def snooze(workspace: Workspace, request: SnoozeIncident) -> IncidentKept:
    """Put an incident off.

    Raises:
        NotFound: There is none.
        Conflict: It is closed.
        InvalidInput: The time has passed, or has no time zone.
    """
    now = workspace.clock.now()
    if request.until.tzinfo is None or request.until <= now:
        raise InvalidInput(
            f"An incident cannot be put off until {request.until.isoformat()}.",
            why=f"It is {now.isoformat()} now, and a time needs its zone.",
            fix="Give a later time: --for 2d, or --until 2030-01-01.",
            field="until",
        )
    with workspace.ledger.write() as tx:
        one = _still_open(tx, workspace, request.id)
        kept = msgspec.structs.replace(
            one,
            snoozed_by=workspace.actor.name,
            snoozed_until=request.until,
            comment=_said(request.comment) or one.comment,
        )
        entries.put(tx, kept)
        until = request.until.isoformat()
        events.record(tx, workspace, "incidents.snooze", f"incident:{one.id}", until=until, comment=request.comment)
    return IncidentKept(incident=kept)


def close_by_hand(workspace: Workspace, request: CloseIncident) -> IncidentKept:
    """Close an incident, by a person's word.

    Raises:
        NotFound: There is none.
        Conflict: It is closed.
        InvalidInput: No reason is given.
    """
    if not _said(request.reason):
        raise InvalidInput(
            "It does not say why.", fix='Say it: slipway incidents close ID --reason "..."', field="reason"
        )
    why = f"{BY_HAND} by {workspace.actor.name}: {request.reason.strip()}"
    with workspace.ledger.write() as tx:  # the event "incidents.close" is written there
        kept = close(tx, workspace, _still_open(tx, workspace, request.id), why, workspace.clock.now())
    return IncidentKept(incident=kept)


def judge(workspace: Workspace, request: JudgeIncident) -> IncidentKept:
    """Say whether an incident was worth telling. Noise and what was known already hold repeats back, for a time.

    Raises:
        NotFound: There is none.
    """
    now = workspace.clock.now()
    by = workspace.actor.name
    with workspace.ledger.write() as tx:
        one = _found(tx, workspace, request.id)
        kept = msgspec.structs.replace(
            one,
            feedback=request.word,
            feedback_by=by,
            feedback_at=now,
            acknowledged_by=one.acknowledged_by or by,
            acknowledged_at=one.acknowledged_at or now,
            comment=_said(request.comment) or one.comment,
        )
        entries.put(tx, kept)
        held = _hold(tx, workspace, one, request, now)
        more = {"until": held.isoformat()} if held else {}
        events.record(
            tx,
            workspace,
            "incidents.feedback",
            f"incident:{one.id}",
            word=request.word,
            comment=request.comment,
            **more,
        )
    return IncidentKept(incident=kept, held_until=held)


def _hold(
    tx: WriteTransaction, workspace: Workspace, one: Incident, request: JudgeIncident, now: datetime
) -> datetime | None:
    """Hold repeats back, or let them be told again; says until when they are held."""
    id = hold_id(one.parent_id, one.cause, one.about)
    before = entries.get(tx, Hold, id) if entries.etag(tx, Hold, id) else None
    if request.word == "useful":
        if before is not None:
            entries.put(tx, msgspec.structs.replace(before, until=min(before.until, now), times=0, value=None))
        return None
    if not one.monitors:  # a failed sync or a question that waits is no matter of floors
        return None
    is_again = before is not None and before.incident_id != one.id
    times = before.times + is_again if before is not None else 1
    span = timedelta(microseconds=microseconds(notify_settings(workspace.root, workspace.project).hold))
    until = now + span * min(1 << max(times - 1, 0), _LONGEST_HOLD)
    known = [abs(value) for value in (one.value, before.value if before else None) if value is not None]
    hold = Hold(
        id=id,
        project=one.project,
        name=one.cause,
        created_at=now,
        parent_id=one.parent_id,
        about=one.about,
        word=request.word,
        by=workspace.actor.name,
        until=until,
        value=max(known, default=None),
        incident_id=one.id,
        repeats=before.repeats if before else 0,
        times=times,
    )
    entries.put(tx, hold)
    return until


def _found(tx: ReadTransaction, workspace: Workspace, id: str) -> Incident:
    """The incident of an id, or of the only one that begins so."""
    if entries.etag(tx, Incident, id):
        exact = entries.get(tx, Incident, id)
        if exact.project == workspace.project:
            return exact
    begun = [
        one
        for one in entries.every(tx, Incident, project=workspace.project)
        if len(id) >= _LEAST_ID and one.id.startswith(id)
    ]
    if len(begun) == 1:
        return begun[0]
    raise NotFound(
        f"There is no incident {id!r} in {workspace.project!r}."
        if not begun
        else f"{len(begun)} incidents begin {id!r}.",
        fix="See them: slipway incidents list --all",
    )


def _still_open(tx: ReadTransaction, workspace: Workspace, id: str) -> Incident:
    one = _found(tx, workspace, id)
    if one.state != "open":
        raise Conflict(
            f"The incident {one.id} was closed at {one.closed_at:%Y-%m-%d %H:%M} UTC: {one.why or 'no longer so'}.",
            fix="Nothing needs to be done.",
        )
    return one


def _said(text: str) -> str:
    said = text.strip()
    if len(said) > _LONGEST:
        raise InvalidInput(f"The text has {len(said):,} letters.", fix=f"Give at most {_LONGEST:,}.", field="comment")
    return said
