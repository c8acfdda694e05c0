"""The pages: facts from the operations, set in templates. No script, no request to anywhere else."""

from collections.abc import Callable, Coroutine, Iterable
from importlib.resources import files
from typing import Any, TypeVar
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from slipway.charts import consistency
from slipway.client import endpoint_openapi
from slipway.errors import Corrupt, InvalidInput, NotFound, SlipwayError
from slipway.hashing import digest
from slipway.operations.models import VersionsDiff
from slipway.ports.workspace import Workspace, in_project
from slipway.records.loop import Action
from slipway.records.models import ModelVersion
from slipway.records.record import Record
from slipway.server import (
    abtests,
    api,
    comments,
    downloads,
    explained,
    figures,
    formats,
    markdown,
    promotions,
    responsibility,
    rollouts,
    run_pages,
    schedules,
    simulations,
    tables,
    what_if,
)
from slipway.server.asking import asking
from slipway.server.view import Context, View
from slipway.tables.catalog import quarantine_of

__all__ = ["error_page", "log_in_page", "routes"]

_STYLE = (files("slipway.server") / "static" / "style.css").read_bytes()
_STYLE_PATH = f"/static/style-{digest(_STYLE)[:12]}.css"
_A_YEAR = "public, max-age=31536000, immutable"
_OUTERMOST = "parent is null"
_EVENTS_A_PAGE = 200
_TRASH_OF_A_SORT = 500
_ACTIONS_A_QUESTION = 1000
_LATEST_ACTIONS = 20

