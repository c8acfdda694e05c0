"""Comments on runs, versions, verdicts, incidents and tables; who is mentioned in one is told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec

from slipway.errors import Denied, InvalidInput, NotFound, near
from slipway.governance.notices import tell
from slipway.governance.people import identity_of, known
from slipway.governance.telling import place_of
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.operations.comments import (
    AddComment,
    AllComments,
    CommentKept,
    Comments,
    DeleteComment,
    EditComment,
    FindComments,
    ListComments,
    Remark,
)
from slipway.operations.declare import check_allowed
from slipway.operations.permissions import allowed
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.gates import Verdict
from slipway.records.models import ModelVersion
from slipway.records.monitors import Incident
from slipway.records.people import Person
from slipway.records.record import Record
from slipway.records.responsibility import Comment
from slipway.records.runs import Run

__all__ = ["LONGEST", "RIGHTS_OF", "SORTS", "add", "all_comments", "delete", "edit", "list_comments"]

R = TypeVar("R", bound=Record)

LONGEST = 10_000
MOST = 500
"""How many comments are shown at most at once."""
_MENTION = re.compile(r"(?<![\w.@/`-])@([A-Za-z0-9](?:[A-Za-z0-9_.-]{0,126}[A-Za-z0-9])?)")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.S)


RIGHTS_OF = {
    "run": "runs.read",
    "model": "models.read",
    "verdict": "models.read",
    "incident": "incidents.read",
    "table": "tables.read",
}
"""The right that seeing a thing needs, and so what was said of it, by the first part of how it is written."""


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a comment is about: its node, the right that reading it needs, its page, and what it is called."""

    node: str
    right: str
    place: tuple[str, ...]
    called: str


def list_comments(workspace: Workspace, request: ListComments) -> Comments:
    """The comments on something, oldest first; a deleted one is a mark without its text.

    Raises:
        InvalidInput: It does not say on what.
        NotFound: There is no such thing.
        Denied: Whoever asks may not see it.
    """
    with workspace.ledger.read() as tx:
        subject = _subject(tx, workspace, request.about)
        check_allowed(workspace, "comments.list", subject.right)
        found = list(entries.every(tx, Comment, project=workspace.project, parent=subject.node))
    return Comments(about=subject.node, comments=tuple(sorted(found, key=lambda one: (one.created_at, one.id))))


def all_comments(workspace: Workspace, request: FindComments) -> AllComments:
    """What was said in the project, newest first, of all that whoever asks may see.

    Raises:
        InvalidInput: There is no such kind of thing, or the limit is none.
    """
    if request.kind and request.kind not in SORTS:
        fix = near(request.kind, SORTS, what="kinds")
        raise InvalidInput(f"Nothing of the kind {request.kind!r} is commented on.", fix=fix, field="kind")
    if not 1 <= request.limit <= MOST:
        raise InvalidInput(f"{request.limit} comments cannot be shown.", fix=f"Give 1 to {MOST}.", field="limit")
    seen = {kind for kind, right in RIGHTS_OF.items() if allowed(workspace.actor, right)}
    with workspace.ledger.read() as tx:
        said = [one for one in entries.every(tx, Comment, project=workspace.project) if _kind_of(one) in seen]
        threads: dict[str, list[Comment]] = {}
        for one in sorted(said, key=_age):
            threads.setdefault(one.parent_id, []).append(one)
        of_kind = [one for one in said if request.kind in ("", _kind_of(one))]
        of_person = [one for one in said if _is_of(one, request.person)]
        wanted = sorted((one for one in of_kind if _is_of(one, request.person)), key=_age, reverse=True)
        shown = wanted[: request.limit]
        subjects = {node: _subject_if_any(tx, workspace, node) for node in {one.parent_id for one in shown}}
    return AllComments(
        remarks=tuple(_remark(one, subjects[one.parent_id], threads[one.parent_id]) for one in shown),
        more=len(wanted) - len(shown),
        kinds=dict(Counter(_kind_of(one) for one in of_person)),
        people=dict(Counter(name for one in of_kind for name in {one.actor.name, *one.mentions})),
    )


def _age(comment: Comment) -> tuple[datetime, str]:
    return comment.created_at, comment.id


def _kind_of(comment: Comment) -> str:
    return comment.parent_id.partition(":")[0]


def _is_of(comment: Comment, person: str) -> bool:
    return not person or person == comment.actor.name or person in comment.mentions


def _remark(comment: Comment, subject: _Subject | None, thread: list[Comment]) -> Remark:
    later = [one for one in thread[thread.index(comment) + 1 :] if one.deleted_at is None]
    answered = {one.actor.name for one in later}
    return Remark(
        comment=comment,
        kind=_kind_of(comment),
        called=subject.called if subject else "",
        place=subject.place if subject else (),
        later=len(later),
        waits_for=tuple(name for name in comment.mentions if name not in answered | {comment.actor.name}),
    )


