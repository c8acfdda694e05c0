"""Acts on an endpoint: each shows first what would change, takes a reason where one is kept, and is done by one button."""

from datetime import UTC, datetime, time
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.routing import Route

from slipway.client.endpoint_examples import example_row
from slipway.errors import Denied, InvalidInput, SlipwayError, near
from slipway.operations.endpoints import EndpointDetail
from slipway.operations.permissions import allowed
from slipway.ports.workspace import Workspace
from slipway.records.schema import Field
from slipway.server import typed
from slipway.server.forms import form_route
from slipway.server.view import Context, View

__all__ = ["ask", "decide", "forms"]

_LONGEST_NUMBER = 15
_CONTRIBUTIONS = 10


class Act(NamedTuple):
    """One act.

    Args:
        operation: Which operation does it.
        title: What it is called.
        button: What the button says; `{name}` is the endpoint's.
        meaning: What it means for callers, in a sentence.
        right: What it needs.
        is_dry: Whether the operation says first what would change.
        has_reason: Whether it keeps a reason.
    """

    operation: str
    title: str
    button: str
    meaning: str
    right: str
    is_dry: bool = True
    has_reason: bool = True


ACTS: dict[str, Act] = {
    "rollback": Act(
        "endpoints.rollback",
        "Roll back",
        "Roll back {name}",
        "An earlier revision serves again, as a new revision equal to it. No request is lost.",
        "endpoints.deploy",
    ),
    "pause": Act(
        "rollouts.pause",
        "Pause the roll-out",
        "Pause the roll-out",
        "The traffic stays as it is, and looks go on. What is shown to be worse is stopped all the same.",
        "rollouts.decide",
    ),
    "resume": Act(
        "rollouts.resume",
        "Let the roll-out go on",
        "Let it go on",
        "Steps are taken again, as the evidence allows.",
        "rollouts.decide",
    ),
    "advance": Act(
        "rollouts.advance",
        "Take one step by hand",
        "Take one step",
        "The challenger answers more callers although the evidence is undecided. It cannot go past evidence that it is worse.",
        "rollouts.decide",
    ),
    "abort": Act(
        "rollouts.abort",
        "End the roll-out",
        "End the roll-out",
        "The champion answers everything again, and the challenger goes.",
        "rollouts.decide",
    ),
    "stop": Act(
        "endpoints.stop",
        "Stop",
        "Stop {name}",
        "Nobody is answered any more until it is started again. Revisions and logs stay.",
        "endpoints.deploy",
        is_dry=False,
        has_reason=False,
    ),
    "start": Act(
        "endpoints.deploy",
        "Start",
        "Start {name}",
        "The version that served last is judged by the gate once more, and serves.",
        "endpoints.deploy",
        has_reason=False,
    ),
}


def decide(view: View) -> Context:
    """One act before it is done: what would change, and the form that does it."""
    name, what = view.path["name"], view.query.get("what", "rollback")
    if what not in ACTS:
        raise InvalidInput(
            f"{what!r} is nothing that is done to an endpoint.", fix=near(what, ACTS, what="acts"), field="what"
        )
    act = ACTS[what]
    if not allowed(view.workspace.actor, act.right):
        raise Denied(f"{view.workspace.actor.name} may not do that.", fix=f"Ask somebody who may {act.title.lower()}.")
    detail: EndpointDetail = view.ask("endpoints.get", name=name)
    to = _number(view.query.get("to", ""))
    more = view.query.get("more", "").strip()
    fields: dict[str, Any] = {"rollback": {"name": name, "to": to}, "start": _starting(detail)}.get(
        what, {"endpoint": name, "reason": "to be given"} if act.has_reason else {"name": name}
    )
    if what == "resume" and more:
        fields["more"] = more
    change, refused = None, None
    if act.is_dry:
        try:
            change = view.ask(act.operation, **fields, dry_run="true").change
        except SlipwayError as problem:
            refused = problem
        view.sources.pop()  # it is asked by a POST, which no link is
    revisions = [one for one in detail.revisions[1:] if one.environment == detail.revisions[0].environment]
    return {
        "act": act,
        "what": what,
        "name": name,
        "detail": detail,
        "newest": detail.revisions[0],
        "revisions": revisions,
        "to": to,
        "more": more,
        "change": change,
        "refused": refused,
        "button": act.button.format(name=name),
    }


def _starting(detail: EndpointDetail) -> dict[str, Any]:
    newest = detail.revisions[0]
    return {"model": newest.served.model, "version": str(newest.served.number), "endpoint": newest.name}


