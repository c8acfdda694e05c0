"""Fields that a person answers: what was said, by whom and when, and why it may not hold any more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from slipway.records.documents import DocumentAnswer, DocumentField, DocumentKind, Question

__all__ = ["Asking"]

_HOLDS = timedelta(days=365)
"""An answer that is older is to be confirmed."""


class Asking:
    """Makes the fields of one document that people answer.

    Args:
        kind: Which document.
        name: Of the model or table.
        known: What was answered, by field.
        now: Business time.
        since: When the version came to be that the document tells of.
        version: That version in words: "version 3".
    """

    def __init__(
        self,
        kind: DocumentKind,
        name: str,
        known: Mapping[str, DocumentAnswer],
        *,
        now: datetime,
        since: datetime,
        version: str,
    ) -> None:
        self._kind, self._name, self._known = kind, name, known
        self._now, self._since, self._version = now, since, version

    def field(self, question: Question, title: str = "") -> DocumentField:
        """The field of a question."""
        given = self._known.get(question.field)
        command = f"slipway documents answer {self._kind} {self._name} {question.field}"
        if given is None:
            return DocumentField(
                name=question.field,
                title=title or question.title,
                state="missing",
                text="Nobody answered it yet.",
                question=question.question,
                role=question.role,
                fix=f'Answer it: {command} "..."',
            )
        stale = self._stale(given)
        return DocumentField(
            name=question.field,
            title=title or question.title,
            state="asked",
            text=given.text,
            question=question.question,
            role=question.role,
            by=str(given.actor) or "somebody",
            at=given.updated_at,
            stale=stale,
            fix=f"Say that it still holds: {command}  (or say what does: add a text)" if stale else "",
        )

    def _stale(self, given: DocumentAnswer) -> str:
        if not given.actor.name:
            return "It was written before answers were kept with who gave them and when."
        if given.updated_at < self._since:
            return (
                f"The answer is of {given.updated_at:%Y-%m-%d}, before {self._version} came to be "
                f"({self._since:%Y-%m-%d})."
            )
        if self._now - given.updated_at > _HOLDS:
            return f"The answer is of {given.updated_at:%Y-%m-%d}, more than a year ago."
        return ""
