"""A model's business page by mail, each week: what is set, what is due, and one message an address and occasion.

It leaves by the same outbox as word of incidents; what it says is written when it is sent (`slipway.flows.letters`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

from slipway.errors import InvalidInput, NotFound, near
from slipway.governance.channels import notify_settings
from slipway.governance.outbox import occasion_id
from slipway.ledger import entries, events
from slipway.models.numbered import names_in
from slipway.operations.business import MailBusiness, Sharing
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.business import WEEKDAYS, BusinessMail
from slipway.records.notifications import Notification

__all__ = ["ABOUT", "mail_of", "next_mail", "no_way_out", "set_mail", "write_due"]

ABOUT = "business"
"""How the node begins that such a message is about."""

_ADDRESS = re.compile(r"[^\s@<>,;\"\\]{1,64}@[^\s@<>,;\"\\]{1,190}", re.ASCII)
_MOST = 50
_WEEK = timedelta(days=7)
_MANY = 1000


def set_mail(workspace: Workspace, request: MailBusiness) -> Sharing:
    """Set to whom, and when, a model's page goes out; what was due before is not sent.

    Raises:
        NotFound: There is no such model.
        InvalidInput: An address is none, there are too many, or there is no such day or hour.
    """
    to = tuple(dict.fromkeys(one.strip() for one in request.to if one.strip()))
    _check(request, to)
    now, id = workspace.clock.now(), f"{workspace.project}/{request.model}"
    with workspace.ledger.write() as tx:
        known = names_in(tx, workspace.project)
        if request.model not in known:
            fix = near(request.model, known, what="models") if known else "Make one: slipway run PIPELINE"
            raise NotFound(f"There is no model {request.model!r} in {workspace.project!r}.", fix=fix)
        mail = BusinessMail(
            id=id,
            project=workspace.project,
            name=request.model,
            created_at=now,
            state="on" if to else "off",
            to=to,
            weekday=request.weekday,
            hour=request.hour,
            since=now,
            set_by=workspace.actor.name,
        )
        entries.put(tx, mail)
        events.record(tx, workspace, "business.mail", f"model:{id}", state=mail.state, addresses=len(to))
    is_on = mail.state == "on"
    trouble = no_way_out(workspace) if is_on else ""
    return Sharing(mail=mail, next_at=next_mail(mail, now) if is_on else None, trouble=trouble)


def _check(request: MailBusiness, to: tuple[str, ...]) -> None:
    wrong = next((one for one in to if not _ADDRESS.fullmatch(one)), None)
    if wrong is not None:
        raise InvalidInput(f"{wrong[:100]!r} is no address.", fix="Write each as name@example.org.", field="to")
    if len(to) > _MOST:
        raise InvalidInput(f"{len(to)} addresses are too many.", fix=f"Give {_MOST}, or that of a list.", field="to")
    if not 0 <= request.weekday < len(WEEKDAYS):
        raise InvalidInput(f"There is no day {request.weekday}.", fix="Give 0 for Monday to 6.", field="weekday")
    if not 0 <= request.hour <= 23:
        raise InvalidInput(f"There is no hour {request.hour}.", fix="Give 0 to 23, UTC.", field="hour")


def mail_of(tx: ReadTransaction, workspace: Workspace, model: str) -> BusinessMail | None:
    """How a model's mail is set, None where it never was."""
    id = f"{workspace.project}/{model}"
    return entries.get(tx, BusinessMail, id) if entries.etag(tx, BusinessMail, id) else None


def next_mail(mail: BusinessMail, now: datetime) -> datetime:
    """When a mail goes out next."""
    return _last(mail, now) + _WEEK


def no_way_out(workspace: Workspace) -> str:
    """Why no mail would leave, "" where a channel takes it."""
    channels = notify_settings(workspace.root, workspace.project).channels.values()
    if any(one.kind == "mail" for one in channels):
        return ""
    return "No mail leaves this store yet: the project names no channel of the kind 'mail' in slipway.toml, [notify.channels]."


def write_due(workspace: Workspace, now: datetime) -> int:
    """Write what is due into the outbox, once an address and occasion, however many look; returns how many were new.

    Of weeks in which nobody looked only the last is sent.

    Args:
        workspace: The project's.
        now: Business time.
    """
    with workspace.ledger.read() as tx:
        due = [
            (mail, at)
            for mail in entries.find(tx, BusinessMail, project=workspace.project, state="on", limit=_MANY)
            if (at := _last(mail, now)) > mail.since
        ]
        new = [
            one
            for mail, at in due
            for one in _written(workspace, mail, at, now)
            if not entries.etag(tx, Notification, one.id)
        ]
    if not new:
        return 0
    with workspace.ledger.write() as tx:
        mine = [one for one in new if not entries.etag(tx, Notification, one.id)]
        for one in mine:
            entries.put(tx, one, expect=0)
    return len(mine)


def _last(mail: BusinessMail, now: datetime) -> datetime:
    """The latest time at or before now at which the mail was due."""
    today = datetime.combine(now.astimezone(UTC).date(), time(mail.hour), UTC)
    at = today - timedelta(days=(today.weekday() - mail.weekday) % len(WEEKDAYS))
    return at if at <= now else at - _WEEK


def _written(workspace: Workspace, mail: BusinessMail, at: datetime, now: datetime) -> list[Notification]:
    about = f"{ABOUT}:{mail.id}"
    return [
        Notification(
            id=occasion_id(workspace.project, f"{ABOUT} {at.isoformat()} {address}", about),
            project=workspace.project,
            name=ABOUT,
            created_at=now,
            parent_id=about,
            level="note",
            sentence=mail.name,
            to=(address,),
        )
        for address in mail.to
    ]
