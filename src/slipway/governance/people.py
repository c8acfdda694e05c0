"""Who is known to a store, and which roles they hold."""

from __future__ import annotations

import re

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound, near
from slipway.governance.callers import tell_endpoints
from slipway.ids import check_name
from slipway.ledger import entries, events
from slipway.ledger.sealed_records import kept
from slipway.operations.declare import Empty
from slipway.operations.people import AddPerson, ChangePerson, ChangeRole, Me, OnePerson, People
from slipway.operations.permissions import EXCLUDING, ROLES, allowed
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.people import MEMBER, Identity, Person, RoleGrant
from slipway.records.projects import Project

__all__ = [
    "add",
    "change",
    "check_project",
    "grant",
    "identity_of",
    "is_there",
    "known",
    "list_people",
    "me",
    "person_named",
    "revoke",
    "somebody_is_known",
]

_MOST = 10_000
_LONGEST_TITLE = 100
_ADMIN = RoleGrant("admin")
_ADDRESS = re.compile(r"[^\s\x00-\x1f\x7f<>,;@]+@[^\s\x00-\x1f\x7f<>,;@]+")


def list_people(workspace: Workspace, request: Empty) -> People:
    """Everybody who is known, by name."""
    with workspace.ledger.read() as tx:
        people = known(tx)
    if not allowed(workspace.actor, "people.write"):  # how to reach somebody is not everybody's
        people = [msgspec.structs.replace(one, email="", account="") for one in people]
    return People(people=tuple(people))


def me(workspace: Workspace, request: Empty) -> Me:
    """As whom the caller is known."""
    actor = workspace.actor
    identity = workspace.identity or Identity(
        name=actor.name,
        kind="service" if actor.kind == "service" else "person",
        grants=tuple(RoleGrant(role) for role in actor.roles),
    )
    with workspace.ledger.read() as tx:
        return Me(identity=identity, is_open=not somebody_is_known(tx))


def add(workspace: Workspace, request: AddPerson) -> OnePerson:
    """Make somebody known.

    Raises:
        InvalidInput: A name or role that cannot be, roles that exclude each other, or the first one is no admin. The
            first one is whoever asks: without another account theirs is that person's.
        NotFound: There is no such project.
        Conflict: There is somebody of that name, or the account is somebody else's.
    """
    name = check_name(request.name, "person")
    person = Person(
        id=name,
        project="",
        name=name,
        created_at=workspace.clock.now(),
        is_service=request.is_service,
        title=request.title,
        email=request.email,
        account=request.account,
        grants=tuple(sorted({RoleGrant(role, request.project) for role in request.roles})),
    )
    with workspace.ledger.write() as tx:
        is_first = not somebody_is_known(tx)
        if is_first and not person.account:  # or they would have let themselves out
            person = msgspec.structs.replace(person, account=workspace.actor.name)
        if entries.etag(tx, Person, name):
            raise Conflict(
                f"There is a person {name!r} already.", fix=f"Give them a role: slipway people grant {name} ROLE"
            )
        if is_first and (_ADMIN not in person.grants or person.is_service):
            raise InvalidInput(
                f"The first person of this store would be {name!r}, who could not let anybody else in.",
                why="From the first person on everybody needs a role.",
                fix=f"Begin with yourself: slipway people add {name} --role admin",
                field="roles",
            )
        _check(tx, person)
        entries.put(tx, person, expect=0)
        _told(tx, workspace, "people.add", person)
    tell_endpoints(workspace)
    return OnePerson(person=person)


def change(workspace: Workspace, request: ChangePerson) -> OnePerson:
    """Change what is known of somebody, or disable them.

    Raises:
        NotFound: There is no such person.
        Conflict: They are the last admin, or the account is somebody else's.
    """
    with workspace.ledger.write() as tx:
        person = person_named(tx, request.name)
        given = {"title": request.title, "email": request.email, "account": request.account}
        person = msgspec.structs.replace(person, **{key: value for key, value in given.items() if value is not None})
        if request.disabled is not None:
            since = person.disabled_at or workspace.clock.now()
            person = msgspec.structs.replace(person, disabled_at=since if request.disabled else None)
        _keep(tx, workspace, "people.change", person)
    tell_endpoints(workspace)
    return OnePerson(person=person)


def grant(workspace: Workspace, request: ChangeRole) -> OnePerson:
    """Give somebody a role.

    Raises:
        NotFound: There is no such person or project.
        InvalidInput: There is no such role, or it excludes one that they hold.
    """
    with workspace.ledger.write() as tx:
        person = person_named(tx, request.name)
        grants = {*person.grants, RoleGrant(request.role, request.project)}
        person = msgspec.structs.replace(person, grants=tuple(sorted(grants)))
        _keep(tx, workspace, "people.grant", person)
    tell_endpoints(workspace)
    return OnePerson(person=person)


def revoke(workspace: Workspace, request: ChangeRole) -> OnePerson:
    """Take a role from somebody.

    Raises:
        NotFound: There is no such person, or they do not hold that role there.
        Conflict: They are the last admin.
    """
    with workspace.ledger.write() as tx:
        person = person_named(tx, request.name)
        taken = RoleGrant(request.role, request.project)
        if taken not in person.grants:
            held = [_words(one) for one in person.grants]
            raise NotFound(
                f"{person.name} does not hold the role {_words(taken)}.",
                fix=f"They hold: {', '.join(held) or 'none'}.",
            )
        left = tuple(one for one in person.grants if one != taken)
        person = msgspec.structs.replace(person, grants=left)
        _keep(tx, workspace, "people.revoke", person)
    tell_endpoints(workspace)
    return OnePerson(person=person)


