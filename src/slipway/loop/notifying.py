"""Telling people outside of the store: what is due is made into messages, claimed, sent and marked, each message once.

A notification was written with what happened (`slipway.governance.outbox`). Here it becomes one delivery a channel, under an
id of its own, so that there is one however many look. Whoever sends one claims it by a lease. Before the first moment at
which the far side may have it the delivery says "handing over": one that was killed before is sent again, one that was
killed after is sent again only where a repeat is harmless, and is "uncertain" otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from slipway import plugins
from slipway.errors import Conflict, NotFound, SlipwayError
from slipway.flows.letters import Letter, letter_of
from slipway.governance.absences import deputies, stand_in
from slipway.governance.channels import notify_settings
from slipway.governance.outbox import CLOSED, deliveries_of
from slipway.hashing import canonical, digest
from slipway.ledger import entries, events
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.notifier import Message, Notifier, Outcome
from slipway.ports.workspace import Workspace
from slipway.records.notifications import LEVELS, ChannelSettings, Delivery, Notification, NotifySettings
from slipway.records.people import Actor, Person
from slipway.tables.personal import veil

__all__ = ["LEASE_S", "addresses", "route", "send", "send_due"]

LEASE_S = 60.0
"""Machine time for which a delivery is claimed; longer than any channel waits."""

_OUTSIDE = Actor("channels", kind="service")
_FIRST_AGAIN_S, _LAST_AGAIN_S = 5.0, 1800.0
_GIVEN_UP_AFTER = timedelta(days=3)
_MOST = 1000
_ID_LENGTH = 32
_UNSENT = ("due", "sending", "handing over")


def route(workspace: Workspace) -> int:
    """Make deliveries of what is due; returns how many. What no channel takes, or is no news any more, is kept.

    Raises:
        Corrupt: What the store's folder says of channels cannot be read.
    """
    with workspace.ledger.read() as tx:
        due = entries.find(tx, Notification, project=workspace.project, state="due", limit=_MOST)
    if not due:
        return 0
    settings, made = notify_settings(workspace.root, workspace.project), 0
    for one in reversed(due):
        told = _told_before(workspace, one) if one.name == CLOSED else None
        channels = _channels(one, settings, told)
        letter = _letter(workspace, one, settings) if channels else None
        with workspace.ledger.write() as tx:
            if entries.get(tx, Notification, one.id).state != "due":
                continue  # another server was faster
            if letter is None:
                entries.put(tx, msgspec.structs.replace(one, state="kept"))
                continue
            entries.put(tx, msgspec.structs.replace(one, state="routed"))
            for name, chosen in channels.items():
                to = one.to or (addresses(tx, workspace, one.people, chosen) if told is None else told[name])
                entries.put(tx, _delivery(workspace, one, letter, name, to), expect=0)
                made += 1
    return made


def _channels(
    one: Notification, settings: NotifySettings, told: dict[str, tuple[str, ...]] | None
) -> dict[str, ChannelSettings]:
    """By which channels it goes: what is for addresses by one of mail alone, so that nobody has it twice."""
    if one.to:
        mail = {name: chosen for name, chosen in sorted(settings.channels.items()) if chosen.kind == "mail"}
        return dict(list(mail.items())[:1])
    return {
        name: chosen
        for name, chosen in settings.channels.items()
        if (one.level in chosen.levels if told is None else name in told)
    }


def _told_before(workspace: Workspace, one: Notification) -> dict[str, tuple[str, ...]]:
    """By channel the addresses at which people heard of what is over by now."""
    with workspace.ledger.read() as tx:
        sent = deliveries_of(tx, one)
    return {
        each.name: tuple(dict.fromkeys(to for other in sent if other.name == each.name for to in other.to))
        for each in sent
    }


def _letter(workspace: Workspace, one: Notification, settings: NotifySettings) -> Letter | None:
    """The message as somebody may see it who holds no role: it leaves the store, so no value of a personal column is in it."""
    outside = replace(workspace, actor=_OUTSIDE, identity=None)
    found: Letter | None = veil().through(outside, lambda inside, asked: letter_of(inside, asked, settings), one)
    return found


def _delivery(workspace: Workspace, one: Notification, letter: Letter, name: str, to: tuple[str, ...]) -> Delivery:
    return Delivery(
        id=digest(canonical((one.id, name)))[:_ID_LENGTH],
        project=one.project,
        name=name,
        created_at=workspace.clock.now(),
        parent_id=one.id,
        about=one.parent_id,
        level=one.level,
        to=to,
        subject=letter.subject,
        text=letter.text,
        facts=letter.facts,
    )


def addresses(
    tx: ReadTransaction, workspace: Workspace, people: Sequence[str], chosen: ChannelSettings
) -> tuple[str, ...]:
    """Who is written to: the people that it is for, deputies put in; the channel's own addresses where none has one.

    Args:
        tx: An open transaction.
        workspace: The project's.
        people: By name.
        chosen: The channel.
    """
    away = deputies(tx, workspace.clock.now())
    acting = dict.fromkeys(stand_in(away, name) or name for name in people)
    known = [entries.get(tx, Person, name) for name in acting if entries.etag(tx, Person, name)]
    theirs = tuple(dict.fromkeys(one.email for one in known if one.email and one.disabled_at is None))
    return theirs or ((chosen.to,) if isinstance(chosen.to, str) else chosen.to)


def send_due(workspace: Workspace, holder: str, *, lease_s: float = LEASE_S) -> int:
    """Send what waits and is not claimed by another, pages first; returns how many messages were taken.

    What a channel that is away could not take just now is all that it is asked to take at this look: others need not wait.

    Args:
        workspace: The project's.
        holder: Who sends: a server of its own has a name of its own.
        lease_s: Machine time for which a delivery is claimed.
    """
    with workspace.ledger.read() as tx:
        waiting = [
            one
            for state in _UNSENT
            for one in entries.find(tx, Delivery, project=workspace.project, state=state, limit=_MOST)
        ]
    now = datetime.now(UTC)
    ready = [one for one in waiting if one.not_before is None or one.not_before <= now]
    ready.sort(key=lambda one: (LEVELS.index(one.level), one.created_at, one.id))
    away: set[str] = set()
    taken = 0
    for one in ready:
        if one.name not in away:
            state = send(workspace, one.id, holder, lease_s=lease_s)
            taken += state == "sent"
            if state == "due":
                away.add(one.name)
    return taken


def send(workspace: Workspace, id: str, holder: str, *, lease_s: float = LEASE_S) -> str:
    """Claim one delivery, send it and mark it; returns its state, "" where it is another's.

    Args:
        workspace: The project's.
        id: The delivery's.
        holder: Who sends.
        lease_s: Machine time for which it is claimed.
    """
    claimed = _claimed(workspace, id, holder, lease_s)
    if claimed is None:
        return ""
    one, channel = claimed
    if channel is None or one.state == "uncertain":
        return one.state
    message = Message(one.id, one.subject, one.text, one.level, one.to, one.facts)
    is_handed = False

    def handing_over() -> None:
        nonlocal is_handed
        with workspace.ledger.write() as tx:
            if not tx.take_lease(_lease(id), holder, seconds=lease_s):  # it took so long that another has it now
                raise Conflict(f"The delivery {id} is another server's by now.")
            entries.put(tx, msgspec.structs.replace(one, state="handing over"))
        is_handed = True

    try:
        outcome = channel.send(message, handing_over)
    except Conflict:
        return ""
    except SlipwayError as problem:  # a secret that cannot be read, an authority that is no file
        outcome = Outcome("later", str(problem))
    except Exception as problem:  # a bug in one channel must not keep what waits behind this message from being sent
        told = f"The channel {one.name!r} failed: {type(problem).__name__}: {problem}"
        outcome = Outcome("unsure" if is_handed else "later", told)
    return _marked(workspace, one, outcome, channel, holder)


def _claimed(workspace: Workspace, id: str, holder: str, lease_s: float) -> tuple[Delivery, Notifier | None] | None:
    """The delivery as it is claimed, with its channel; None where it is another's, or is done."""
    settings = notify_settings(workspace.root, workspace.project)
    with workspace.ledger.write() as tx:
        one = entries.get(tx, Delivery, id)
        if one.state not in _UNSENT or not tx.take_lease(_lease(id), holder, seconds=lease_s):
            return None
        try:
            channel = _opened(settings.channels.get(one.name), one.name)
        except SlipwayError as problem:
            return _ended(tx, workspace, one, "refused", str(problem)), None
        if one.state == "handing over" and not channel.repeats_are_harmless:
            told = "Whoever handed it over was killed before the far side had said that it has it."
            return _ended(tx, workspace, one, "uncertain", told), None
        one = msgspec.structs.replace(one, state="sending", attempts=one.attempts + 1)
        entries.put(tx, one)
        return one, channel


