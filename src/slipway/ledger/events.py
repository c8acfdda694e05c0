"""Events of consequence: recorded with the change itself, sealed into signed Merkle roots afterwards.

The Merkle tree is that of RFC 6962 section 2.1 (leaves and inner nodes hashed under different prefixes) over blake3.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from slipway.errors import Corrupt
from slipway.hashing import canonical, digest
from slipway.ids import new_id
from slipway.ports.ledger_store import LedgerStore, ReadTransaction, WriteTransaction
from slipway.ports.signer import Signer
from slipway.ports.workspace import Workspace
from slipway.records.events import Event, Root

__all__ = ["merkle_root", "record", "seal", "verify"]

_ROOT_TYPE = "application/vnd.slipway.root+json"
_HEAD_TYPE = "application/vnd.slipway.head+json"
_BATCH = 1000


def record(tx: WriteTransaction, workspace: Workspace, verb: str, subject: str, **body: Any) -> int:
    """Append an event in the transaction of the change that it tells of; returns its seq.

    Args:
        tx: The change's own transaction.
        workspace: Says who, when and for which project.
        verb: `noun.verb` in the words of the operations table.
        subject: On what, as a lineage node.
        **body: Plain values. No personal data.
    """
    return tx.append_event(
        Event(
            id=new_id(),
            at=workspace.clock.now(),
            project=workspace.project,
            actor=workspace.actor,
            verb=verb,
            subject=subject,
            body=body,
        )
    )


def merkle_root(events: list[Event]) -> str:
    """The Merkle root over events in order, 64 hex digits.

    Source: RFC 6962, section 2.1: leaf = H(0x00 | event), node = H(0x01 | left | right), odd nodes carried up.
    """
    level = [digest(b"\x00" + canonical(event)) for event in events]
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [digest(b"\x01" + "".join(pair).encode()) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0] if level else digest(b"")


def seal(store: LedgerStore, signer: Signer, *, head: Path | None = None) -> Root | None:
    """Seal all events that no root covers yet under one signed root; None when there are none.

    Args:
        store: The ledger's database.
        signer: Signs the root.
        head: A file outside the database that then names the newest root, signed, so that roots cut off at the end are
            missed. Copy it elsewhere to be safe from whoever may write both.

    Raises:
        Conflict: Another sealer was first.
    """
    with store.write() as tx:
        roots = tx.roots()
        last = roots[-1] if roots else None
        events = _all_events(tx, after=last.last_seq if last else 0)
        if not events:
            return None
        root = Root(
            index=last.index + 1 if last else 1,
            first_seq=events[0].seq,
            last_seq=events[-1].seq,
            root=merkle_root(events),
            previous=_link(last) if last else "",
            sealed_at=datetime.now(UTC),
            key_id=signer.key_id,
        )
        envelope = signer.sign(msgspec.json.encode(root), _ROOT_TYPE)
        root = msgspec.structs.replace(root, signature=envelope.decode())
        tx.append_root(root)
    if head is not None:
        part = head.with_name(f".{head.name}.{os.getpid()}.part")
        part.write_bytes(signer.sign(msgspec.json.encode((root.index, _link(root))), _HEAD_TYPE))
        part.replace(head)
    return root


def verify(store: LedgerStore, signer: Signer, *, head: Path | None = None) -> tuple[int, int]:
    """Check every root and every sealed event.

    Args:
        store: The ledger's database.
        signer: Knows the trusted keys.
        head: The file that `seal` keeps outside the database, where there is one.

    Returns:
        How many events are sealed, and how many are not yet.

    Raises:
        Corrupt: An edit, deletion, swap or truncation, named.
    """
    named = _read_head(head, signer)
    with store.read() as tx:
        previous: Root | None = None
        for root in tx.roots():
            _check_root(tx, signer, root, previous)
            previous = root
            if named is not None and root.index == named[0]:
                if _link(root) != named[1]:
                    raise Corrupt(f"Root {root.index} of the audit log is not the one that its head file names.")
                named = None
        if named is not None:
            raise Corrupt(
                f"The audit log ends before root {named[0]}, which its head file names: it was cut off.",
                fix="Restore the ledger from a backup; keep the damaged one.",
            )
        sealed = previous.last_seq if previous else 0
        return sealed, len(_all_events(tx, after=sealed))


def _read_head(head: Path | None, signer: Signer) -> tuple[int, str] | None:
    if head is None or not head.exists():
        return None
    return msgspec.json.decode(signer.verify(head.read_bytes(), _HEAD_TYPE), type=tuple[int, str])


def _check_root(tx: ReadTransaction, signer: Signer, root: Root, previous: Root | None) -> None:
    where = f"Root {root.index} of the audit log"
    expected = (previous.index + 1, previous.last_seq + 1, _link(previous)) if previous else (1, 1, "")
    if (root.index, root.first_seq, root.previous) != expected:
        raise Corrupt(f"{where} does not follow the one before it: a root was removed, swapped or altered.")
    unsigned = msgspec.structs.replace(root, signature="")
    if signer.verify(root.signature.encode(), _ROOT_TYPE) != msgspec.json.encode(unsigned):
        raise Corrupt(f"{where} is not what was signed.")
    events = _all_events(tx, after=root.first_seq - 1, until=root.last_seq)
    if [event.seq for event in events] != list(range(root.first_seq, root.last_seq + 1)):
        raise Corrupt(f"{where} covers events {root.first_seq} to {root.last_seq}, but some of them are missing.")
    if merkle_root(events) != root.root:
        raise Corrupt(
            f"{where} does not match its events {root.first_seq} to {root.last_seq}: one of them was altered."
        )


def _link(root: Root) -> str:
    return digest(canonical(root))


def _all_events(tx: ReadTransaction, *, after: int, until: int | None = None) -> list[Event]:
    events: list[Event] = []
    while True:
        page = tx.events(after=after, limit=_BATCH)
        events += [event for event in page if until is None or event.seq <= until]
        if len(page) < _BATCH or (until is not None and page[-1].seq >= until):
            return events
        after = page[-1].seq