def _subject_if_any(tx: ReadTransaction, workspace: Workspace, node: str) -> _Subject | None:
    try:
        return _subject(tx, workspace, node)
    except NotFound:  # what was said of a thing outlives it
        return None


def add(workspace: Workspace, request: AddComment) -> CommentKept:
    """Say something of a thing.

    Raises:
        InvalidInput: It does not say of what, or the text is empty or too long.
        NotFound: There is no such thing.
        Denied: Whoever asks may not see it.
    """
    text = _checked(request.text)
    with workspace.ledger.write() as tx:
        subject = _subject(tx, workspace, request.about)
        check_allowed(workspace, "comments.add", subject.right)
        mentioned, unheard = _mentioned(tx, workspace, text, subject)
        kept = Comment(
            id=new_id(),
            project=workspace.project,
            created_at=workspace.clock.now(),
            parent_id=subject.node,
            text=text,
            mentions=mentioned,
            actor=workspace.actor,
        )
        entries.put(tx, kept, expect=0)
        _tell_mentioned(tx, workspace, kept, subject)
        events.record(tx, workspace, "comments.add", subject.node, comment=kept.id)
    return CommentKept(comment=kept, unheard=unheard)


def edit(workspace: Workspace, request: EditComment) -> CommentKept:
    """Change a comment of one's own; it says that it was changed, and only who is mentioned anew is told.

    Raises:
        NotFound: There is none with that id, or it was deleted.
        Denied: It is somebody else's.
        InvalidInput: The text is empty or too long.
    """
    text = _checked(request.text)
    with workspace.ledger.write() as tx:
        present = _standing(tx, workspace, request.id)
        _check_own(workspace, present, "changed")
        subject = _subject(tx, workspace, present.parent_id)
        check_allowed(workspace, "comments.edit", subject.right)
        mentioned, unheard = _mentioned(tx, workspace, text, subject)
        now = workspace.clock.now()
        kept = msgspec.structs.replace(present, text=text, mentions=mentioned, edited_at=now)
        entries.put(tx, kept)
        _tell_mentioned(tx, workspace, kept, subject)
        events.record(tx, workspace, "comments.edit", kept.parent_id, comment=kept.id)
    return CommentKept(comment=kept, unheard=unheard)


def delete(workspace: Workspace, request: DeleteComment) -> CommentKept:
    """Delete a comment: its text is gone, that there was one stays. An admin may delete anybody's.

    Raises:
        NotFound: There is none with that id, or it was deleted.
        Denied: It is somebody else's.
    """
    with workspace.ledger.write() as tx:
        present = _standing(tx, workspace, request.id)
        if not allowed(workspace.actor, "people.write"):
            _check_own(workspace, present, "deleted")
        now, who = workspace.clock.now(), workspace.actor.name
        kept = msgspec.structs.replace(present, text="", mentions=(), deleted_at=now, deleted_by=who)
        entries.put(tx, kept)
        events.record(tx, workspace, "comments.delete", kept.parent_id, comment=kept.id)
    return CommentKept(comment=kept)


def _checked(text: str) -> str:
    plain = text.strip()
    if not plain or len(plain) > LONGEST:
        raise InvalidInput(
            "The comment is empty." if not plain else f"The comment has {len(plain):,} characters.",
            fix=f"Write 1 to {LONGEST:,} characters; longer texts are artifacts of a run.",
            field="text",
        )
    return plain


def _standing(tx: ReadTransaction, workspace: Workspace, id: str) -> Comment:
    found = entries.get(tx, Comment, id) if entries.etag(tx, Comment, id) else None
    if found is None or found.project != workspace.project or found.deleted_at is not None:
        raise NotFound(
            f"There is no comment {id!r} in {workspace.project!r}{' any more' if found else ''}.",
            fix="Ids are shown by: slipway comment WHAT",
        )
    return found


def _check_own(workspace: Workspace, comment: Comment, verb: str) -> None:
    if comment.actor.name != workspace.actor.name:
        raise Denied(
            f"A comment of {comment.actor} cannot be {verb} by {workspace.actor.name}.",
            why="What somebody said stays theirs.",
            fix=f'Answer it: slipway comment {comment.parent_id} "..."',
        )


