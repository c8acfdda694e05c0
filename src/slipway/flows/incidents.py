"""Incidents out of findings: one for each cause, opened, followed, silenced, told, closed and re-opened here.

A cause is a kind and what it is about. Whatever shows the same cause at an endpoint (columns, replicas, versions, other
monitors) goes into the same incident, and it closes when nobody shows it any more. Nobody is told of one that another
explains (`slipway.flows.inhibition`), or whose like was judged noise; it is written down all the same, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from slipway.flows.inhibition import explained
from slipway.governance.absences import deputies, stand_in
from slipway.governance.channels import notify_settings
from slipway.governance.outbox import announce, announce_end, announce_together, level_of
from slipway.governance.people import is_there
from slipway.governance.telling import owned, tell_inside
from slipway.hashing import canonical, digest
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.operations.permissions import ROLES
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import MonitorSpec
from slipway.records.monitors import Cause, Finding, Incident
from slipway.records.notifications import Hold
from slipway.schema.durations import microseconds

__all__ = ["BY_HAND", "causes_of", "close", "close_unwatched", "follow", "held_by", "hold_id", "settle", "shown_by"]

BY_HAND = "closed by hand"
"""How the reason of an incident begins that a person closed."""

_OWNERS = {
    "broken feed": "data engineer",
    "labels": "data engineer",
    "skew": "data engineer",
    "drift": "data scientist",
    "quality": "data scientist",
    "estimated quality": "data scientist",
    "kpi": "business owner",
    "kpi against metric": "business owner",
    "fallback": "ml engineer",
    "service": "ml engineer",
    "no results": "ml engineer",
}
_CAUSES = {
    "drift": "broken feed",
    "freshness": "broken feed",
    "consistency": "skew",
    "estimated": "estimated quality",
}
_NEWEST_FINDINGS = 4
_LOOKED_BACK = 100
_MOST = 1000
_LOUDER = 1.5
_DIGITS = 32


def follow(tx: WriteTransaction, workspace: Workspace, found: Sequence[tuple[MonitorSpec, Finding]]) -> None:
    """Open, update and close incidents by what monitors found, all of one look together, and tell whom it concerns.

    A monitor that cannot tell leaves its incidents as they are; what keeps it from telling may be one of its own.

    Args:
        tx: The transaction that keeps the findings.
        workspace: The project's.
        found: Monitors with their findings.
    """
    for monitor, finding in found:
        _follow(tx, workspace, monitor, finding)
    for parent in dict.fromkeys(finding.parent_id for _, finding in found):
        settle(tx, workspace, parent, max(one.created_at for _, one in found))


def causes_of(monitor: MonitorSpec, finding: Finding) -> tuple[Cause, ...]:
    """What is wrong by a finding that alerts, each cause once; one that names none is one as a whole, of its monitor's kind."""
    if finding.causes:
        each: dict[tuple[str, str], Cause] = {}
        for cause in finding.causes:
            first = each.setdefault((cause.kind, cause.about), cause)
            columns = tuple(dict.fromkeys((*first.columns, *cause.columns)))
            each[cause.kind, cause.about] = msgspec.structs.replace(first, columns=columns)
        return tuple(each.values())
    value, low, high, limit = (_figure(finding, name) for name in ("value", "low", "high", "limit"))
    whole = Cause(
        kind=_CAUSES.get(monitor.kind, monitor.kind),
        about=monitor.metric
        if monitor.kind == "freshness"
        else monitor.name
        if monitor.kind in ("kpi", "custom")
        else "",
        sentence=finding.sentence,
        rows=finding.rows,
        value=value,
        low=low,
        high=high,
        unit=monitor.metric.replace("_", " ") if value is not None else "",
        before=limit if value is not None else None,
    )
    return (whole,)


def _figure(finding: Finding, name: str) -> float | None:
    value = finding.values.get(name)
    return float(value) if isinstance(value, int | float) else None


def shown_by(incident: Incident) -> tuple[str, ...]:
    """Which monitors show an incident; of a record of before there were several, the one that opened it."""
    return incident.monitors or ((incident.name,) if incident.findings else ())


def _follow(tx: WriteTransaction, workspace: Workspace, monitor: MonitorSpec, finding: Finding) -> None:
    if finding.state == "cannot tell" and not finding.causes:
        return
    present = [one for one in _open(tx, finding.parent_id) if shown_by(one)]
    still: set[str] = set()
    for cause in causes_of(monitor, finding) if finding.state == "alert" or finding.causes else ():
        known = next((one for one in present if one.id not in still and _is_of(one, cause, finding.name)), None)
        if known is not None:
            still.add(known.id)
            onward = _onward(known, finding, cause)
            if onward.held and onward.told_at is None:  # it may have grown, or the hold lapsed
                hold = held_by(tx, finding.parent_id, cause.kind, cause.about, finding.created_at)
                onward = msgspec.structs.replace(onward, held=_held(hold, cause) if hold else "")
            if known.told_at is not None and known.level in ("alert", "ticket") and onward.level == "page":
                announce(tx, workspace, onward, "opened", people=onward.people, which="page")
            entries.put(tx, onward)
        else:
            came = _came_back(tx, workspace, finding, cause) or _opened(tx, workspace, finding, cause)
            still.add(came.id)
    for one in present if finding.state != "cannot tell" else ():
        if finding.name in shown_by(one) and one.id not in still:
            _shows_no_longer(tx, workspace, one, finding)