_templates = Environment(
    loader=PackageLoader("slipway.server"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters.update(formats.FILTERS, figures_of=simulations.flattened)
_templates.globals.update(style=_STYLE_PATH, href=formats.href)

R = TypeVar("R", bound=Record)


def routes(workspace: Workspace) -> list[Route]:
    """The routes of all pages and of their one style sheet."""

    async def style(request: Request) -> Response:
        return Response(_STYLE, media_type="text/css", headers={"cache-control": _A_YEAR})

    pages = [Route(path, _page(workspace, make, template)) for path, (make, template) in _PAGES.items()]
    forms = [*schedules.buttons(workspace), *comments.forms(workspace), *responsibility.forms(workspace)]
    return [*pages, *forms, *downloads.routes(workspace), Route(_STYLE_PATH, style)]


def error_page(error: SlipwayError, status: int) -> Response:
    """An error as a page."""
    context = {
        "error": error,
        "status": status,
        "project": "",
        "sources": [],
        "here": "",
        "environment": "",
        "me": None,
    }
    return _html(_templates.get_template("error.html").render(context), status)


def log_in_page(context: Context, status: int) -> Response:
    """The page where one logs in."""
    common: Context = {"project": "", "sources": [], "here": "", "environment": "", "me": None}
    return _html(_templates.get_template("login.html").render(common | context), status)


def _page(
    workspace: Workspace, make: Callable[[View], Context], template: str
) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    def work(request: Request) -> str:
        path = dict(request.path_params)
        project, asked_by = path.get("project"), asking(workspace, request)
        chosen = asked_by if project is None else api.in_project(asked_by, project)
        view = View(chosen, path, request.query_params, request.url.path)
        context = make(view)
        common = {
            "project": chosen.project,
            "environment": chosen.environment,
            "me": asked_by.identity,
            "sources": list(dict.fromkeys(view.sources)),
            "here": template.removesuffix(".html"),
        }
        return _templates.get_template(template).render(common | context)

    async def page(request: Request) -> Response:
        return _html(await run_in_threadpool(work, request), 200)

    return page


def _html(text: str, status: int) -> Response:
    return HTMLResponse(text, status, headers={"cache-control": "no-store"})


def _first(view: View) -> Context:
    names = [project.name for project in view.ask("projects.list").projects]
    return {"overviews": [_overview(view, name) for name in names], "root": str(view.workspace.root)}


def _one_project(view: View) -> Context:
    view.ask("projects.list")  # whoever may not, does not learn that there is such a project
    view.sources.pop()
    return {"overviews": [_overview(view, view.workspace.project)], "root": str(view.workspace.root)}


def _overview(view: View, project: str) -> Context:
    inside = View(in_project(view.workspace, project), view.path, view.query, view.address, view.sources)
    listed = inside.ask_if_allowed("endpoints.list")
    details = [
        (row, inside.ask("endpoints.get", name=row.revision.name)) for row in (listed.endpoints if listed else ())
    ]
    runs = inside.ask_if_allowed("runs.search", where=_OUTERMOST, limit=6)
    models = inside.ask_if_allowed("models.list")
    tables = inside.ask_if_allowed("tables.list")
    simulated = inside.ask_if_allowed("simulations.list", limit=50)
    scheduled = inside.ask_if_allowed("schedules.list")
    failing = [row.schedule.name for row in (scheduled.schedules if scheduled else ()) if row.incident]
    return {
        "name": project,
        "endpoints": [{"row": row, "detail": detail, "newest": _newest(detail.findings)} for row, detail in details],
        "incidents": [(row, each) for row, detail in details for each in detail.incidents if each.state == "open"],
        "schedule_incidents": [
            (name, each) for name in failing for each in inside.ask("schedules.get", name=name, limit=1).incidents
        ],
        "runs": runs.runs if runs else None,
        "models": models.models[:6] if models else None,
        "tables": tables.tables if tables else None,
        "simulations": _newest(simulated.simulations) if simulated else [],
        "raci": inside.ask_if_allowed("raci.get"),
    }


def _newest(records: Iterable[R]) -> list[R]:
    """The newest of each name; they come newest first."""
    first: dict[str, R] = {}
    for record in records:
        first.setdefault(record.name, record)
    return list(first.values())


def _runs(view: View) -> Context:
    asked = {name: view.query[name] for name in ("where", "order", "best_per", "token") if view.query.get(name)}
    search: Context = {"asked": asked, "runs": (), "next": "", "refused": None}
    # What somebody searches for is searched everywhere; the plain list leaves trials to their search.
    given = asked if asked.get("where") or "all" in view.query else asked | {"where": _OUTERMOST}
    search["hides"] = given is not asked
    try:
        found = view.ask("runs.search", limit=view.query.get("limit", "100"), **given)
    except InvalidInput as problem:
        # A search that cannot be read is said under the box with its words, to be mended there.
        view.sources.pop()
        return search | {"refused": problem}
    further = urlencode(
        asked
        | {"token": found.token, "limit": view.query.get("limit", "100")}
        | ({"all": "1"} if "all" in view.query else {})
    )
    return search | {"runs": found.runs, "next": f"?{further}" if found.token else ""}


def _models(view: View) -> Context:
    return {"models": view.ask("models.list").models}


def _model(view: View) -> Context:
    detail = view.ask("models.get", name=view.path["name"], version=view.path["version"])
    metrics = detail.bundle.metrics if detail.bundle else ()
    bundle = detail.version.bundle
    promoted = view.ask("promotions.list", model=detail.version.name, bundle=bundle).promotions if bundle else ()
    return {
        "detail": detail,
        "promotions": promotions.ways(promoted),
        "since": _since_before(view, detail.version) if bundle else None,
        "overall": [metric for metric in metrics if not metric.slice],
        "charts": figures.slice_charts(metrics),
        "rests": explained.figures(detail.bundle),
        "lineage": figures.lineage(detail, view.workspace.project),
        "card": markdown.to_html(detail.card),
        "thread": comments.thread(view, f"model:{detail.version.id}"),
        "on_verdict": comments.thread(view, f"verdict:{detail.verdicts[0].id}") if detail.verdicts else None,
    }


def _since_before(view: View, version: ModelVersion) -> VersionsDiff | None:
    try:
        found: VersionsDiff = view.ask("models.diff", target=f"{version.name}:{version.number}")
    except NotFound:  # it is the first one, or what it was made of is gone
        view.sources.pop()
        return None
    return found


def _tables(view: View) -> Context:
    return {"tables": view.ask("tables.list").tables}


def _table(view: View) -> Context:
    name = view.path["name"]
    versions = view.ask("tables.get", name=name).versions
    newest = versions[0]
    profile = view.ask("tables.profile", name=name, version=newest.version) if newest.profile else None
    refusals = view.ask("tables.refusals", name=name).refusals
    is_refused = bool(refusals) and refusals[0].parent == newest.version
    has_failing = any(check.failing for check in newest.checks)
    checked, by_version = tables.check_rows(versions)
    others = {table.name: table for table in view.ask("tables.list").tables}
    return {
        "versions": versions,
        "columns": tables.columns(newest, profile),
        "has_profile": profile is not None,
        "failing": view.ask("tables.failing", name=name, version=newest.version).checks if has_failing else (),
        "refused": view.ask("tables.failing", name=name, version="refused") if is_refused else None,
        "refusals": refusals,
        "quarantine": others.get(quarantine_of(name)),
        "checked": checked,
        "by_version": by_version,
        "state_of": tables.state_of,
        "thread": comments.thread(view, f"table:{name}"),
    }


def _catalog(view: View) -> Context:
    text = view.query.get("text", "")
    return {"text": text, "hits": view.ask("catalog.search", text=text).hits}


def _lineage(view: View) -> Context:
    return {"trace": view.ask("catalog.lineage", what=view.query.get("what", ""))}


def _endpoint(view: View) -> Context:
    name = view.path["name"]
    detail = view.ask("endpoints.get", name=name)
    newest = detail.revisions[0]
    where = detail.status.url if detail.status else f"http://{newest.host}:{newest.port or 'PORT'}"
    rolled = view.ask("rollouts.list", endpoint=name, limit=100).rollouts
    standing = view.ask_if_allowed("approvals.standing", endpoint=name)
    return {
        "detail": detail,
        "newest": newest,
        "callers": view.ask("endpoints.callers", name=name).callers,
        "findings": _newest(detail.findings),
        "agreement": view.ask("endpoints.agreement", endpoint=name) if newest.old_system else None,
        "consistency": detail.consistency
        and {"report": detail.consistency, "sentence": consistency.sentence(detail.consistency)},
        "curl": endpoint_openapi.curl(newest, where),
        "rollouts": [(one, rollouts.stages(one), rollouts.plan(one), rollouts.evidence_chart(one)) for one in rolled],
        "abtests": [(one, abtests.effect_charts(one)) for one in view.ask("abtests.list", endpoint=name).tests],
        "retrainings": view.ask("retrainings.list", endpoint=name, limit=100).retrainings,
        "actions": list(reversed(_actions(view, name))),
        "latest": _LATEST_ACTIONS,
        "standing": standing.approvals if standing else (),
        "threads": {
            one.id: comments.thread(view, f"incident:{one.id}") for one in detail.incidents if one.state == "open"
        },
        "simulations": view.ask("simulations.list", endpoint=name, limit=20).simulations,
    }


def _actions(view: View, endpoint: str) -> list[Action]:
    """All that the loop did at an endpoint, oldest first."""
    found: list[Action] = []
    while True:
        after = found[-1].number if found else 0
        page = view.ask("loop.actions", endpoint=endpoint, after=after, limit=_ACTIONS_A_QUESTION).actions
        found += page
        if len(page) < _ACTIONS_A_QUESTION:
            return found


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


def _audit(view: View) -> Context:
    after = view.query.get("after", "0")
    events = view.ask("audit.list", after=after, limit=_EVENTS_A_PAGE).events
    try:
        state, damage = view.ask("audit.verify"), None
    except Corrupt as problem:
        state, damage = None, problem
    is_full = len(events) == _EVENTS_A_PAGE
    return {"events": events, "state": state, "damage": damage, "next": events[-1].seq if is_full else None}


def _trash(view: View) -> Context:
    found = view.ask("trash.list", limit=str(_TRASH_OF_A_SORT))
    return {"items": found.items, "keep_days": found.keep_days, "most": _TRASH_OF_A_SORT}


_PAGES: dict[str, tuple[Callable[[View], Context], str]] = {
    "/": (_first, "overview.html"),
    "/inbox": (responsibility.inbox, "inbox.html"),
    "/projects/{project}": (_one_project, "overview.html"),
    "/projects/{project}/runs": (_runs, "runs.html"),
    "/projects/{project}/runs/compare": (run_pages.compare, "compare.html"),
    "/projects/{project}/runs/{id}": (run_pages.run, "run.html"),
    "/projects/{project}/runs/{id}/curves": (run_pages.curves, "curves.html"),
    "/projects/{project}/runs/{id}/log": (run_pages.step_log, "step_log.html"),
    "/projects/{project}/runs/{id}/artifact": (run_pages.artifact, "artifact.html"),
    "/projects/{project}/logged/{id}": (run_pages.logged_model, "logged.html"),
    "/projects/{project}/models": (_models, "models.html"),
    "/projects/{project}/models/{name}/{version}": (_model, "model.html"),
    "/projects/{project}/models/{name}/{version}/what-if": (what_if.what_if, "what_if.html"),
    "/projects/{project}/models/{name}/{version}/handover": (responsibility.handover, "handover.html"),
    "/projects/{project}/tables": (_tables, "tables.html"),
    "/projects/{project}/tables/{name}": (_table, "table.html"),
    "/projects/{project}/schedules": (schedules.schedules, "schedules.html"),
    "/projects/{project}/schedules/{name}": (schedules.schedule, "schedule.html"),
    "/projects/{project}/catalog": (_catalog, "catalog.html"),
    "/projects/{project}/lineage": (_lineage, "lineage.html"),
    "/projects/{project}/endpoints/{name}": (_endpoint, "endpoint.html"),
    "/projects/{project}/endpoints/{name}/served": (promotions.serving, "serving.html"),
    "/projects/{project}/simulations/{name}": (_simulation, "simulation.html"),
    "/projects/{project}/audit": (_audit, "audit.html"),
    "/projects/{project}/trash": (_trash, "trash.html"),
}
