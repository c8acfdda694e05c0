"""The outbox: what is to leave the store is written with what happened, once; `slipway.loop.notifying` sends it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from slipway.hashing import canonical, digest
from slipway.ledger import entries
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.monitors import Incident
from slipway.records.notifications import Delivery, Notification, Occasion

__all__ = [
    "CLOSED",
    "PAGES",
    "announce",
    "announce_end",
    "announce_together",
    "deliveries_of",
    "level_of",
    "occasion_id",
]

PAGES = frozenset({"service", "no results", "kpi", "kpi against metric", "cost"})
"""The kinds of cause that page: service and money."""

CLOSED: Occasion = "closed"
"""The occasion on which people hear that what they were told of is over."""

_ID_LENGTH = 32
_MOST = 100
_FEW = 2


def level_of(kind: str, urgency: str = "") -> Literal["page", "alert", "ticket"]:
    """How loud an incident of a kind of cause is.

    Args:
        kind: The kind.
        urgency: What its finding says of it: "ticket" is no page, whatever its kind.
    """
    return "ticket" if urgency == "ticket" else "page" if kind in PAGES else "alert"


def occasion_id(project: str, occasion: str, about: str) -> str:
    """The one id that the notification of an occasion can have.

    Args:
        project: Whose.
        occasion: What happened, with what tells it from others of its kind: "opened", "escalated 2".
        about: To what, as a node.
    """
    return digest(canonical((project, "notification", occasion, about)))[:_ID_LENGTH]


def announce(
    tx: WriteTransaction,
    workspace: Workspace,
    incident: Incident,
    occasion: Occasion,
    *,
    people: tuple[str, ...] = (),
    which: str = "",
    beside: Sequence[Incident] = (),
    within: str = "",
) -> str:
    """Write that people are to be told of an incident; said again, nothing happens.

    Args:
        tx: The transaction of what happened.
        workspace: The project's.
        incident: Of which.
        occasion: What happened.
        people: Whom it is for, by name.
        which: What tells this occasion from others of its kind: the third re-opening.
        beside: What it tells of too.
        within: The id of the notification that tells of it, "" for itself.

    Returns:
        The notification's id.
    """
    about = f"incident:{incident.id}"
    id = occasion_id(incident.project, f"{occasion} {which}".strip(), about)
    if entries.etag(tx, Notification, id):
        return id
    levels = {one.level or level_of(one.cause) for one in (incident, *beside)}
    written = Notification(
        id=id,
        project=incident.project,
        name=occasion,
        created_at=workspace.clock.now(),
        parent_id=about,
        state="kept" if within else "due",
        level="note" if occasion == CLOSED else "page" if "page" in levels else "alert",
        people=people,
        sentence=incident.sentence,
        beside=tuple(one.id for one in beside),
        within=within,
    )
    entries.put(tx, written, expect=0)
    return id


def announce_together(
    tx: WriteTransaction,
    workspace: Workspace,
    told: Iterable[tuple[Incident, tuple[str, ...]]],
    occasion: Occasion,
) -> None:
    """Write the same of several incidents at once: more than a few of one place, kind and people are one message.

    Args:
        tx: The transaction of what happened.
        workspace: The project's.
        told: Incidents, each with whom it is for.
        occasion: What happened to them.
    """
    alike: dict[tuple[str, str, tuple[str, ...]], list[Incident]] = {}
    for one, people in told:
        alike.setdefault((one.parent_id, one.cause, people), []).append(one)
    for (_, _, people), group in alike.items():
        if len(group) <= _FEW:
            for one in group:
                announce(tx, workspace, one, occasion, people=people)
            continue
        first, *others = group
        id = announce(tx, workspace, first, occasion, people=people, beside=others)
        for one in others:
            announce(tx, workspace, one, occasion, people=people, within=id)


def announce_end(tx: WriteTransaction, workspace: Workspace, closed: Incident) -> None:
    """Write that an incident is over, for those who were told of it; said again, nothing happens.

    Of several that one message told of there is one for all, once the last of them is closed. Nobody hears of the end of
    what they never heard of, of what was put off, and of what was judged noise; nor once more of what came back silently.

    Args:
        tx: The transaction that closes it.
        workspace: The project's.
        closed: As it stands now.
    """
    every = entries.find(tx, Notification, parent=f"incident:{closed.id}", limit=_MOST)
    told = [one for one in every if one.name != CLOSED and (one.state != "kept" or one.within)]
    if not told:
        return
    opened = next((one for one in told if one.name == "opened"), told[0])
    head = entries.get(tx, Notification, opened.within) if opened.within else opened
    people = tuple(dict.fromkeys(name for one in reversed(told) for name in one.people))
    ids = (head.parent_id.partition(":")[2], *head.beside)
    group = [closed if id == closed.id else entries.get(tx, Incident, id) for id in ids]
    if any(one.state == "open" for one in group):
        return
    heard = [one for one in group if _hears_of_end(one)]
    if not heard:
        return
    first, *beside = heard
    before = entries.find(tx, Notification, parent=f"incident:{first.id}", name=CLOSED, limit=_MOST)
    if any(one.state != "kept" and first.told_at and one.created_at >= first.told_at for one in before):
        return
    which = f"{first.told_at} {first.reopened}"
    announce(tx, workspace, first, CLOSED, people=people, which=which, beside=beside)


def _hears_of_end(one: Incident) -> bool:
    return one.told_at is not None and one.snoozed_until is None and one.feedback != "noise"


def deliveries_of(tx: ReadTransaction, one: Notification) -> list[Delivery]:
    """What was sent, or is to be, on other occasions about what a notification is about; without what nobody took.

    Args:
        tx: An open transaction.
        one: The notification.
    """
    about = (one.parent_id, *(f"incident:{id}" for id in one.beside))
    others = [each for node in about for each in entries.find(tx, Notification, parent=node, limit=_MOST)]
    ids = dict.fromkeys(each.within or each.id for each in others if each.name != one.name)
    sent = [each for id in ids for each in entries.find(tx, Delivery, parent=id, limit=_MOST)]
    return [each for each in sent if each.state != "refused"]
