"""Where a run's artifacts stand: the first few hundred in its record, the others in entries of their own.

So one more artifact costs the same however many there are. Whoever reads a run through `slipway.ledger.entries` gets it
with all of them, and may store it again; `add` and `drop` change the artifacts without reading them.

A folder in which some lie has an entry too: it tells that no file may be called so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath

import msgspec

from slipway.errors import Corrupt
from slipway.hashing import digest
from slipway.ledger import stored_files
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.records.record import Entry
from slipway.records.runs import Artifact, Run, RunArtifact

__all__ = ["AT_MOST", "add", "apart", "drop", "whole"]

AT_MOST = 200
"""How many artifacts stand in a run's record."""

_KIND = str(RunArtifact.__struct_config__.tag)
_PAGE = 5000


def whole(tx: ReadTransaction, run: Run) -> Run:
    """A run as its entry has it, with all its artifacts."""
    if run.artifacts_here is None:
        return run
    here = {one.name for one in run.artifacts}
    rest = sorted(_files(tx, run.id), key=lambda one: one.number)
    found = (one.artifact for one in rest if one.artifact is not None and one.artifact.name not in here)
    return msgspec.structs.replace(run, artifacts=(*run.artifacts, *found))


def apart(tx: WriteTransaction, run: Run) -> Run:
    """A run as its entry is to have it; what does not stand there is written to entries of its own.

    Artifacts that are missing from the run are not removed: see `drop`.
    """
    if len(run.artifacts) <= (AT_MOST if run.artifacts_here is None else run.artifacts_here):
        return run
    known = {one.artifact.name: one for one in _files(tx, run.id) if one.artifact is not None}
    here = [one for one in run.artifacts if one.name not in known]
    now = time.time_ns()
    for n, artifact in enumerate(here[AT_MOST:]):
        _put(tx, run, artifact, now + n)
    for artifact in run.artifacts:
        former = known.get(artifact.name)
        if former is not None and former.artifact != artifact:
            _put(tx, run, artifact, former.number)
    kept = tuple(here[:AT_MOST])
    return msgspec.structs.replace(run, artifacts=kept, artifacts_here=len(kept))


def add(tx: WriteTransaction, run: Run, artifact: Artifact, *, checked: bool = False) -> Run:
    """Keep an artifact; one of the same path gives way.

    Args:
        tx: The change's transaction.
        run: The run as its entry has it.
        artifact: The artifact.
        checked: Whether to refuse a path at which a folder stands, or that needs a folder where a file stands.

    Returns:
        The run as its entry is to have it: the same where the artifact stands elsewhere.

    Raises:
        InvalidInput: See `checked`.
    """
    if checked:
        _check(tx, run, artifact)
    if run.artifacts_here is None or any(one.name == artifact.name for one in run.artifacts):
        others = tuple(one for one in run.artifacts if one.name != artifact.name)
        return msgspec.structs.replace(run, artifacts=(*others, artifact))
    _put(tx, run, artifact, time.time_ns())
    return run


def drop(tx: WriteTransaction, run: Run, path: str) -> Run:
    """Forget an artifact, or a folder of artifacts, or with "" all; see `add`."""
    kept = stored_files.without(run.artifacts, path)
    if run.artifacts_here is None:
        return msgspec.structs.replace(run, artifacts=kept)
    found = list(_files(tx, run.id))
    rest = stored_files.without((one.artifact for one in found if one.artifact is not None), path)
    needed = {_id(run, one.name) for one in rest} | {_id(run, folder) for one in rest for folder in _above(one.name)}
    for one in found:
        if one.id not in needed:
            tx.remove(_KIND, one.id)
    return msgspec.structs.replace(run, artifacts=kept, artifacts_here=len(kept))


def _check(tx: ReadTransaction, run: Run, artifact: Artifact) -> None:
    stored_files.replaced(run.artifacts, artifact)
    if run.artifacts_here is None:
        return
    for path in (artifact.name, *_above(artifact.name)):
        found = _get(tx, run, path)
        # At the artifact's own path a folder is in the way, above it a file.
        if found is not None and (found.artifact is None) == (path == artifact.name):
            raise stored_files.in_the_way(artifact.name, path)


def _put(tx: WriteTransaction, run: Run, artifact: Artifact, number: int) -> None:
    _write(tx, run, artifact.name, number, artifact)
    for folder in _above(artifact.name):
        if _get(tx, run, folder) is not None:
            return  # so have those above it
        _write(tx, run, folder, number, None)


def _write(tx: WriteTransaction, run: Run, path: str, number: int, artifact: Artifact | None) -> None:
    now = datetime.now(UTC)
    record = RunArtifact(
        id=_id(run, path),
        project=run.project,
        created_at=now,
        parent_id=run.id,
        number=number,
        artifact=artifact,
    )
    tx.put(
        Entry(
            kind=_KIND,
            id=record.id,
            project=record.project,
            name="",
            number=number,
            state="",
            parent=run.id,
            created_us=number // 1000,
            etag=0,
            body=msgspec.json.encode(record),
        )
    )


def _above(path: str) -> list[str]:
    """The folders of a path, the nearest first."""
    return [str(folder) for folder in PurePosixPath(path).parents if str(folder) != "."]


def _id(run: Run, path: str) -> str:
    return f"{run.id}/{digest(path.encode())[:32]}"


def _get(tx: ReadTransaction, run: Run, path: str) -> RunArtifact | None:
    entry = tx.get(_KIND, _id(run, path))
    return None if entry is None else _decoded(entry)


def _files(tx: ReadTransaction, run_id: str) -> Iterator[RunArtifact]:
    last: tuple[int, str] | None = None
    while True:
        found = tx.find(_KIND, parent=run_id, before=last, limit=_PAGE)
        yield from map(_decoded, found)
        if len(found) < _PAGE:
            return
        last = (found[-1].created_us, found[-1].id)


def _decoded(entry: Entry) -> RunArtifact:
    try:
        return msgspec.json.decode(entry.body, type=RunArtifact)
    except msgspec.DecodeError as problem:
        raise Corrupt(
            f"The {entry.kind} {entry.id} in the ledger cannot be read: {problem}.",
            fix="Restore the ledger from a backup, or read it with the release that wrote it.",
        ) from problem
