"""Documents that fill themselves: what each field says, what it rests on, and what people answered."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = [
    "MODEL_QUESTIONS",
    "TABLE_QUESTIONS",
    "Document",
    "DocumentAnswer",
    "DocumentField",
    "DocumentKind",
    "DocumentSection",
    "DocumentTile",
    "FieldState",
    "Question",
    "Tone",
    "Trend",
    "TrendPoint",
    "filled",
    "lacking",
]

_DIGEST = re.compile(r"([0-9a-f]{12})[0-9a-f]{20,}")

DocumentKind = Literal["card", "datasheet", "annex-iv"]
"""A model's card, a table's data sheet, a draft of a model's technical documentation after Annex IV of the EU AI Act."""

FieldState = Literal["auto", "asked", "missing"]

Tone = Literal["good", "warn", "bad", "calm"]
"""Good: as wanted. Warn: somebody should look. Bad: somebody must. Calm: neither."""


class Question(Struct, frozen=True, kw_only=True):
    """Something that no evidence tells, so that a person is asked.

    Args:
        field: By which name it is answered.
        title: What a document calls it.
        question: What is asked.
        role: Who can say.
    """

    field: str
    title: str
    question: str
    role: str


MODEL_QUESTIONS: dict[str, Question] = {
    asked.field: asked
    for asked in (
        Question(
            field="purpose",
            title="Purpose",
            question="What is it for?",
            role="business owner",
        ),
        Question(
            field="users",
            title="Users",
            question="Who uses its answers, and what do they do with them?",
            role="business owner",
        ),
        Question(
            field="misuse",
            title="Not for",
            question="What should it not be used for?",
            role="business owner",
        ),
        Question(
            field="harm",
            title="Who may be harmed",
            question="Whom does a wrong answer hurt, and how is that watched?",
            role="governance",
        ),
        Question(
            field="limits",
            title="Known limits",
            question="Where does it fail, beyond what was measured?",
            role="data scientist",
        ),
        Question(field="owner", title="Owner", question="Who answers for it?", role="business owner"),
        Question(
            field="license",
            title="Licence",
            question="Under which licence may it be used? (An SPDX name where there is one.)",
            role="business owner",
        ),
        Question(
            field="oversight",
            title="Human oversight",
            question="Who can see what it does, overrule an answer and stop it, and how?",
            role="governance",
        ),
    )
}
"""What is asked of a model; each document asks some of it, and an answer counts in all of them."""

TABLE_QUESTIONS: dict[str, Question] = {
    asked.field: asked
    for asked in (
        Question(
            field="motivation",
            title="Why it exists",
            question="For which task were the rows gathered, by whom, and who paid for it?",
            role="data engineer",
        ),
        Question(
            field="collection",
            title="How rows were gathered",
            question="By what were they measured or reported, and is it all of them or a sample?",
            role="data engineer",
        ),
        Question(
            field="consent",
            title="The people in it",
            question="Do rows tell of people, and were they told and asked?",
            role="governance",
        ),
        Question(
            field="misuse",
            title="Not for",
            question="For which tasks should it not be used?",
            role="data engineer",
        ),
        Question(
            field="license",
            title="Licence",
            question="Under which terms may it be used and passed on?",
            role="data engineer",
        ),
        Question(
            field="upkeep",
            title="Upkeep",
            question="Who corrects errors, and where are they reported?",
            role="data engineer",
        ),
    )
}
"""What is asked of a table."""


class DocumentAnswer(Record, frozen=True, kw_only=True, tag="document_answer"):
    """What a person answered. Id: `<project>/<subject>/<field>`; name: the subject, "model:NAME" or "table:NAME".

    Args:
        number: Counts the answers to this question, from 1.
        field: Which question.
        text: The answer.
        actor: Who gave it.
        state: "deleted" is that of a thing of the same name that is no more.
        updated_at: When it was given.
    """

    number: int = 1
    field: str
    text: str
    actor: Actor
    state: Literal["", "deleted"] = ""
    updated_at: datetime


