"""The business pages: one a model, for people with an account, and for whoever has a link to just that page."""

from collections.abc import Callable
from time import monotonic
from typing import Any

from markupsafe import Markup, escape
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slipway import plugins
from slipway.charts import bands, lines, svg
from slipway.errors import NotFound
from slipway.flows import business_links, business_words
from slipway.flows.business_document import document, levels_of, tiles
from slipway.flows.business_words import Given
from slipway.operations import declare
from slipway.operations.business import BusinessPage, Figure, SharedMade
from slipway.operations.permissions import allowed
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.business import WEEKDAYS, SharedPage
from slipway.server import api, formats
from slipway.server.asking import asking
from slipway.server.forms import form_route, inside, read_form
from slipway.server.view import Context, View

__all__ = ["FILTERS", "business", "listed", "routes", "said"]

_HOME = "/projects/{project}/business/{name}"
_MOST = 30
_SHOWN_TROUBLES = 8
_LARGEST_FORM = 20_000
_KEPT_S = 10.0
"""Seconds of machine time for which a page is shown again as it was to whoever has a link: so they cost the server little."""
_MOST_KEPT = 200
_OF_LINKS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",  # the address is the secret
    "x-robots-tag": "noindex, nofollow",
}
Render = Callable[[str, Context, int], Response]


def said(parts: tuple[str, ...]) -> Markup:
    """A sentence as markup: what users wrote is marked, so that it is known from the page's own words."""
    return Markup().join(
        Markup("<span data-given>{}</span>").format(str(part)) if isinstance(part, Given) else escape(part)
        for part in parts
    )


def given(text: str) -> Markup:
    """What a user wrote, marked."""
    return said((Given(text),))


FILTERS = {"said": said, "given": given, "day_of": business_words.day}


def listed(view: View) -> Context:
    """All models of a project as the business sees them, the first of them with how they do."""
    names = sorted({row.version.name for row in view.ask("models.list").models})
    pages = [view.ask("business.get", model=name) for name in names[:_MOST]]
    return {"pages": [(page, tiles(page)) for page in pages], "more": names[_MOST:]}


def business(view: View) -> Context:
    """One model, with the links by which others see it where whoever asks may make them."""
    name = view.path["name"]
    found: BusinessPage = view.ask("business.get", model=name)
    may = allowed(view.workspace.actor, "business.share")
    return _shown(found) | {
        "made_up": found.simulated,
        "papers": [(business_words.paper(one), one.place) for one in found.papers],
        "sharing": view.ask("business.sharing", model=name) if may else None,
        "weekdays": list(enumerate(WEEKDAYS)),
        "here_at": view.address,
    }


def _shown(found: BusinessPage) -> Context:
    """What the page shows, in words."""
    troubles = [(one, business_words.trouble(one)) for one in found.troubles]
    return {
        "found": found,
        "stage": business_words.STAGES[found.stage],
        "head": tiles(found),
        "figures": [(one, _figure(one)) for one in found.figures],
        "values": business_words.values(found.values),
        "spent": business_words.spent(found.spent),
        "troubles": troubles[:_SHOWN_TROUBLES],
        "earlier": troubles[_SHOWN_TROUBLES:],
        "trusted": business_words.trusted(found.trust),
    }


def _figure(one: Figure) -> Context:
    word, tone = business_words.standing(one)
    return {
        "word": word,
        "tone": tone,
        "what": business_words.what_it_is(one),
        "now": business_words.measured(one),
        "agreed": business_words.agreed(one),
        "expected": business_words.expected(one),
        "trend": _trend(one),
    }


def _trend(one: Figure) -> str:
    """How the figure went, "" where it was measured less than twice."""
    if len(one.looks) < 2:
        return ""
    points = [(business_words.day(look.at), look.value, look.low, look.high) for look in one.looks]
    if all(low is not None for _, _, low, _ in points):
        return bands.band_chart(points, title="How it went, with its likely range", levels=levels_of(one))
    plain = [(name, value) for name, value, _, _ in points]
    return lines.line_chart({"": plain}, title="How it went")


