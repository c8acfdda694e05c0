"""What people answered of a model or table, because no evidence tells it: one answer a question, with who and when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from slipway.ledger import entries
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.records.documents import DocumentAnswer
from slipway.records.people import Actor

__all__ = ["answers", "forget", "keep", "move", "take_over"]


def answers(tx: ReadTransaction, project: str, subject: str) -> dict[str, DocumentAnswer]:
    """What was answered, by field.

    Args:
        tx: An open transaction.
        project: The project's name.
        subject: "model:NAME" or "table:NAME".
    """
    found = entries.every(tx, DocumentAnswer, project=project, name=subject, state="")
    return {one.field: one for one in found}


def keep(
    tx: WriteTransaction, project: str, subject: str, field: str, text: str, *, actor: Actor, at: datetime
) -> DocumentAnswer:
    """Keep an answer in the place of the one before."""
    id = f"{project}/{subject}/{field}"
    former = entries.get(tx, DocumentAnswer, id) if entries.etag(tx, DocumentAnswer, id) else None
    found = DocumentAnswer(
        id=id,
        project=project,
        name=subject,
        created_at=former.created_at if former else at,
        number=former.number + 1 if former else 1,
        field=field,
        text=text,
        actor=actor,
        updated_at=at,
    )
    entries.put(tx, found)
    return found


def take_over(tx: WriteTransaction, project: str, subject: str, given: Mapping[str, DocumentAnswer]) -> None:
    """Take over what was answered in another store, with who and when, as far as nobody answered it here."""
    here = answers(tx, project, subject)
    for field, one in given.items():
        if field not in here:
            keep(tx, project, subject, field, one.text, actor=one.actor, at=one.updated_at)


def move(tx: WriteTransaction, project: str, subject: str, to: str) -> None:
    """Let the answers be those of another name."""
    for field, one in answers(tx, project, subject).items():
        keep(tx, project, to, field, one.text, actor=one.actor, at=one.updated_at)
    forget(tx, project, subject)


def forget(tx: WriteTransaction, project: str, subject: str) -> None:
    """Let the answers be those of something of this name that is no more."""
    for one in answers(tx, project, subject).values():
        entries.put(tx, msgspec.structs.replace(one, state="deleted"))
