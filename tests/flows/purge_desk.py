"""Things to delete, made as tracking clients make them, and a store that dies at a chosen step."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from msgspec.structs import replace as replaced

from slipway.errors import NotFound
from slipway.hashing import digest
from slipway.ledger import entries, events
from slipway.models import logged, numbered, registered, registered_versions
from slipway.operations import declare
from slipway.operations.declare import convert
from slipway.operations.table import operation
from slipway.operations.trash import Purged
from slipway.ports.workspace import Workspace
from slipway.records.models import ModelVersion
from slipway.records.runs import Artifact, MetricPoint, Run
from slipway.runs import outside


class Killed(BaseException):
    """The process is gone: nobody catches it."""


class Mortal:
    """Counts the steps that change a store, and dies before the one whose turn it is."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1


class _Ledger:
    def __init__(self, inner: Any, mortal: Mortal) -> None:
        self._inner = inner
        self._mortal = mortal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @contextmanager
    def write(self) -> Iterator[Any]:
        with self._inner.write() as tx:
            yield tx
            self._mortal.step()  # before it commits: nothing of it is there


class _Blobs:
    def __init__(self, inner: Any, mortal: Mortal) -> None:
        self._inner = inner
        self._mortal = mortal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def delete(self, digest: str, *, put_before: datetime | None = None) -> bool:
        self._mortal.step()
        return bool(self._inner.delete(digest, put_before=put_before))


def mortal(workspace: Workspace, steps: int) -> Workspace:
    """The workspace of a process that is killed after some steps."""
    dying = Mortal(steps)
    ledger: Any = _Ledger(workspace.ledger, dying)
    blobs: Any = _Blobs(workspace.blobs, dying)
    return replace(workspace, ledger=ledger, blobs=blobs)


def do(workspace: Workspace, name: str, **fields: Any) -> Any:
    """Perform an operation as every face does."""
    wanted = operation(name)
    return declare.call(workspace, wanted, convert(wanted, fields))


def put(workspace: Workspace, *items: str, reason: str = "") -> None:
    """Put things into the trash."""
    do(workspace, "trash.put", items=items, reason=reason)


def purge(workspace: Workspace, *items: str, **more: Any) -> Purged:
    """Purge things, and their bytes however young."""
    answer: Purged = do(workspace, "trash.purge", items=items, **({"grace_days": 0} | more))
    return answer


def blobs(workspace: Workspace) -> set[str]:
    """The digests of all that lies in the blobs."""
    return {blob.digest for blob in workspace.blobs.stored()}


def age(workspace: Workspace, *contents: bytes) -> None:
    """Let bytes count as stored two days ago."""
    names = [f"{name[:2]}/{name[2:]}" for name in map(digest, contents)]
    if workspace.open_parts is not None:
        aging: Any = workspace.blobs
        aging.bucket.aged |= {f"blobs/{name}" for name in names}
        return
    for name in names:
        os.utime(workspace.root / "blobs" / name, (time.time() - 2 * 86_400,) * 2)


def kept(workspace: Workspace, name: str, data: bytes) -> Artifact:
    """Bytes that are stored, to be named."""
    stored = workspace.blobs.put(data)
    return Artifact(name=name, digest=stored, fingerprint=stored, format="bytes", size_bytes=len(data))


def new_run(workspace: Workspace, *files: bytes, experiment: str = "0") -> str:
    """A finished run with files `file0`, `file1`, ..."""
    with workspace.ledger.write() as tx:
        run = outside.create(tx, workspace, experiment=experiment, tags={})
        for number, data in enumerate(files):
            outside.store_file(tx, workspace, run.id, kept(workspace, f"file{number}", data))
        outside.log(tx, workspace, run.id, metrics=[MetricPoint("loss", 0.5)], params={"a": "1"})
        outside.update(tx, workspace, run.id, state="finished")
    return run.id


def nested(workspace: Workspace, *runs: str) -> None:
    """Let each run be inside the one before it."""
    with workspace.ledger.write() as tx:
        for outer, inner in pairwise(runs):
            entries.put(tx, replaced(entries.get(tx, Run, inner), parent_id=outer))


def new_logged(workspace: Workspace, data: bytes, experiment: str = "0", run_id: str = "") -> str:
    """A logged model with one file."""
    with workspace.ledger.write() as tx:
        model = logged.create(tx, workspace, experiment=experiment, name="m", run_id=run_id, params={}, tags={})
        logged.store_file(tx, workspace, model.id, kept(workspace, "weights", data))
    return model.id


def new_version(workspace: Workspace, name: str, run_id: str = "", logged_id: str = "") -> ModelVersion:
    """The next version of a model, made when it is new."""
    with workspace.ledger.write() as tx:
        if not numbered.versions_in(tx, workspace.project, name):
            try:
                registered.get(tx, workspace, name)
            except NotFound:
                registered.create(tx, workspace, name, tags={})
        return registered_versions.add_version(
            tx, workspace, name, source="s", location="", run_id=run_id, logged_model_id=logged_id, tags={}
        )


def verified(workspace: Workspace) -> int:
    """Seal the audit log and verify it; how many events it has."""
    events.seal(workspace.ledger, workspace.signer)
    return events.verify(workspace.ledger, workspace.signer)[0]
