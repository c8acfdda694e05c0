"""Which role may do what: the one table behind every face.

A right is written `noun.right`; `*` stands for any. Reading is `noun.read`.
"""

from slipway.records.people import MEMBER, Actor

__all__ = ["EXCLUDING", "RESERVED", "ROLES", "allowed", "is_right", "roles_with"]

ROLES: dict[str, tuple[str, ...]] = {
    "admin": ("*.*",),
    "business owner": ("*.read", "approvals.grant"),
    "data engineer": (
        "*.read",
        "tables.write",
        "tables.personal",
        "sharing.write",
        "endpoints.watch",
        "endpoints.push",
    ),
    "data scientist": (
        "*.read",
        "tables.write",
        "sharing.write",
        "projects.write",
        "runs.write",
        "models.write",
        "trash.write",
        "gates.check",
        "schedules.write",
        "endpoints.predict",
    ),
    "executive viewer": ("projects.read", "models.read", "endpoints.read", "runs.read"),
    "governance": (
        "*.read",
        "tables.personal",
        "tables.erase",
        "approvals.grant",
        "audit.seal",
        "floors.write",
        "gates.break",
        "security.look",
    ),
    MEMBER: ("projects.read", "people.read", "tokens.read", "tokens.own"),
    "ml engineer": (
        "*.read",
        "tables.write",
        "sharing.write",
        "projects.write",
        "runs.write",
        "models.write",
        "trash.write",
        "gates.check",
        "endpoints.deploy",
        "endpoints.watch",
        "endpoints.predict",
        "endpoints.push",
        "schedules.write",
    ),
    "platform engineer": (
        "*.read",
        "schedules.write",
        "trash.purge",
        "gates.break",
        "endpoints.deploy",
        "endpoints.watch",
        "endpoints.predict",
        "audit.seal",
        "security.look",
    ),
    "software engineer": ("projects.read", "endpoints.read", "models.read", "endpoints.predict", "endpoints.push"),
}

EXCLUDING: tuple[tuple[str, str], ...] = (
    ("governance", "data scientist"),
    ("governance", "ml engineer"),
    ("executive viewer", "admin"),
)
"""Roles that nobody holds together: who sets the floor does not build what must stand on it."""

RESERVED = frozenset({"floors.write"})
"""Rights that a role has only where it names them: not even an admin's `*.*` grants them."""


def allowed(actor: Actor, permission: str) -> bool:
    """Whether one of the actor's roles grants a permission, and their token's scopes do. An unknown role grants nothing."""
    if actor.scopes and not _grants(actor.scopes, permission):
        return False
    return any(_grants(rights, permission) for role in actor.roles if (rights := ROLES.get(role)))


def roles_with(permission: str) -> list[str]:
    """The roles that grant a permission, sorted."""
    return sorted(role for role, rights in ROLES.items() if _grants(rights, permission))


def is_right(text: str) -> bool:
    """Whether a text names a right that some role has: `noun.right`, with `*` for any noun or any right."""
    nouns, rights = zip(*(right.split(".") for held in ROLES.values() for right in held), strict=True)
    noun, _, right = text.partition(".")
    return noun in nouns and right in rights


def _grants(rights: tuple[str, ...], permission: str) -> bool:
    noun, _, right = permission.partition(".")
    if permission in RESERVED:
        return permission in rights
    return any(granted in (permission, "*.*", f"*.{right}", f"{noun}.*") for granted in rights)
