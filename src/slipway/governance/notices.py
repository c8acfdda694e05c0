"""Notices: what one person is told, written in the transaction of what happened, exactly once.

Who sends them further (mail, hooks) reads the records; nothing here waits for a network.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import msgspec

from slipway.errors import NotFound
from slipway.hashing import canonical, digest
from slipway.ledger import entries, events
from slipway.operations.comments import MarkNotices, NoticesMarked
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.responsibility import Notice, NoticeKind, Words

__all__ = ["mark", "tell"]

_ID_LENGTH = 32


def tell(
    tx: WriteTransaction,
    workspace: Workspace,
    people: Iterable[str],
    what: NoticeKind,
    *,
    about: str,
    sentence: str,
    place: tuple[str, ...] = (),
    occasion: str = "",
    waits_for: Words | None = None,
) -> None:
    """Tell people of something. Whoever did it is not told of it, and nobody twice.

    Args:
        tx: The transaction of what happened.
        workspace: Says who did it, and in which project.
        people: By name; who is away finds it when they come back, and their deputy meanwhile.
        what: See `Notice`.
        about: What it is about, as a node.
        sentence: In words.
        place: The parts of the page's address within the project.
        occasion: What makes two notices the same one, where that is not `about`.
        waits_for: Of "approve": which words.
    """
    for name in dict.fromkeys(people):
        if name == workspace.actor.name and what in ("told", "mention"):
            continue
        id = digest(canonical((workspace.project, name, what, occasion or about)))[:_ID_LENGTH]
        if entries.etag(tx, Notice, id):
            continue
        notice = Notice(
            id=id,
            project=workspace.project,
            name=name,
            created_at=workspace.clock.now(),
            parent_id=about,
            what=what,
            sentence=sentence,
            place=place,
            actor=workspace.actor,
            waits_for=waits_for or Words(),
        )
        entries.put(tx, notice, expect=0)


def mark(workspace: Workspace, request: MarkNotices) -> NoticesMarked:
    """Mark one's own notices as read. Approvals that are waited for stay: they go when the word is given.

    Raises:
        NotFound: One of the ids is no notice of whoever asks.
    """
    name, now = workspace.actor.name, workspace.clock.now()
    with workspace.ledger.write() as tx:
        if request.ids:
            found = [_own(tx, id, name) for id in dict.fromkeys(request.ids)]
        else:
            found = list(entries.every(tx, Notice, name=name, state="unread"))
        due = [one for one in found if one.state == "unread" and one.what != "approve"]
        for one in due:
            entries.put(tx, msgspec.structs.replace(one, state="read", read_at=now))
        events.record(tx, replace(workspace, project=""), "notices.mark", f"person:{name}", notices=len(due))
    return NoticesMarked(marked=len(due))


def _own(tx: WriteTransaction, id: str, name: str) -> Notice:
    found = entries.get(tx, Notice, id) if entries.etag(tx, Notice, id) else None
    if found is None or found.name != name:  # another's is as good as none: it is nobody else's business
        raise NotFound(f"{name} has no notice {id!r}.", fix="See them: slipway inbox")
    return found
