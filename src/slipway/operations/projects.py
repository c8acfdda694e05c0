"""Projects: which ones a server holds, and another one."""

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.projects import Project

__all__ = ["AddProject", "Projects", "operations"]


class Projects(Struct, frozen=True, kw_only=True):
    """The projects by name."""

    projects: tuple[Project, ...]


class AddProject(Struct, frozen=True, kw_only=True):
    """A project's name."""

    name: str


operations = (
    Operation(
        name="projects.list",
        summary="List the projects that this store holds.",
        permission="projects.read",
        request=Empty,
        response=Projects,
        body="slipway.ledger.projects:list_projects",
        route="/api/v1/projects",
    ),
    Operation(
        name="projects.add",
        summary="Make a project known, so that runs can be sent to it; one that is known stays as it is.",
        permission="projects.write",
        request=AddProject,
        response=Project,
        body="slipway.ledger.projects:add_project",
        changes=True,
        route="/api/v1/projects/add",
    ),
)
