"""What happened: events, and the signed roots that seal them."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from slipway.records.people import Actor

__all__ = ["Event", "Root"]


class Event(Struct, frozen=True, kw_only=True):
    """One change of consequence, written in the same transaction as the change.

    Args:
        seq: Position in the ledger, from 1, without gaps; 0 before it is appended.
        id: Unique.
        at: Business time, aware UTC.
        project: The project, "" for the server itself.
        actor: Who.
        verb: What, as `noun.verb` in the words of the operations table: `endpoints.deploy`.
        subject: On what, as a lineage node (`kind:id`).
        body: Plain values that tell the rest. No personal data.
    """

    seq: int = 0
    id: str
    at: datetime
    project: str
    actor: Actor
    verb: str
    subject: str
    body: dict[str, Any] = {}


class Root(Struct, frozen=True, kw_only=True):
    """A signed Merkle root over the events `first_seq` to `last_seq`, linked to the root before it.

    Args:
        index: Counts the roots from 1.
        first_seq: The first event under it.
        last_seq: The last event under it.
        root: The Merkle root, 64 hex digits.
        previous: The digest of the root before it, "" for the first.
        sealed_at: Machine time of the sealing, aware UTC.
        key_id: Which key signed.
        signature: Ed25519 over the canonical encoding of all other fields, hex.
    """

    index: int
    first_seq: int
    last_seq: int
    root: str
    previous: str
    sealed_at: datetime
    key_id: str
    signature: str = ""
