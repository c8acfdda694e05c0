"""Promotions that are asked of a server: it carries out the project's commands, where it runs in the project's folder."""

from __future__ import annotations

from slipway.errors import Conflict, InvalidInput, NotFound, near
from slipway.flows.promotions import reason_of
from slipway.ledger import events
from slipway.models import registry
from slipway.operations.promotions import (
    Answered,
    AnswerPromotion,
    Asked,
    AskPromotion,
    ListPlaces,
    Places,
)
from slipway.ports.workspace import Environments, Workspace
from slipway.records.promotions import PromotionPlace

__all__ = ["answer", "ask", "list_places"]

_DECISIONS = ("approved", "rejected")
_NO_FOLDER = (
    "This server was not started in the project's folder, and taking a version further needs the project's code."
)


def list_places(workspace: Workspace, request: ListPlaces) -> Places:
    """Into which environments this server takes versions of the project."""
    if workspace.environments is None:
        return Places(places=(), obstacle=_NO_FOLDER)
    places = workspace.environments.places(workspace.project)
    return Places(places=places, obstacle="" if places else "slipway.toml names no environment test or prod.")


def ask(workspace: Workspace, request: AskPromotion) -> Asked:
    """Take a version into an environment, as far as it comes now.

    Raises:
        Conflict: This server cannot: it has no project's folder, a server keeps the other store, or it knows nobody.
        NotFound: There is no such environment.
        InvalidInput: A token is missing, or the reason is too long.
        SlipwayError: What the promotion itself says.
    """
    others, place = _place(workspace, request.target)
    _check_tokens(place.tokens, request.tokens)
    if workspace.environment == place.source:
        registry.get(workspace, request.model, request.version)
    reason = reason_of(request.reason)
    _told(workspace, "promotions.ask", request.model, request.version, request.target, reason)
    promotion = others.promote(
        place,
        request.model,
        request.version,
        endpoint=request.endpoint,
        key=request.trust,
        reason=reason,
        tokens=request.tokens,
    )
    return Asked(promotion=promotion)


def answer(workspace: Workspace, request: AnswerPromotion) -> Answered:
    """Give somebody's word for a version in the environment that it goes into.

    Raises:
        Conflict: This server cannot; see `ask`.
        NotFound: There is no such environment or version.
        InvalidInput: Neither "approved" nor "rejected", or a token is missing.
        Denied: Their word does not count there.
    """
    if request.decision not in _DECISIONS:
        fix = near(request.decision, _DECISIONS, what="decisions")
        raise InvalidInput(f"{request.decision!r} is no decision.", fix=fix, field="decision")
    others, place = _place(workspace, request.target)
    _check_tokens(tuple(one for one in place.tokens if one == place.target), request.tokens)
    _told(workspace, "promotions.answer", request.model, str(request.version), request.target)
    others.approve(
        place,
        request.model,
        str(request.version),
        role=request.role,
        reject=request.decision == "rejected",
        comment=request.comment,
        tokens=request.tokens,
    )
    return Answered(model=request.model, target=request.target, version=request.version, decision=request.decision)


def _place(workspace: Workspace, target: str) -> tuple[Environments, PromotionPlace]:
    if workspace.environments is None:
        raise Conflict(_NO_FOLDER, fix=f"Start it there: slipway up. Or by hand: slipway promote MODEL --to {target}")
    places = {place.target: place for place in workspace.environments.places(workspace.project)}
    if target not in places:
        raise NotFound(f"No version is taken to {target!r} from here.", fix=near(target, places, what="environments"))
    if places[target].obstacle:
        raise Conflict(places[target].obstacle, fix=f"Promote by hand: slipway promote MODEL --to {target}")
    return workspace.environments, places[target]


def _check_tokens(wanted: tuple[str, ...], given: dict[str, str]) -> None:
    missing = [one for one in wanted if not given.get(one, "").strip()]
    if missing:
        raise InvalidInput(
            f"The store of {missing[0]} knows people, and no token of it was shown.",
            why="A token is known to one store, and a promotion goes from one into another.",
            fix="Give your token there; one is made by: slipway tokens add",
            field="tokens",
        )


def _told(workspace: Workspace, verb: str, model: str, version: str, target: str, reason: str = "") -> None:
    """The audit log here says who asked; what came of it is in those of the stores."""
    with workspace.ledger.write() as tx:
        why = {"reason": reason} if reason else {}
        events.record(tx, workspace, verb, f"model:{model}", version=version, target=target, **why)
