"""The pages of documents that fill themselves: each field with its state and what it rests on, and a form to answer."""

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slipway import plugins
from slipway.charts.documents import html, markdown
from slipway.errors import NotFound, near
from slipway.operations import declare, wire
from slipway.operations.permissions import allowed
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.documents import Document
from slipway.server import api
from slipway.server.asking import asking
from slipway.server.forms import form_route
from slipway.server.view import Context, View

__all__ = ["document", "documents", "downloads", "forms"]

NAMES = {"card": "Model card", "datasheet": "Data sheet", "annex-iv": "Annex IV draft"}
_FILES = {
    "markdown": ("text/markdown", "md"),
    "html": ("text/html", "html"),
    "pdf": ("application/pdf", "pdf"),
    "json": ("application/json", "json"),
}
_PATH = "/projects/{project}/documents/{kind}/{name}"


def documents(view: View) -> Context:
    """All documents of a project, and how far each is filled."""
    return {"documents": view.ask("documents.list").documents, "names": NAMES}


def document(view: View) -> Context:
    """One document."""
    version = view.query.get("version", "")
    found: Document = view.ask("documents.get", kind=view.path["kind"], name=view.path["name"], version=version)
    return {
        "found": found,
        "made_up": found.simulated,
        "what": NAMES[found.kind],
        "missing": [field for field in found.fields if field.state == "missing"],
        "may_answer": allowed(view.workspace.actor, "documents.answer"),
        "here_at": f"{view.address}?version={version}" if version else view.address,
        "version": version,
    }


def forms(workspace: Workspace) -> list[Route]:
    """The route to which a document's forms send.

    Args:
        workspace: The server's.
    """

    def answered(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {
            "kind": request.path_params["kind"],
            "name": request.path_params["name"],
            "field": given.get("field", ""),
            "text": given.get("text", ""),
        }

    return [form_route(workspace, _PATH, "documents.answer", answered)]


def downloads(workspace: Workspace) -> list[Route]:
    """The route of a document as a file.

    Args:
        workspace: The server's.
    """

    async def file(request: Request) -> Response:
        form = request.path_params["form"]
        if form not in _FILES:
            raise NotFound(f"A document has no form {form[:40]!r}.", fix=near(form, _FILES, what="forms"))
        kind, ending = _FILES[form]
        fields = {name: request.path_params[name] for name in ("kind", "name")}
        fields["version"] = request.query_params.get("version", "")

        def work() -> tuple[str, bytes]:
            chosen = api.in_project(asking(workspace, request), request.path_params["project"])
            wanted = operation("documents.get")
            found: Document = api.perform(chosen, wanted, declare.convert(wanted, fields, texts=True))
            name = f"{found.kind}-{found.name}-{found.version}.{ending}"
            if ending == "json":
                return name, wire.encode(found)
            if ending == "pdf":
                return name, plugins.load("document", "pdf")(found)
            return name, (html if ending == "html" else markdown)(found).encode()

        name, data = await run_in_threadpool(work)
        headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
        return Response(data, media_type=kind, headers=headers)

    return [Route(_PATH + "/as/{form}", file)]
