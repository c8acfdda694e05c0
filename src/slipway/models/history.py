"""What served under which alias when: told by the audit log, which nobody can edit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from slipway.errors import InvalidInput, NotFound, near
from slipway.models import numbered
from slipway.operations.models import AliasAt, GetHistory, ModelHistory, ModelMove
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.events import Event

__all__ = ["model_history", "moves_of", "standing"]

_PAGE = 1000
_STAGES = "stage "


def model_history(workspace: Workspace, request: GetHistory) -> ModelHistory:
    """Who moved which alias when, why and on which evidence; and where each stood at a moment.

    Raises:
        NotFound: There was never such a model, or never such an alias of it.
        InvalidInput: The moment cannot be read.
    """
    moves = moves_of(workspace, request.name)
    if request.alias:
        known = {move.alias for move in moves}
        moves = [move for move in moves if move.alias == request.alias]
        if not moves:
            raise NotFound(
                f"{request.name!r} has never had the alias {request.alias!r}.",
                fix=near(request.alias, known, what="aliases"),
            )
    at = _moment(request.at) if request.at else workspace.clock.now()
    return ModelHistory(at=at, standing=tuple(standing(moves, at)), moves=tuple(moves))


def moves_of(workspace: Workspace, name: str) -> list[ModelMove]:
    """All moves of a model's aliases and stages, oldest first, also of versions that were deleted or purged since.

    A stage is told as an alias "stage Production"; a version that leaves one moves it to 0.

    Raises:
        NotFound: There was never such a model.
    """
    with workspace.ledger.read() as tx:
        ids = [version.id for version in numbered.versions_in(tx, workspace.project, name, deleted=True)]
        of_name = _events(tx, f"registered:{workspace.project}/{name}")
        ids += [str(event.body["id"]) for event in of_name if event.verb == "models.purge" and "id" in event.body]
        if not ids:
            known = tx.refs(workspace.project, "model")
            raise NotFound(
                f"There is no model {name!r} in the project {workspace.project!r}.",
                fix=near(name, known, what="models"),
            )
        told = [event for id in ids for event in _events(tx, f"model:{id}")]
    told.sort(key=lambda event: event.seq)
    return [move for event in told for move in _moves(event)]


def standing(moves: Sequence[ModelMove], at: datetime) -> list[AliasAt]:
    """Where each alias pointed at a moment, and which versions were in which stage; what was taken away is left out.

    Args:
        moves: A model's, oldest first.
        at: The moment.
    """
    last: dict[tuple[str, int], ModelMove] = {}
    for move in moves:
        if move.at <= at:
            # An alias points at one version; a stage may hold several, each of which leaves it by itself.
            version = (move.number or move.before) if move.alias.startswith(_STAGES) else 0
            last[move.alias, version] = move
    return [
        AliasAt(alias=alias, number=move.number, since=move.at)
        for (alias, _), move in sorted(last.items())
        if move.number
    ]


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{text[:40]!r} is no moment.", fix="Write a date or an instant: 2026-03-01, 2026-03-01T12:00Z.", field="at"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _events(tx: ReadTransaction, subject: str) -> list[Event]:
    found: list[Event] = []
    while True:
        page = tx.events(subject=subject, after=found[-1].seq if found else 0, limit=_PAGE)
        found += page
        if len(page) < _PAGE:
            return found


def _moves(event: Event) -> list[ModelMove]:
    body = event.body
    if event.verb == "models.alias":
        return [_move(event, str(body["alias"]), int(body["number"]), int(body["before"]))]
    if event.verb == "models.stage":
        number, stage, before = int(body["number"]), str(body["stage"]), str(body["before"])
        left = [_move(event, f"{_STAGES}{before}", 0, number)] if before not in ("None", stage) else []
        return left + ([_move(event, f"{_STAGES}{stage}", number, 0)] if stage != "None" else [])
    if event.verb == "models.restore" and (stage := str(event.body.get("stage", "None"))) != "None":
        return [_move(event, f"{_STAGES}{stage}", int(body["number"]), 0)]
    if event.verb == "models.delete" and (stage := str(event.body.get("stage", "None"))) != "None":
        return [_move(event, f"{_STAGES}{stage}", 0, int(body["number"]))]
    return []


def _move(event: Event, alias: str, number: int, before: int) -> ModelMove:
    return ModelMove(
        at=event.at,
        alias=alias,
        number=number,
        before=before,
        actor=event.actor,
        reason=str(event.body.get("reason", "")),
        evidence=tuple(event.body.get("evidence", ())),
        event=event.seq,
    )
