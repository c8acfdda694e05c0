"""The pages."""

from starlette.responses import Response
from starlette.routing import Route

from slipway.errors import SlipwayError
from slipway.ports.workspace import Workspace
from slipway.server import errors

__all__ = ["error_page", "routes"]


def routes(workspace: Workspace) -> list[Route]:
    """The routes of all pages."""
    return []


def error_page(error: SlipwayError, status: int) -> Response:
    """An error as a page."""
    return errors.answer(error)