def routes(workspace: Workspace, render: Render) -> list[Route]:
    """Forms, downloads, and the two routes that a link opens.

    Args:
        workspace: The server's.
        render: Makes an answer of a template's name, its context and a status.
    """

    async def pdf(request: Request) -> Response:
        def work() -> bytes:
            chosen = api.in_project(asking(workspace, request), request.path_params["project"])
            wanted = operation("business.get")
            return _pdf(api.perform(chosen, wanted, declare.convert(wanted, {"model": request.path_params["name"]})))

        return _file(await run_in_threadpool(work), {"cache-control": "no-store"})

    async def share(request: Request) -> Response:
        given = await read_form(request, _LARGEST_FORM)

        def work() -> SharedMade:
            chosen = api.in_project(asking(workspace, request), request.path_params["project"])
            wanted = operation("business.share")
            fields = {
                "model": request.path_params["name"],
                "label": given.get("label", ""),
                "days": given.get("days", "30"),
            }
            made: SharedMade = api.perform(chosen, wanted, declare.convert(wanted, fields, texts=True))
            return made

        made = await run_in_threadpool(work)
        address = f"{request.url.scheme}://{request.url.netloc}{formats.below(made.path)}"
        back = inside(given.get("back", "/"))
        return render("business_link.html", {"made": made.link, "address": address, "back": back}, 200)

    def ended(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {"id": given.get("id", "")}

    def mailed(request: Request, given: dict[str, str]) -> dict[str, Any]:
        to = given.get("to", "").replace(",", " ").replace(";", " ").split()
        weekday, hour = (
            int(text) if text.isdecimal() and len(text) < 4 else -1
            for text in (given.get("weekday", "0"), given.get("hour", "7"))
        )
        return {"model": request.path_params["name"], "to": to, "weekday": weekday, "hour": hour}

    return [
        Route(f"{_HOME}/pdf", pdf),
        Route(f"{_HOME}/links", share, methods=["POST"]),
        form_route(workspace, f"{_HOME}/links/end", "business.revoke", ended),
        form_route(workspace, f"{_HOME}/mail", "business.mail", mailed),
        *_shared(workspace, render),
    ]


def _shared(workspace: Workspace, render: Render) -> list[Route]:
    """What a link opens: the page, and the page as a PDF."""
    kept: dict[str, tuple[float, BusinessPage]] = {}

    def read(text: str) -> tuple[BusinessPage, SharedPage]:
        chosen, link = business_links.opened(workspace, text)
        since, page = kept.get(link.id, (0.0, None))
        if page is None or monotonic() - since > _KEPT_S:
            wanted = operation("business.get")
            try:
                page = api.perform(chosen, wanted, declare.convert(wanted, {"model": link.name}))
            except NotFound as problem:  # the model is no more, and which others there are is nobody's business
                raise business_links.over() from problem
            if len(kept) >= _MOST_KEPT:
                kept.clear()
            kept[link.id] = (monotonic(), page)
        return page, link

    async def page(request: Request) -> Response:
        text = request.path_params["link"]
        try:
            found, link = await run_in_threadpool(read, text)
        except NotFound as problem:
            return _guarded(render("shared_over.html", {"problem": problem}, 404))
        address = formats.href("shared", text, "pdf")
        made_up = {"made_up": found.simulated, "link": link, "pdf": address}
        answer = render("shared.html", _shown(found) | made_up, 200)
        if found.simulated:
            answer.body = svg.stamped(bytes(answer.body).decode(), "SIMULATED").encode()
            answer.headers["content-length"] = str(len(answer.body))
        return _guarded(answer)

    async def pdf(request: Request) -> Response:
        try:
            found, _ = await run_in_threadpool(read, request.path_params["link"])
        except NotFound as problem:
            return _guarded(render("shared_over.html", {"problem": problem}, 404))
        return _file(await run_in_threadpool(_pdf, found), _OF_LINKS)

    return [Route("/shared/{link}", page), Route("/shared/{link}/pdf", pdf)]


def _guarded(answer: Response) -> Response:
    answer.headers.update(_OF_LINKS)
    return answer


def _pdf(found: BusinessPage) -> bytes:
    data: bytes = plugins.load("document", "pdf")(document(found))
    return data


def _file(data: bytes, headers: dict[str, str]) -> Response:
    shown = headers | {"content-disposition": 'attachment; filename="business-page.pdf"'}
    return Response(data, media_type="application/pdf", headers=shown)
