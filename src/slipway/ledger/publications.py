"""Publications in the ledger: find one by its reference, who may use it, who does."""

import re
from collections import deque
from collections.abc import Iterable

from slipway.errors import Conflict, Denied, InvalidInput, NotFound, near
from slipway.ledger import entries
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.projects import Project
from slipway.records.runs import Run
from slipway.records.sharing import EVERYBODY, Publication

__all__ = ["editions", "every", "find", "made_with", "may_use", "node", "offered", "parse", "reference"]

_AT_MOST = 10_000
_NUMBER = re.compile(r"0*[1-9][0-9]{0,8}\Z")


def reference(project: str, name: str, number: int) -> str:
    """How people write it: `flights/weather_at_origin@3`."""
    return f"{project}/{name}@{number}"


def node(publication: Publication) -> str:
    """The lineage node of a publication."""
    return f"publication:{publication.id}"


def parse(given: str) -> tuple[str, str, int]:
    """Project, name and number of a reference; 0 where no number was given.

    Raises:
        InvalidInput: It is none.
    """
    project, slash, rest = given.partition("/") if isinstance(given, str) else ("", "", "")
    name, at, number = rest.partition("@")
    if not (project and slash and name) or (at and not _NUMBER.match(number)):
        raise InvalidInput(
            f"{given!r} is no reference to something shared.",
            why="It names the project, the thing and its number.",
            fix='For example "flights/weather_at_origin@3"; slipway share list shows what there is.',
        )
    return project, name, int(number) if at else 0


def find(workspace: Workspace, given: str) -> Publication:
    """The publication of a reference, that the workspace's project may use; without a number the newest that is offered.

    Raises:
        InvalidInput: It is no reference.
        NotFound: There is no such publication.
        Denied: The project may not use it.
        Conflict: It was withdrawn, and the project has made nothing with it yet.
    """
    project, name, number = parse(given)
    with workspace.ledger.read() as tx:
        known = editions(tx, project, name)
        if not known:
            if not entries.etag(tx, Project, project):
                others = {one.project for one in every(tx) if may_use(one, workspace.project)}
                raise NotFound(
                    f"This store holds no project {project!r}.",
                    why=near(project, others, what="projects that share something"),
                    fix="slipway share list",
                )
            names = {one.name for one in every(tx, project) if may_use(one, workspace.project)}
            raise NotFound(
                f"The project {project!r} shares nothing called {name!r}.",
                why=near(name, names, what="things that it shares"),
                fix=f"In {project}: slipway share publish {name}",
            )
    numbers = {one.number: one for one in known}
    if number and number not in numbers:
        raise NotFound(
            f"{project}/{name} has no number {number}.", why=f"It has {', '.join(map(str, sorted(numbers)))}."
        )
    newest = offered(known)
    found = numbers[number] if number or newest is None else newest
    if not may_use(found, workspace.project):
        raise Denied(
            f"The project {workspace.project!r} may not use {found.id}.",
            why=f"It is shared with {', '.join(found.readers) or 'nobody'}.",
            fix=f"Ask {found.about.owner or f'the owners of {project}'}: "
            f"slipway share grant {found.name} {workspace.project}",
        )
    if found.state == "withdrawn" and found.project != workspace.project:
        _refuse_beginners(workspace, found)
    return found


def _refuse_beginners(workspace: Workspace, withdrawn: Publication) -> None:
    """Who uses a withdrawn publication goes on; nobody begins."""
    with workspace.ledger.read() as tx:
        runs = [node.partition(":")[2] for node in made_with(tx, withdrawn) if node.startswith("run:")]
        if any(entries.get(tx, Run, id).project == workspace.project for id in runs):
            return
        newest = offered(editions(tx, withdrawn.project, withdrawn.name)) or withdrawn
    asked = f"Ask {withdrawn.about.owner or f'the owners of {withdrawn.project}'}: no number of it is left."
    raise Conflict(
        f"{withdrawn.id} was withdrawn.",
        why=withdrawn.reason or "Its owner gave no reason.",
        fix=f"Its newest number is {newest.number}: slipway share show {newest.id}"
        if newest.state == "published"
        else asked,
    )


def offered(known: Iterable[Publication]) -> Publication | None:
    """The newest number that somebody may begin to use; the newest withdrawn one where all were, None of none."""
    return max(known, key=lambda one: (one.state == "published", one.number), default=None)


def editions(tx: ReadTransaction, project: str, name: str) -> list[Publication]:
    """All numbers of one name, newest first."""
    found = entries.find(tx, Publication, project=project, name=name, limit=_AT_MOST)
    return sorted(found, key=lambda one: -one.number)


def every(tx: ReadTransaction, project: str | None = None) -> list[Publication]:
    """All publications of a project or of the store, by project, name and number."""
    found = entries.find(tx, Publication, project=project, limit=_AT_MOST)
    return sorted(found, key=lambda one: (one.project, one.name, one.number))


def may_use(publication: Publication, project: str) -> bool:
    """Whether a project may use it; its own project always may."""
    return project == publication.project or bool({EVERYBODY, project} & set(publication.readers))


def made_with(tx: ReadTransaction, publication: Publication) -> list[str]:
    """What was made with a publication: the lineage nodes that can be reached from it, nearest first."""
    start = node(publication)
    seen, queue = {start}, deque([start])
    found: list[str] = []
    while queue:
        for link in tx.links(queue.popleft(), towards=False):
            if link.target not in seen:
                seen.add(link.target)
                found.append(link.target)
                queue.append(link.target)
    return found
