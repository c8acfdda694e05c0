"""The pages of incidents: what is wrong, one of them with its run book, and the forms by which people answer."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from slipway.errors import InvalidInput
from slipway.operations.permissions import allowed
from slipway.ports.workspace import Workspace
from slipway.server import comments, markdown
from slipway.server.formats import href
from slipway.server.forms import form_route
from slipway.server.view import Context, View

__all__ = ["forms", "incident", "incidents", "run_book"]


def incidents(view: View) -> Context:
    """All incidents, open ones first, and whether alerts were worth it."""
    found = view.ask("incidents.list", state="", limit=500, endpoint=view.query.get("endpoint", ""))
    return {
        "open": [one for one in found.incidents if one.state == "open"],
        "closed": [one for one in found.incidents if one.state != "open"],
        "precision": found.precision,
        "judged": found.precision.useful + found.precision.noise + found.precision.known,
        "endpoint": view.query.get("endpoint", ""),
    }


def incident(view: View) -> Context:
    """One incident: what is known of it, its run book, and what people say."""
    found = view.ask("incidents.get", id=view.path["id"])
    project, where = view.workspace.project, found.where
    listed = view.ask_if_allowed("endpoints.list")
    is_endpoint = where in [row.revision.name for row in (listed.endpoints if listed else ())]
    return {
        "story": view.ask("incidents.story", id=found.incident.id),
        "endpoint": where if is_endpoint else "",
        "links": lambda nodes: _links(project, where, nodes),
        "detail": found,
        "incident": found.incident,
        "book": markdown.to_html(found.book),
        "may": allowed(view.workspace.actor, "incidents.write"),
        "thread": comments.thread(view, f"incident:{found.incident.id}"),
        "back": view.address,
    }


def _links(project: str, endpoint: str, nodes: Iterable[str]) -> list[tuple[str, str]]:
    """Where the nodes of a line lead: the title and the address of each that has a page."""
    found = []
    home = href("projects", project, "endpoints", endpoint)
    for node in nodes:
        kind, _, id = node.partition(":")
        if kind == "rollout":
            found.append(("roll-out", f"{home}#rollout-{id}"))
        elif kind == "retraining":
            found.append(("retraining", f"{home}#retrainings"))
        elif kind == "incident":
            found.append(("incident", href("projects", project, "incidents", id)))
        elif kind == "revision":
            found.append(("what served", f"{home}/served"))
        elif kind == "run":
            found.append(("run", href("projects", project, "runs", id)))
        elif kind == "model":
            found.append(("models", href("projects", project, "models")))
        elif kind == "table":
            found.append(("table", href("projects", project, "tables", id.rpartition("/")[2].partition("@")[0])))
    return list(dict.fromkeys(found))


def run_book(view: View) -> Context:
    """A run book."""
    found = view.ask("incidents.run_book", name=view.path["name"])
    return {"name": found.name, "book": markdown.to_html(found.text)}


def forms(workspace: Workspace) -> list[Route]:
    """The routes to which the pages' forms send.

    Args:
        workspace: The server's.
    """

    def said(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {"id": request.path_params["id"], "comment": given.get("comment", "")}

    def snoozed(request: Request, given: dict[str, str]) -> dict[str, Any]:
        try:
            until = datetime.fromisoformat(given.get("until", "")).replace(tzinfo=UTC)
        except ValueError as problem:
            raise InvalidInput(
                f"{given.get('until', '')!r} is no time.", fix="Give a date and an hour.", field="until"
            ) from problem
        return said(request, given) | {"until": until.isoformat()}

    def closed(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {"id": request.path_params["id"], "reason": given.get("comment", "")}

    def judged(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return said(request, given) | {"word": given.get("word", "")}

    home = "/projects/{project}/incidents/{id}"
    return [
        form_route(workspace, f"{home}/ack", "incidents.ack", said),
        form_route(workspace, f"{home}/snooze", "incidents.snooze", snoozed),
        form_route(workspace, f"{home}/close", "incidents.close", closed),
        form_route(workspace, f"{home}/feedback", "incidents.feedback", judged),
    ]
