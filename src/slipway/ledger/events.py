"""Events of consequence: recorded with the change itself, sealed into signed Merkle roots afterwards.

The Merkle tree is that of RFC 6962 section 2.1 (leaves and inner nodes hashed under different prefixes) over blake3. What
is hashed and signed are the bytes that the store keeps, not what they mean: JSON can say one thing in several ways, and
none of them but the one that was written is whole.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from slipway.errors import Corrupt
from slipway.hashing import digest
from slipway.ids import new_id
from slipway.ports.ledger_store import LedgerStore, ReadTransaction, WriteTransaction
from slipway.ports.signer import Signer
from slipway.ports.workspace import Workspace
from slipway.records.events import Event, Root

__all__ = [
    "HEAD_TYPE",
    "ROOT_TYPE",
    "head_line",
    "leaf",
    "link_of",
    "merkle_root",
    "newest_seq",
    "record",
    "seal",
    "verify",
    "written",
]

ROOT_TYPE = "application/vnd.slipway.root+json"
HEAD_TYPE = "application/vnd.slipway.head+json"
_BATCH = 1000
_FIRST_STEP = 64


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


def leaf(event: bytes) -> str:
    """The leaf of one event, 64 hex digits: the hash of the bytes in which it was written."""
    return digest(b"\x00" + event)


def merkle_root(leaves: Iterable[str]) -> str:
    """The Merkle root over events' leaves in order, 64 hex digits.

    Source: RFC 6962, section 2.1: leaf = H(0x00 | event), node = H(0x01 | left | right), odd nodes carried up.
    """
    level = list(leaves)
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [digest(b"\x01" + "".join(pair).encode()) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0] if level else digest(b"")


def link_of(root: bytes) -> str:
    """By what the next root, the head file and every anchor name a root: the digest of the bytes in which it was written."""
    return digest(root)


def head_line(signer: Signer, index: int, root: bytes) -> bytes:
    """A signed line that names one root, and with it all before it: for the head file and for anchors."""
    return signer.sign(msgspec.json.encode((index, link_of(root))), HEAD_TYPE)


def seal(store: LedgerStore, signer: Signer, *, head: Path | None = None) -> Root | None:
    """Seal all events that no root covers yet under one signed root; None when there are none.

    Args:
        store: The ledger's database.
        signer: Signs the root.
        head: A file outside the database that then names the newest root, signed, so that roots cut off at the end are
            missed. Copy it elsewhere to be safe from whoever may write both, or name anchors: see `slipway.governance.anchors`.

    Raises:
        Conflict: Another sealer was first.
    """
    with store.write() as tx:
        roots = tx.written_roots()
        last, last_bytes = roots[-1] if roots else (None, b"")
        events = list(written(tx, after=last.last_seq if last else 0))
        if not events:
            return None
        root = Root(
            index=last.index + 1 if last else 1,
            first_seq=events[0][0].seq,
            last_seq=events[-1][0].seq,
            root=merkle_root(leaf(data) for _, data in events),
            previous=link_of(last_bytes) if last else "",
            sealed_at=datetime.now(UTC),
            key_id=signer.key_id,
        )
        envelope = signer.sign(msgspec.json.encode(root), ROOT_TYPE)
        root = msgspec.structs.replace(root, signature=envelope.decode())
        tx.append_root(root)
    if head is not None:
        part = head.with_name(f".{head.name}.{os.getpid()}.part")
        part.write_bytes(head_line(signer, root.index, msgspec.json.encode(root)))
        part.replace(head)
    return root


def verify(store: LedgerStore, signer: Signer, *, head: Path | None = None) -> tuple[int, int]:
    """Check every root and every sealed event, to the last byte.

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
        previous: tuple[Root, bytes] | None = None
        for root, data in tx.written_roots():
            _check_root(tx, signer, root, data, previous)
            previous = root, data
            if named is not None and root.index == named[0]:
                if link_of(data) != named[1]:
                    raise Corrupt(f"Root {root.index} of the audit log is not the one that its head file names.")
                named = None
        if named is not None:
            raise Corrupt(
                f"The audit log ends before root {named[0]}, which its head file names: it was cut off.",
                fix="Restore the ledger from a backup; keep the damaged one.",
            )
        sealed = previous[0].last_seq if previous else 0
        return sealed, sum(1 for _ in written(tx, after=sealed))


def _read_head(head: Path | None, signer: Signer) -> tuple[int, str] | None:
    if head is None or not head.exists():
        return None
    return msgspec.json.decode(signer.verify(head.read_bytes(), HEAD_TYPE), type=tuple[int, str])


def _check_root(
    tx: ReadTransaction, signer: Signer, root: Root, data: bytes, previous: tuple[Root, bytes] | None
) -> None:
    where = f"Root {root.index} of the audit log"
    expected = (previous[0].index + 1, previous[0].last_seq + 1, link_of(previous[1])) if previous else (1, 1, "")
    if (root.index, root.first_seq, root.previous) != expected:
        raise Corrupt(f"{where} does not follow the one before it: a root was removed, swapped or altered.")
    signed = signer.verify(root.signature.encode(), ROOT_TYPE)
    # The row is what was signed, with the envelope where nothing stood: so no byte of it can be another.
    if signed.removesuffix(b'""}') + msgspec.json.encode(root.signature) + b"}" != data:
        raise Corrupt(f"{where} is not what was signed.")
    events = list(written(tx, after=root.first_seq - 1, until=root.last_seq))
    if [event.seq for event, _ in events] != list(range(root.first_seq, root.last_seq + 1)):
        raise Corrupt(f"{where} covers events {root.first_seq} to {root.last_seq}, but some of them are missing.")
    if merkle_root(leaf(data) for _, data in events) != root.root:
        raise Corrupt(
            f"{where} does not match its events {root.first_seq} to {root.last_seq}: one of them was altered."
        )


def written(tx: ReadTransaction, *, after: int = 0, until: int | None = None) -> Iterator[tuple[Event, bytes]]:
    """Events in order beside the bytes in which they were written, read page by page.

    Args:
        tx: An open transaction; it stays open until the last one was taken.
        after: Only those behind this position.
        until: Only those up to this position, None for all.
    """
    while True:
        page: Sequence[tuple[Event, bytes]] = tx.written_events(after=after, limit=_BATCH)
        yield from (pair for pair in page if until is None or pair[0].seq <= until)
        if len(page) < _BATCH or (until is not None and page[-1][0].seq >= until):
            return
        after = page[-1][0].seq


def newest_seq(tx: ReadTransaction) -> int:
    """The position of the newest event, 0 where there is none: positions have no gaps, so it is looked for by halving."""
    low, step = 0, _FIRST_STEP
    while tx.events(after=low + step - 1, limit=1):
        low, step = low + step, step * 2
    high = low + step  # there is an event at `low`, and none at `high`
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if tx.events(after=middle - 1, limit=1) else (low, middle)
    return low
