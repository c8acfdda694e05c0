"""Comments on pages: the thread below a thing, and the forms in it."""

from starlette.requests import Request
from starlette.routing import Route

from slipway.governance.comments import LONGEST
from slipway.operations.permissions import allowed
from slipway.ports.workspace import Workspace
from slipway.server import markdown
from slipway.server.forms import form_route
from slipway.server.view import Context, View

__all__ = ["forms", "thread"]


def thread(view: View, about: str) -> Context | None:
    """What a page shows of the comments on something, None where whoever asks may not see them.

    Args:
        view: The page; its forms come back to it.
        about: On what, as `comments.list` has it.
    """
    found = view.ask_if_allowed("comments.list", about=about)
    if found is None:
        return None
    actor = view.workspace.actor
    return {
        "about": found.about,
        "comments": [(one, markdown.to_html(one.text)) for one in found.comments],
        "may": allowed(actor, "comments.write"),
        "may_all": allowed(actor, "people.write"),
        "me": actor.name,
        "longest": LONGEST,
        "back": view.address,
    }


def forms(workspace: Workspace) -> list[Route]:
    """The routes to which the forms send.

    Args:
        workspace: The server's.
    """

    def new(request: Request, given: dict[str, str]) -> dict[str, str]:
        return {"about": given.get("about", ""), "text": given.get("text", "")}

    def edited(request: Request, given: dict[str, str]) -> dict[str, str]:
        return {"id": request.path_params["id"], "text": given.get("text", "")}

    def deleted(request: Request, given: dict[str, str]) -> dict[str, str]:
        return {"id": request.path_params["id"]}

    home = "/projects/{project}/comments"
    return [
        form_route(workspace, home, "comments.add", new),
        form_route(workspace, f"{home}/{{id}}/edit", "comments.edit", edited),
        form_route(workspace, f"{home}/{{id}}/delete", "comments.delete", deleted),
    ]
