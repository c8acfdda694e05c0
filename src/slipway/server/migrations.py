"""The page that says how far a team's old models have moved, and on which people plan, take gaps, and open a model."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from slipway.errors import InvalidInput
from slipway.operations.migrations import MigrationPlan
from slipway.operations.permissions import allowed
from slipway.ports.workspace import Workspace
from slipway.schema.inventory import of_csv, to_csv
from slipway.server.forms import form_route
from slipway.server.view import Context, View

__all__ = ["forms", "migration"]


def migration(view: View) -> Context:
    """Pilots with reasons, waves, and of each model its phases, gaps and the comparison with the old system."""
    found: MigrationPlan = view.ask("migrations.get")
    actor = view.workspace.actor
    return {
        "found": found,
        "inventory": to_csv(one.old for one in found.models),
        "here_at": view.address,
        "may_plan": allowed(actor, "migrations.write"),
        "may_open": allowed(actor, "endpoints.deploy"),
    }


def forms(workspace: Workspace) -> list[Route]:
    """The routes to which the page's forms send.

    Args:
        workspace: The server's.
    """

    def planned(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {
            "models": msgspec.to_builtins(of_csv(given.get("inventory", ""))),
            "pilots": _names(given.get("pilots", "")),
            "number": _number(given.get("number", "")),
        }

    def taken(request: Request, given: dict[str, str]) -> dict[str, Any]:
        said = {name: given.get(name, "").strip() for name in ("model", "criterion", "owner", "due", "close")}
        return said | {"due": said["due"] or None}

    def opened(request: Request, given: dict[str, str]) -> dict[str, Any]:
        is_chosen = given.get("to") == "chosen"  # else what the form shows of the last step is not meant
        return {
            "model": given.get("model", ""),
            "to": given.get("to", ""),
            "users": _names(given.get("users", "")) if is_chosen else [],
            "share": _share(given.get("percent", "")) if is_chosen else 0.0,
            "why": given.get("why", ""),
        }

    home = "/projects/{project}/migration"
    return [
        form_route(workspace, f"{home}/plan", "migrations.plan", planned),
        form_route(workspace, f"{home}/gap", "migrations.gap", taken),
        form_route(workspace, f"{home}/activate", "migrations.activate", opened),
    ]


def _names(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _share(percent: str) -> float:
    try:
        return float(percent.strip().removesuffix("%") or 0) / 100
    except ValueError as problem:
        raise InvalidInput(
            f"{percent.strip()!r} is no share in percent.", fix="Write 10, or nothing.", field="share"
        ) from problem