def _opened(chosen: ChannelSettings | None, name: str) -> Notifier:
    if chosen is None:
        raise NotFound(f"There is no channel {name!r} any more.", fix="See slipway.toml: [notify.channels].")
    opened: Notifier = plugins.load("notifier", chosen.kind)(chosen)
    return opened


def _marked(workspace: Workspace, one: Delivery, outcome: Outcome, channel: Notifier, holder: str) -> str:
    now = datetime.now(UTC)
    with workspace.ledger.write() as tx:
        if not tx.take_lease(_lease(one.id), holder, seconds=-1.0):
            return ""  # another goes on with it
        if outcome.state == "taken":
            return _ended(tx, workspace, one, "sent", outcome.problem, sent_at=now).state
        if outcome.state == "refused":
            return _ended(tx, workspace, one, "refused", outcome.problem).state
        if outcome.state == "unsure" and not channel.repeats_are_harmless:
            return _ended(tx, workspace, one, "uncertain", outcome.problem).state
        if workspace.clock.now() - one.created_at > _GIVEN_UP_AFTER:
            return _ended(
                tx, workspace, one, "refused", f"Given up after {one.attempts} attempts. {outcome.problem}"
            ).state
        wait = min(_FIRST_AGAIN_S * 2 ** (one.attempts - 1), _LAST_AGAIN_S)
        later = now + timedelta(seconds=wait)
        entries.put(tx, msgspec.structs.replace(one, state="due", not_before=later, problem=outcome.problem))
        return "due"


def _ended(
    tx: WriteTransaction,
    workspace: Workspace,
    one: Delivery,
    state: Literal["sent", "refused", "uncertain"],
    problem: str,
    *,
    sent_at: datetime | None = None,
) -> Delivery:
    ended = msgspec.structs.replace(one, state=state, problem=problem, sent_at=sent_at)
    entries.put(tx, ended)
    events.record(
        tx, workspace, f"notifications.{state}", one.about, channel=one.name, delivery=one.id, attempts=one.attempts
    )
    return ended


def _lease(id: str) -> str:
    return f"delivery {id}"