def _mentioned(
    tx: ReadTransaction, workspace: Workspace, text: str, subject: _Subject
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Who is mentioned and may see the thing, and in sentences who is not told."""
    names = dict.fromkeys(name.lower() for name in _MENTION.findall(_CODE.sub(" ", text)))
    people = {person.name: person for person in known(tx)} if names else {}
    heard, unheard = [], []
    for name in names:
        person = people.get(name)
        if person is None:
            hint = near(name, people, what="people")
            unheard.append(f"@{name} is not told: nobody is known by that name. {hint}")
        elif not _may_see(person, workspace.project, subject.right):
            unheard.append(f"@{name} is not told: they may not see {subject.called}.")
        else:
            heard.append(name)
    return tuple(heard), tuple(unheard)


def _may_see(person: Person, project: str, right: str) -> bool:
    return person.disabled_at is None and allowed(identity_of(person).actor_in(project), right)


def _tell_mentioned(tx: WriteTransaction, workspace: Workspace, comment: Comment, subject: _Subject) -> None:
    # Without the comment's text: what its author changes or deletes must not stay in somebody's notices.
    told = f"{workspace.actor} mentions you in a comment on {subject.called}."
    occasion, place = f"comment:{comment.id}", subject.place
    tell(tx, workspace, comment.mentions, "mention", about=subject.node, sentence=told, place=place, occasion=occasion)


def _run(tx: ReadTransaction, workspace: Workspace, id: str) -> _Subject:
    run = _of_project(tx, workspace, Run, id, "run")
    called = f"the run {run.name or run.pipeline or id[:12]}"
    return _Subject(f"run:{id}", RIGHTS_OF["run"], ("runs", id), called)


def _model(tx: ReadTransaction, workspace: Workspace, name: str) -> _Subject:
    called, _, wanted = name.rpartition(":")
    if not called:  # as the node names it
        version = _of_project(tx, workspace, ModelVersion, name, "model")
    else:
        found = list(entries.every(tx, ModelVersion, project=workspace.project, name=called, state=""))
        if not found:
            names = {one.name for one in entries.every(tx, ModelVersion, project=workspace.project, state="")}
            raise NotFound(f"There is no model {called!r}.", fix=near(called, names, what="models"))
        chosen = [one for one in found if wanted in (str(one.number), *one.aliases)] or (
            [max(found, key=lambda one: one.number)] if wanted == "latest" else []
        )
        if not chosen:
            raise NotFound(
                f"{called!r} has no version {wanted!r}.",
                fix="Its versions are: " + ", ".join(sorted((str(one.number) for one in found), key=int)) + ".",
            )
        version = chosen[0]
    place = ("models", version.name, str(version.number))
    return _Subject(f"model:{version.id}", RIGHTS_OF["model"], place, f"{version.name} {version.number}")


def _verdict(tx: ReadTransaction, workspace: Workspace, id: str) -> _Subject:
    verdict = _of_project(tx, workspace, Verdict, id, "verdict")
    versions = entries.every(tx, ModelVersion, project=workspace.project, name=verdict.name)
    version = next((one for one in versions if one.bundle == verdict.bundle), None)
    place = ("models", version.name, str(version.number)) if version else ()
    called = f"the verdict on {verdict.name} for {verdict.environment}"
    return _Subject(f"verdict:{id}", RIGHTS_OF["verdict"], place, called)


def _incident(tx: ReadTransaction, workspace: Workspace, id: str) -> _Subject:
    incident = _of_project(tx, workspace, Incident, id, "incident")
    called = f"the incident {incident.name} of {place_of(incident)[-1]}"
    return _Subject(f"incident:{id}", RIGHTS_OF["incident"], ("incidents", id), called)


def _table(tx: ReadTransaction, workspace: Workspace, name: str) -> _Subject:
    name = name.removeprefix(f"{workspace.project}/")
    heads = tx.refs(workspace.project, "head")
    if name not in heads:
        raise NotFound(f"There is no table {name!r}.", fix=near(name, heads, what="tables"))
    return _Subject(f"table:{workspace.project}/{name}", RIGHTS_OF["table"], ("tables", name), f"the table {name}")


SORTS: dict[str, Callable[[ReadTransaction, Workspace, str], _Subject]] = {
    "run": _run,
    "model": _model,
    "verdict": _verdict,
    "incident": _incident,
    "table": _table,
}
"""What can be commented on, by the first part of how it is written."""


def _subject(tx: ReadTransaction, workspace: Workspace, about: str) -> _Subject:
    sort, colon, name = about.partition(":")
    if not colon or sort not in SORTS or not name:
        raise InvalidInput(
            f"{about!r} is nothing that can be commented on.",
            why="It is written as run:ID, model:NAME:VERSION, verdict:ID, incident:ID or table:NAME.",
            fix=near(sort, SORTS, what="sorts"),
            field="about",
        )
    return SORTS[sort](tx, workspace, name)


def _of_project(tx: ReadTransaction, workspace: Workspace, record_type: type[R], id: str, called: str) -> R:
    found = entries.as_stored(tx, record_type, id) if entries.etag(tx, record_type, id) else None
    if found is None or found.project != workspace.project:
        raise NotFound(
            f"There is no {called} {id!r} in {workspace.project!r}.", fix="Ids are shown by the list of their kind."
        )
    return found