class TrendPoint(Struct, frozen=True, kw_only=True):
    """A figure of one period: which, the value, and the ends of its likely range, None where that is not known."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None


class Trend(Struct, frozen=True, kw_only=True):
    """How a figure went, period by period: what a picture of it shows.

    Args:
        title: What stands above the picture.
        points: At least two, the oldest first.
        ticks: Round values within the range, each with its label.
        levels: Level lines by name: what the figure is compared with.
    """

    title: str
    points: tuple[TrendPoint, ...]
    ticks: tuple[tuple[float, str], ...] = ()
    levels: tuple[tuple[str, float], ...] = ()


class DocumentTile(Struct, frozen=True, kw_only=True):
    """One of the few things that stand large at the top of a document: what, how much of which unit, and a word on it."""

    title: str
    large: str
    unit: str = ""
    word: str
    tone: Tone


class DocumentField(Struct, frozen=True, kw_only=True):
    """One field of a document.

    Args:
        name: How it is called in answers and JSON.
        title: How it is called on the page.
        state: "auto": evidence fills it; "asked": a person did; "missing": nobody and nothing.
        text: What it says, in sentences; "" where a list or table says it all.
        items: A list below the text.
        head: The head of a table below it, () for none.
        rows: Its rows.
        evidence: The records it rests on, as nodes: "bundle:...", "verdict:...", "table:...".
        by: Who answered, "" where nobody did.
        at: When the answer was given, or the evidence came to be; None where that is not known.
        question: What is asked, where a person is.
        role: Who can answer, or bring the evidence.
        fix: What to do about a field that is missing or stale, "" for nothing.
        stale: Why it may not hold any more, "" while it does.
        word: The answer in a word or two, where the title is a question or a figure; "" for none.
        tone: That of the word.
        trend: What a picture below the text shows, None for no picture.
    """

    name: str
    title: str
    state: FieldState
    text: str = ""
    items: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    evidence: tuple[str, ...] = ()
    by: str = ""
    at: datetime | None = None
    question: str = ""
    role: str = ""
    fix: str = ""
    stale: str = ""
    word: str = ""
    tone: Tone = "calm"
    trend: Trend | None = None

    @property
    def is_stale(self) -> bool:
        """Whether it may not hold any more."""
        return bool(self.stale)

    @property
    def source(self) -> str:
        """Where it comes from, in a line: who answered and when, or which records it rests on."""
        day = f"{self.at:%Y-%m-%d}" if self.at else ""
        if self.by:
            return f"Answered by {self.by}{f' on {day}' if day else ''}."
        if self.state == "missing":
            return f"For whoever is {self.role}." if self.role else ""
        nodes = [_DIGEST.sub(r"\1", node) for node in dict.fromkeys(self.evidence)]
        return f"From {', '.join(nodes)}{f', {day}' if day else ''}." if nodes else ""


class DocumentSection(Struct, frozen=True, kw_only=True):
    """A part of a document."""

    title: str
    fields: tuple[DocumentField, ...]


class Document(Struct, frozen=True, kw_only=True):
    """A document as it is now.

    Args:
        kind: Which one.
        name: Of the model or table.
        version: Its number.
        title: The document's.
        lead: What it tells of, in a sentence.
        sections: Its parts.
        metadata: For machines that read the Markdown: what stands before it as YAML.
        simulated: The made-up tables behind it, () where all was real.
        tiles: What stands large at its top.
    """

    kind: DocumentKind | Literal["business"]
    name: str
    version: int
    title: str
    lead: str
    sections: tuple[DocumentSection, ...]
    metadata: dict[str, Any] = {}
    simulated: tuple[str, ...] = ()
    tiles: tuple[DocumentTile, ...] = ()

    @property
    def fields(self) -> tuple[DocumentField, ...]:
        """Those of all parts."""
        return tuple(field for section in self.sections for field in section.fields)

    def count(self, state: FieldState) -> int:
        """How many fields are in a state."""
        return sum(field.state == state for field in self.fields)

    @property
    def stale(self) -> int:
        """How many fields may not hold any more."""
        return sum(field.is_stale for field in self.fields)

    @property
    def summary(self) -> str:
        """How much of it is filled, in a sentence."""
        told = (
            f"Of {len(self.fields)} fields {self.count('auto')} are filled from evidence, people answered "
            f"{self.count('asked')}, and nothing is known for {self.count('missing')}"
        )
        return f"{told}; {self.stale} may be out of date." if self.stale else f"{told}."


def filled(
    name: str,
    title: str,
    text: str = "",
    *,
    evidence: Sequence[str],
    items: Sequence[str] = (),
    head: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
    at: datetime | None = None,
    stale: str = "",
    fix: str = "",
) -> DocumentField:
    """A field that evidence fills; see `DocumentField`."""
    return DocumentField(
        name=name,
        title=title,
        state="auto",
        text=text,
        items=tuple(items),
        head=tuple(head),
        rows=tuple(tuple(row) for row in rows),
        evidence=tuple(evidence),
        at=at,
        stale=stale,
        fix=fix,
    )


def lacking(name: str, title: str, text: str, *, fix: str, role: str = "") -> DocumentField:
    """A field for which there is no evidence: a sentence that says so, and what brings it."""
    return DocumentField(name=name, title=title, state="missing", text=text, fix=fix, role=role)
