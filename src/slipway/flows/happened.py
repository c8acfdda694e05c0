"""What happened lately in one project, in short sentences: of what whoever asks may read, the newest first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from slipway.flows.event_words import place, readable_by, told
from slipway.governance.telling import place_of
from slipway.ledger import entries, events
from slipway.operations.home import Happened
from slipway.operations.permissions import allowed
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.events import Event
from slipway.records.loop import Action
from slipway.records.monitors import Incident

__all__ = ["happened"]

_MOST = 12
_LOOKED_AT = 1000


def happened(workspace: Workspace, hours: int) -> tuple[tuple[Happened, ...], int]:
    """What happened, and how much more than that.

    Args:
        workspace: The project's.
        hours: How far back, business time.
    """
    since = workspace.clock.now() - timedelta(hours=hours)
    with workspace.ledger.read() as tx:
        last = events.newest_seq(tx)
        found = tx.events(after=max(0, last - _LOOKED_AT), limit=_LOOKED_AT, project=workspace.project)
        lately = [one for one in reversed(found) if one.at >= since and allowed(workspace.actor, readable_by(one.verb))]
        lines = _grouped(_line(tx, one) for one in lately)
    return tuple(lines[:_MOST]), max(0, len(lines) - _MOST)


def _line(tx: ReadTransaction, event: Event) -> Happened | None:
    sentence, where = told(event), place(event)
    if event.verb.startswith("loop.") and event.verb != "loop.reconcile":
        sentence = _of_loop(tx, event)
    elif event.verb.startswith("incidents.") and sentence:
        found = tx.get(entries.kind_of(Incident), event.subject.partition(":")[2])
        if found is not None:
            incident = entries.decoded(found, Incident)
            sentence = f"{sentence} of {place_of(incident)[-1]}: {incident.sentence}"
    if not sentence:
        return None
    return Happened(
        at=event.at,
        who=event.actor.name,
        is_simulated=event.actor.kind == "simulated",
        sentence=sentence,
        place=where,
    )


def _of_loop(tx: ReadTransaction, event: Event) -> str:
    """What the controller decided, in its own words; what it only noted is no news."""
    kind = event.verb.partition(".")[2]
    if kind in ("ignore", "note", "hold", "alert", "close", "retrain"):  # incidents and retrainings tell of themselves
        return ""
    number, parent = event.body.get("number"), event.subject.partition(":")[2]
    found = entries.find(tx, Action, parent=parent, number=number, limit=1) if isinstance(number, int) else []
    return f"decided on {parent.rpartition('/')[2]}: {found[0].sentence}" if found else ""


def _grouped(lines: Iterable[Happened | None]) -> list[Happened]:
    """Lines without repetitions: who did the very same several times is told once, when they last did."""
    first: dict[tuple[str, str], int] = {}
    kept: list[Happened] = []
    for line in lines:
        if line is None:
            continue
        key = (line.who, line.sentence)
        if key in first:
            former = kept[first[key]]
            kept[first[key]] = Happened(
                at=former.at,
                who=former.who,
                is_simulated=former.is_simulated,
                sentence=former.sentence,
                place=former.place,
                times=former.times + 1,
            )
        else:
            first[key] = len(kept)
            kept.append(line)
    return kept
