"""The bodies of the operations by which other processes log runs here: nothing that they send names a place here."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import get_args

import msgspec

from slipway.errors import Conflict, InvalidInput, Unavailable
from slipway.hashing import digest_file
from slipway.ledger import entries, events
from slipway.ledger.experiments import check_experiment
from slipway.ledger.limits import check_room
from slipway.ledger.run_absorb import absorb, node_of
from slipway.ledger.run_rules import check_key, check_step, set_params, set_tags
from slipway.operations.runs import SyncedRun, SyncRun, Upload, Uploaded
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.run_entries import (
    ArtifactKept,
    Begun,
    CodeSaid,
    DatasetUsed,
    FileBegun,
    Finished,
    Found,
    InputRead,
    LinkMade,
    Point,
    ReadBeside,
    Resumed,
    RunEntry,
    StepKept,
    WorkersHeld,
)
from slipway.records.runs import Artifact, CodeVersion, Environment, Run, RunFinding, RunState

__all__ = ["artifact_name", "forget_abandoned", "sync_run", "upload"]

_ID = re.compile(r"[0-9a-f]{32}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_TEXT_LENGTH = 1000
_ABANDONED_S = 7 * 86_400


def sync_run(workspace: Workspace, request: SyncRun) -> SyncedRun:
    """Take a piece of a run's file into the ledger, in one transaction with how far it goes.

    A stranger's piece says nothing about pipelines, steps or other things' lineage, and the run is whoever's sent it.

    Raises:
        InvalidInput: The piece does not fit, or names an artifact whose bytes are not here.
        NotFound: The run does not exist.
        Conflict: The run belongs to another project or is a pipeline's, or it begins twice.
    """
    for what, id in (("run_id", request.run_id), ("writer", request.writer)):
        if not _ID.match(id):
            raise InvalidInput(f"{what} is {id[:40]!r}.", why="It has 32 hex digits.", fix="Make one.", field=what)
    if request.offset < 0:
        raise InvalidInput("A piece cannot begin before its file.", fix="Begin at 0.", field="offset")

    _refuse_pipelines(workspace, request.run_id)
    stranger = _Stranger(workspace)

    def tell(tx: WriteTransaction) -> None:
        # Once a file: a line a second for each run would bury the audit log.
        if stranger.has_begun:
            events.record(tx, workspace, "runs.sync", node_of(request.run_id), writer=request.writer)

    offset = absorb(
        workspace,
        request.run_id,
        request.writer,
        request.offset,
        request.data,
        then=tell,
        check=stranger.checked,
        is_here=False,
    )
    return SyncedRun(offset=offset)


def _refuse_pipelines(workspace: Workspace, run_id: str) -> None:
    """What a pipeline's run holds is loaded again when it is reproduced: only the store's own processes write there."""
    with workspace.ledger.read() as tx:
        known = tx.get(entries.kind_of(Run), run_id) is not None
        pipeline = entries.get(tx, Run, run_id).pipeline if known else ""
        if not known:
            check_room(tx, workspace, "runs_a_day")
    if pipeline:
        raise Conflict(
            f"The run {run_id} is of the pipeline {pipeline!r}, and takes nothing over HTTP.",
            fix="Start a run of your own.",
        )


def upload(workspace: Workspace, request: Upload) -> Uploaded:
    """Take a piece of an artifact's bytes; when all are here and match their digest, they are stored.

    Raises:
        InvalidInput: The digest is none, there are more bytes than may be, or they do not match.
        Unavailable: The disk is full.
    """
    if not _DIGEST.match(request.digest):
        raise InvalidInput(
            f"{request.digest[:40]!r} is no digest.", why="It has 64 hex digits.", fix="Send BLAKE3.", field="digest"
        )
    if not 0 <= request.size <= workspace.largest_upload or request.offset < 0:
        raise InvalidInput(
            f"An artifact of {request.size:,} bytes is not taken here.",
            why=f"At most {workspace.largest_upload:,} bytes are.",
            fix="Log less, or start the server with more: slipway up --largest-artifact MB",
            field="size",
        )
    if workspace.blobs.renew(request.digest):  # it is about to be named
        return Uploaded(offset=request.size, whole=True)
    path = workspace.root / "incoming" / f"{request.digest}.{request.size}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            here = os.fstat(file.fileno()).st_size
            if here == request.offset:
                file.write(request.data[: request.size - here])
                file.flush()
                here = os.fstat(file.fileno()).st_size
            if here < request.size or not path.exists():  # another one ended it while this one waited
                return Uploaded(offset=here if path.exists() else 0, whole=workspace.blobs.renew(request.digest))
            return _store(workspace, request, path)
    except OSError as problem:
        raise Unavailable(
            f"The artifact {request.digest} cannot be kept: {problem.strerror or problem}.",
            fix="Make room at the server; it goes on where it stopped.",
        ) from problem


def _store(workspace: Workspace, request: Upload, path: Path) -> Uploaded:
    try:
        if digest_file(path) != request.digest:
            raise InvalidInput(
                f"The bytes that came are not those of {request.digest}.",
                why="They were changed on the way, or the digest is of something else.",
                fix="Send them again from the start.",
                field="data",
            )
        workspace.blobs.put_file(path)
    finally:
        path.unlink()
    with workspace.ledger.write() as tx:
        events.record(tx, workspace, "runs.upload", f"artifact:{request.digest}", size=request.size)
    return Uploaded(offset=request.size, whole=True)


def forget_abandoned(workspace: Workspace) -> None:
    """Remove what was sent of artifacts whose rest never came for a week."""
    for path in (workspace.root / "incoming").glob("*"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                path.unlink()


def artifact_name(name: str) -> str:
    """Check an artifact's name; returns it in its plain form.

    Raises:
        InvalidInput: It leads elsewhere.
    """
    if not isinstance(name, str):  # whoever comes from elsewhere gives the figure or the rows first
        raise InvalidInput(
            f"The name of an artifact comes first, and a {type(name).__name__} was given.",
            fix="For example run.log_figure('roc.png', figure), run.log_table('worst rows', rows).",
            field="name",
        )
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or str(path) in ("", "."):
        raise InvalidInput(
            f"{name!r} cannot be the name of an artifact.",
            why="It is a path inside the run, with forward slashes, that leads nowhere else.",
            fix=f"For example {PurePosixPath(Path(name).name or 'result').name!r}.",
            field="name",
        )
    return str(path)


@dataclass
class _Stranger:
    """Looks through what a process over HTTP says of its run, by the rules that a call in this process keeps."""

    workspace: Workspace
    has_begun: bool = False

    def checked(self, told: Sequence[RunEntry]) -> list[RunEntry]:
        return [self._entry(entry) for entry in told]

    def _entry(self, entry: RunEntry) -> RunEntry:
        match entry:
            case Point(key, _, step, at_us):
                check_key(key, "metric")
                check_step(key, step)
                check_step(key, at_us)
            case Begun():
                return self._begun(entry)
            case ArtifactKept(artifact):
                return self._artifact(entry, artifact)
            case CodeSaid(code):
                return CodeSaid(self._code(code))
            case InputRead(node, role):
                _short(node, role)
            case DatasetUsed(dataset):
                _short(dataset.name, dataset.digest, dataset.source_type, dataset.source, *dataset.tags.values())
            case Found(finding):
                _short(finding.kind, finding.key, finding.words)
            case Resumed(host):
                _short(host)
            case Finished(state, _, _, ended_early):
                _short(ended_early)
                if state not in get_args(RunState) or state == "running":
                    raise InvalidInput(
                        f"A run cannot end as {state!r}.", fix="It is finished, failed or killed.", field="data"
                    )
            case LinkMade() | StepKept() | WorkersHeld() | ReadBeside():
                raise InvalidInput(
                    "A process that logs over HTTP cannot speak of steps or of the lineage of other things.",
                    fix="Run pipelines where the store is.",
                    field="data",
                )
            case FileBegun():
                self.has_begun = True
        return entry

    def _begun(self, entry: Begun) -> Begun:
        run = entry.run
        if run.pipeline or run.state != "running" or run.artifacts or run.inputs or run.findings or run.datasets:
            raise InvalidInput(
                f"The run {run.id} cannot begin so.",
                why="Over HTTP a run begins empty, and is no pipeline's.",
                fix="Run pipelines where the store is.",
                field="data",
            )
        if entry.experiment:
            check_experiment(entry.experiment)
        _short(run.name, run.host, run.parent_id, run.experiment_id)
        own = msgspec.structs.replace(
            run,
            actor=self.workspace.actor,
            params=set_params({}, run.params),
            tags=set_tags({}, run.tags),
            code=self._code(run.code),
            environment=_environment(run.environment),
            worker_time=None,
        )
        return Begun(own, entry.experiment)

    def _code(self, code: CodeVersion) -> CodeVersion:
        # Snapshots and closures are what reproducing runs: only the store's own processes say them.
        _short(code.commit, code.entry)
        own = CodeVersion(commit=code.commit, dirty=code.dirty, entry=code.entry)
        if not _DIGEST.match(code.diff) or not self.workspace.blobs.renew(code.diff):
            return own
        return msgspec.structs.replace(own, diff=code.diff, diff_bytes=code.diff_bytes)

    def _artifact(self, entry: ArtifactKept, artifact: Artifact) -> ArtifactKept | Found:
        artifact_name(artifact.name)
        largest = self.workspace.largest_upload
        is_here = bool(_DIGEST.match(artifact.digest)) and self.workspace.blobs.renew(artifact.digest)
        if not is_here and artifact.size_bytes > largest:  # it never will be: the run goes on without it, and says so
            told = (
                f"the artifact {artifact.name!r} has {artifact.size_bytes:,} bytes; at most {largest:,} are taken here"
            )
            return Found(RunFinding(kind="not taken", key=artifact.name, words=told, at=datetime.now(UTC)))
        if not is_here:
            raise InvalidInput(
                f"The bytes of the artifact {artifact.name!r} are not here.",
                fix="Upload them first, with runs.upload.",
                field="data",
            )
        return entry


def _environment(told: Environment | None) -> Environment | None:
    # A lock is what is installed to reproduce a run: only the store's own processes say one.
    return told and msgspec.structs.replace(told, imports="")


def _short(*texts: str) -> None:
    for text in texts:
        if len(text) > _TEXT_LENGTH:
            raise InvalidInput(
                f"{text[:40]!r}... has {len(text):,} characters.", fix=f"At most {_TEXT_LENGTH:,}.", field="data"
            )
