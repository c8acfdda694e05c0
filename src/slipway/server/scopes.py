"""The pages on which anybody writes down what a model is wanted for, and sees how far that is shown."""

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from slipway.errors import InvalidInput
from slipway.ports.workspace import Workspace
from slipway.server import markdown
from slipway.server.forms import form_route
from slipway.server.view import Context, View

__all__ = ["forms", "scope", "scopes", "study"]

_NUMBERS = ("value", "requests_per_second", "latency_ms", "rows_per_hour", "training_rows", "availability")
_LISTS = ("sources", "consumers")
_TEXTS = ("decision", "owner", "kpi", "better", "currency", "mode", "endpoint", "freshness", "note")


def scopes(view: View) -> Context:
    """All scopes of a project, and a form for a new one."""
    return {"scopes": view.ask("scopes.list").scopes, "here_at": view.address}


def scope(view: View) -> Context:
    """One scope: its needs, and a form to change it."""
    detail = view.ask("scopes.get", name=view.path["name"])
    return {"detail": detail, "terms": detail.scope.terms, "here_at": view.address}


def study(view: View) -> Context:
    """The case study that a run makes of a scope."""
    found = view.ask("scopes.study", name=view.path["name"], run=view.path["id"])
    return {"found": found, "page": markdown.to_html(found.markdown)}


def forms(workspace: Workspace) -> list[Route]:
    """The routes to which the pages' forms send.

    Args:
        workspace: The server's.
    """

    def kept(request: Request, given: dict[str, str]) -> dict[str, Any]:
        name = request.path_params.get("name") or given.get("name", "").strip()
        return {"terms": _terms(name, given), "former": given.get("former", "")}

    return [
        form_route(workspace, "/projects/{project}/scopes", "scopes.keep", kept),
        form_route(workspace, "/projects/{project}/scopes/{name}", "scopes.keep", kept),
    ]


def _terms(name: str, given: dict[str, str]) -> dict[str, Any]:
    """What the form's fields say; what is left empty is not asked."""
    said = {field: given[field].strip() for field in _TEXTS if given.get(field, "").strip()}
    lists = {field: [one.strip() for one in given.get(field, "").split(",") if one.strip()] for field in _LISTS}
    numbers = {field: _number(field, given[field]) for field in _NUMBERS if given.get(field, "").strip()}
    metrics = {}
    for line in given.get("metrics", "").splitlines():
        if line.strip():
            metric, _, limit = line.partition("=")
            metrics[metric.strip()] = _number("metrics", limit)
    return {"name": name, "decision": "", "owner": "", **said, **lists, **numbers, "metrics": metrics}


def _number(field: str, text: str) -> float | int:
    try:
        found = float(text.strip().replace(",", ""))
    except ValueError as problem:
        raise InvalidInput(f"{text.strip()!r} is no number.", fix="Write it as 100 or 0.7.", field=field) from problem
    return int(found) if found.is_integer() else found
