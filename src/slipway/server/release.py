"""A version's way into production on its page: where it stands, the next step, and the forms by which people take it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request
from starlette.routing import Route

from slipway.errors import SlipwayError
from slipway.operations.models import ModelDetail
from slipway.operations.permissions import allowed
from slipway.ports.workspace import Workspace
from slipway.records.promotions import Promotion, PromotionPlace, PromotionStage
from slipway.server import promotions
from slipway.server.forms import form_route
from slipway.server.rollouts import Stage
from slipway.server.view import Context, View

__all__ = ["Step", "approvals", "forms", "judged", "steps"]

Kind = Literal["done", "ready", "approval", "trust", "waits", "goes on", "failed", "ahead", "hindered"]

_TRUST = re.compile(r"--trust (\S+)")
_ROLE = re.compile(r"--role (\S+)")
_TOKEN = "token_"


@dataclass(frozen=True)
class Step:
    """One environment on a version's way.

    Args:
        place: Where it goes, and what that asks for.
        kind: Where it stands.
        version: The version's number at the source, 0 where it is not there yet.
        promotion: The newest one of these bytes, None where there was none.
        way: Its stages as they are drawn.
        present: The stage that waits, failed or goes on now.
        key: The key that the target is asked to trust, "" for none.
        role: As whom somebody is asked for their word.
    """

    place: PromotionPlace
    kind: Kind
    version: int
    promotion: Promotion | None
    way: list[Stage]
    present: PromotionStage | None
    key: str = ""
    role: str = ""

    @property
    def arrived(self) -> int:
        """The version's number at the target, 0 before it is there."""
        if self.promotion is None:
            return 0
        return self.promotion.arrived or (self.promotion.version if self.place.is_one_store else 0)

    @property
    def is_mine(self) -> bool:
        """Whether it is the one whose turn it is."""
        return self.kind not in ("done", "ahead")


def steps(view: View, detail: ModelDetail, known: tuple[Promotion, ...]) -> Context:
    """The steps of a version's way, in order, and who may take them.

    Args:
        view: The page.
        detail: The version.
        known: The promotions of its bundle, newest first.
    """
    found = view.ask("promotions.places")
    made: list[Step] = []
    for place in found.places:
        made.append(_step(view.workspace.environment, detail, place, known, made))
    actor = view.workspace.actor
    first = next((n for n, step in enumerate(made) if step.is_mine), None)
    return {
        "steps": made,
        "present": None if first is None else made[first],
        "obstacle": found.obstacle,
        "is_through": bool(made) and first is None,
        "may_ask": allowed(actor, "endpoints.deploy"),
        "may_answer": allowed(actor, "approvals.grant"),
        "may_judge": allowed(actor, "gates.check"),
        "back": view.address,
        "live": any(step.kind == "goes on" for step in made),
    }


def _step(
    environment: str, detail: ModelDetail, place: PromotionPlace, known: tuple[Promotion, ...], before: list[Step]
) -> Step:
    mine = next((one for one in known if one.target == place.target), None)
    number = mine.version if mine else detail.version.number if environment == place.source else 0
    former = next((one for one in before if one.place.target == place.source), None)
    number = number or (former.arrived if former else 0)
    way = promotions.way(mine) if mine else []
    present = next((one for one in mine.stages if one.state not in ("done", "to do")), None) if mine else None
    said = present.command if present else ""
    key, role = _TRUST.search(said), _ROLE.search(said)
    return Step(
        place=place,
        kind=_kind(place, mine, present, former, number),
        version=number,
        promotion=mine,
        way=way,
        present=present,
        key=key[1] if key else "",
        role=role[1] if role else "accountable",
    )


def _kind(
    place: PromotionPlace,
    mine: Promotion | None,
    present: PromotionStage | None,
    former: Step | None,
    number: int,
) -> Kind:
    if mine is not None and mine.state == "done":
        return "done"
    if place.obstacle:
        return "hindered"
    if mine is None:
        return "ready" if number and (former is None or former.kind == "done") else "ahead"
    if present is None:
        return "ready"
    if present.state == "waiting":
        waits: dict[str, Kind] = {"approval": "approval", "copy": "trust"}
        return waits.get(present.name, "waits")
    return "failed" if present.state == "failed" else "goes on"


def judged(view: View, detail: ModelDetail) -> Context | None:
    """What the gate says now, and what a deployment would change; None where nobody asked."""
    if "judge" not in view.query or not detail.version.bundle:
        return None
    endpoint = view.query.get("endpoint", "")
    try:
        found = view.ask(
            "gates.check", model=detail.version.name, version=str(detail.version.number), endpoint=endpoint
        )
    except SlipwayError as problem:
        return {"refused": problem, "found": None, "endpoint": endpoint}
    finally:
        view.sources.pop()  # it is asked by a POST, which no link is
    return {"refused": None, "found": found, "endpoint": endpoint}


def approvals(view: View, detail: ModelDetail) -> Context | None:
    """Whose word the newest verdict waits for here, for who may give one; None for who may not."""
    if not detail.version.bundle or not allowed(view.workspace.actor, "approvals.grant"):
        return None
    newest = detail.verdicts[0] if detail.verdicts else None
    open_ones = [one for one in newest.outcomes if one.kind == "approval" and one.result != "passed"] if newest else []
    given = [one for one in detail.approvals if one.actor.name == view.workspace.actor.name]
    return {"waits": open_ones, "given": given, "back": view.address}


def forms(workspace: Workspace) -> list[Route]:
    """The routes to which the page's forms send.

    Args:
        workspace: The server's.
    """
    home = "/projects/{project}/models/{name}/{version}"

    def promoted(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {
            "model": request.path_params["name"],
            "version": given.get("number", ""),
            "target": given.get("target", ""),
            "endpoint": given.get("endpoint", "").strip(),
            "trust": given.get("trust", ""),
            "reason": given.get("reason", ""),
            "tokens": _tokens(given),
        }

    def answered(request: Request, given: dict[str, str]) -> dict[str, Any]:
        number = given.get("number", "")
        return {
            "model": request.path_params["name"],
            "version": int(number) if number.isascii() and number.isdigit() and len(number) < 16 else 0,
            "target": given.get("target", ""),
            "role": given.get("role", "accountable"),
            "decision": given.get("decision", ""),
            "comment": given.get("comment", ""),
            "tokens": _tokens(given),
        }

    def granted(request: Request, given: dict[str, str]) -> dict[str, Any]:
        return {
            "model": request.path_params["name"],
            "version": request.path_params["version"],
            "role": given.get("role", "").strip() or "accountable",
            "decision": given.get("decision", ""),
            "comment": given.get("comment", ""),
        }

    def deployed(request: Request, given: dict[str, str]) -> dict[str, Any]:
        seen = given.get("expect", "")
        return {
            "model": request.path_params["name"],
            "version": request.path_params["version"],
            "endpoint": given.get("endpoint", "").strip(),
            "expect": int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 16 else None,
        }

    return [
        form_route(workspace, f"{home}/promote", "promotions.ask", promoted),
        form_route(workspace, f"{home}/answer", "promotions.answer", answered),
        form_route(workspace, f"{home}/approve", "approvals.grant", granted),
        form_route(workspace, f"{home}/deploy", "endpoints.deploy", deployed),
    ]


def _tokens(given: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(_TOKEN): value for name, value in given.items() if name.startswith(_TOKEN)}
