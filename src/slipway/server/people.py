"""The page of people: who is known, which roles they hold and what these may, and the tokens by which they are known."""

from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from slipway.errors import InvalidInput
from slipway.operations.permissions import RIGHTS, ROLES, allowed
from slipway.ports.workspace import Workspace
from slipway.records.people import MEMBER, Actor, Person, Token
from slipway.server.forms import form_route
from slipway.server.view import Context, View

__all__ = ["forms", "people"]


def people(view: View) -> Context:
    """Everybody, what roles may do, and tokens by name."""
    me = view.ask("people.me")
    found = view.ask("people.list").people
    may = allowed(view.workspace.actor, "people.write")
    tokens = view.ask("tokens.list", **({"everybody": True} if may else {})).tokens if not me.is_open else ()
    role = view.query.get("role", "")
    if role and role not in _roles():
        raise InvalidInput(
            f"There is no role {role[:40]!r}.", fix=f"The roles are: {', '.join(_roles())}.", field="role"
        )
    return {
        "me_here": me,
        "people": [one for one in found if not role or any(grant.role == role for grant in one.grants)],
        "may": may and not me.is_open,
        "mine": view.workspace.actor.name,
        "roles": _roles(),
        "role": role,
        "rights": [(title, _holds(role, right)) for right, title in RIGHTS.items()] if role else [],
        "holders": {name: sum(_held(one, name) for one in found) for name in _roles()},
        "projects": [project.name for project in view.ask("projects.list").projects],
        "tokens": [(one, _state(one, view.workspace.clock.now())) for one in tokens if not one.session],
        "made_up": (),
    }


def _roles() -> list[str]:
    return [name for name in ROLES if name != MEMBER]


def _held(person: Person, role: str) -> bool:
    return person.disabled_at is None and any(grant.role == role for grant in person.grants)


def _holds(role: str, right: str) -> bool:
    return allowed(Actor("", roles=(role, MEMBER)), right)


def _state(token: Token, now: datetime) -> str:
    return "revoked" if token.revoked_at is not None else "expired" if token.expires_at <= now else "good"


def forms(workspace: Workspace) -> list[Route]:
    """The routes to which the page's forms send.

    Args:
        workspace: The server's.
    """

    def added(request: Request, given: dict[str, str]) -> dict[str, Any]:
        role = given.get("role", "")
        fields = {name: given.get(name, "").strip() for name in ("name", "title", "email", "project")}
        return {**fields, "roles": [role] if role else [], "is_service": given.get("kind") == "service"}

    def changed(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {
            "name": request.path_params["name"],
            "role": given.get("role", ""),
            "project": given.get("project", ""),
        }

    def disabled(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {"name": request.path_params["name"], "disabled": given.get("word") == "disable"}

    def ended(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {"id": request.path_params["id"]}

    return [
        form_route(workspace, "/people", "people.add", added),
        form_route(workspace, "/people/{name}/grant", "people.grant", changed),
        form_route(workspace, "/people/{name}/revoke", "people.revoke", changed),
        form_route(workspace, "/people/{name}/disable", "people.change", disabled),
        form_route(workspace, "/tokens/{id}/revoke", "tokens.revoke", ended),
    ]