def _is_of(one: Incident, cause: Cause, monitor: str) -> bool:
    if (one.cause, one.about) == (cause.kind, cause.about):
        return True
    # A record of before causes were told apart is about whatever its monitor shows first.
    return not one.monitors and not one.about and (one.cause, one.name) == (cause.kind, monitor)


def _onward(one: Incident, finding: Finding, cause: Cause) -> Incident:
    """The incident with what another finding shows of it; its words and figures are those of who showed it first."""
    opened_by, *later = (*one.findings, finding.id)
    monitors = tuple(dict.fromkeys((*shown_by(one), finding.name)))
    changed = msgspec.structs.replace(
        one,
        findings=(opened_by, *later[-_NEWEST_FINDINGS:]),
        about=cause.about,
        monitors=monitors,
        columns=tuple(dict.fromkeys((*one.columns, *cause.columns))),
        since=min((at for at in (one.since, cause.since) if at is not None), default=None),
        told_at=one.told_at if one.monitors else finding.created_at,
    )
    if finding.name != one.name and one.name in monitors:
        return changed
    return msgspec.structs.replace(changed, **_figures(finding, cause))


def _figures(finding: Finding, cause: Cause) -> dict[str, object]:
    return {
        "sentence": cause.sentence if len(finding.causes) > 1 else finding.sentence,
        "rows": cause.rows,
        "value": cause.value,
        "low": cause.low,
        "high": cause.high,
        "unit": cause.unit,
        "before": cause.before,
        "seen_from": finding.window_from,
        "seen_until": finding.window_until,
        "level": level_of(cause.kind, cause.urgency or str(finding.values.get("urgency", ""))),
    }


def _opened(tx: WriteTransaction, workspace: Workspace, finding: Finding, cause: Cause) -> Incident:
    hold = held_by(tx, finding.parent_id, cause.kind, cause.about, finding.created_at)
    incident = Incident(
        id=new_id(),
        project=finding.project,
        name=finding.name,
        created_at=finding.created_at,
        parent_id=finding.parent_id,
        findings=(finding.id,),
        owner=_OWNERS.get(cause.kind, "ml engineer"),
        cause=cause.kind,
        about=cause.about,
        monitors=(finding.name,),
        since=cause.since,
        columns=cause.columns,
        held=_held(hold, cause) if hold else "",
        **_figures(finding, cause),  # type: ignore[arg-type]  # a struct checks them
    )
    incident = _owned(tx, workspace, incident, cause.owner)
    entries.put(tx, incident, expect=0)
    if hold and incident.held:
        entries.put(tx, msgspec.structs.replace(hold, repeats=hold.repeats + 1))
    events.record(
        tx,
        workspace,
        "incidents.open",
        f"incident:{incident.id}",
        monitor=finding.name,
        cause=cause.kind,
        about=cause.about,
    )
    return incident


def _owned(tx: WriteTransaction, workspace: Workspace, incident: Incident, by_name: str) -> Incident:
    """The incident with who must look: whom the cause itself names, or who is responsible by its kind, also where they left."""
    if by_name in ROLES:
        return owned(tx, workspace, msgspec.structs.replace(incident, owner=by_name))
    if by_name and is_there(tx, by_name):
        acting = stand_in(deputies(tx, workspace.clock.now()), by_name) or by_name
        return msgspec.structs.replace(incident, owner=acting, people=(by_name,))
    return owned(tx, workspace, incident)


def _came_back(tx: WriteTransaction, workspace: Workspace, finding: Finding, cause: Cause) -> Incident | None:
    """The incident of the same cause that was closed less than the cool-down ago, open again; None where none was.

    Its people were told of it, so nobody is told anew, unless it was closed by hand: that word did not hold.
    """
    cooldown = timedelta(microseconds=microseconds(notify_settings(workspace.root, workspace.project).cooldown))
    for one in entries.find(tx, Incident, parent=finding.parent_id, state="closed", limit=_LOOKED_BACK):
        is_cool = one.closed_at is not None and finding.created_at - one.closed_at < cooldown
        if not (is_cool and one.monitors and (one.cause, one.about) == (cause.kind, cause.about)):
            continue
        again = msgspec.structs.replace(
            _onward(msgspec.structs.replace(one, monitors=(finding.name,)), finding, cause),
            state="open",
            closed_at=None,
            why="",
            reopened=one.reopened + 1,
            reopened_at=finding.created_at,
        )
        if one.why.startswith(BY_HAND):
            again = msgspec.structs.replace(
                again, told_at=finding.created_at, acknowledged_by="", acknowledged_at=None, escalated_at=None
            )
            announce(tx, workspace, again, "opened", people=again.people, which=f"again {again.reopened}")
        entries.put(tx, again)
        events.record(tx, workspace, "incidents.reopen", f"incident:{one.id}", monitor=finding.name, after=one.why)
        return again
    return None


