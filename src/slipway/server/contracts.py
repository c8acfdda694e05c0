"""The pages on which a business owner reads a metric contract, and signs it."""

from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from slipway.ports.workspace import Workspace
from slipway.server.forms import form_route
from slipway.server.view import Context, View

__all__ = ["contract", "contracts", "contracts_at", "forms"]


def contracts(view: View) -> Context:
    """All contracts of a project."""
    return {"contracts": view.ask("contracts.list").contracts}


def contract(view: View) -> Context:
    """One contract in plain words, with a form to sign it."""
    detail = view.ask("contracts.get", kpi=view.path["kpi"])
    return {"detail": detail, "kept": detail.found.contract, "here_at": view.address, "who": view.workspace.actor.name}


def contracts_at(view: View, name: str) -> list[Any]:
    """The contracts that an endpoint, or the models of its name, are under; none where whoever asks may not see them."""
    found = view.ask_if_allowed("contracts.list")
    return [one for one in found.contracts if name in one.contract.endpoints] if found else []


def forms(workspace: Workspace) -> list[Route]:
    """The route to which the page's form sends.

    Args:
        workspace: The server's.
    """

    def signed(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {
            "kpi": request.path_params["kpi"],
            "digest": given.get("digest", ""),
            "comment": given.get("comment", ""),
            "withdraw": given.get("word", "") == "withdraw",
        }

    return [form_route(workspace, "/projects/{project}/contracts/{kpi}", "contracts.sign", signed)]
