"""All of MLflow's routes in one table, and what a client asks a server about itself."""

from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from slipway.ports.workspace import Workspace
from slipway.server.mlflow import artifacts, experiments, logged_models, metrics, registry, runs, versions
from slipway.server.mlflow.routes import Area, Declared, MlflowRoutes

__all__ = ["DECLARED", "SPEAKS", "routes"]

SPEAKS = "3.18.0"
"""The release of MLflow whose API this is."""

_about = Area("3.0/mlflow", "runs")


@_about.reads("GET", "/server-info", Struct)
def server_info(workspace: Workspace, asked: Struct) -> dict[str, Any]:
    """What this server can do."""
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
    }


async def version(workspace: Workspace, request: Request, path: str) -> Response:
    """The release of MLflow whose API this is, as plain text."""
    return Response(SPEAKS, media_type="text/plain")


DECLARED: list[Declared] = [
    *_about.routes,
    Declared(method="GET", path="version", permission="runs.read", raw=version),
    *experiments.area.routes,
    *runs.area.routes,
    *metrics.area.routes,
    *metrics.histories.routes,
    *artifacts.area.routes,
    *artifacts.of_runs.routes,
    *artifacts.streams,
    *logged_models.area.routes,
    *registry.area.routes,
    *versions.area.routes,
]


def routes(workspace: Workspace) -> list[MlflowRoutes]:
    """All of MLflow's routes as one.

    Args:
        workspace: The server's; each request gets it with its own project.
    """
    return [MlflowRoutes(workspace, DECLARED)]
