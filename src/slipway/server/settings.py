"""The page of settings: each value with the file and key that say it, and the channels by which people are told."""

from itertools import groupby
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from slipway.operations.permissions import allowed
from slipway.ports.workspace import Workspace, in_project
from slipway.server.forms import form_route
from slipway.server.view import Context, View

__all__ = ["forms", "settings"]


def settings(view: View) -> Context:
    """Those of every project that whoever asks may see; the store's own are the same in all."""
    found = []
    for project in view.ask("projects.list").projects:
        inside = View(in_project(view.workspace, project.name), view.path, view.query, view.address, view.sources)
        told = inside.ask_if_allowed("settings.get")
        if told is not None:
            sections = [(name, list(some)) for name, some in groupby(told.settings, key=lambda one: one.section)]
            may_test = allowed(inside.workspace.actor, "incidents.test")
            found.append({"name": project.name, "sections": sections, "channels": told.channels, "may_test": may_test})
    return {"found": found, "made_up": ()}


def forms(workspace: Workspace) -> list[Route]:
    """The route by which a channel is tried.

    Args:
        workspace: The server's.
    """

    def tried(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {"channel": request.path_params["name"]}

    return [form_route(workspace, "/projects/{project}/channels/{name}/test", "incidents.test", tried)]
