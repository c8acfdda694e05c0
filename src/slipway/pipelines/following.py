"""What a step logs and prints in another process, brought to the pipeline's run while it runs.

The step writes ahead into a file of its folder, as a process does that a run forked off, and knows no more of the run
than its record; here each whole entry is logged as if the step had run in this process.
"""

from __future__ import annotations

import codecs
import contextvars
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from slipway.errors import BackendError, Conflict, Corrupt, NotFound, RunStopped
from slipway.hashing import digest
from slipway.ledger.run_file import RunFile, parse
from slipway.ledger.run_log import RunLog
from slipway.ledger.run_moving import files_in
from slipway.ledger.run_notes import WATCHED
from slipway.ledger.step_output import to_output
from slipway.ports.executor import OUTPUT_FILE
from slipway.records.run_entries import ArtifactKept, DatasetUsed, Found, InputRead, ParamSet, Point, RunEntry, TagSet
from slipway.records.runs import Artifact, MetricPoint, RunFinding

__all__ = ["Following", "bytes_in"]

_INTERVAL_S = 0.5
_PIECE_BYTES = 1 << 20
_MOST_PRINTED_BYTES = 8 << 20


class Following:
    """Follows what is logged in a task's folder inside a `with` block; all of it is logged when the block has ended.

    Args:
        log: The pipeline's run.
        folder: The task's folder.
    """

    def __init__(self, log: RunLog, folder: Path) -> None:
        self._log = log
        self._folder = folder
        self._files: dict[Path, tuple[RunFile, int]] = {}
        self._over = threading.Event()
        self._stopped: RunStopped | None = None
        self._problem: Exception | None = None
        self._printed = 0
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        # What is logged there counts for the step that is current here: it stands in a context variable.
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._work,), name="slipway-step", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        for file, _ in self._files.values():
            file.close()
        if error is not None and self._problem is not None:
            error.add_note(f"What the step logged could not be taken over either: {self._problem}")
        if error is None and self._problem is not None:
            raise self._problem
        if error is None and self._stopped is not None:
            raise self._stopped

    def _work(self) -> None:
        is_over = False
        try:
            while not is_over:
                is_over = self._over.wait(_INTERVAL_S)
                self._take_all()
        except Exception as problem:  # told where the step ends: here nobody would hear of it
            self._problem = problem

    def _take_all(self) -> None:
        self._take_output()
        for path in RunFile.all_in(files_in(self._folder)):
            if path not in self._files:
                self._files[path] = RunFile(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC)), 0
            file, done = self._files[path]
            while piece := file.read(
                done, _PIECE_BYTES
            ):  # an entry that was cut short is none: its call never returned
                for entry in parse(piece, first=done == 0):
                    self._take(entry)
                done += len(piece)
                self._files[path] = file, done

    def _take_output(self) -> None:
        """Keep what the process printed into the folder's file; one that has become large is emptied."""
        kept, path = to_output.get(), self._folder / OUTPUT_FILE
        if kept is None or not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._printed)
            while data := file.read(_PIECE_BYTES):
                self._printed += len(data)
                kept.write(self._decode(data))
        if self._printed > _MOST_PRINTED_BYTES and not self._over.is_set():
            os.truncate(path, 0)  # its writer appends, and goes on from there
            self._printed = 0

    def _take(self, entry: RunEntry) -> None:
        log = self._log
        match entry:
            case Point(key, value, step, at_us):
                try:
                    log.add_point(MetricPoint(key, value, step, at_us))
                except RunStopped as stopped:  # of a watch on this side, which the step does not know
                    self._stopped = self._stopped or stopped
            case ParamSet(key, value):
                try:
                    log.log_params({key: value})
                except Conflict as problem:  # a step beside it said otherwise: it was first
                    log.add_finding(RunFinding(kind="conflict", key=key, words=problem.what, at=datetime.now(UTC)))
            case TagSet(key, value) if key == WATCHED:
                log.add_watched(value.split(", "))
            case TagSet(key, value):
                log.set_tags({key: value})
            case ArtifactKept(artifact):
                log.workspace.blobs.put(bytes_in(self._folder, artifact))
                log.add_artifact(artifact)
            case InputRead(node, role):
                log.add_input(node, role)
            case DatasetUsed(dataset):
                log.add_dataset(dataset)
            case Found(finding):
                log.add_finding(finding)


def bytes_in(folder: Path, artifact: Artifact) -> bytes:
    """The bytes of an artifact in a task's folder.

    Raises:
        Corrupt: They are not what their digest says.
        NotFound: They are missing.
        BackendError: They cannot be read.
    """
    # The digest comes from the other process: it names a file, so it must be nothing but a digest.
    if len(artifact.digest) != 64 or not artifact.digest.isalnum():
        raise Corrupt(f"{artifact.digest!r} is not a digest.")
    try:
        data = (folder / "artifacts" / artifact.digest).read_bytes()
    except FileNotFoundError as problem:
        raise NotFound(f"The bytes of {artifact.name!r} are missing.", fix="Run the step again.") from problem
    except OSError as problem:
        raise BackendError(f"The bytes of {artifact.name!r} cannot be read: {problem}.") from problem
    if digest(data) != artifact.digest:
        raise Corrupt(f"The bytes of {artifact.name!r} are not what their digest says.")
    return data
