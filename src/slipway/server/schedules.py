"""The pages of schedules, and the three buttons on them: fire, pause, resume."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from slipway.operations import declare
from slipway.operations.permissions import allowed
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.schema.durations import in_words
from slipway.schema.schedules import trigger_in_words
from slipway.server import api
from slipway.server.asking import asking
from slipway.server.formats import href
from slipway.server.view import Context, View

__all__ = ["buttons", "schedule", "schedules"]

_VERBS = ("fire", "pause", "resume")
_NEXT = 8
_FIRINGS = 50


def schedules(view: View) -> Context:
    """All schedules."""
    found = view.ask("schedules.list").schedules
    return {"schedules": [(row, [trigger_in_words(one) for one in row.schedule.spec.when]) for row in found]}


def schedule(view: View) -> Context:
    """One schedule with its firings."""
    detail = view.ask("schedules.get", name=view.path["name"], limit=_FIRINGS, next=_NEXT)
    spec = detail.schedule.spec
    late = {
        one.id: (one.started_at - one.due_at) if one.started_at and one.started_at > one.due_at else None
        for one in detail.firings
    }
    return {
        "detail": detail,
        "schedule": detail.schedule,
        "when": [trigger_in_words(one) for one in spec.when],
        "retries": f"{spec.retries} after {in_words(spec.retry_delay_us)}" if spec.retries else "none",
        "late": late,
        "may": allowed(view.workspace.actor, operation("schedules.fire").permission),
    }


def buttons(workspace: Workspace) -> list[Route]:
    """The routes that the pages' buttons send to. Where a browser sends from is looked at before: see `guards`.

    Args:
        workspace: The server's.
    """

    async def pressed(request: Request) -> Response:
        project, name = request.path_params["project"], request.path_params["name"]
        verb = request.url.path.rpartition("/")[2]

        def work() -> None:
            wanted = operation(f"schedules.{verb}")
            given = {"name": name} | ({"reason": "pressed on the page"} if verb != "resume" else {})
            chosen = api.in_project(asking(workspace, request), project)
            api.perform(chosen, wanted, declare.convert(wanted, given))

        await run_in_threadpool(work)
        return RedirectResponse(href("projects", project, "schedules", name), 303)

    home = "/projects/{project}/schedules/{name}"
    return [Route(f"{home}/{verb}", pressed, methods=["POST"]) for verb in _VERBS]
