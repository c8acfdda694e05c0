"""The workspace of one request: the server's, with whoever asks as its actor."""

from dataclasses import replace

from starlette.requests import Request

from slipway.ports.workspace import Workspace, in_project

__all__ = ["IDENTITY", "asking"]

IDENTITY = "slipway.identity"
"""Under this key of a request's scope stands who sent it; see `slipway.server.access`."""


def asking(workspace: Workspace, request: Request) -> Workspace:
    """The server's workspace with whoever sent a request as its actor.

    Args:
        workspace: The server's.
        request: The request, which came through `Identified`.
    """
    identity = request.scope.get(IDENTITY)
    return workspace if identity is None else in_project(replace(workspace, identity=identity), workspace.project)
