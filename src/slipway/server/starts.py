"""The page on which a pipeline is started, what has become of a start, and the buttons that retry and cancel a run."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from slipway.errors import InvalidInput, NotFound, SlipwayError
from slipway.ids import new_id
from slipway.operations import declare
from slipway.operations.permissions import allowed
from slipway.operations.pipelines import Begun, KnownCode, KnownPipeline, Pipelines
from slipway.operations.table import operation
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run
from slipway.records.schedules import ParameterKind, ParameterSpec
from slipway.server import api
from slipway.server.asking import asking
from slipway.server.errors import status_of
from slipway.server.formats import href
from slipway.server.forms import LARGEST, read_form
from slipway.server.view import Context, View

__all__ = ["Acts", "acts_of", "begun", "form", "forms", "may_start"]

_WAITS_S = 15.0
_LONGEST_SHOWN = 2_000
_INPUTS: dict[ParameterKind, str] = {"integer": "number", "number": "number", "date": "date"}
_HINTS: dict[ParameterKind, str] = {
    "text": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "date": "day, as 2013-04-01",
    "instant": "instant, as 2013-04-01T06:00:00+00:00",
    "any": "value of the pipeline's own kind, as JSON or text",
}
_STARTED_HERE = ("slipway.start", "slipway.firing")
_PREFIX = "p."
"""Before the names of parameters in the form, so that none is taken for a field of the form itself."""

Page = Callable[[Callable[[View], Context], str], Callable[[Request], Coroutine[Any, Any, Response]]]


@dataclass(frozen=True)
class Asked:
    """A parameter as the form asks for it.

    Args:
        name: Its name.
        field: The name of its field.
        type: Of the input; "select" for a choice.
        value: What stands in it.
        choices: What can be chosen.
        is_needed: Whether it has no default.
        hint: What it takes, and its default.
        problem: What is wrong with what was given, "" for nothing.
    """

    name: str
    field: str
    type: str
    value: str
    choices: tuple[str, ...]
    is_needed: bool
    hint: str
    problem: str = ""


def may_start(view: View) -> bool:
    """Whether who looks may start pipelines."""
    return allowed(view.workspace.actor, operation("pipelines.start").permission)


@dataclass(frozen=True)
class Acts:
    """What who looks may do with a run.

    Args:
        again: Run it again with other parameters.
        retry: Take it up.
        cancel: End it.
        key: Of the retry that the form would start.
        newest: The project's newest code, None where there is none or nobody asks.
    """

    again: bool
    retry: bool
    cancel: bool
    key: str = ""
    newest: KnownCode | None = None


def acts_of(view: View, own: Run) -> Acts:
    """What who looks may do with a run: nothing, where it is no pipeline's."""
    may = may_start(view) and bool(own.pipeline) and own.deleted_at is None
    ended = own.state in ("finished", "failed", "killed")
    has_code = bool(own.code.snapshot)
    newest: KnownCode | None = None
    if may and ended and own.state != "finished":
        known: Pipelines = view.ask("pipelines.list")
        newest = known.code if any(one.name == own.pipeline for one in known.pipelines) else None
    return Acts(
        again=may and ended and has_code,
        retry=may and ended and own.state != "finished" and (has_code or newest is not None),
        cancel=may and own.state == "running" and any(tag in own.tags for tag in _STARTED_HERE),
        key=new_id() if may and ended else "",
        newest=newest,
    )


