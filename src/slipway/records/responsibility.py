"""Who answers for what: the RACI of a project, absences, notices, comments and hand-overs."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from slipway.records.people import Actor
from slipway.records.record import Record

__all__ = [
    "DEFAULT",
    "LETTERS",
    "STAGES",
    "Absence",
    "Comment",
    "Handover",
    "HandoverItem",
    "Letter",
    "Notice",
    "NoticeKind",
    "Raci",
    "RaciRow",
    "Stage",
    "Words",
]

Stage = Literal["scope", "data", "feature", "train", "validate", "approve", "deploy", "monitor", "retrain", "retire"]
STAGES: tuple[Stage, ...] = (
    "scope",
    "data",
    "feature",
    "train",
    "validate",
    "approve",
    "deploy",
    "monitor",
    "retrain",
    "retire",
)
"""The stages of a model's life, in order."""

DEFAULT = "default"
"""The section of slipway.toml that holds for every stage that does not say otherwise."""

Letter = Literal["responsible", "accountable", "consulted", "informed"]
LETTERS: tuple[Letter, ...] = ("responsible", "accountable", "consulted", "informed")


class RaciRow(Struct, frozen=True, kw_only=True):
    """Who is what in one stage, by name.

    Args:
        stage: Which one.
        responsible: Who does it: incidents are theirs.
        accountable: Who answers for it: approvals are theirs. One, where all is well.
        consulted: Who is asked before it is decided.
        informed: Who is told.
    """

    stage: Stage
    responsible: tuple[str, ...] = ()
    accountable: tuple[str, ...] = ()
    consulted: tuple[str, ...] = ()
    informed: tuple[str, ...] = ()


class Raci(Record, frozen=True, kw_only=True, tag="raci"):
    """What slipway.toml says of responsibility. Id: `<project>/<environment>/<number>`; name: the environment's.

    Args:
        number: Counts the changes within the project and environment, from 1.
        rows: One a stage, in order; () after the sections were taken out of slipway.toml.
        actor: Who ran or deployed the project with it first.
    """

    number: int
    rows: tuple[RaciRow, ...] = ()
    actor: Actor


class Absence(Record, frozen=True, kw_only=True, tag="absence"):
    """A time in which somebody is away; name: whose. It belongs to no project.

    Args:
        since: From when on.
        until: Until when; that instant is no part of it.
        deputy: Who receives and does what is theirs meanwhile, "" for nobody.
        actor: Who said so.
        ended_at: When it was taken back, None while it holds.
    """

    since: datetime
    until: datetime
    deputy: str = ""
    actor: Actor
    ended_at: datetime | None = None


NoticeKind = Literal["approve", "asked", "incident", "mention", "handover", "told"]


class Words(Struct, frozen=True, kw_only=True):
    """In which role, and from how many people, words are waited for."""

    role: str = "accountable"
    count: int = 1


class Notice(Record, frozen=True, kw_only=True, tag="notice"):
    """Something that one person is told, written with what happened and once; name: whose.

    Id: a digest of project, person, kind and occasion, so that the same is never told twice.

    Args:
        parent_id: What it is about, as a node: `bundle:...`, `incident:...`.
        what: "approve": their word is waited for. "asked": what they think is. "incident": it is theirs to look at.
            "mention": somebody named them. "handover": one is offered or answered. "told": they are informed.
        sentence: In words, with the next step where there is one.
        place: Where it is shown: the parts of the page's address within the project.
        actor: Who or what did what they are told of.
        waits_for: Of "approve": which words.
        state: Whether they have read it.
        read_at: When.
    """

    parent_id: str
    what: NoticeKind
    sentence: str
    place: tuple[str, ...] = ()
    actor: Actor
    waits_for: Words = Words()
    state: Literal["unread", "read"] = "unread"
    read_at: datetime | None = None


class Comment(Record, frozen=True, kw_only=True, tag="comment"):
    """What somebody says of a run, version, verdict, incident or table.

    Args:
        parent_id: Of what, as a node: `run:<id>`, `model:<id>`, `verdict:<id>`, `incident:<id>`, `table:<project>/<name>`.
        text: Markdown; "" once it is deleted.
        mentions: Who was named in it and told.
        actor: Who.
        edited_at: When it was last changed, None for never.
        deleted_at: When it was deleted, None while it stands.
        deleted_by: Who deleted it.
    """

    parent_id: str
    text: str
    mentions: tuple[str, ...] = ()
    actor: Actor
    edited_at: datetime | None = None
    deleted_at: datetime | None = None
    deleted_by: str = ""


class HandoverItem(Struct, frozen=True, kw_only=True):
    """One thing that whoever takes a model over wants to find.

    Args:
        what: "verdict", "card", "responsibility", "monitors", "run book", "approval".
        is_done: Whether it is there.
        found: What was found, in words.
        fix: Where it is missing: the next step.
    """

    what: str
    is_done: bool
    found: str
    fix: str = ""


class Handover(Record, frozen=True, kw_only=True, tag="handover"):
    """A model that one person hands over to another; name: the model's.

    Args:
        parent_id: `<project>/<model>`.
        number: The version that it was offered with.
        bundle: That version's digest.
        to: Who is to own it.
        actor: Who offers it.
        comment: What they say.
        run_book: The digest of the run book (Markdown), "" for none.
        items: What was done and what was missing: as offered, and as answered from then on.
        state: Where it stands; a newer offer withdraws one that was not answered.
        answer: What the receiver said.
        answered_at: When.
    """

    parent_id: str
    number: int
    bundle: str = ""
    to: str
    actor: Actor
    comment: str = ""
    run_book: str = ""
    items: tuple[HandoverItem, ...] = ()
    state: Literal["offered", "accepted", "returned", "withdrawn"] = "offered"
    answer: str = ""
    answered_at: datetime | None = None
