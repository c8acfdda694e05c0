"""Documents that fill themselves: from evidence what evidence tells, from people what only they know, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from slipway.errors import Denied, InvalidInput, NotFound, SlipwayError, near
from slipway.flows.documents_annex import annex
from slipway.flows.documents_card import card
from slipway.flows.documents_datasheet import datasheet
from slipway.hashing import digest
from slipway.ledger import answers, events
from slipway.models import registered, registry
from slipway.operations.declare import Empty, check_allowed
from slipway.operations.documents import Answered, AnswerField, DocumentRow, Documents, GetDocument
from slipway.ports.workspace import Workspace
from slipway.records.documents import MODEL_QUESTIONS, TABLE_QUESTIONS, Document, DocumentAnswer, DocumentKind, Question
from slipway.tables import catalog

__all__ = ["answer", "get_document", "list_documents"]

_LONGEST = 20_000
_SAYS_NOTHING = 3
_OF_MODELS: tuple[DocumentKind, ...] = ("card", "annex-iv")
_MAKE: dict[str, Callable[[Workspace, str, str], Document]] = {
    "card": card,
    "datasheet": datasheet,
    "annex-iv": annex,
}


def list_documents(workspace: Workspace, request: Empty) -> Documents:
    """The documents of the newest version of each model with a bundle, and of each table that whoever asks may read."""
    wanted = [
        GetDocument(kind=kind, name=name, version=str(newest.number))
        for name in registry.names(workspace)
        for newest in registry.versions(workspace, name)[:1]  # those of a tracking client have no bundle to tell of
        for kind in _OF_MODELS
    ]
    wanted += [GetDocument(kind="datasheet", name=one.name) for one in catalog.heads(workspace) if "." not in one.name]
    rows = []
    for asked in wanted:
        try:
            found = get_document(workspace, asked)
        except Denied:  # a list shows what is open to whoever asks
            continue
        assert found.kind != "business"  # that one is made elsewhere
        rows.append(
            DocumentRow(
                kind=found.kind,
                name=found.name,
                version=found.version,
                auto=found.count("auto"),
                asked=found.count("asked"),
                missing=found.count("missing"),
                stale=found.stale,
            )
        )
    return Documents(documents=tuple(rows))


def get_document(workspace: Workspace, request: GetDocument) -> Document:
    """A document as it is now.

    Raises:
        NotFound: There is no such model, table or version.
        InvalidInput: There is no such document, or the version has no bundle.
        Denied: Whoever asks may not read the table.
    """
    if request.kind not in _MAKE:
        raise InvalidInput(
            f"There is no document {request.kind[:40]!r}.",
            fix=near(request.kind, _MAKE, what="documents"),
            field="kind",
        )
    if request.kind == "datasheet":
        check_allowed(workspace, "documents.get", "tables.read")
    return _MAKE[request.kind](workspace, request.name, request.version)


def answer(workspace: Workspace, request: AnswerField) -> Answered:
    """Answer what a document asks, or say that the answer before still holds; it counts in all documents of its subject.

    Raises:
        NotFound: There is no such model or table, or there is no answer yet that could still hold.
        InvalidInput: It is no question, or the text says nothing or too much.
        Denied: Whoever answers may not read the table.
    """
    document = get_document(workspace, GetDocument(kind=request.kind, name=request.name))
    questions: Mapping[str, Question] = TABLE_QUESTIONS if request.kind == "datasheet" else MODEL_QUESTIONS
    if request.field not in questions:
        raise _no_question(document, request.field, questions)
    text = request.text.strip()
    if text and len(text) < _SAYS_NOTHING:
        raise InvalidInput(f"{text!r} says nothing of the {request.field}.", fix="Write a sentence.", field="text")
    if len(text) > _LONGEST:
        fix = f"At most {_LONGEST:,}: leave in it what a reader must know, and link to the rest."
        raise InvalidInput(f"The answer has {len(text):,} letters.", fix=fix, field="text")
    _keep(workspace, request, text)
    now = get_document(workspace, GetDocument(kind=request.kind, name=request.name))
    found = next((field for field in now.fields if field.name == request.field), None)
    if found is None:  # another document of the same subject asks it
        kind: DocumentKind = "annex-iv" if request.kind == "card" else "card"
        now = get_document(workspace, GetDocument(kind=kind, name=request.name))
        found = next(field for field in now.fields if field.name == request.field)
    missing = tuple(field.name for field in now.fields if field.state == "missing" and field.question)
    return Answered(field=found, missing=missing)


def _keep(workspace: Workspace, request: AnswerField, text: str) -> None:
    subject = f"{'table' if request.kind == 'datasheet' else 'model'}:{request.name}"
    with workspace.ledger.write() as tx:
        known: Mapping[str, DocumentAnswer]
        if request.kind == "datasheet":
            known = answers.answers(tx, workspace.project, subject)
        else:
            registered.keep(tx, workspace.project, request.name)
            known = registered.documents(tx, workspace, request.name)
        if not text and request.field not in known:
            raise NotFound(
                f"Nobody answered {request.field!r} of {request.name!r} yet, so nothing can still hold.",
                fix=f'Answer it: slipway documents answer {request.kind} {request.name} {request.field} "..."',
            )
        said = text or known[request.field].text
        kept = answers.keep(
            tx, workspace.project, subject, request.field, said, actor=workspace.actor, at=workspace.clock.now()
        )
        told = {"field": request.field, "number": kept.number, "text": digest(said.encode())}
        events.record(tx, workspace, "documents.answer", f"document:{workspace.project}/{subject}", **told)


def _no_question(document: Document, field: str, questions: Mapping[str, Question]) -> SlipwayError:
    known = next((one for one in document.fields if one.name == field), None)
    if known is None:
        return InvalidInput(
            f"No document of {document.name!r} asks {field!r}.",
            fix=near(field, questions, what="questions"),
            field="field",
        )
    return InvalidInput(
        f"{known.title!r} is nothing that a person answers.",
        why="It is filled from evidence, so that nobody can write what is not so.",
        fix=known.fix or f"People answer: {', '.join(questions)}.",
        field="field",
    )