def ask(view: View) -> Context:
    """A form of the contract's fields with a row filled in; and, where it was sent, the answer."""
    name = view.path["name"]
    detail: EndpointDetail = view.ask("endpoints.get", name=name)
    newest = detail.revisions[0]
    given = view.form
    sampled = None if newest.batch or given else view.ask_if_allowed("endpoints.sample", name=name, **_place(view))
    shown = {key: typed.shown(value) for key, value in example_row(newest.contract).items()}
    shown |= {key: typed.shown(value) for key, value in (sampled.row if sampled else {}).items()}
    shown |= {key.removeprefix("row."): value for key, value in given.items() if key.startswith("row.")}
    context: Context = {
        "detail": detail,
        "newest": newest,
        "fields": newest.contract.fields,
        "shown": shown,
        "sampled": sampled,
        "place": _number(view.query.get("place", "")),
        "may": allowed(view.workspace.actor, "endpoints.predict"),
        "answer": None,
        "refused": None,
        "explain": "explain" in given or not given,
        "made_up": detail.simulated,
    }
    if not given:
        return context
    row = _row(newest.contract.fields, shown)
    explain = _CONTRIBUTIONS if "explain" in given else 0
    try:
        answer = view.act("endpoints.ask", name=name, row=row, explain=explain, token=given.get("token", "").strip())
    except SlipwayError as problem:
        return context | {"refused": problem}
    return context | {
        "answer": answer,
        "first": (answer.body.get("predictions") or [{}])[0],
        "raw": typed.raw(answer.body),
    }


def _place(view: View) -> dict[str, str]:
    place = _number(view.query.get("place", ""))
    return {"place": str(place)} if place else {}


def _row(fields: tuple[Field, ...], shown: dict[str, str]) -> dict[str, Any]:
    """The request's row: an empty box is a null where one is allowed, and otherwise not sent."""
    row: dict[str, Any] = {}
    for field in fields:
        text = shown.get(field.name, "").strip()
        if text:
            row[field.name] = typed.read(field, text)
        elif field.nullable:
            row[field.name] = None
    return row


def forms(workspace: Workspace) -> list[Route]:
    """The routes to which the forms send.

    Args:
        workspace: The server's.
    """
    home = "/projects/{project}/endpoints/{name}"

    def rolled_back(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {
            "name": request.path_params["name"],
            "to": _number(given.get("to", "")),
            "scores": "scores" in given,
            "reason": _reason(given),
            "expect": _number(given.get("expect", "")) or None,
        }

    def decided(request: Request, given: dict[str, str]) -> dict[str, Any]:
        more = {"more": given["more"].strip()} if given.get("more", "").strip() else {}
        expect = _number(given.get("expect", "")) or None
        return {"endpoint": request.path_params["name"], "reason": _reason(given), "expect": expect, **more}

    def stopped(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {"name": request.path_params["name"]}

    def started(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {
            "endpoint": request.path_params["name"],
            "model": given.get("model", ""),
            "version": given.get("version", ""),
            "expect": _number(given.get("expect", "")) or None,
        }

    def stood(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {
            "endpoint": request.path_params["name"],
            "until": _end_of(given.get("until", "")).isoformat(),
            "role": given.get("role", "").strip() or "accountable",
            "comment": given.get("comment", ""),
        }

    def revoked(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {"id": given.get("id", ""), "comment": given.get("comment", "")}

    def scored(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {"name": request.path_params["name"], "resume": "resume" in given}

    return [
        form_route(workspace, f"{home}/rollback", "endpoints.rollback", rolled_back),
        *(
            form_route(workspace, f"{home}/{word}", f"rollouts.{word}", decided)
            for word in ("pause", "resume", "advance", "abort")
        ),
        form_route(workspace, f"{home}/stop", "endpoints.stop", stopped),
        form_route(workspace, f"{home}/start", "endpoints.deploy", started),
        form_route(workspace, f"{home}/stand", "approvals.stand", stood),
        form_route(workspace, f"{home}/revoke", "approvals.revoke", revoked),
        form_route(workspace, f"{home}/score", "scorings.start", scored),
    ]


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER else 0


def _reason(given: dict[str, str]) -> str:
    reason = given.get("reason", "").strip()
    if not reason:
        raise InvalidInput(
            "No reason was given.", why="It is kept with who did it.", fix="Say why, in a few words.", field="reason"
        )
    return reason


def _end_of(text: str) -> datetime:
    try:
        return datetime.combine(datetime.fromisoformat(text).date(), time.max, tzinfo=UTC)
    except ValueError as problem:
        raise InvalidInput(f"{text!r} is no day.", fix="Give one, as in 2026-12-31.", field="until") from problem