def form(view: View, given: Mapping[str, str] | None = None, problem: SlipwayError | None = None) -> Context:
    """The form that starts a pipeline: anew, or from a run with its parameters.

    Args:
        view: The page; its query names the pipeline, or the run to go on from.
        given: What somebody sent, to be shown again.
        problem: Why that was refused.
    """
    said = dict(given or {})
    known: Pipelines = view.ask("pipelines.list")
    from_id = said.get("from") or view.query.get("from", "")
    own: Run | None = view.ask("runs.get", id=from_id).run if from_id else None
    name = own.pipeline if own is not None else said.get("pipeline") or view.query.get("pipeline", "")
    if not name and len(known.pipelines) == 1:
        name = known.pipelines[0].name
    chosen = next((one for one in known.pipelines if one.name == name), None)
    if own is not None:
        chosen = _of_run(own, chosen)
    field = getattr(problem, "field", "") if problem is not None else ""
    asked = _asked(chosen, own, said, problem, field) if chosen is not None else []
    return {
        "known": known,
        "chosen": chosen,
        "name": name,
        "from_run": own,
        "asked": asked,
        "key": said.get("key") or new_id(),
        "reason": said.get("reason", ""),
        "data": said.get("data", "same"),
        "problem": None if any(one.problem for one in asked) else problem,
        "wrong": [one for one in asked if one.problem],
        "may": may_start(view),
    }


def _of_run(own: Run, newest: KnownPipeline | None) -> KnownPipeline | None:
    """A run's pipeline as its run had it: the parameters of then, with what is known of their kinds."""
    if not own.pipeline:
        return None
    kinds = {one.name: one for one in newest.parameters} if newest is not None else {}
    parameters = tuple(
        kinds.get(name) or ParameterSpec(name=name, kind=_kind_of(value), is_optional=value is None)
        for name, value in sorted(own.params.items())
    )
    return KnownPipeline(name=own.pipeline, about=newest.about if newest is not None else "", parameters=parameters)


def _kind_of(value: object) -> ParameterKind:
    for kind, word in ((bool, "boolean"), (int, "integer"), (float, "number")):
        if isinstance(value, kind):
            return word  # type: ignore[return-value]
    return "text" if isinstance(value, str) else "any"


def _asked(
    chosen: KnownPipeline, own: Run | None, said: Mapping[str, str], problem: SlipwayError | None, field: str
) -> list[Asked]:
    found = []
    for one in chosen.parameters:
        default = own.params.get(one.name) if own is not None else one.default
        told = _told(default)
        if own is not None:
            known = f"then: {told}" if told else "then: none"
        else:
            known = "needed" if one.is_needed else f"default: {told}" if told else "may be left empty"
        hint = "one of these" if one.choices else _HINTS[one.kind]
        choices = one.choices or (("true", "false") if one.kind == "boolean" else ())
        found.append(
            Asked(
                name=one.name,
                field=f"{_PREFIX}{one.name}",
                type="select" if choices else _INPUTS.get(one.kind, "text"),
                value=said.get(f"{_PREFIX}{one.name}", told)[:_LONGEST_SHOWN],
                choices=choices,
                is_needed=one.is_needed and own is None,
                hint=f"{hint}; {known}",
                problem=f"{problem.what} {problem.why} {problem.fix}"
                if problem is not None and field == one.name
                else "",
            )
        )
    return found


