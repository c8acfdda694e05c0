"""The pages of who answers for what: what needs whoever asks, and a model's hand-over."""

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from slipway.errors import InvalidInput
from slipway.governance.telling import place_of
from slipway.ports.workspace import Workspace
from slipway.server import markdown
from slipway.server.forms import form_route
from slipway.server.view import Context, View
from slipway.tables.catalog import simulated_in

__all__ = ["forms", "handover", "handovers", "inbox"]

_WORDS = {"accept": True, "return": False}


def inbox(view: View) -> Context:
    """What needs whoever asks, in all projects."""
    found = view.ask("notices.list")
    projects = sorted({one.project for one in (*found.approvals, *found.handovers, *found.incidents, *found.notices)})
    return {
        "inbox": found,
        "incidents": [(one, place_of(one)) for one in found.incidents],
        "who": view.workspace.actor.name,
        "made_up": simulated_in(view.workspace, projects),
    }


def handovers(view: View) -> Context:
    """What was handed over, or is offered, the newest first."""
    found = view.ask("handovers.list").handovers
    return {"found": sorted(found, key=lambda one: (one.state == "offered", one.created_at, one.id), reverse=True)}


def handover(view: View) -> Context:
    """What is done and what is missing of a model, who offers it to whom, and its run book."""
    found = view.ask("handovers.get", model=view.path["name"], version=view.path["version"])
    return {
        "page": found,
        "book": markdown.to_html(found.run_book),
        "who": view.workspace.actor.name,
        "here_at": view.address,
    }


def forms(workspace: Workspace) -> list[Route]:
    """The routes to which the pages' forms send.

    Args:
        workspace: The server's.
    """

    def word(request: Request, given: dict[str, str]) -> dict[str, Any]:
        said = given.get("word", "")
        if said not in _WORDS:
            raise InvalidInput(f"{said!r} is no answer to a hand-over.", fix="Accept it or return it.", field="word")
        return {"id": request.path_params["id"], "accept": _WORDS[said], "comment": given.get("comment", "")}

    def nothing(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {}

    return [
        form_route(workspace, "/projects/{project}/handovers/{id}", "handovers.answer", word),
        form_route(workspace, "/inbox/read", "notices.mark", nothing),
    ]
