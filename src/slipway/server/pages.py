"""The pages: facts from the operations, set in templates, whole without a script. No request to anywhere else."""

from collections.abc import Callable, Coroutine
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from slipway.charts import svg
from slipway.errors import SlipwayError
from slipway.hashing import digest
from slipway.ports.workspace import Workspace
from slipway.server import (
    api,
    audit,
    business,
    comments,
    contracts,
    data_pages,
    documents,
    downloads,
    endpoint_acts,
    endpoint_pages,
    executions,
    features,
    formats,
    home,
    incidents,
    journey,
    live,
    migrations,
    model_pages,
    monitoring,
    navigation,
    people,
    portfolio,
    promotions,
    release,
    responsibility,
    run_compare,
    run_lists,
    run_metrics,
    run_pages,
    schedules,
    scopes,
    settings,
    simulations,
    starts,
    what_if,
)
from slipway.server.asking import asking
from slipway.server.forms import LARGEST, read_form
from slipway.server.packed import packed
from slipway.server.view import Context, View
from slipway.tables.catalog import simulated_tables

__all__ = ["error_page", "log_in_page", "routes"]

_A_YEAR = "public, max-age=31536000, immutable"


def _joined(ending: str, media_type: str) -> tuple[str, bytes, str]:
    """All static files of a kind as one, with its address and type; the address changes with what it holds."""
    found = sorted(
        (one for one in (files("slipway.server") / "static").iterdir() if one.name.endswith(ending)), key=_name
    )
    body = b"\n".join(one.read_bytes() for one in found)
    return f"/static/slipway-{digest(body)[:12]}{ending}", body, media_type


def _name(file: Traversable) -> str:
    return "" if file.name == "style.css" else file.name  # the one that the others build on comes first


_STATIC = (_joined(".css", "text/css"), _joined(".js", "text/javascript"))
_ANSWERING = frozenset({"try.html"})
"""Pages with a form whose answer they show: it is kept nowhere, so there is nothing to go back to."""
_TRASH_OF_A_SORT = 500

