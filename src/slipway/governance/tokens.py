"""Tokens: what somebody shows to be known, kept as digests of their secrets.

A token's text is `slw_<id>_<secret>`: the id finds its record, the digest of the secret is compared in constant time.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta

import msgspec

from slipway.errors import Denied, InvalidInput, NotFound, Unauthenticated, near
from slipway.governance.callers import tell_endpoints
from slipway.governance.people import check_project, identity_of, person_named
from slipway.hashing import digest
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.operations.declare import check_allowed
from slipway.operations.people import AddToken, ListTokens, RevokeToken, TokenMade, Tokens
from slipway.operations.permissions import is_right
from slipway.ports.ledger_store import LedgerStore
from slipway.ports.workspace import Workspace
from slipway.records.people import Identity, Person, Token

__all__ = ["add_token", "identified", "list_tokens", "log_in", "revoke_token"]

_PREFIX = "slw"
_SESSION = timedelta(hours=12)
_SEEN_EVERY = timedelta(hours=1)
_MOST = 10_000
_LONGEST = 200


def add_token(workspace: Workspace, request: AddToken) -> TokenMade:
    """Make a token for oneself, or for somebody else where that right is held.

    Raises:
        Denied: It is another's, or the token that asks is limited itself.
        InvalidInput: The days or scopes do not fit.
        NotFound: There is no such person or project.
    """
    name = request.name or workspace.actor.name
    only = "" if workspace.identity is None else workspace.identity.project
    if workspace.actor.scopes or only:
        raise Denied(
            f"A token {'with scopes' if workspace.actor.scopes else f'for {only} alone'} cannot make another one.",
            why="The new one could do more than the one that made it.",
            fix="Log in, or use a token without scopes that is good for all projects.",
        )
    if not 1 <= request.days <= 366:
        raise InvalidInput(
            f"A token cannot last {request.days} days.", fix="Give 1 to 366 days: --days 90.", field="days"
        )
    _check_others(workspace, name, "tokens.add")
    for scope in request.scopes:
        if not is_right(scope):
            raise InvalidInput(
                f"{scope!r} is no scope.",
                why="A scope is a right such as 'runs.write', all of a noun's ('runs.*'), or a right on all ('*.read').",
                fix="See which right an operation needs: slipway api, or docs/reference/operations.md",
                field="scopes",
            )
    with workspace.ledger.write() as tx:
        person = person_named(tx, name)
        if request.only:
            check_project(tx, request.only)
        made, text = _made(workspace, person, label=request.label, scopes=request.scopes, only=request.only)
        made = msgspec.structs.replace(made, expires_at=workspace.clock.now() + timedelta(days=request.days))
        entries.put(tx, made, expect=0)
        events.record(tx, workspace, "tokens.add", f"token:{made.id}", person=name, scopes=made.scopes, only=made.only)
    tell_endpoints(workspace)
    return TokenMade(token=_hidden(made), text=text)


def list_tokens(workspace: Workspace, request: ListTokens) -> Tokens:
    """Tokens of one person or of all, newest first, without their digests.

    Raises:
        Denied: They are another's.
    """
    name = "" if request.everybody else request.name or workspace.actor.name
    _check_others(workspace, name, "tokens.list")
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Token, name=name or None, limit=_MOST)
    return Tokens(tokens=tuple(_hidden(token) for token in found))


def revoke_token(workspace: Workspace, request: RevokeToken) -> Tokens:
    """End a token at once.

    Raises:
        NotFound: There is none of that id.
        Denied: It is another's.
    """
    with workspace.ledger.write() as tx:
        if not entries.etag(tx, Token, request.id):
            own = [token.id for token in entries.find(tx, Token, name=workspace.actor.name, limit=_MOST)]
            raise NotFound(f"There is no token {request.id!r}.", fix=near(request.id, own, what="tokens of yours"))
        token = entries.get(tx, Token, request.id)
        _check_others(workspace, token.name, "tokens.revoke")
        token = msgspec.structs.replace(token, revoked_at=token.revoked_at or workspace.clock.now())
        entries.put(tx, token)
        events.record(tx, workspace, "tokens.revoke", f"token:{token.id}", person=token.name)
    tell_endpoints(workspace)
    return Tokens(tokens=(_hidden(token),))


def identified(store: LedgerStore, text: str, now: datetime) -> Identity:
    """Who shows a token.

    Args:
        store: The ledger's database.
        text: What was shown.
        now: Business time.

    Raises:
        Unauthenticated: It is no token, or one that is good for nothing any more.
    """
    prefix, _, rest = text.strip().partition("_")
    id, _, secret = rest.partition("_")
    with store.read() as tx:
        if prefix != _PREFIX or len(text) > _LONGEST or not entries.etag(tx, Token, id):
            raise _unknown()
        token = entries.get(tx, Token, id)
        if not hmac.compare_digest(token.secret, digest(secret.encode())):
            raise _unknown()
        person = entries.get(tx, Person, token.name)
    for ended, how in (
        (token.revoked_at is not None, "was revoked"),
        (token.expires_at <= now, f"ended on {token.expires_at:%Y-%m-%d %H:%M}"),
        (person.disabled_at is not None, f"is {person.name}'s, who is disabled"),
    ):
        if ended:
            raise Unauthenticated(
                f"The {'session' if token.session else 'token'} {how}.",
                fix="Log in again, or ask an admin for a token: slipway tokens add",
            )
    if token.used_at is None or now - token.used_at >= _SEEN_EVERY:
        _seen(store, token.id, now)
    return msgspec.structs.replace(
        identity_of(person), scopes=token.scopes, project=token.only, token=token.id, expires_at=token.expires_at
    )


def log_in(workspace: Workspace, identity: Identity) -> tuple[Token, str]:
    """Begin a browser's session: a token of twelve hours, or as long as the one that it was begun with.

    Args:
        workspace: The store's.
        identity: Who logs in.
    """
    with workspace.ledger.write() as tx:
        person = person_named(tx, identity.name)
        session, text = _made(
            workspace, person, label="browser", scopes=identity.scopes, only=identity.project, session=True
        )
        if identity.expires_at is not None and identity.expires_at < session.expires_at:
            session = msgspec.structs.replace(session, expires_at=identity.expires_at)
        entries.put(tx, session, expect=0)
        events.record(tx, workspace, "tokens.log_in", f"token:{session.id}", person=person.name)
    return session, text


def _made(
    workspace: Workspace, person: Person, *, label: str, scopes: tuple[str, ...], only: str, session: bool = False
) -> tuple[Token, str]:
    id, secret, now = new_id(), secrets.token_urlsafe(32), workspace.clock.now()
    token = Token(
        id=id,
        project="",
        name=person.name,
        created_at=now,
        label=label,
        secret=digest(secret.encode()),
        scopes=scopes,
        only=only,
        session=session,
        expires_at=now + _SESSION,
        made_by=workspace.actor.name,
    )
    return token, f"{_PREFIX}_{id}_{secret}"


def _seen(store: LedgerStore, id: str, now: datetime) -> None:
    with store.write() as tx:
        token = entries.get(tx, Token, id)
        entries.put(tx, msgspec.structs.replace(token, used_at=now))


def _check_others(workspace: Workspace, name: str, what: str) -> None:
    if name != workspace.actor.name:
        check_allowed(workspace, what, "people.write")


def _hidden(token: Token) -> Token:
    return msgspec.structs.replace(token, secret="")


def _unknown() -> Unauthenticated:
    return Unauthenticated(
        "Nobody is known by this token.",
        why="It was mistyped, or made by another store: each environment's knows its own.",
        fix="Ask an admin of this store for one: slipway tokens add. The variable SLIPWAY_TOKEN_PROD shows one to the "
        "environment 'prod' alone.",
    )