def _shows_no_longer(tx: WriteTransaction, workspace: Workspace, one: Incident, finding: Finding) -> None:
    left = tuple(name for name in shown_by(one) if name != finding.name)
    if left:
        entries.put(tx, msgspec.structs.replace(one, monitors=left))
        return
    state = "another cause" if finding.state == "alert" else finding.state
    close(tx, workspace, one, f"{state}: {finding.sentence}", finding.created_at)


def close(tx: WriteTransaction, workspace: Workspace, one: Incident, why: str, now: datetime) -> Incident:
    """Close an incident, and say why.

    Args:
        tx: An open transaction.
        workspace: The project's.
        one: As it stands.
        why: In words.
        now: Business time.
    """
    closed = msgspec.structs.replace(one, state="closed", closed_at=now, why=why)
    entries.put(tx, closed)
    announce_end(tx, workspace, closed)
    events.record(tx, workspace, "incidents.close", f"incident:{one.id}", monitor=one.name, why=why)
    return closed


def close_unwatched(
    tx: WriteTransaction, workspace: Workspace, parent: str, names: Collection[str], now: datetime
) -> None:
    """Close what only monitors showed that are no longer declared: nobody else ever would.

    Args:
        tx: An open transaction.
        workspace: The project's.
        parent: `<project>/<endpoint>`.
        names: The monitors that look at it.
        now: Business time.
    """
    for one in _open(tx, parent):
        shown = shown_by(one)
        left = tuple(name for name in shown if name in names)
        if shown and not left:
            close(tx, workspace, one, "its monitor is no longer declared", now)
        elif left != shown:
            entries.put(tx, msgspec.structs.replace(one, monitors=left))


def settle(tx: WriteTransaction, workspace: Workspace, parent: str, now: datetime) -> None:
    """Tell of what is open and nobody was told of yet, unless something explains it or its like was judged noise.

    Args:
        tx: An open transaction.
        workspace: The project's.
        parent: `<project>/<endpoint>`.
        now: Business time.
    """
    present = _open(tx, parent)
    waiting = [one for one in present if one.monitors and one.told_at is None]
    if not waiting:
        return
    lately = entries.find(tx, Incident, parent=parent, state="closed", limit=_LOOKED_BACK)
    told: list[Incident] = []
    for one in waiting:
        found = explained(one, [*present, *lately], now)
        if found is not None:
            by, why = found
            if (one.silenced_by, one.silenced) != (by.id, why):
                entries.put(tx, msgspec.structs.replace(one, silenced_by=by.id, silenced=why))
            if one.silenced_by != by.id:
                events.record(tx, workspace, "incidents.silence", f"incident:{one.id}", by=by.id, why=why)
        elif not one.held:
            told.append(tell_inside(tx, workspace, msgspec.structs.replace(one, silenced_by="", silenced="")))
            entries.put(tx, told[-1])
        elif one.silenced_by:
            entries.put(tx, msgspec.structs.replace(one, silenced_by="", silenced=""))
    announce_together(tx, workspace, ((one, one.people) for one in told), "opened")


def hold_id(parent: str, kind: str, about: str) -> str:
    """The one id that the hold on repeats of a cause can have."""
    return digest(canonical((parent, "hold", kind, about)))[:_DIGITS]


def held_by(tx: ReadTransaction, parent: str, kind: str, about: str, now: datetime) -> Hold | None:
    """What holds repeats of a cause back now, None for nothing.

    Args:
        tx: An open transaction.
        parent: `<project>/<endpoint>`.
        kind: The kind of cause.
        about: What it is about.
        now: Business time.
    """
    id = hold_id(parent, kind, about)
    hold = entries.get(tx, Hold, id) if entries.etag(tx, Hold, id) else None
    return hold if hold is not None and hold.until > now else None


def _held(hold: Hold, cause: Cause) -> str:
    """Why a cause is held back, "" where it is clearly greater than what was judged."""
    least = cause.low if cause.low is not None else cause.value
    if hold.value is not None and least is not None and abs(least) > _LOUDER * abs(hold.value):
        return ""
    beyond = f", unless it is {_LOUDER:g} times as great" if hold.value is not None else ""
    return f"{hold.by} judged its like {hold.word}; such are held back until {hold.until:%Y-%m-%d %H:%M} UTC{beyond}"


def _open(tx: ReadTransaction, parent: str) -> list[Incident]:
    found: Iterable[Incident] = entries.find(tx, Incident, parent=parent, state="open", limit=_MOST)
    return sorted(found, key=lambda one: (one.created_at, one.name, one.about))
