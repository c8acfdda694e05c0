"""Runs whose process died without saying so, and what they left in their files."""

import os
import shutil
import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from slipway.errors import BackendError, NotFound, SlipwayError
from slipway.ledger import entries, events, provenance
from slipway.ledger.run_absorb import forget
from slipway.ledger.run_file import RunFile, framed, header_of
from slipway.ledger.run_moving import files_of, is_gone, move, remove
from slipway.ledger.step_output import folders, output_folder, store_output
from slipway.ledger.store_folder import folder_id
from slipway.ports.workspace import Workspace
from slipway.records.run_entries import Begun, Finished
from slipway.records.runs import Run, RunError, RunWriter, StepOutput, StepRun

__all__ = ["recover", "take_in"]

_taking = threading.Lock()


def recover(workspace: Workspace) -> list[Run]:
    """Take in what killed processes left in their files, and mark their runs of the project as killed.

    The steps that were running count as failed. Runs of other machines are left: whether they live cannot be told from
    here.

    Returns:
        The runs that were marked.
    """
    take_in(workspace)
    _forget_removed(workspace)
    with workspace.ledger.read() as tx:
        running = entries.find(tx, Run, project=workspace.project, state="running", limit=10_000)
    gone = [run for run in running if provenance.is_host_gone(run.host)]
    if not gone:
        return []
    outputs = _outputs(workspace, gone)
    marked: list[Run] = []
    with workspace.ledger.write() as tx:
        for run in gone:
            present = entries.get(tx, Run, run.id)
            if present.state != "running":
                continue
            killed = msgspec.structs.replace(present, state="killed", ended_at=datetime.now(UTC))
            entries.put(tx, killed)
            for step in entries.find(tx, StepRun, parent=run.id, state="running", limit=10_000):
                told = RunError(type="Killed", message="The process ended while the step ran.", step=step.name)
                kept = outputs.get(step.id, step.output)
                entries.put(tx, msgspec.structs.replace(step, state="failed", key="", error=told, output=kept))
            for step in entries.find(tx, StepRun, parent=run.id, state="waiting", limit=10_000):
                entries.put(
                    tx, msgspec.structs.replace(step, state="cancelled", reason="the process ended before it began")
                )
            events.record(tx, workspace, "runs.recover", f"run:{run.id}", name=run.name, state="killed")
            marked.append(killed)
    for step_id in outputs:
        shutil.rmtree(output_folder(workspace, step_id), ignore_errors=True)
    for run in marked:  # what was handed to workers, which end with the process that gave it to them
        for left in (workspace.root / "tasks").glob(f"{run.id}-*"):
            shutil.rmtree(left, ignore_errors=True)
    return marked


def _outputs(workspace: Workspace, runs: Iterable[Run]) -> dict[str, StepOutput | None]:
    """What steps of killed runs had printed, by the steps' ids."""
    ids = tuple(run.id for run in runs)
    try:
        names = [name for name in os.listdir(folders(workspace)) if name.startswith(ids)]
    except FileNotFoundError:
        return {}
    return {name: store_output(workspace.blobs, output_folder(workspace, name)) for name in names}


def take_in(workspace: Workspace) -> int:
    """Bring what processes that are gone left in their files to where runs are kept, of all projects of the store.

    A file that cannot be taken in stays, and the workspace says why; the others are not kept waiting. One thread of a
    process does it at a time: whoever comes second finds done what the first one was about.

    Returns:
        How many files were taken in whole.
    """
    with _taking:
        return _take_in(workspace)


def _take_in(workspace: Workspace) -> int:
    taken = 0
    for path in RunFile.all_in(files_of(workspace)):
        try:
            taken += _take(workspace, path)
        except BackendError as problem:
            workspace.say(f"What runs left in {path.parent} cannot be taken in yet: {problem}")
            if workspace.run_server is not None:  # the next one would wait for the same server
                return taken
        except SlipwayError as problem:
            workspace.say(f"The run's file {path} cannot be taken in: {problem}")
    return taken


def _take(workspace: Workspace, path: Path) -> bool:
    left = RunFile.left(path)
    if left is None:
        return False
    try:
        torn = left.cut_torn_tail()
        header = header_of(path)
        if header is None:
            left.remove()  # killed while it made the file: no call had returned
            return False
        if torn:
            workspace.say(
                f"The run {left.run_id}: {torn} bytes that a killed process had not written whole were cut off."
            )
        own = replace(workspace, project=header.project)
        if _is_older_than_ledger(own, left):
            left.remove()
            return False
        if own.run_server is not None and not header.is_forked:
            _end(left)
        move(own, left, 0)
    except NotFound:
        if header is None or not is_gone(own, left.run_id):
            left.close()
            raise
        workspace.say(f"The run {left.run_id} was deleted for good: what its process left is not kept.")
        left.remove()
        return False
    except BaseException:
        left.close()
        raise
    remove(own, left)
    return True


def _is_older_than_ledger(workspace: Workspace, left: RunFile) -> bool:
    """Whether the ledger has a run from its begin to its end, and this is its file as it was before.

    So it is in a copy of a store: files are copied before the ledger, which may have taken one in and forgotten it by then.
    """
    if workspace.run_server is not None:
        return False
    with workspace.ledger.read() as tx:
        found = tx.get(entries.kind_of(Run), left.run_id)
        if found is None or tx.get(entries.kind_of(RunWriter), f"{left.run_id}.{left.writer}") is not None:
            return False
    return entries.decoded(found, Run).state != "running" and any(isinstance(entry, Begun) for entry in left.entries())


def _forget_removed(workspace: Workspace) -> None:
    """What counts the bytes of files that a process removed, and was killed before it could say so.

    Of this folder's files only: another machine's lie elsewhere, and are being written.
    """
    with workspace.ledger.read() as tx:
        known = [one.id for one in entries.every(tx, RunWriter, name=folder_id(workspace.root))]
    # A file is there before it is counted: one that is not there now was removed, and does not come again.
    here = {path.stem for path in RunFile.all_in(files_of(workspace))}
    if gone := [mark for mark in known if mark not in here]:
        forget(workspace, gone)


def _end(left: RunFile) -> None:
    """Say in the file itself that the run was killed: its server cannot see this machine's processes."""
    if not any(isinstance(entry, Finished) for entry in left.entries()):
        left.append(framed(Finished("killed", datetime.now(UTC))))
