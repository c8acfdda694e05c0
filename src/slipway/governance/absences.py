"""Absences: who is away, who stands in for them, and circles of deputies refused before they can happen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from slipway.errors import Conflict, Denied, InvalidInput, NotFound
from slipway.governance.people import person_named
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.operations.declare import Empty
from slipway.operations.permissions import allowed
from slipway.operations.responsibility import AbsenceKept, Absences, Away, Back
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.responsibility import Absence

__all__ = ["away", "back", "deputies", "list_absences", "stand_in", "stood_in_for"]


def list_absences(workspace: Workspace, request: Empty) -> Absences:
    """Absences that are not over, by their beginning."""
    now = workspace.clock.now()
    with workspace.ledger.read() as tx:
        found = [one for one in _standing(tx) if one.until > now]
    return Absences(absences=tuple(sorted(found, key=lambda one: (one.since, one.name))))


def away(workspace: Workspace, request: Away) -> AbsenceKept:
    """Say that somebody is away, and who stands in for them.

    Raises:
        Denied: It is somebody else, and whoever asks may not write people.
        NotFound: There is no such person or deputy.
        InvalidInput: The times do not fit, the deputy cannot act, or deputies would stand in for each other in a circle.
        Conflict: They are away then already.
    """
    name = request.name or workspace.actor.name
    _check_own(workspace, name, "away")
    since = request.since or workspace.clock.now()
    _check_times(workspace, since, request.until)
    kept = Absence(
        id=new_id(),
        project="",
        name=name,
        created_at=workspace.clock.now(),
        since=since,
        until=request.until,
        deputy=request.deputy,
        actor=workspace.actor,
    )
    with workspace.ledger.write() as tx:
        person_named(tx, name)
        standing = _standing(tx)
        _check_deputy(tx, kept)
        for other in standing:
            if other.name == name and _overlap(other, kept):
                raise Conflict(
                    f"{name} is away from {_day(other.since)} to {_day(other.until)} already.",
                    why="Who stands in for somebody at a time must be clear.",
                    fix=f"Take that back first: slipway people back {name}",
                )
        _check_circle(kept, standing)
        entries.put(tx, kept, expect=0)
        span = {"since": kept.since.isoformat(), "until": kept.until.isoformat(), "deputy": kept.deputy}
        events.record(tx, workspace, "absences.add", f"person:{name}", **span)
    return AbsenceKept(absence=kept)


def back(workspace: Workspace, request: Back) -> Absences:
    """Take back the absences of somebody that are not over.

    Raises:
        Denied: It is somebody else, and whoever asks may not write people.
        NotFound: They are not away and are not going to be.
    """
    name = request.name or workspace.actor.name
    _check_own(workspace, name, "back")
    now = workspace.clock.now()
    with workspace.ledger.write() as tx:
        ended = [
            msgspec.structs.replace(one, ended_at=now) for one in _standing(tx) if one.name == name and one.until > now
        ]
        if not ended:
            raise NotFound(f"{name} is not away and is not going to be.", fix="See who is: slipway people absences")
        for one in ended:
            entries.put(tx, one)
        events.record(tx, workspace, "absences.end", f"person:{name}", absences=len(ended))
    return Absences(absences=tuple(ended))


def deputies(tx: ReadTransaction, at: datetime) -> dict[str, str]:
    """Who is away at an instant, and the deputy that each named, "" for none."""
    return {one.name: one.deputy for one in _standing(tx) if one.since <= at < one.until}


def stand_in(away: Mapping[str, str], name: str) -> str:
    """Who acts for somebody: they themselves, their deputy, or the deputy's while that one is away too.

    Args:
        away: See `deputies`.
        name: For whom.

    Returns:
        A name; "" where the chain ends with nobody, or in a circle.
    """
    seen = {name}
    while name in away:
        name = away[name]
        if not name or name in seen:
            return ""
        seen.add(name)
    return name


def stood_in_for(away: Mapping[str, str], name: str) -> set[str]:
    """Those for whom somebody acts because they are away."""
    return {one for one in away if one != name and stand_in(away, one) == name}


def _standing(tx: ReadTransaction) -> list[Absence]:
    return [one for one in entries.every(tx, Absence) if one.ended_at is None]


def _check_own(workspace: Workspace, name: str, verb: str) -> None:
    if name != workspace.actor.name and not allowed(workspace.actor, "people.write"):
        raise Denied(
            f"{workspace.actor.name} may not say when {name} is away.",
            why="Everybody says that of themselves; of others who may write people.",
            fix=f"Ask {name} or an admin to do it: slipway people {verb} {name}",
        )


def _check_times(workspace: Workspace, since: datetime, until: datetime) -> None:
    for name, at in (("since", since), ("until", until)):
        if at.tzinfo is None:
            raise InvalidInput(
                f"{name!r} is {at.isoformat()}, which has no time zone.",
                fix="Add one: 2014-01-31T00:00:00Z.",
                field=name,
            )
    now = workspace.clock.now()
    if until <= max(since, now):
        raise InvalidInput(
            f"An absence cannot end at {until.isoformat()}.",
            why=f"It begins at {since.isoformat()}, and it is {now.isoformat()} now.",
            fix="Give a later end: --until DATE, which is the last day away.",
            field="until",
        )


def _check_deputy(tx: ReadTransaction, kept: Absence) -> None:
    if not kept.deputy:
        return
    deputy = person_named(tx, kept.deputy)
    if deputy.name == kept.name or deputy.disabled_at is not None or deputy.is_service:
        why = "is disabled" if deputy.disabled_at else "is a service" if deputy.is_service else "is away themselves"
        raise InvalidInput(
            f"{deputy.name} cannot stand in for {kept.name}: {deputy.name} {why}.",
            fix="Name another person who may act: slipway people list",
            field="deputy",
        )


def _check_circle(kept: Absence, standing: list[Absence]) -> None:
    """Refuse what would, at some instant, let deputies stand in for each other in a circle."""
    every = [*standing, kept]
    for at in {kept.since, *(one.since for one in standing if kept.since <= one.since < kept.until)}:
        away = {one.name: one.deputy for one in every if one.since <= at < one.until}
        chain = [kept.name]
        while away.get(chain[-1]) and away[chain[-1]] not in chain:
            chain.append(away[chain[-1]])
        if away.get(chain[-1]):
            circle = " -> ".join([*chain, away[chain[-1]]])
            raise InvalidInput(
                f"On {_day(at)} nobody would be there: {circle}.",
                why="Deputies who are away at the same time cannot stand in for each other.",
                fix="Name somebody who is there then: slipway people absences",
                field="deputy",
            )


def _overlap(one: Absence, other: Absence) -> bool:
    return one.since < other.until and other.since < one.until


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
