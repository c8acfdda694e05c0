"""Hand-overs: what is done and what is missing before a model changes hands, and the word of who takes it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from slipway.errors import Conflict, Denied, InvalidInput, NotFound
from slipway.flows.documents_card import card
from slipway.flows.models import get_model
from slipway.governance.notices import tell
from slipway.governance.people import person_named, somebody_is_known
from slipway.governance.raci import declared_raci
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.operations.models import GetModel, ModelDetail
from slipway.operations.responsibility import (
    AnswerHandover,
    GetHandover,
    HandoverAnswered,
    HandoverPage,
    Handovers,
    ListHandovers,
    OfferHandover,
)
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.responsibility import Handover, HandoverItem, Raci, Stage

__all__ = ["LONGEST_RUN_BOOK", "OWNED", "answer", "list_handovers", "mismatches", "offer", "page"]

LONGEST_RUN_BOOK = 200_000
OWNED: tuple[Stage, ...] = ("deploy", "monitor", "retrain")
"""The stages for which whoever owns a model in production is responsible."""


def list_handovers(workspace: Workspace, request: ListHandovers) -> Handovers:
    """Hand-overs, newest first."""
    with workspace.ledger.read() as tx:
        return Handovers(handovers=tuple(_of(tx, workspace, request.model)))


def page(workspace: Workspace, request: GetHandover) -> HandoverPage:
    """What is done, what is missing, the run book, and who had the model.

    Raises:
        NotFound: No such model or version.
    """
    detail = get_model(workspace, GetModel(name=request.model, version=request.version))
    with workspace.ledger.read() as tx:
        handovers = _of(tx, workspace, detail.version.name)
        book = next((one.run_book for one in handovers if one.run_book), "")
        items = _items(tx, workspace, detail, book)
        changes = tuple(mismatches(tx, workspace, declared_raci(tx, workspace), model=detail.version.name))
    return HandoverPage(
        model=detail.version.name,
        version=detail.version.number,
        items=items,
        run_book=workspace.blobs.get(book).decode() if book else "",
        handovers=tuple(handovers),
        changes=changes,
    )


def offer(workspace: Workspace, request: OfferHandover) -> HandoverAnswered:
    """Offer a model to its next owner, who is told. An offer that nobody has answered yet is withdrawn by it.

    Raises:
        NotFound: No such model, version or person.
        InvalidInput: The next owner is whoever offers or is disabled, or the run book is too long.
    """
    if len(request.run_book) > LONGEST_RUN_BOOK:
        raise InvalidInput(
            f"The run book has {len(request.run_book):,} characters.",
            why="It is what somebody reads at night when the model answers nothing.",
            fix=f"At most {LONGEST_RUN_BOOK:,}: leave in it what to do, and link to the rest.",
            field="run_book",
        )
    detail = get_model(workspace, GetModel(name=request.model, version=request.version))
    version = detail.version
    given = workspace.blobs.put(request.run_book.encode()) if request.run_book.strip() else ""
    with workspace.ledger.write() as tx:
        _check_receiver(tx, workspace, request.to)
        former = _of(tx, workspace, version.name)
        for one in former:
            if one.state == "offered":
                entries.put(tx, msgspec.structs.replace(one, state="withdrawn", answered_at=workspace.clock.now()))
        book = given or next((one.run_book for one in former if one.run_book), "")
        kept = Handover(
            id=new_id(),
            project=workspace.project,
            name=version.name,
            created_at=workspace.clock.now(),
            parent_id=f"{workspace.project}/{version.name}",
            number=version.number,
            bundle=version.bundle,
            to=request.to,
            actor=workspace.actor,
            comment=request.comment,
            run_book=book,
            items=_items(tx, workspace, detail, book),
        )
        entries.put(tx, kept, expect=0)
        _tell(tx, workspace, kept, request.to, f"{workspace.actor} offers you {kept.name}: accept or return it.")
        subject = f"handover:{kept.id}"
        events.record(tx, workspace, "handovers.offer", subject, model=kept.name, number=kept.number, to=kept.to)
    return HandoverAnswered(handover=kept)


def answer(workspace: Workspace, request: AnswerHandover) -> HandoverAnswered:
    """Accept a model, or return it with a comment; who offered it is told.

    Raises:
        NotFound: There is no such hand-over.
        Denied: It is offered to somebody else.
        Conflict: It was answered or withdrawn already.
        InvalidInput: It is returned without a comment.
    """
    with workspace.ledger.read() as tx:
        found = _offered(tx, workspace, request.id)
    if not request.accept and not request.comment.strip():
        raise InvalidInput(
            f"{found.name} is returned without a comment.",
            why="Whoever offered it must know what is missing.",
            fix='Say it: --return "the run book does not say whom to call"',
            field="comment",
        )
    detail = get_model(workspace, GetModel(name=found.name, version=str(found.number)))
    word = "accepted" if request.accept else "returned"
    with workspace.ledger.write() as tx:
        found = _offered(tx, workspace, request.id)
        kept = msgspec.structs.replace(
            found,
            state=word,
            answer=request.comment,
            answered_at=workspace.clock.now(),
            items=_items(tx, workspace, detail, found.run_book),
        )
        entries.put(tx, kept)
        said = f": {request.comment}" if request.comment else "."
        _tell(tx, workspace, kept, kept.actor.name, f"{workspace.actor} {word} {kept.name}{said}")
        changes = mismatches(tx, workspace, declared_raci(tx, workspace), model=kept.name)
        events.record(tx, workspace, "handovers.answer", f"handover:{kept.id}", model=kept.name, state=kept.state)
    return HandoverAnswered(handover=kept, changes=tuple(changes))


def mismatches(tx: ReadTransaction, workspace: Workspace, raci: Raci | None, *, model: str = "") -> list[str]:
    """Where slipway.toml does not say yet what was accepted, a sentence each with what to write.

    Args:
        tx: An open transaction.
        workspace: The project's.
        raci: What slipway.toml says; without one there is nothing to differ.
        model: Only of this model, "" for all.
    """
    newest: dict[str, Handover] = {}
    for one in _of(tx, workspace, model):
        if one.state == "accepted":
            newest.setdefault(one.name, one)
    found = []
    for one in newest.values() if raci and raci.rows else ():
        for row in raci.rows if raci else ():
            if row.stage in OWNED and one.to not in row.responsible:
                names = ", ".join(
                    f'"{name}"' for name in (one.to, *(n for n in row.responsible if n != one.actor.name))
                )
                found.append(
                    f"{one.to} accepted {one.name}, and is not responsible for {row.stage}: write into slipway.toml "
                    f"[raci.{row.stage}] responsible = [{names}]"
                )
    return found


def _of(tx: ReadTransaction, workspace: Workspace, model: str) -> list[Handover]:
    return list(entries.every(tx, Handover, project=workspace.project, name=model or None))


def _offered(tx: ReadTransaction, workspace: Workspace, id: str) -> Handover:
    found = entries.get(tx, Handover, id) if entries.etag(tx, Handover, id) else None
    if found is None or found.project != workspace.project:
        raise NotFound(
            f"There is no hand-over {id!r} in {workspace.project!r}.", fix="See what is offered to you: slipway inbox"
        )
    if found.to != workspace.actor.name:
        raise Denied(
            f"{found.name} is offered to {found.to}, not to {workspace.actor.name}.",
            why="Who is to answer for a model says so themselves.",
            fix=f"Ask {found.to}, or who offered it, {found.actor}, to offer it to you.",
        )
    if found.state != "offered":
        raise Conflict(
            f"The hand-over of {found.name} to {found.to} is {found.state} already.",
            fix=f"Have it offered again: slipway handover {found.name} --to {found.to}",
        )
    return found


def _check_receiver(tx: ReadTransaction, workspace: Workspace, name: str) -> None:
    if name == workspace.actor.name:
        raise InvalidInput(f"{name} offers a model to themselves.", fix="Name its next owner: --to NAME", field="to")
    if not somebody_is_known(tx):
        raise InvalidInput(
            f"{name!r} is nobody who could accept: this store knows no people yet.",
            fix="Make yourself and them known first: slipway people add NAME --role admin",
            field="to",
        )
    if (person := person_named(tx, name)).disabled_at is not None or person.is_service:
        raise InvalidInput(
            f"{name} is {'a service' if person.is_service else 'disabled'}, and cannot own a model.",
            fix="Name somebody who may act: slipway people list",
            field="to",
        )


def _tell(tx: WriteTransaction, workspace: Workspace, kept: Handover, name: str, sentence: str) -> None:
    place = ("models", kept.name, str(kept.number), "handover")
    about, occasion = f"handover:{kept.id}", f"handover:{kept.id} {kept.state}"
    tell(tx, workspace, [name], "handover", about=about, sentence=sentence, place=place, occasion=occasion)


def _items(tx: ReadTransaction, workspace: Workspace, detail: ModelDetail, book: str) -> tuple[HandoverItem, ...]:
    """What whoever takes a version over wants to find, from what the ledger has of it."""
    version = detail.version
    name, which = version.name, f"{version.name} --version {version.number}"
    judged = next((one for one in detail.verdicts if one.environment == workspace.environment), None)
    asked = card(workspace, name, str(version.number)) if version.bundle else None
    missing = [one.title for one in asked.fields if one.state == "missing" and one.question] if asked else []
    now = workspace.clock.now()
    words = [one for one in detail.approvals if one.expires_at is None or one.expires_at > now]
    given = ", ".join(f"{one.actor} {one.decision} as {one.name}" for one in words)
    raci = declared_raci(tx, workspace)
    monitors = [monitor.name for one in _endpoints(tx, workspace, name) for monitor in one.monitors]
    verdict = f"{'passed' if judged.passed else 'refused'} for {judged.environment}" if judged else "not judged"
    told = "no card" if asked is None else f"nobody answered: {', '.join(missing)}" if missing else "all is answered"
    return (
        _item("verdict", bool(judged and judged.passed), verdict, f"slipway deploy {which} --dry-run"),
        _item("approval", _is_approved(words), given or "nobody gave a word", f"slipway approve {which}"),
        _item("card", asked is not None and not missing, told, f"slipway card {name}@{version.number}"),
        _item(
            "responsibility",
            bool(raci and raci.rows),
            "slipway.toml says who answers for what" if raci and raci.rows else "slipway.toml does not say",
            "Write [raci.default] into slipway.toml, run the project, and: slipway people check",
        ),
        _item(
            "monitors",
            bool(monitors),
            ", ".join(monitors) or "nothing watches it",
            "Declare some: sw.Endpoint(..., monitors=[...])",
        ),
        _item(
            "run book",
            bool(book),
            f"kept as {book[:12]}" if book else "there is none",
            f"slipway handover {name} --to NAME --run-book run-book.md",
        ),
    )


def _item(what: str, is_done: bool, found: str, fix: str) -> HandoverItem:
    return HandoverItem(what=what, is_done=is_done, found=found, fix="" if is_done else fix)


def _is_approved(words: Iterable[msgspec.Struct]) -> bool:
    decisions = {getattr(word, "decision", "") for word in words}
    return decisions == {"approved"}


def _endpoints(tx: ReadTransaction, workspace: Workspace, model: str) -> list[DeclaredEndpoint]:
    prefix = f"{workspace.project}/{workspace.environment}/"
    declared = entries.every(tx, DeclaredEndpoint, project=workspace.project)
    return [one for one in declared if one.model == model and one.id.startswith(prefix)]
