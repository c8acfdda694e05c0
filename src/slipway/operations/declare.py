"""How an operation is declared and called."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec
from msgspec import Struct

from slipway.errors import Denied, InvalidInput
from slipway.operations.permissions import allowed, roles_with
from slipway.ports.workspace import Workspace, in_project
from slipway.records.people import MEMBER, Actor
from slipway.tables.personal import sees_all, veil

__all__ = ["Empty", "Operation", "body_of", "call", "check_actor", "check_allowed", "convert"]


class Empty(Struct, frozen=True):
    """A request without content."""


class Operation(Struct, frozen=True, kw_only=True):
    """One thing that a user can do.

    Args:
        name: `noun.verb`; also the event's verb, the route's end and the client's call.
        summary: One line in the user's words, for help and OpenAPI.
        permission: `noun.right`, what the actor's roles must grant.
        request: A struct.
        response: A struct.
        body: `module:function`; the function takes (workspace, request) and returns the response.
        changes: Whether it changes anything: then it is a POST and its body records an event of this name.
        route: The HTTP route of what does not belong to one project, "" otherwise.
    """

    name: str
    summary: str
    permission: str
    request: type[Struct]
    response: type[Struct]
    body: str
    changes: bool = False
    route: str = ""

    @property
    def noun(self) -> str:
        """The part before the dot."""
        return self.name.partition(".")[0]

    @property
    def verb(self) -> str:
        """The part after the dot."""
        return self.name.partition(".")[2]

    @property
    def method(self) -> str:
        """The HTTP method."""
        return "POST" if self.changes else "GET"

    @property
    def path(self) -> str:
        """The HTTP route, with the project as its parameter unless it belongs to none."""
        return self.route or f"/api/v1/projects/{{project}}/{self.noun}/{self.verb}"


def call(workspace: Workspace, operation: Operation, request: Any) -> Any:
    """Check the permission and run the body. Every face, local or remote, comes through here.

    From somebody who may not see all there is, values of personal columns are hidden wherever they stand in the answer or
    in the sentence of an error: see `slipway.tables.veil`.

    Args:
        workspace: Who asks, for which project, and the backends.
        operation: What to do.
        request: An instance of the operation's request struct.

    Returns:
        An instance of the operation's response struct.

    Raises:
        Denied: The actor's roles do not grant the permission.
    """
    if operation.route:  # it belongs to no project: what somebody may do in one of them does not count
        workspace = in_project(workspace, "") if workspace.identity else workspace
    check_allowed(workspace, operation.name, operation.permission)
    body = body_of(operation)
    return body(workspace, request) if sees_all(workspace) else veil().through(workspace, body, request)


def body_of(operation: Operation) -> Callable[[Workspace, Any], Any]:
    """What an operation does; its module is loaded when it is first asked for."""
    module, _, function = operation.body.partition(":")
    body: Callable[[Workspace, Any], Any] = getattr(import_module(module), function)
    return body


def check_allowed(workspace: Workspace, name: str, permission: str) -> None:
    """Check a permission: `call` does so for operations; what needs the project's code, and so is none, asks by itself.

    Args:
        workspace: Who asks, for which project.
        name: What is to be done, as its event calls it.
        permission: What the actor's roles must grant.

    Raises:
        Denied: They do not.
    """
    check_actor(workspace.actor, workspace.project, name, permission)


def check_actor(actor: Actor, project: str, name: str, permission: str) -> None:
    """The same where no workspace is open.

    Args:
        actor: Who asks.
        project: For which project, "" for none.
        name: What is to be done.
        permission: What the actor's roles must grant.

    Raises:
        Denied: They do not.
    """
    if not allowed(actor, permission):
        where = f"in {project!r}" if project else "in all of the store"
        raise Denied(f"{actor.name} may not do {name} {where}.", why=_held(actor, permission), fix=_way_in(actor))


def _way_in(actor: Actor) -> str:
    if actor.roles:
        return "Ask an admin for one of these roles, or somebody who has it to do this."
    return (
        "This store knows people: show your token (SLIPWAY_TOKEN), or ask an admin to make you known: "
        f"slipway people add {actor.name} --account {actor.name} --role ROLE"
    )


def _held(actor: Actor, permission: str) -> str:
    needed = f"It needs the permission {permission!r}, which these roles have: {', '.join(roles_with(permission))}."
    held = ", ".join(role for role in actor.roles if role != MEMBER)
    limit = f", and the token is limited to {', '.join(actor.scopes)}" if actor.scopes else ""
    return f"{needed} {actor.name} holds {held or 'no role here'}{limit}."


def convert(operation: Operation, values: Any, *, texts: bool = False) -> Any:
    """Make an operation's request out of plain values.

    Args:
        operation: Whose request.
        values: A mapping of field names to values.
        texts: Whether the values are text (a query string, a command line) and numbers must be read from it.

    Raises:
        InvalidInput: A field is missing, unknown or of the wrong type.
    """
    unknown = set(values) - set(operation.request.__struct_fields__)
    if unknown:
        name = sorted(unknown)[0]
        known = ", ".join(operation.request.__struct_fields__) or "none"
        raise InvalidInput(f"{operation.name} has no field {name!r}.", fix=f"Its fields are: {known}.", field=name)
    try:
        request = msgspec.convert(values, operation.request, strict=not texts)
    except msgspec.ValidationError as problem:
        message, _, path = str(problem).partition(" - at ")
        field = path.strip("`$.") if path else ""
        raise InvalidInput(
            f"The request to {operation.name} does not fit: {message}{f' in {field!r}' if field else ''}.",
            fix=f"See `slipway api {operation.name}` for its fields.",
            field=field,
        ) from problem
    for name in operation.request.__struct_fields__:
        value = getattr(request, name)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise InvalidInput(f"{name!r} is {value}.", why="It must fit into 64 bits.", fix="Give less.", field=name)
    return request
