"""Records that decide who may do what, held to the sealed log: the event of a change says what was kept by its digest.

The log is sealed; records are not. Whoever edits an approval, a verdict or a person's roles in the database, or puts one
there, would change what Slipway does, and leave the log whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from slipway.errors import Corrupt
from slipway.hashing import digest
from slipway.ledger import events
from slipway.ledger.entries import decoded, kind_of
from slipway.ports.ledger_store import LedgerStore, ReadTransaction
from slipway.records.contracts import ContractSignature
from slipway.records.events import Event
from slipway.records.gates import Approval, BreakGlass, Floor, Verdict
from slipway.records.loop import StandingApproval
from slipway.records.people import Person
from slipway.records.record import Entry, Record

__all__ = ["DECIDING", "KEPT", "kept", "verify"]

KEPT = "kept"
"""The field of an event's body that holds what `kept` gives."""
_LINKED = ("approval", "verdict")  # to the bundle that they are about
DECIDING: tuple[type[Record], ...] = (
    Approval, BreakGlass, ContractSignature, Floor, Person, StandingApproval, Verdict,
)  # fmt: skip
"""The sorts of which each record is told by an event that says how it was kept."""

_BATCH = 1000


def kept(record: Record) -> str:
    """What the event of a change says of a record: its kind, its id, and the digest of its bytes."""
    return f"{kind_of(type(record))} {record.id} {digest(msgspec.json.encode(record))}"


def verify(store: LedgerStore) -> int:
    """Compare every record that an event says was kept with what is there now; the newest event of each counts.

    Of the sorts that decide there is none besides: one of which no event tells was put there by nobody who had the right. A
    word about a bundle must be linked to it too: what is not is not found by who judges it.

    Returns:
        How many records are as they were kept.

    Raises:
        Corrupt: One was changed, removed or put there beside Slipway; kind, id and event are named.
    """
    with store.read() as tx:
        newest: dict[tuple[str, str], tuple[str, Event]] = {}
        for event, _ in events.written(tx):
            if isinstance(said := event.body.get(KEPT), str):
                kind, id, expected = said.split(" ")
                newest[kind, id] = expected, event
        for (kind, id), (expected, event) in newest.items():
            entry = tx.get(kind, id)
            if entry is None or not _is(entry.body, expected) or not _is_linked(tx, event, kind, id):
                raise Corrupt(
                    f"The {kind} {id} is {'gone' if entry is None else 'another than was kept'}: "
                    f"{event.actor.name} made it on {event.at:%Y-%m-%d %H:%M} (event {event.seq}, {event.verb}).",
                    why="It was changed in the database, beside Slipway.",
                    fix="Restore the ledger from a backup; keep the damaged one.",
                )
        for record_type in DECIDING:
            _check_told(tx, record_type, newest)
        return len(newest)


def _check_told(
    tx: ReadTransaction, record_type: type[Record], newest: Mapping[tuple[str, str], tuple[str, Event]]
) -> None:
    kind = kind_of(record_type)
    for entry in _entries(tx, kind):
        if (kind, entry.id) not in newest:
            raise Corrupt(
                f"The {kind} {entry.id} is there, and no event of the audit log tells who made it.",
                why="It was put into the database, beside Slipway.",
                fix="Restore the ledger from a backup; keep the damaged one.",
            )
        # What is found by other columns than its bytes say is hidden, or another's.
        record = decoded(entry, record_type)
        said = (record.id, record.project, record.name, getattr(record, "number", 0), getattr(record, "parent_id", ""))
        if said != (entry.id, entry.project, entry.name, entry.number, entry.parent):
            raise Corrupt(
                f"The {kind} {entry.id} is found under other names than it was kept with.",
                why="It was changed in the database, beside Slipway.",
                fix="Restore the ledger from a backup; keep the damaged one.",
            )


def _entries(tx: ReadTransaction, kind: str) -> Iterator[Entry]:
    last: tuple[int, str] | None = None
    while page := tx.find(kind, before=last, limit=_BATCH):
        yield from page
        last = page[-1].created_us, page[-1].id


def _is(body: object, expected: str) -> bool:
    return isinstance(body, bytes) and digest(body) == expected  # whoever edits may leave a text there


def _is_linked(tx: ReadTransaction, event: Event, kind: str, id: str) -> bool:
    return kind not in _LINKED or any(link.target == f"{kind}:{id}" for link in tx.links(event.subject, towards=False))
