"""Purge: what is in the trash is removed for good, and the disk has its bytes back.

Records go first, a few in each transaction, which also writes down which blobs they named. Then one look through the
whole store says which of these nothing names any more, and they are deleted. Killed at any moment, the store reads as
before or without the thing; the next purge, whatever it is for, does what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

import msgspec

from slipway.errors import InvalidInput
from slipway.flows import purge_records
from slipway.flows.purge_plan import Plan, plan_all, plan_named
from slipway.flows.purge_records import Doomed
from slipway.ids import new_id
from slipway.ledger import entries, events, uploads
from slipway.ledger.naming import keep_unnamed
from slipway.ledger.retention import keep_days
from slipway.ledger.run_file import RunFile
from slipway.ledger.run_moving import files_of
from slipway.operations.declare import check_allowed
from slipway.operations.trash import Kept, Purged, PurgeTrash, SweepBlobs, Swept
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.trash import Purge
from slipway.runs.receiving import forget_abandoned

__all__ = ["foretell", "purge", "sweep"]

_AT_ONCE = 100
_A_DAY = timedelta(days=1)

Remove = Callable[[WriteTransaction, Workspace, str, Doomed], str]


class _Freed(NamedTuple):
    blobs: int
    size: int
    waiting: int


@dataclass
class _Done:
    """What went so far."""

    items: list[str] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    records: int = 0


def purge(workspace: Workspace, request: PurgeTrash) -> Purged:
    """Remove what is in the trash for good; see `PurgeTrash`. It may be killed and asked for again.

    Raises:
        InvalidInput: Something is not in the trash, a name cannot be read, or days are negative.
        NotFound: There is nothing of a name, and never was.
        Corrupt: A list of files is damaged: no bytes are removed then.
        Denied: Whoever asks may not purge.
    """
    check_allowed(workspace, "trash.purge", "trash.purge")
    before = _before(request.grace_days)
    plan = plan_named(workspace, request.items) if request.items else _due(workspace, request.older_than_days)
    if request.dry_run:
        return _foretold(workspace, plan, before)
    done = _Done(kept=list(plan.kept))
    oldest_first = dict(reversed(plan.versions.items()))  # so that the newest is looked for anew once
    _remove(workspace, oldest_first, purge_records.remove_version, done)
    _remove(workspace, plan.models, purge_records.remove_model, done)
    _remove(workspace, plan.logged, purge_records.remove_logged, done)
    _remove(workspace, plan.runs, purge_records.remove_run, done)
    _remove(workspace, plan.experiments, purge_records.remove_experiment, done)
    freed = _reclaim(workspace, before)
    if done.items or freed.blobs or request.items:  # a day on which nothing was due is no news
        with workspace.ledger.write() as tx:
            told = {"items": len(done.items), "records": done.records, "blobs": freed.blobs, "bytes": freed.size}
            subject = f"project:{workspace.project}"
            events.record(tx, workspace, "trash.purge", subject, **told, reason=request.reason)
    return Purged(
        items=tuple(done.items),
        gone=tuple(plan.gone),
        kept=tuple(done.kept),
        records=done.records,
        blobs=freed.blobs,
        bytes=freed.size,
        waiting=freed.waiting,
    )


def foretell(workspace: Workspace, plan: Plan) -> Purged:
    """What purging by a plan would remove, whenever its bytes were stored; nothing is."""
    return _foretold(workspace, plan, _before(0.0))


def sweep(workspace: Workspace, request: SweepBlobs) -> Swept:
    """Remove all blobs of the store that nothing names, and what killed writers left; or count them.

    Raises:
        InvalidInput: The grace is negative.
        Corrupt: A list of files is damaged: nothing is removed then.
        Denied: Whoever asks may not purge.
    """
    check_allowed(workspace, "trash.sweep", "trash.purge")
    before = _before(request.grace_days)
    sizes = {blob.digest.encode(): blob.size_bytes for blob in workspace.blobs.stored() if blob.put_at < before}
    unnamed = set(sizes)
    keep_unnamed(workspace, unnamed)
    gone = {digest for digest in unnamed if request.dry_run or _delete(workspace, digest, before)}
    left = workspace.blobs.tidy(min(before, _before(1.0)), dry_run=request.dry_run)
    if not request.dry_run:
        uploads.sweep(workspace)
        forget_abandoned(workspace)
        with workspace.ledger.write() as tx:
            told = {"blobs": len(gone), "bytes": sum(sizes[digest] for digest in gone)}
            events.record(tx, workspace, "trash.sweep", f"project:{workspace.project}", **told)
    return Swept(blobs=len(gone), bytes=sum(sizes[digest] for digest in gone), left_bytes=left, dry_run=request.dry_run)


def _before(grace_days: float) -> datetime:
    """The moment of machine time before which bytes must have been stored. It is taken before anything is looked at."""
    if not 0 <= grace_days <= 36_500:
        raise InvalidInput(
            f"A grace of {grace_days} days cannot be kept.", fix="Give 0 or more; 1 is the default.", field="grace_days"
        )
    return datetime.now(UTC) - grace_days * _A_DAY


def _due(workspace: Workspace, older_than_days: float | None) -> Plan:
    with workspace.ledger.read() as tx:
        days = keep_days(tx, workspace) if older_than_days is None else older_than_days
    if days is None:
        return Plan()
    if not 0 <= days <= 36_500:
        raise InvalidInput(f"Nothing is {days} days in the trash.", fix="Give 0 or more days.", field="older_than_days")
    return plan_all(workspace, workspace.clock.now() - days * _A_DAY)


def _remove(workspace: Workspace, words: Mapping[str, str], remove: Remove, done: _Done) -> None:
    """Remove records of one sort, a few in each transaction, and write down there which bytes may go then."""
    for ids in _batches(words):
        doomed = Doomed()
        gone: list[str] = []
        kept: list[Kept] = []
        with workspace.ledger.write() as tx:
            for id in ids:
                why = remove(tx, workspace, id, doomed)
                if why:
                    kept.append(Kept(item=words[id], why=why))
                else:
                    gone.append(words[id])
            if doomed.digests or doomed.runs:
                left = Purge(
                    id=new_id(),
                    project=workspace.project,
                    created_at=workspace.clock.now(),
                    runs=tuple(doomed.runs),
                    digests=tuple(sorted(doomed.digests)),
                    actor=workspace.actor,
                )
                entries.put(tx, left)
        done.items += gone
        done.kept += kept
        done.records += doomed.records


def _reclaim(workspace: Workspace, before: datetime) -> _Freed:
    """Delete the bytes that purges wrote down and nothing names, and forget the purges that are seen to by that."""
    with workspace.ledger.read() as tx:
        pending = list(entries.every(tx, Purge))
    if not pending:
        return _Freed(0, 0, 0)
    wanted = {digest for one in pending for digest in one.digests}
    found = {blob.digest: blob for blob in workspace.blobs.stored() if blob.digest in wanted}
    young = {digest for digest, blob in found.items() if blob.put_at >= before}
    unnamed = {digest.encode() for digest in found}
    keep_unnamed(workspace, unnamed)
    blobs = size = 0
    for digest in sorted(unnamed):
        name = digest.decode()
        if name in young or not _delete(workspace, digest, before):
            young.add(name)
            continue
        blobs += 1
        size += found[name].size_bytes
    waiting = {digest for digest in young if digest.encode() in unnamed}
    for one in pending:
        _forget(workspace, one, waiting)
    return _Freed(blobs, size, len(waiting))


def _delete(workspace: Workspace, digest: bytes, before: datetime) -> bool:
    return workspace.blobs.delete(digest.decode(), put_before=before)


def _forget(workspace: Workspace, pending: Purge, waiting: set[str]) -> None:
    for id in pending.runs:
        for path in RunFile.all_in(files_of(workspace), id):
            left = RunFile.left(path)
            if left is not None:
                left.remove()
    digests = tuple(digest for digest in pending.digests if digest in waiting)
    with workspace.ledger.write() as tx:
        if digests:
            entries.put(tx, msgspec.structs.replace(pending, runs=(), digests=digests))
        else:
            tx.remove(entries.kind_of(Purge), pending.id)


def _foretold(workspace: Workspace, plan: Plan, before: datetime) -> Purged:
    """What a purge would do: everything is looked at, and nothing is written."""
    doomed, gone = Doomed(), set[tuple[str, str]]()
    with workspace.ledger.read() as tx:
        for looked in purge_records.looks(tx, workspace, plan):
            gone |= looked.keys
            doomed.digests |= looked.digests
        pending = list(entries.every(tx, Purge))
    doomed.digests |= {digest for one in pending for digest in one.digests}
    found = {blob.digest: blob for blob in workspace.blobs.stored() if blob.digest in doomed.digests}
    unnamed = {digest.encode() for digest in found}
    keep_unnamed(workspace, unnamed, without=gone)
    going = [found[digest.decode()] for digest in unnamed]
    old = [blob for blob in going if blob.put_at < before]
    return Purged(
        items=plan.words,
        gone=tuple(plan.gone),
        kept=tuple(plan.kept),
        records=len(gone),
        blobs=len(old),
        bytes=sum(blob.size_bytes for blob in old),
        waiting=len(going) - len(old),
        dry_run=True,
    )


def _batches(going: Iterable[str]) -> Iterator[list[str]]:
    left = iter(going)
    while ids := list(islice(left, _AT_ONCE)):
        yield ids