def _told(value: object) -> str:
    """A value as it stands in a form: as text that is read as the same value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date | datetime):
        return value.isoformat()
    return str(value)


def _changed(chosen: KnownPipeline, own: Run | None, given: Mapping[str, str]) -> dict[str, Any]:
    """The parameters that the form says otherwise than they are: what is left empty or as it was is not said."""
    params = {}
    for one in chosen.parameters:
        text = given.get(f"{_PREFIX}{one.name}", "").strip()
        before = own.params.get(one.name) if own is not None else one.default
        if text and (text != _told(before) or (one.is_needed and own is None)):
            params[one.name] = text
    unknown = [name for name in given if name.startswith(_PREFIX) and name.removeprefix(_PREFIX) not in _names(chosen)]
    if unknown:
        params[unknown[0].removeprefix(_PREFIX)] = given[unknown[0]]  # the operation says what there is
    return params


def _names(chosen: KnownPipeline) -> set[str]:
    return {one.name for one in chosen.parameters}


def begun(view: View) -> Context:
    """What has become of a start."""
    found: Begun = view.ask("pipelines.begun", key=view.path["key"])
    return {"begun": found, "live": found.state == "starting", "made_up": ()}


def forms(workspace: Workspace, page: Page) -> list[Route]:
    """The routes to which the form and the buttons send.

    Args:
        workspace: The server's.
        page: Makes a page's endpoint of what it shows and its template.
    """

    async def started(request: Request) -> Response:
        given = await read_form(request, LARGEST)

        def work() -> str:
            return _start(api.in_project(asking(workspace, request), request.path_params["project"]), given)

        try:
            return RedirectResponse(await run_in_threadpool(work), 303)
        except (InvalidInput, NotFound) as problem:
            refused = problem
        asked = Request({**request.scope, "method": "GET"}, request.receive)  # what was sent has been read
        answer = await page(lambda view: form(view, given, refused), "start.html")(asked)
        answer.status_code = status_of(refused)
        return answer

    async def retried(request: Request) -> Response:
        given = await read_form(request, LARGEST)
        fields = {name: given[name] for name in ("begin", "code", "key", "reason") if given.get(name)}
        found = await run_in_threadpool(_perform, workspace, request, "pipelines.retry", fields)
        return RedirectResponse(await run_in_threadpool(_waited, workspace, request, found.key), 303)

    async def cancelled(request: Request) -> Response:
        given = await read_form(request, LARGEST)
        await run_in_threadpool(_perform, workspace, request, "pipelines.cancel", {"reason": given.get("reason", "")})
        return RedirectResponse(
            href("projects", request.path_params["project"], "runs", request.path_params["id"]), 303
        )

    run = "/projects/{project}/runs/{id}"
    return [
        Route("/projects/{project}/start", started, methods=["POST"]),
        Route(f"{run}/retry", retried, methods=["POST"]),
        Route(f"{run}/cancel", cancelled, methods=["POST"]),
    ]


def _perform(workspace: Workspace, request: Request, name: str, fields: Mapping[str, str]) -> Any:
    wanted = operation(name)
    there = api.in_project(asking(workspace, request), request.path_params["project"])
    return api.perform(there, wanted, declare.convert(wanted, {"id": request.path_params["id"], **fields}))


def _waited(workspace: Workspace, request: Request, key: str) -> str:
    return _place(api.in_project(asking(workspace, request), request.path_params["project"]), key)


def _start(there: Workspace, given: Mapping[str, str]) -> str:
    """Start what the form says; the address of the run, or of what is known of it."""

    def ask(name: str, **fields: Any) -> Any:
        wanted = operation(name)
        return api.perform(there, wanted, declare.convert(wanted, fields))

    known: Pipelines = ask("pipelines.list")
    key = given.get("key", "") or new_id()
    if from_id := given.get("from", ""):
        own: Run = ask("runs.get", id=from_id).run
        newest = next((one for one in known.pipelines if one.name == own.pipeline), None)
        chosen = _of_run(own, newest) or KnownPipeline(name="")
        params = _changed(chosen, own, given)
        data = "latest" if given.get("data") == "latest" else "same"
        ask("runs.rerun", target=own.id, params=params, data=data, key=key, wait_s=0.0)
    else:
        name = given.get("pipeline", "")
        chosen = next((one for one in known.pipelines if one.name == name), KnownPipeline(name=name))
        ask(
            "pipelines.start",
            pipeline=name,
            params=_changed(chosen, None, given),
            key=key,
            reason=given.get("reason", ""),
        )
    return _place(there, key)


def _place(there: Workspace, key: str) -> str:
    """Where to look at a start: its run as soon as it has begun, within some seconds; else what is known of it."""
    wanted = operation("pipelines.begun")
    found: Begun = api.perform(there, wanted, declare.convert(wanted, {"key": key, "wait_s": _WAITS_S}))
    if found.run_id:
        return href("projects", there.project, "runs", found.run_id)
    return href("projects", there.project, "starts", key)