_templates = Environment(
    loader=PackageLoader("slipway.server"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters.update(formats.FILTERS, figures_of=simulations.flattened, **business.FILTERS)
_templates.globals.update(
    href=formats.href,
    below=formats.below,
    style=_STATIC[0][0],
    script=_STATIC[1][0],
    menu=navigation.OF_PROJECT,
    over_all=navigation.OF_STORE,
)

_SHOWN = "slipway-shown"
"""Stands on a live page where the digest of what it shows goes."""

_OF_NOBODY: Context = {
    "project": "",
    "sources": [],
    "here": "",
    "environment": "",
    "me": None,
    "made_up": (),
    "is_live": False,
    "waits": "",
}
"""What a page shows of who asks, where nobody may know it."""


def routes(workspace: Workspace) -> list[Route]:
    """The routes of all pages, of their one style sheet and their one script."""

    def static(body: bytes, media_type: str) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def send(request: Request) -> Response:
            return Response(body, media_type=media_type, headers={"cache-control": _A_YEAR})

        return send

    pages = [
        Route(path, _page(workspace, make, template), methods=["GET", "POST"] if template in _ANSWERING else ["GET"])
        for path, (make, template) in _PAGES.items()
    ]
    forms = [
        *schedules.buttons(workspace),
        *comments.forms(workspace),
        *responsibility.forms(workspace),
        *incidents.forms(workspace),
        *contracts.forms(workspace),
        *people.forms(workspace),
        *settings.forms(workspace),
        *scopes.forms(workspace),
        *migrations.forms(workspace),
        *documents.forms(workspace),
        *release.forms(workspace),
        *endpoint_acts.forms(workspace),
        *documents.downloads(workspace),
        *business.routes(workspace, _of_nobody),
        *starts.forms(workspace, partial(_page, workspace)),
    ]
    return [
        *pages,
        *forms,
        *downloads.routes(workspace),
        *(Route(path, static(body, media_type)) for path, body, media_type in _STATIC),
    ]


def error_page(error: SlipwayError, status: int, request_id: str = "") -> Response:
    """An error as a page, with the id by which the request is found in the server's log."""
    return _of_nobody("error.html", {"error": error, "status": status, "request_id": request_id}, status)


def _of_nobody(template: str, context: Context, status: int) -> Response:
    return _html(_templates.get_template(template).render(_OF_NOBODY | context), status)


def log_in_page(context: Context, status: int) -> Response:
    """The page where one logs in."""
    return _of_nobody("login.html", context, status)


def _page(
    workspace: Workspace, make: Callable[[View], Context], template: str
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    def work(request: Request, given: dict[str, str]) -> tuple[str, bool]:
        path = dict(request.path_params)
        project, asked_by = path.get("project"), asking(workspace, request)
        chosen = asked_by if project is None else api.in_project(asked_by, project)
        asked = [(name, value) for name, value in request.query_params.multi_items() if name not in live.WORDS]
        address, is_first = formats.below(request.url.path), live.is_first(request)
        view = View(chosen, path, QueryParams(asked), address, form=given, is_first=is_first)
        context = make(view)
        is_live = bool(context.pop("live", False)) or view.waits
        made_up = _made_up(chosen, context, is_of_project=project is not None)
        common = {
            "project": chosen.project,
            "environment": chosen.environment,
            "me": asked_by.identity,
            "sources": list(dict.fromkeys(view.sources)),
            "here": template.removesuffix(".html"),
            "made_up": made_up,
            "is_live": is_live,
            "waits": live.whole(request) if view.waits else "",
        }
        text = _templates.get_template(template).render(context | common)
        return svg.stamped(text, "SIMULATED") if made_up else text, is_live

    async def page(request: Request) -> Response:
        if live.is_asked(request):
            return live.stream(request, lambda: run_in_threadpool(work, request, {}))
        given = await read_form(request, LARGEST) if request.method == "POST" else {}
        return await run_in_threadpool(whole, request, given)

    def whole(request: Request, given: dict[str, str]) -> Response:
        text, is_live = work(request, given)
        return packed(request, _html(text.replace(_SHOWN, live.digest_of(text), 1) if is_live else text, 200))

    return page


def _made_up(workspace: Workspace, context: Context, *, is_of_project: bool) -> tuple[str, ...]:
    """The simulated tables behind a page: those behind what it shows, where it says so, else all of its project."""
    said: tuple[str, ...] | None = context.get("made_up")
    if said is not None:
        return said
    return simulated_tables(workspace) if is_of_project else ()


def _html(text: str, status: int) -> Response:
    return HTMLResponse(text, status, headers={"cache-control": "no-store"})


def _simulation(view: View) -> Context:
    name, id = view.path["name"], view.query.get("id", "")
    detail = view.ask("simulations.get", endpoint=name, **({"id": id} if id else {}))
    simulation, kind = detail.simulation, view.query.get("kind", "")
    standing = view.ask_if_allowed("approvals.standing", endpoint=name)
    columns = simulations.columns(simulation.unit)
    shown = [action for action in detail.actions if kind in ("", action.name)]
    return {
        "simulation": simulation,
        "columns": columns,
        "policies": list(simulations.POLICIES.values()),
        "rows": simulations.month_rows(simulation.months, columns),
        "total": simulations.month_rows([simulation.total], columns)[0] if simulation.total else None,
        "charts": simulations.charts(simulation),
        "worth_chart": simulations.worth_chart(simulation),
        "promotion_chart": simulations.promotion_chart(simulation.promotions),
        "tally": simulations.tally(simulation.promotions),
        "measured": simulations.flattened(simulation.measured),
        "actions": detail.actions,
        "chapters": simulations.chapters(shown),
        "kinds": simulations.kinds(detail.actions),
        "chosen": {"id": id, "kind": kind},
        "standing": standing.approvals if standing else (),
        "others": [
            one for one in view.ask("simulations.list", endpoint=name, limit=20).simulations if one.id != simulation.id
        ],
    }


def _trash(view: View) -> Context:
    found = view.ask("trash.list", limit=str(_TRASH_OF_A_SORT))
    return {"items": found.items, "keep_days": found.keep_days, "most": _TRASH_OF_A_SORT}


_PAGES: dict[str, tuple[Callable[[View], Context], str]] = {
    "/": (home.first, "overview.html"),
    "/inbox": (responsibility.inbox, "inbox.html"),
    "/portfolio": (portfolio.portfolio, "portfolio.html"),
    "/people": (people.people, "people.html"),
    "/settings": (settings.settings, "settings.html"),
    "/executions": (executions.everywhere, "executions.html"),
    "/runbook/{name}": (incidents.run_book, "run_book.html"),
    "/projects/{project}": (home.one_project, "overview.html"),
    "/comments": (comments.everywhere, "said.html"),
    "/projects/{project}/comments": (comments.of_project, "said.html"),
    "/projects/{project}/executions": (executions.of_project, "executions.html"),
    "/projects/{project}/runs": (run_lists.runs, "runs.html"),
    "/projects/{project}/runs/compare": (run_compare.compare, "compare.html"),
    "/projects/{project}/runs/{id}": (run_pages.run, "run.html"),
    "/projects/{project}/runs/{id}/curves": (run_metrics.metrics, "curves.html"),
    "/projects/{project}/runs/{id}/log": (run_pages.step_log, "step_log.html"),
    "/projects/{project}/runs/{id}/artifact": (run_pages.artifact, "artifact.html"),
    "/projects/{project}/runs/{id}/notebooks": (run_pages.notebook_diff, "notebook_diff.html"),
    "/projects/{project}/start": (starts.form, "start.html"),
    "/projects/{project}/starts/{key}": (starts.begun, "begun.html"),
    "/projects/{project}/logged/{id}": (run_pages.logged_model, "logged.html"),
    "/projects/{project}/models": (model_pages.models, "models.html"),
    "/projects/{project}/models/compare": (model_pages.compare, "versions.html"),
    "/projects/{project}/models/{name}/{version}": (model_pages.model, "model.html"),
    "/projects/{project}/models/{name}/{version}/what-if": (what_if.what_if, "what_if.html"),
    "/projects/{project}/models/{name}/{version}/handover": (responsibility.handover, "handover.html"),
    "/projects/{project}/handovers": (responsibility.handovers, "handovers.html"),
    "/projects/{project}/contracts": (contracts.contracts, "contracts.html"),
    "/projects/{project}/contracts/{kpi}": (contracts.contract, "contract.html"),
    "/projects/{project}/business": (business.listed, "business_list.html"),
    "/projects/{project}/business/{name}": (business.business, "business.html"),
    "/projects/{project}/scopes": (scopes.scopes, "scopes.html"),
    "/projects/{project}/scopes/{name}": (scopes.scope, "scope.html"),
    "/projects/{project}/scopes/{name}/study/{id}": (scopes.study, "study.html"),
    "/projects/{project}/documents": (documents.documents, "documents.html"),
    "/projects/{project}/documents/{kind}/{name}": (documents.document, "document.html"),
    "/projects/{project}/migration": (migrations.migration, "migration.html"),
    "/projects/{project}/journey": (journey.journey, "journey.html"),
    "/projects/{project}/journey/{name}": (journey.model, "journey_model.html"),
    "/projects/{project}/costs": (journey.costs, "costs.html"),
    "/projects/{project}/costs/{name}": (journey.cost, "cost.html"),
    "/projects/{project}/tables": (data_pages.tables, "tables.html"),
    "/projects/{project}/tables/{name}": (data_pages.table, "table.html"),
    "/projects/{project}/tables/{name}/changes": (data_pages.changes, "table_changes.html"),
    "/projects/{project}/features": (features.features, "features.html"),
    "/projects/{project}/features/{name}": (features.feature, "feature.html"),
    "/projects/{project}/schedules": (schedules.schedules, "schedules.html"),
    "/projects/{project}/schedules/{name}": (schedules.schedule, "schedule.html"),
    "/projects/{project}/incidents": (incidents.incidents, "incidents.html"),
    "/projects/{project}/incidents/{id}": (incidents.incident, "incident.html"),
    "/projects/{project}/catalog": (data_pages.catalog, "catalog.html"),
    "/projects/{project}/lineage": (data_pages.lineage, "lineage.html"),
    "/projects/{project}/endpoints": (home.endpoints, "endpoints.html"),
    "/projects/{project}/monitoring": (monitoring.watched, "watched.html"),
    "/projects/{project}/endpoints/{name}/monitoring": (monitoring.monitoring, "monitoring.html"),
    "/projects/{project}/endpoints/{name}/monitoring/column": (monitoring.column, "monitoring_column.html"),
    "/projects/{project}/endpoints/{name}": (endpoint_pages.endpoint, "endpoint.html"),
    "/projects/{project}/endpoints/{name}/decide": (endpoint_acts.decide, "decide.html"),
    "/projects/{project}/endpoints/{name}/try": (endpoint_acts.ask, "try.html"),
    "/projects/{project}/endpoints/{name}/served": (promotions.serving, "serving.html"),
    "/projects/{project}/simulations/{name}": (_simulation, "simulation.html"),
    "/projects/{project}/audit": (audit.audit, "audit.html"),
    "/projects/{project}/trash": (_trash, "trash.html"),
}
