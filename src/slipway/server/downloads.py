"""The routes by which the pages of runs give bytes: artifacts, models' files and diffs as downloads, pictures as images."""

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slipway.errors import InvalidInput, NotFound, near
from slipway.operations import declare
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.runs.browse import artifact_named
from slipway.server import api, pictures, previews, sending
from slipway.server.asking import asking

__all__ = ["routes"]


def routes(workspace: Workspace) -> list[Route]:
    """The routes of what is downloaded from the pages of runs."""
    of_runs = (("download", _download), ("image", _image), ("shown", _shown), ("diff", _diff))
    return [
        *(Route(f"/projects/{{project}}/runs/{{id}}/{name}", _endpoint(workspace, send)) for name, send in of_runs),
        Route("/projects/{project}/logged/{id}/download", _endpoint(workspace, _file)),
    ]


def _endpoint(workspace: Workspace, send: Callable[[Workspace, str, str], Response]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        def work() -> Response:
            chosen = api.in_project(asking(workspace, request), request.path_params["project"])
            return send(chosen, request.path_params["id"], request.query_params.get("name", ""))

        return await run_in_threadpool(work)

    return endpoint


def _ask(workspace: Workspace, asked: str, /, **fields: str) -> Any:
    wanted = operation(asked)
    return api.perform(workspace, wanted, declare.convert(wanted, fields))


def _download(workspace: Workspace, id: str, name: str) -> Response:
    return sending.stored(workspace, artifact_named(_ask(workspace, "runs.get", id=id).run, name))


def _file(workspace: Workspace, id: str, name: str) -> Response:
    files = {one.name: one for one in _ask(workspace, "models.logged", id=id).artifacts}
    if name not in files:
        raise NotFound(f"The logged model {id} has no file {name[:200]!r}.", fix=near(name, files, what="files"))
    return sending.stored(workspace, files[name])


def _image(workspace: Workspace, id: str, name: str) -> Response:
    content = _ask(workspace, "runs.artifact", id=id, name=name)
    kind = pictures.kind_of(content.data)
    if not content.is_whole:
        raise InvalidInput(
            f"{name!r} is not shown." if content.withheld else f"{name!r} is too large to be shown.",
            why=content.withheld,
            fix="" if content.withheld else "Download it.",
            field="name",
        )
    if not kind:
        raise NotFound(
            f"{name!r} is no picture.", why="PNG, JPEG, GIF and WebP are known by their bytes.", fix="Download it."
        )
    return sending.image(name, content.data, kind)


def _shown(workspace: Workspace, id: str, name: str) -> Response:
    content = _ask(workspace, "runs.artifact", id=id, name=name)
    if not content.is_whole or not previews.is_page(content):
        raise NotFound(
            f"{name[:200]!r} is no page that can be shown.",
            why=content.withheld,
            fix="Download it to look at what it is.",
        )
    return sending.page(content.data)


def _diff(workspace: Workspace, id: str, _: str) -> Response:
    found = _ask(workspace, "runs.diff", id=id)
    if not found.text:
        raise NotFound(
            f"The run {id!r} has no diff.",
            why="Nothing differed from its commit, or it is not known.",
            fix="See the run's page.",
        )
    return sending.attachment(f"{id[:12]}.diff", found.text.encode())
