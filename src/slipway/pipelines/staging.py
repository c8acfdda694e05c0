"""A pipeline's task as files in the store: written by who asks, answered by the process that runs it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from slipway.errors import BackendError, Conflict, Corrupt, InvalidInput, NotFound
from slipway.ids import check_name
from slipway.ports.runner import RESULT_FILE, TASK_FILE
from slipway.ports.workspace import Workspace
from slipway.records.tasks import PROTOCOL, PipelineAnswer, PipelineTask
from slipway.whole_files import write_whole

__all__ = ["answer", "read_task", "stage", "task"]


class _Protocol(msgspec.Struct):
    protocol: int


def task(workspace: Workspace, *, snapshot: str, pipeline: str = "", **more: object) -> PipelineTask:
    """A task of a workspace: its store, project, environment and actor are the workspace's.

    Args:
        workspace: Where it will run and be recorded.
        snapshot: The digest of the project snapshot.
        pipeline: The pipeline's name, "" for a sync.
        more: The other fields of `PipelineTask`.
    """
    fields = {
        "root": str(workspace.root.resolve()),
        "project": workspace.project,
        "environment": workspace.environment,
        "actor": workspace.actor,
        "snapshot": snapshot,
        "pipeline": pipeline,
        **more,
    }
    return msgspec.convert(fields, PipelineTask)


def stage(workspace: Workspace, name: str, task: PipelineTask) -> Path:
    """Write a task into a folder of the store, ready for `workspace.runner.start`; the same task again changes nothing.

    Args:
        workspace: Whose store.
        name: The folder's name, unique to the task: the id of what it is for.
        task: What is to be run.

    Returns:
        The folder: `<root>/tasks/<name>`.

    Raises:
        Conflict: Another task was staged under this name.
        BackendError: The file system failed.
    """
    folder = workspace.root.resolve() / "tasks" / check_name(name, "task")
    data = msgspec.json.encode(task)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / TASK_FILE
        if path.exists():
            if path.read_bytes() != data:
                raise Conflict(f"Another task is staged as {name!r} in {folder}.", fix="Stage it under a new name.")
            return folder
        write_whole(path, data)
    except OSError as problem:
        raise BackendError(f"The task {name!r} cannot be staged in {folder}: {problem}.") from problem
    return folder


def read_task(folder: Path) -> PipelineTask:
    """The task in a folder.

    Raises:
        NotFound: There is none.
        Corrupt: It cannot be read.
        InvalidInput: It is written in another protocol.
    """
    try:
        written = (folder / TASK_FILE).read_bytes()
        found = msgspec.json.decode(written, type=_Protocol).protocol
        if found != PROTOCOL:
            raise InvalidInput(
                f"The task is written in protocol {found}, this process speaks protocol {PROTOCOL}.",
                fix="Run it with the release of Slipway that staged it.",
            )
        return msgspec.json.decode(written, type=PipelineTask)
    except FileNotFoundError as problem:
        raise NotFound(
            f"There is no task in {folder}.", fix="A run process is started by Slipway, with the folder that it made."
        ) from problem
    except msgspec.DecodeError as problem:
        raise Corrupt(f"The task in {folder} cannot be read: {problem}.") from problem


def answer(folder: Path) -> PipelineAnswer | None:
    """What came of the task in a folder, None while there is no result.

    Raises:
        Corrupt: The result cannot be read.
    """
    try:
        return msgspec.json.decode((folder / RESULT_FILE).read_bytes(), type=PipelineAnswer)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as problem:
        raise Corrupt(f"The result in {folder} cannot be read: {problem}.", fix="Stage the task anew.") from problem