def known(tx: ReadTransaction) -> list[Person]:
    """Everybody who is known, by name."""
    return sorted(entries.find(tx, Person, limit=_MOST), key=lambda person: person.name)


def somebody_is_known(tx: ReadTransaction) -> bool:
    """Whether the store knows people at all; until then whoever reaches it may do everything."""
    return bool(entries.find(tx, Person, limit=1))


def is_there(tx: ReadTransaction, name: str) -> bool:
    """Whether somebody can be told: they are known and not disabled, or the store knows nobody at all."""
    if not entries.etag(tx, Person, name):
        return not somebody_is_known(tx)
    return entries.get(tx, Person, name).disabled_at is None


def person_named(tx: ReadTransaction, name: str) -> Person:
    """Somebody by name.

    Raises:
        NotFound: Nobody has it.
    """
    if not entries.etag(tx, Person, name):
        names = [person.name for person in entries.find(tx, Person, limit=_MOST)]
        raise NotFound(f"There is no person {name!r}.", fix=near(name, names, what="people"))
    return entries.get(tx, Person, name)


def check_project(tx: ReadTransaction, name: str) -> None:
    """Make sure that a project to which a role or a token is to be limited is there.

    Raises:
        NotFound: The store holds none of that name.
    """
    if not entries.etag(tx, Project, name):
        names = [project.name for project in entries.find(tx, Project, limit=_MOST)]
        raise NotFound(f"This store holds no project {name!r}.", fix=near(name, names, what="projects"))


def identity_of(person: Person) -> Identity:
    """Somebody with all their roles, as whom they act without a token."""
    return Identity(name=person.name, kind="service" if person.is_service else "person", grants=person.grants)


def _keep(tx: WriteTransaction, workspace: Workspace, verb: str, person: Person) -> None:
    _check(tx, person)
    entries.put(tx, person)
    _told(tx, workspace, verb, person)


def _told(tx: WriteTransaction, workspace: Workspace, verb: str, person: Person) -> None:
    roles = [_words(one) for one in person.grants]
    told = {"roles": roles, "disabled": person.disabled_at is not None, "kept": kept(person)}
    events.record(tx, workspace, verb, f"person:{person.name}", **told)


def _check(tx: WriteTransaction, person: Person) -> None:
    """What must hold of somebody who is to be kept."""
    former = entries.get(tx, Person, person.name) if entries.etag(tx, Person, person.name) else None
    # What was odd before keeps nobody from losing rights.
    if person.email and (former is None or former.email != person.email) and not _ADDRESS.fullmatch(person.email):
        raise InvalidInput(
            f"{person.email[:100]!r} is no address to write to.",
            fix="Give one alone, without a name: --email grace@example.org",
            field="email",
        )
    is_fit = person.title.isprintable() and len(person.title) <= _LONGEST_TITLE
    if not is_fit and (former is None or former.title != person.title):
        raise InvalidInput(
            f"{person.title[:100]!r} is no name for pages.",
            fix=f"Give one line of at most {_LONGEST_TITLE} letters: --title 'Grace Okafor'",
            field="title",
        )
    for one in person.grants:
        if one.role not in ROLES or one.role == MEMBER:
            names = [role for role in ROLES if role != MEMBER]
            raise InvalidInput(
                f"There is no role {one.role!r}.",
                why=f"The roles are: {', '.join(names)}.",
                fix=near(one.role, names, what="roles"),
                field="role",
            )
        if one.project:
            check_project(tx, one.project)
    _check_excluding(person, () if former is None else former.grants)
    others = [other for other in entries.find(tx, Person, limit=_MOST) if other.name != person.name]
    owner = next((other for other in others if person.account and other.account == person.account), None)
    if owner is not None:
        raise Conflict(
            f"The account {person.account!r} of this machine is {owner.name}'s.",
            why="Who acts must be known by the account alone.",
            fix=f"Give {person.name} another account, or a token: slipway tokens add --for {person.name}",
        )
    if not any(_is_admin(one) for one in (*others, person)) and somebody_is_known(tx):
        raise Conflict(
            f"{person.name} is the last admin.",
            why="Without one nobody could let anybody in again.",
            fix="Make somebody else admin first: slipway people grant NAME admin",
        )


def _check_excluding(person: Person, held: tuple[RoleGrant, ...]) -> None:
    """Refuse roles that exclude each other; of those that they `held` before, the next step names one to be taken."""
    for first, second in EXCLUDING:
        places = {one.project for one in person.grants if one.role == first}
        for other in (one for one in person.grants if one.role == second):
            if other.project in places or "" in places or (not other.project and places):
                taken = next((one for one in held if one.role in (first, second)), None)
                raise InvalidInput(
                    f"{person.name} would be {first} and {second} {_where(other.project)}.",
                    why="These roles exclude each other: who watches over the rules does not build what must keep them.",
                    fix=_revoke_first(person, taken) if taken else f"Give {person.name} one of the two.",
                    field="role",
                )


def _revoke_first(person: Person, grant: RoleGrant) -> str:
    place = f" --in {grant.project}" if grant.project else ""
    return f"Take one of them away first: slipway people revoke {person.name} {grant.role!r}{place}"


def _is_admin(person: Person) -> bool:
    return _ADMIN in person.grants and person.disabled_at is None and not person.is_service


def _words(grant: RoleGrant) -> str:
    return f"{grant.role} in {grant.project}" if grant.project else grant.role


def _where(project: str) -> str:
    return f"in {project}" if project else "in all projects"
