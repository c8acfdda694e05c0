"""Who acts, who is known, and by what they are known."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.records.record import Record

__all__ = ["MEMBER", "Actor", "Identity", "Person", "RoleGrant", "Token"]

MEMBER = "member"
"""The role of everybody who is known; nobody is given it."""


class Actor(Struct, frozen=True):
    """Somebody or something that acts.

    Args:
        name: A person's or service's name.
        kind: "simulated" marks a person that a demonstration plays; it is shown wherever the name is.
        roles: The roles held, by name.
        scopes: The rights to which the token limits them, () for all that the roles grant.
    """

    name: str
    kind: Literal["person", "service", "simulated"] = "person"
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The name, with a mark where the person is simulated."""
        return f"{self.name} (simulated)" if self.kind == "simulated" else self.name


class RoleGrant(Struct, frozen=True, order=True):
    """A role that somebody holds.

    Args:
        role: Its name.
        project: In which project, "" for all of the store.
    """

    role: str
    project: str = ""


class Identity(Struct, frozen=True, kw_only=True):
    """Somebody who is known here, before it is known in which project they act.

    Args:
        name: Their name.
        kind: As of `Actor`.
        grants: The roles that they hold; () for somebody whom the store does not know.
        scopes: The rights to which their token limits them.
        project: The only project that their token is good for, "" for all.
        token: The id of the token that they came with, "" for none.
        expires_at: When that token ends, None for no token.
    """

    name: str
    kind: Literal["person", "service"] = "person"
    grants: tuple[RoleGrant, ...] = ()
    scopes: tuple[str, ...] = ()
    project: str = ""
    token: str = ""
    expires_at: datetime | None = None

    def actor_in(self, project: str) -> Actor:
        """Who they are in a project: with the roles that they hold there; "" for what belongs to no project."""
        is_open = self.project in ("", project)
        roles = {grant.role for grant in self.grants if is_open and grant.project in ("", project)}
        if roles or (self.grants and not project):
            roles.add(MEMBER)
        return Actor(self.name, kind=self.kind, roles=tuple(sorted(roles)), scopes=self.scopes)


class Person(Record, frozen=True, kw_only=True, tag="person"):
    """A person or service that the store knows. Id and name are their name; they belong to no project.

    Args:
        is_service: Whether it is a program that acts by itself, such as a CI job.
        title: How pages call them: "Grace Okafor".
        email: Where they are written to, "" for nowhere.
        account: The account of the operating system on the store's machine that is theirs, "" for none.
        grants: The roles that they hold, sorted.
        disabled_at: Since when they may do nothing any more, None while they may.
    """

    is_service: bool = False
    title: str = ""
    email: str = ""
    account: str = ""
    grants: tuple[RoleGrant, ...] = ()
    disabled_at: datetime | None = None


class Token(Record, frozen=True, kw_only=True, tag="token"):
    """What somebody shows to be known. Its name is the person's; the secret itself is kept nowhere.

    Args:
        label: What it is for.
        secret: The digest of the secret: a secret has 256 random bits, so a plain digest cannot be turned around.
        scopes: The rights to which it limits its bearer, () for all of theirs.
        only: The only project that it is good for, "" for all.
        session: Whether it is a browser's, made at the log-in.
        expires_at: When it ends.
        used_at: When it was last seen, to the hour; None for never.
        revoked_at: Since when it is good for nothing, None while it is good.
        made_by: Who made it.
    """

    label: str = ""
    secret: str
    scopes: tuple[str, ...] = ()
    only: str = ""
    session: bool = False
    expires_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None
    made_by: str
