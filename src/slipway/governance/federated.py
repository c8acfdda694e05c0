"""Who somebody is here, of whom a provider said who they are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from slipway.errors import InvalidInput, InvalidSetting, SlipwayError, Unauthenticated
from slipway.governance import people
from slipway.ids import check_name
from slipway.operations.people import AddPerson
from slipway.operations.permissions import ROLES
from slipway.ports.workspace import Workspace
from slipway.records.log_in import OidcSettings
from slipway.records.people import MEMBER, Actor, Identity, Person

__all__ = ["check_role", "identity_by_claims"]

_NEVER = ("admin", "governance")
_LOG_IN = Actor("log-in", kind="service", roles=("admin",))
"""Who makes people known that the provider knows."""


def check_role(settings: OidcSettings) -> None:
    """Refuse a default role that nobody should have for being in a company.

    Raises:
        InvalidSetting: It is none, or would let whoever can log in set the rules.
    """
    known = [role for role in ROLES if role != MEMBER and role not in _NEVER]
    if settings.role and settings.role not in known:
        raise InvalidSetting(
            f"The setting role of [server.oidc] is {settings.role!r}, which nobody gets by logging in.",
            why=f"It may be: {', '.join(known)}.",
            fix="Name one of them, or leave it out: then an admin makes people known.",
        )


def identity_by_claims(workspace: Workspace, settings: OidcSettings, claims: Mapping[str, Any]) -> Identity:
    """The person whom verified claims name, made known where settings say so.

    Args:
        workspace: The store's.
        settings: Which claim is the name, and who may come.
        claims: The provider's, verified.

    Raises:
        Unauthenticated: The claim is missing or not verified, the domain may not come, or the person is unknown or disabled.
    """
    email = claims.get("email") if claims.get("email_verified") is True else None
    email = email.lower() if isinstance(email, str) else ""
    if settings.domains and email.rpartition("@")[2] not in {domain.lower() for domain in settings.domains}:
        raise _refused(
            "The provider has verified no e-mail address of a domain that may log in.",
            f"Those are: {', '.join(settings.domains)}.",
        )
    said = email if settings.claim == "email" else claims.get(settings.claim)
    if not isinstance(said, str) or not said:
        raise _refused(
            f"The provider does not say the claim {settings.claim!r}.",
            "An address counts once the provider has verified it." if settings.claim == "email" else "",
        )
    person = _known_as(workspace, said, by_email=settings.claim == "email")
    if person is None:
        person = _made(workspace, settings, said, email)
    if person.disabled_at is not None:
        raise _refused(f"{person.name} is disabled here.", "")
    return people.identity_of(person)


def _known_as(workspace: Workspace, said: str, *, by_email: bool) -> Person | None:
    with workspace.ledger.read() as tx:
        everybody = people.known(tx)
    fitting = [one for one in everybody if (one.email if by_email else one.name).lower() == said.lower()]
    # A service acts by its tokens; an address that two people have names neither.
    return fitting[0] if len(fitting) == 1 and not fitting[0].is_service else None


def _made(workspace: Workspace, settings: OidcSettings, said: str, email: str) -> Person:
    with workspace.ledger.read() as tx:
        is_open = not people.somebody_is_known(tx)
    if not settings.role or is_open:
        raise _refused(f"{said[:100]!r} is nobody whom this store knows.", "")
    try:
        name = check_name(said.partition("@")[0].lower() if settings.claim == "email" else said.lower(), "person")
        acting = replace(workspace, actor=_LOG_IN, identity=None)
        return people.add(acting, AddPerson(name=name, roles=(settings.role,), email=email)).person
    except InvalidInput as problem:
        raise _refused(f"{said[:100]!r} cannot be a name here.", problem.what) from problem
    except SlipwayError as problem:
        raise _refused(f"{said[:100]!r} cannot be made known.", problem.what) from problem


def _refused(what: str, why: str) -> Unauthenticated:
    return Unauthenticated(what, why=why, fix="Ask an admin of this store: slipway people add NAME --role ROLE")
