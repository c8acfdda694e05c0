"""The projects of a store: each is written down when it is first opened."""

from dataclasses import replace

from slipway.errors import NotFound, near
from slipway.ids import check_name
from slipway.ledger import entries, events
from slipway.operations.declare import Empty
from slipway.operations.permissions import allowed
from slipway.operations.projects import AddProject, Projects
from slipway.ports.workspace import Workspace, in_project
from slipway.records.projects import Project

__all__ = ["add_project", "check_known", "list_projects", "register"]

_AT_MOST = 10_000


def register(workspace: Workspace) -> None:
    """Write the workspace's project down, unless it is known already."""
    name = workspace.project
    with workspace.ledger.read() as tx:
        if entries.etag(tx, Project, name):
            return
    with workspace.ledger.write() as tx:
        if not entries.etag(tx, Project, name):
            entries.put(tx, Project(id=name, project=name, name=name, created_at=workspace.clock.now()), expect=0)


def add_project(workspace: Workspace, request: AddProject) -> Project:
    """Make a project known to the store.

    Raises:
        InvalidInput: The name does not fit.
    """
    name = check_name(request.name, "project")
    with workspace.ledger.write() as tx:
        if entries.etag(tx, Project, name):
            return entries.get(tx, Project, name)
        made = Project(id=name, project=name, name=name, created_at=workspace.clock.now())
        entries.put(tx, made, expect=0)
        events.record(tx, replace(workspace, project=name), "projects.add", f"project:{name}")
        return made


def check_known(workspace: Workspace) -> None:
    """Make sure that the workspace's project was opened in this store before.

    Raises:
        NotFound: It was not.
    """
    name = workspace.project
    with workspace.ledger.read() as tx:
        if entries.etag(tx, Project, name):
            return
        known = [project.name for project in entries.find(tx, Project, limit=_AT_MOST)]
    raise NotFound(f"This store holds no project {name!r}.", fix=near(name, known, what="projects"))


def list_projects(workspace: Workspace, request: Empty) -> Projects:
    """Every project of the store that whoever asks has a role in, by name."""
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Project, limit=_AT_MOST)
    seen = (project for project in found if allowed(in_project(workspace, project.name).actor, "projects.read"))
    return Projects(projects=tuple(sorted(seen, key=lambda project: project.name)))
