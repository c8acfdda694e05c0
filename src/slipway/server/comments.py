"""Comments on pages: the thread below a thing with the forms in it, and all that was said, newest first."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.routing import Route

from slipway.governance.comments import LONGEST, SORTS
from slipway.operations.comments import AllComments, Remark
from slipway.operations.permissions import allowed
from slipway.ports.workspace import Workspace, in_project
from slipway.server import markdown
from slipway.server.choices import choices
from slipway.server.forms import form_route
from slipway.server.view import Context, View
from slipway.tables.catalog import simulated_in

__all__ = ["everywhere", "forms", "of_project", "thread"]

_ASKED = ("person", "kind", "limit")
_LIMIT, _MOST, _PEOPLE = 100, 500, 12


@dataclass(frozen=True, slots=True)
class _Said:
    """A comment with its project, and its text as markup."""

    project: str
    one: Remark
    text: Markup


def of_project(view: View) -> Context:
    """What was said in one project."""
    return _shown(view, [view.workspace.project])


def everywhere(view: View) -> Context:
    """What was said in every project whose comments whoever asks may see."""
    names = [project.name for project in view.ask("projects.list").projects]
    return {**_shown(view, names), "made_up": simulated_in(view.workspace, names)}


def _shown(view: View, names: list[str]) -> Context:
    asked = {name: view.query[name] for name in _ASKED if view.query.get(name)}
    found: list[tuple[str, AllComments]] = []
    for name in names:
        inside = View(in_project(view.workspace, name), view.path, view.query, view.address, view.sources)
        listed = (inside.ask if view.workspace.project else inside.ask_if_allowed)("comments.all", **asked)
        if listed is not None:
            found.append((name, listed))
    limit = int(asked["limit"]) if found and "limit" in asked else _LIMIT  # what is no number was refused there
    rows = sorted(((name, one) for name, listed in found for one in listed.remarks), key=_age, reverse=True)
    more = sum(listed.more for _, listed in found) + max(0, len(rows) - limit)
    people = [listed.people for _, listed in found]
    return {
        "rows": [_Said(name, one, markdown.to_html(one.comment.text)) for name, one in rows[:limit]],
        "more": more,
        "is_all": not view.workspace.project,
        "asked": asked,
        "kinds": choices(asked, "kind", SORTS, [listed.kinds for _, listed in found]),
        "people": _people(asked, people),
        "wider": f"?{urlencode({**asked, 'limit': str(_MOST)})}" if more and limit < _MOST else "",
    }


def _age(row: tuple[str, Remark]) -> tuple[float, str]:
    return row[1].comment.created_at.timestamp(), row[1].comment.id


def _people(asked: dict[str, str], counted: list[dict[str, int]]) -> list[dict[str, Any]]:
    """Who says most, and who was chosen, each with their comments; of all, as one comment has several people, no number."""
    total = {name: sum(one.get(name, 0) for one in counted) for one in counted for name in one}
    most = sorted(total, key=lambda name: (-total[name], name))[:_PEOPLE]
    chosen = asked.get("person", "")
    shown = choices(asked, "person", most if chosen in most or not chosen else [*most, chosen], counted)
    return [{**one, "many": None} if one["title"] == "all" else one for one in shown]


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
