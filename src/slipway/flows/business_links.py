"""Links that show one model's business page to whoever has them, and nothing else; kept as digests of their secrets.

A link's text is `<id>.<secret>`: the id finds its record, the digest of the secret is compared in constant time. It is no
token: what tokens open, a link does not, and the other way round.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec

from slipway.errors import InvalidInput, NotFound, near
from slipway.flows.business_mail import mail_of, next_mail, no_way_out
from slipway.hashing import digest
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.models.numbered import names_in
from slipway.operations.business import GetBusiness, RevokeShared, ShareBusiness, SharedMade, Sharing
from slipway.ports.workspace import Workspace, in_project
from slipway.records.business import SharedPage
from slipway.records.people import Actor

__all__ = ["SHARED", "VIEWER", "get_sharing", "opened", "over", "revoke", "share"]

SHARED = "/shared/"
"""Where links begin, within the server."""

VIEWER = ("executive viewer",)
_ONLY = ("business.read",)
_SEEN_EVERY = timedelta(hours=1)
_TEXT = re.compile(r"([0-9a-f]{1,64})\.([\w-]{20,100})")
_LONGEST_LABEL = 200
_MANY = 1000


def share(workspace: Workspace, request: ShareBusiness) -> SharedMade:
    """Make a link; its text is in the answer and kept nowhere.

    Raises:
        NotFound: There is no such model.
        InvalidInput: The days or the label do not fit.
    """
    _check_model(workspace, request.model)
    if not 1 <= request.days <= 366:
        raise InvalidInput(f"A link cannot last {request.days} days.", fix="Give 1 to 366 days.", field="days")
    if len(request.label) > _LONGEST_LABEL:
        raise InvalidInput(
            f"The label has {len(request.label)} letters.",
            fix=f"Say in {_LONGEST_LABEL} whom it is for.",
            field="label",
        )
    now, secret = workspace.clock.now(), secrets.token_urlsafe(32)
    link = SharedPage(
        id=new_id(),
        project=workspace.project,
        name=request.model,
        created_at=now,
        parent_id=f"{workspace.project}/{request.model}",
        secret=digest(secret.encode()),
        label=request.label.strip(),
        expires_at=now + timedelta(days=request.days),
        made_by=workspace.actor.name,
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, link, expect=0)
        about, until = f"shared:{link.id}", f"{link.expires_at:%Y-%m-%d}"
        events.record(tx, workspace, "business.share", about, model=request.model, until=until)
    return SharedMade(link=_hidden(link), path=f"{SHARED}{link.id}.{secret}")


def revoke(workspace: Workspace, request: RevokeShared) -> Sharing:
    """End a link at once; of one that has ended already nothing changes.

    Raises:
        NotFound: This project has none of that id.
    """
    with workspace.ledger.write() as tx:
        known = [one.id for one in entries.find(tx, SharedPage, project=workspace.project, limit=_MANY)]
        if request.id not in known:
            raise NotFound(f"There is no link {request.id!r}.", fix=near(request.id, known, what="links"))
        link = entries.get(tx, SharedPage, request.id)
        if link.revoked_at is None:
            now, by = workspace.clock.now(), workspace.actor.name
            entries.put(tx, msgspec.structs.replace(link, revoked_at=now, revoked_by=by))
            events.record(tx, workspace, "business.revoke", f"shared:{link.id}", model=link.name)
    return get_sharing(workspace, GetBusiness(model=link.name))


def get_sharing(workspace: Workspace, request: GetBusiness) -> Sharing:
    """The links that were made to a model's page, newest first, and the mail that is set.

    Raises:
        NotFound: There is no such model.
    """
    _check_model(workspace, request.model)
    parent = f"{workspace.project}/{request.model}"
    with workspace.ledger.read() as tx:
        found = entries.find(tx, SharedPage, parent=parent, limit=_MANY)
        mail = mail_of(tx, workspace, request.model)
    return Sharing(
        links=tuple(_hidden(one) for one in found),
        mail=mail,
        next_at=next_mail(mail, workspace.clock.now()) if mail is not None and mail.state == "on" else None,
        trouble=no_way_out(workspace) if mail is not None and mail.state == "on" else "",
    )


def opened(workspace: Workspace, text: str) -> tuple[Workspace, SharedPage]:
    """What somebody sees who has a link: its project, as one who may read business pages and nothing else.

    Args:
        workspace: The server's.
        text: What stands in the address after `/shared/`.

    Raises:
        NotFound: It is no link, or one that shows nothing any more: which of the two is not said.
    """
    now, found = workspace.clock.now(), _TEXT.fullmatch(text)
    link = None
    if found is not None:
        with workspace.ledger.read() as tx:
            link = entries.get(tx, SharedPage, found[1]) if entries.etag(tx, SharedPage, found[1]) else None
    is_right = link is not None and found is not None and hmac.compare_digest(link.secret, digest(found[2].encode()))
    if link is None or not is_right or link.revoked_at is not None or link.expires_at <= now:
        raise over()
    actor = Actor(f"link {link.id[:12]}", "service", VIEWER, _ONLY)
    inside = in_project(replace(workspace, actor=actor, identity=None), link.project)
    if link.used_at is None or now - link.used_at >= _SEEN_EVERY:
        _seen(inside, link, now)
    return inside, link


def over() -> NotFound:
    """What is said of a link that shows nothing, whyever: nothing of the store is in it."""
    return NotFound(
        "This link shows nothing, or nothing any more.",
        why="Links end after some days, or when whoever made them ends them.",
        fix="Ask whoever sent it to you for another one.",
    )


def _seen(workspace: Workspace, link: SharedPage, now: datetime) -> None:
    with workspace.ledger.write() as tx:
        stored = entries.get(tx, SharedPage, link.id)
        first = stored.first_used_at or now
        entries.put(tx, msgspec.structs.replace(stored, first_used_at=first, used_at=now))
        if stored.first_used_at is None:
            events.record(tx, workspace, "business.opened", f"shared:{link.id}", model=link.name)


def _hidden(link: SharedPage) -> SharedPage:
    return msgspec.structs.replace(link, secret="")


def _check_model(workspace: Workspace, name: str) -> None:
    with workspace.ledger.read() as tx:
        known = names_in(tx, workspace.project)
    if name not in known:
        fix = near(name, known, what="models") if known else "Make one: slipway run PIPELINE"
        raise NotFound(f"There is no model {name!r} in {workspace.project!r}.", fix=fix)
