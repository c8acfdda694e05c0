"""Records that decide who may do what, held to the sealed log: the event of a change says what was kept by its digest.

The log is sealed; records are not. Whoever edits an approval, a verdict or a person's roles in the database would change
what Slipway does, and leave the log whole.
"""

from __future__ import annotations

import msgspec

from slipway.errors import Corrupt
from slipway.hashing import digest
from slipway.ledger import events
from slipway.ledger.entries import kind_of
from slipway.ports.ledger_store import LedgerStore, ReadTransaction
from slipway.records.events import Event
from slipway.records.record import Record

__all__ = ["KEPT", "kept", "verify"]

KEPT = "kept"
"""The field of an event's body that holds what `kept` gives."""
_LINKED = ("approval", "verdict")  # to the bundle that they are about


def kept(record: Record) -> str:
    """What the event of a change says of a record: its kind, its id, and the digest of its bytes."""
    return f"{kind_of(type(record))} {record.id} {digest(msgspec.json.encode(record))}"


def verify(store: LedgerStore) -> int:
    """Compare every record that an event says was kept with what is there now; the newest event of each counts.

    A word about a bundle must be linked to it too: what is not is not found by who judges it.

    Returns:
        How many records are as they were kept.

    Raises:
        Corrupt: One was changed or removed beside Slipway; kind, id and event are named.
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
        return len(newest)


def _is(body: object, expected: str) -> bool:
    return isinstance(body, bytes) and digest(body) == expected  # whoever edits may leave a text there


def _is_linked(tx: ReadTransaction, event: Event, kind: str, id: str) -> bool:
    return kind not in _LINKED or any(link.target == f"{kind}:{id}" for link in tx.links(event.subject, towards=False))
