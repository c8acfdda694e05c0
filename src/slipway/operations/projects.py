"""Projects: which ones a server holds."""

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.projects import Project

__all__ = ["Projects", "operations"]


class Projects(Struct, frozen=True, kw_only=True):
    """The projects by name."""

    projects: tuple[Project, ...]


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
)
