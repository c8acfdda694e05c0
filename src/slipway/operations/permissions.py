"""Which role may do what: the one table behind every face.

A right is written `noun.right`; `*` stands for any. Reading is `noun.read`.
"""

from slipway.records.people import Actor

__all__ = ["ROLES", "allowed", "roles_with"]

ROLES: dict[str, tuple[str, ...]] = {
    "admin": ("*.*",),
    "business owner": ("*.read", "approvals.grant"),
    "data engineer": ("*.read", "tables.write", "tables.personal", "sharing.write", "endpoints.watch"),
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
    ),
    "executive viewer": ("projects.read", "models.read", "endpoints.read", "runs.read"),
    "governance": ("*.read", "tables.personal", "tables.erase", "approvals.grant", "audit.seal"),
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
        "schedules.write",
    ),
    "platform engineer": (
        "*.read",
        "schedules.write",
        "trash.purge",
        "endpoints.deploy",
        "endpoints.watch",
        "audit.seal",
    ),
    "software engineer": ("projects.read", "endpoints.read", "models.read"),
}


def allowed(actor: Actor, permission: str) -> bool:
    """Whether one of the actor's roles grants a permission. An unknown role grants nothing."""
    return any(_grants(rights, permission) for role in actor.roles if (rights := ROLES.get(role)))


def roles_with(permission: str) -> list[str]:
    """The roles that grant a permission, sorted."""
    return sorted(role for role, rights in ROLES.items() if _grants(rights, permission))


def _grants(rights: tuple[str, ...], permission: str) -> bool:
    noun, _, right = permission.partition(".")
    return any(granted in (permission, "*.*", f"*.{right}", f"{noun}.*") for granted in rights)
