"""Which role may do what: the one table behind every face.

A right is written `noun.right`; `*` stands for any. Reading is `noun.read`.
"""

from slipway.records.people import MEMBER, Actor

__all__ = ["EXCLUDING", "RESERVED", "RIGHTS", "ROLES", "allowed", "is_right", "roles_with"]

ROLES: dict[str, tuple[str, ...]] = {
    "admin": ("*.*",),
    "business owner": (
        "*.read",
        "comments.write",
        "approvals.grant",
        "contracts.sign",
        "business.share",
        "scopes.write",
        "migrations.write",
        "documents.answer",
        "rollouts.decide",
        "incidents.write",
    ),
    "data engineer": (
        "*.read",
        "comments.write",
        "documents.answer",
        "tables.write",
        "tables.personal",
        "sharing.write",
        "environments.write",
        "projects.write",
        "runs.write",
        "trash.write",
        "schedules.write",
        "endpoints.watch",
        "endpoints.push",
        "endpoints.score",
        "incidents.write",
    ),
    "data scientist": (
        "*.read",
        "comments.write",
        "tables.write",
        "sharing.write",
        "environments.write",
        "projects.write",
        "runs.write",
        "migrations.write",
        "models.write",
        "documents.answer",
        "trash.write",
        "scopes.write",
        "gates.check",
        "endpoints.declare",
        "schedules.write",
        "endpoints.predict",
        "endpoints.score",
        "incidents.write",
    ),
    "executive viewer": (
        "projects.read",
        "models.read",
        "documents.read",
        "endpoints.read",
        "contracts.read",
        "business.read",
        "scopes.read",
        "migrations.read",
        "comments.read",
        "comments.write",
    ),
    "governance": (
        "*.read",
        "comments.write",
        "tables.personal",
        "tables.erase",
        "approvals.grant",
        "gates.check",
        "audit.seal",
        "floors.write",
        "gates.break",
        "documents.answer",
        "security.look",
    ),
    MEMBER: (
        "projects.read",
        "people.read",
        "tokens.read",
        "tokens.own",
        "absences.own",
        "notices.read",
        "notices.own",
    ),
    "ml engineer": (
        "*.read",
        "comments.write",
        "tables.write",
        "sharing.write",
        "environments.write",
        "projects.write",
        "runs.write",
        "migrations.write",
        "models.write",
        "documents.answer",
        "trash.write",
        "scopes.write",
        "gates.check",
        "endpoints.declare",
        "endpoints.deploy",
        "rollouts.decide",
        "endpoints.watch",
        "endpoints.predict",
        "endpoints.push",
        "schedules.write",
        "endpoints.score",
        "incidents.write",
        "incidents.test",
    ),
    "platform engineer": (
        "*.read",
        "comments.write",
        "schedules.write",
        "environments.write",
        "backups.make",
        "trash.purge",
        "gates.check",
        "gates.break",
        "endpoints.declare",
        "endpoints.deploy",
        "rollouts.decide",
        "endpoints.watch",
        "endpoints.predict",
        "audit.seal",
        "security.look",
        "endpoints.score",
        "incidents.write",
        "incidents.test",
    ),
    "software engineer": (
        "projects.read",
        "endpoints.read",
        "endpoints.predict",
        "endpoints.push",
    ),
}

RIGHTS: dict[str, str] = {
    "absences.own": "say when one is away, and who stands in",
    "approvals.grant": "approve a version, or retrainings until a date",
    "approvals.read": "see who approved what",
    "audit.read": "read the audit log and verify it",
    "audit.seal": "sign what happened so far",
    "business.read": "see on one page what a model is worth, what it costs, and why it may be trusted",
    "business.share": "show that page to people without an account, by a link or by mail, and end that",
    "backups.make": "copy the whole store, personal values among it",
    "catalog.read": "search tables and features, and trace values back to source columns",
    "comments.read": "see comments",
    "comments.write": "comment, and change or take back one's own",
    "contracts.read": "see metric contracts: which KPI a model is for, who signed that, and what came of it",
    "contracts.sign": "sign a metric contract that is one's own, and take the name back",
    "documents.answer": "answer what the documents of models and tables ask",
    "documents.read": "see model cards, data sheets, Annex IV drafts and bills of materials",
    "endpoints.declare": "say which model, features, gate and monitors an endpoint has; running a pipeline that makes its "
    "model says so too",
    "endpoints.deploy": "deploy, roll back, stop and retrain",
    "endpoints.predict": "ask endpoints for predictions, where they answer to known callers",
    "endpoints.push": "send endpoints labels and events",
    "endpoints.read": "see endpoints, contracts, roll-outs, retrainings and what monitors found",
    "endpoints.score": "let batch endpoints score their tables now",
    "endpoints.watch": "run the monitors now",
    "environments.write": "make environments on demand, keep them, destroy them and take them back",
    "features.read": "see features and prove that serving gives what training had",
    "floors.read": "see what every model of an environment must show",
    "floors.write": "set it; nobody has this right by having all of them",
    "gates.break": "release what the gate refuses, for hours and with an incident",
    "gates.check": "ask what a gate would say",
    "incidents.read": "see incidents, what was told of them, and whether alerts were worth it",
    "incidents.test": "try the channels by which people are told",
    "incidents.write": "acknowledge, put off, close and judge incidents",
    "keys.trust": "let a store trust the key of another one",
    "migrations.read": "see how far models that were elsewhere have moved here",
    "migrations.write": "plan how they move, compare them with the old system, and take responsibility for gaps",
    "models.read": "see models, their versions and what they measured",
    "models.write": "register versions, name and describe them",
    "notices.own": "mark one's own notices as read",
    "notices.read": "see one's own notices",
    "people.read": "see who is known and which roles they hold",
    "people.write": "let people in, give and take roles, make and end everybody's tokens",
    "projects.read": "see which projects there are",
    "projects.write": "begin a project",
    "rollouts.decide": "pause a roll-out, let it go on, end it, and let it take a step where its evidence is undecided",
    "runs.read": "see runs, their files, their code and what steps printed",
    "runs.write": "log runs, run pipelines, repeat runs, simulate",
    "scopes.read": "see what models are wanted for, what they must take, and how far that is shown",
    "scopes.write": "write down what a model is wanted for, and what it must take",
    "schedules.read": "see schedules and what they started",
    "schedules.write": "publish, pause and fire schedules, also those by which tables are synced",
    "security.look": "see how data and code are protected: `slipway doctor --security`",
    "settings.read": "see how the store and a project are set up, without secrets",
    "sharing.read": "see what projects share",
    "sharing.write": "offer a table, feature or step to other projects",
    "tables.erase": "erase a person's rows everywhere",
    "tables.personal": "see the values of personal columns",
    "tables.read": "see tables, their checks, and their rows without personal values",
    "tables.write": "ingest, write, name, branch, change and clean tables and sets of files",
    "tokens.own": "make and end one's own tokens",
    "tokens.read": "see one's own tokens",
    "trash.purge": "remove for good what is in the trash",
    "trash.read": "see what is in the trash",
    "trash.write": "put runs and models into the trash, and take them back",
}
"""What each right is for, in words that complete "may"."""

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
