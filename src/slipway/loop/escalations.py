"""What becomes due by the clock alone: incidents that nobody acknowledged, that were put off, the day's digest, the week's mail."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import msgspec

from slipway.flows.business_mail import write_due
from slipway.governance.channels import notify_settings
from slipway.governance.notices import tell
from slipway.governance.outbox import announce, announce_together, level_of, occasion_id
from slipway.governance.raci import named
from slipway.governance.telling import place_of, stage_of
from slipway.ledger import entries, events
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.loop import Action
from slipway.records.monitors import Incident
from slipway.records.notifications import Delivery, Notification, NotifySettings
from slipway.schema.durations import microseconds

__all__ = ["digest_of", "escalate", "has_mail", "pass_over", "write_digest"]

_MOST = 1000
_ACTIONS = 200
_A_DAY = timedelta(days=1)


def pass_over(workspace: Workspace) -> None:
    """Write what is due now. Nothing is written twice, however many look.

    Raises:
        Corrupt: What the store's folder says of channels cannot be read.
    """
    settings, now = notify_settings(workspace.root, workspace.project), workspace.clock.now()
    escalate(workspace, settings, now)
    write_digest(workspace, settings, now)
    write_due(workspace, now)


def has_mail(workspace: Workspace) -> bool:
    """Whether anything waits to be made into messages, or to be sent."""
    with workspace.ledger.read() as tx:
        return any(
            entries.find(tx, kind, project=workspace.project, state=state, limit=1)
            for kind, states in ((Notification, ("due",)), (Delivery, ("due", "sending", "handing over")))
            for state in states
        )


def escalate(workspace: Workspace, settings: NotifySettings, now: datetime) -> list[str]:
    """Tell who is accountable of what nobody acknowledged in time, and its people of what was put off until now.

    Args:
        workspace: The project's.
        settings: Say after how long.
        now: Business time.

    Returns:
        The ids of the incidents.
    """
    with workspace.ledger.read() as tx:
        present = entries.find(tx, Incident, project=workspace.project, state="open", limit=_MOST)
    due = [one.id for one in present if _is_late(one, settings, now) or _is_awake(one, now)]
    if not due:
        return []
    late: list[tuple[Incident, tuple[str, ...]]] = []
    with workspace.ledger.write() as tx:
        for one in (entries.get(tx, Incident, id) for id in due):  # another server may have been faster
            if one.state == "open" and _is_awake(one, now):
                _wake(tx, workspace, one, now)
            elif one.state == "open" and _is_late(one, settings, now):
                late.append((one, _over(tx, workspace, one, now)))
        announce_together(tx, workspace, late, "escalated")
    return due


def _wake(tx: WriteTransaction, workspace: Workspace, one: Incident, now: datetime) -> None:
    about, which = f"incident:{one.id}", str(one.snoozed_until)
    announce(tx, workspace, one, "snooze ended", people=one.people, which=which)
    place, occasion = place_of(one), f"{about} {which}"
    tell(
        tx, workspace, one.people, "incident", about=about, sentence=one.sentence, place=place, occasion=occasion
    )  # fmt: skip
    entries.put(tx, msgspec.structs.replace(one, snoozed_until=None, snoozed_by="", told_at=now))
    events.record(tx, workspace, "incidents.wake", about)


def _over(tx: WriteTransaction, workspace: Workspace, one: Incident, now: datetime) -> tuple[str, ...]:
    """Tell who is accountable in their inboxes; gives their names."""
    about = f"incident:{one.id}"
    people = named(tx, workspace, stage_of(one.cause)[0], "accountable")
    told = f"Nobody has acknowledged this since {one.told_at:%Y-%m-%d %H:%M} UTC: {one.sentence}"
    place, occasion = place_of(one), f"{about} escalated"
    tell(tx, workspace, people, "incident", about=about, sentence=told, place=place, occasion=occasion)
    entries.put(tx, msgspec.structs.replace(one, escalated_at=now))
    events.record(tx, workspace, "incidents.escalate", about, people=list(people), monitor=one.name)
    return people


def _is_late(one: Incident, settings: NotifySettings, now: datetime) -> bool:
    if one.told_at is None or one.acknowledged_by or one.escalated_at is not None or one.snoozed_until is not None:
        return False
    level = one.level or level_of(one.cause)
    after = timedelta(microseconds=microseconds(settings.escalate_pages if level == "page" else settings.escalate))
    return now - one.told_at >= (max(after, _A_DAY) if level == "ticket" else after)


def _is_awake(one: Incident, now: datetime) -> bool:
    return one.snoozed_until is not None and one.snoozed_until <= now


def write_digest(workspace: Workspace, settings: NotifySettings, now: datetime) -> bool:
    """Write the digest of the day before the present digest's hour, once; says whether it has anything to say.

    Args:
        workspace: The project's.
        settings: Say at which hour, and whether a channel takes notes.
        now: Business time.
    """
    if not any("note" in channel.levels for channel in settings.channels.values()):
        return False
    until = datetime.combine(now.astimezone(UTC).date(), time(settings.digest), UTC)
    if until > now:
        return False
    about = f"digest:{until:%Y-%m-%d}"
    id = occasion_id(workspace.project, "digest", about)
    with workspace.ledger.read() as tx:
        if entries.etag(tx, Notification, id):
            return False
        told = digest_of(tx, workspace, until - _A_DAY, until)
        people = tuple(
            dict.fromkeys(name for stage in ("monitor", "data") for name in named(tx, workspace, stage, "responsible"))
        )
    written = Notification(
        id=id,
        project=workspace.project,
        name="digest",
        created_at=now,
        parent_id=about,
        state="due" if told else "kept",
        level="note",
        people=people,
        sentence=told,
    )
    with workspace.ledger.write() as tx:
        if not entries.etag(tx, Notification, id):
            entries.put(tx, written, expect=0)
    return bool(told)


def digest_of(tx: ReadTransaction, workspace: Workspace, since: datetime, until: datetime) -> str:
    """What was worth a line between two instants, "" for nothing.

    Args:
        tx: An open transaction.
        workspace: The project's.
        since: From then on.
        until: Before that.
    """
    recent = [
        one
        for one in entries.find(tx, Incident, project=workspace.project, limit=_MOST)
        if since <= max(one.created_at, one.closed_at or one.created_at) < until
    ]
    notes = [
        one
        for one in entries.find(tx, Action, project=workspace.project, name="note", limit=_ACTIONS)
        if since <= one.created_at < until
    ]
    parts = [
        ("Noted", [f"{one.parent_id.partition('/')[2]}: {one.sentence}" for one in notes]),
        ("Explained by something else", [f"{_name(one)}: {one.silenced}" for one in recent if one.silenced]),
        ("Held back", [f"{_name(one)}: {one.held}" for one in recent if one.held and one.told_at is None]),
        (
            "Came back",
            [f"{_name(one)}, {one.reopened} times" for one in recent if one.reopened and one.state == "open"],
        ),
        ("Closed", [f"{_name(one)}: {one.why or 'no longer so'}" for one in recent if one.state == "closed"]),
    ]
    lines = [f"{title}:\n" + "\n".join(f"  {line}" for line in told) for title, told in parts if told]
    return "\n\n".join([f"The day until {until:%Y-%m-%d %H:%M} UTC", *lines]) if lines else ""


def _name(one: Incident) -> str:
    where = one.parent_id.partition("/")[2]
    return f"{where}, {one.cause or one.name}{f' ({one.about})' if one.about else ''}"
