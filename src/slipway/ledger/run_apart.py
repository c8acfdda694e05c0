"""Runs that are logged to where no store is: in a step's own process, and in a step that is called as a plain function."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from slipway.errors import UserError
from slipway.hashing import digest, digest_file
from slipway.ids import new_run_id
from slipway.ledger.run_file import RunFile
from slipway.ledger.run_log import RunLog
from slipway.ledger.run_moving import files_in
from slipway.ports.clock import Clock
from slipway.ports.workspace import Workspace
from slipway.records.people import Actor
from slipway.records.runs import Run

__all__ = ["logged_in", "unkept"]


def logged_in(folder: Path, artifacts: Path, run: Run, clock: Clock, say: Callable[[str], None]) -> RunLog:
    """Log to a run from a task's folder: into a file there, which whoever made the task follows.

    Args:
        folder: The task's folder.
        artifacts: The folder of the artifacts' bytes, each under its digest.
        run: The run's record as it stands.
        clock: Business time.
        say: Receives a line for a person to read.

    Raises:
        BackendError: The file cannot be made.
    """
    file = RunFile.begun(files_in(folder), run.project, run.id, is_forked=True)
    return RunLog(_apart(folder, run, _Bytes(artifacts), clock, say), run, file, is_forked=True)


def unkept(name: str) -> RunLog:
    """What a step logs to that is called as a plain function, where no run is current: it is checked, and forgotten."""
    now = datetime.now(UTC)
    run = Run(id=new_run_id(), project="", name=name, created_at=now, started_at=now, actor=Actor("nobody"))
    nowhere = Path(os.devnull)
    file = RunFile(nowhere, os.open(nowhere, os.O_WRONLY | os.O_CLOEXEC))
    return _Unkept(_apart(nowhere, run, _Bytes(None), _Machine(), lambda line: None), run, file, is_forked=True)


class _Unkept(RunLog):
    def _turn_over(self) -> None:
        self._process = os.getpid()


def _apart(root: Path, run: Run, blobs: _Bytes, clock: Clock, say: Callable[[str], None]) -> Workspace:
    absent: Any = _Absent()
    return Workspace(
        project=run.project, environment="dev", actor=run.actor, root=root, ledger=absent, blobs=cast("Any", blobs),
        clock=clock, signer=absent, launcher=absent, runner=absent, open_online=absent, say=say,
    )  # fmt: skip


class _Absent:
    """Stands where a store would be."""

    def __getattr__(self, name: str) -> Any:
        raise UserError(
            "There is no store here.",
            why="This step runs in a process of its own, or as a plain function: it sees what it is given.",
            fix="Give it what it needs as arguments, and log to `sw.active_run()`.",
        )


class _Bytes(_Absent):
    """Keeps bytes under their digest in a folder; with None it keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def put(self, data: bytes) -> str:
        """See `Blobs.put`."""
        name = digest(data)
        if self._folder is not None:
            part = self._part(name)
            part.write_bytes(data)
            part.replace(self._folder / name)
        return name

    def put_file(self, path: Path) -> str:
        """See `Blobs.put_file`."""
        name = digest_file(path)
        if self._folder is not None:
            part = self._part(name)
            shutil.copyfile(path, part)
            part.replace(self._folder / name)
        return name

    def _part(self, name: str) -> Path:
        assert self._folder is not None
        self._folder.mkdir(exist_ok=True)
        return self._folder / f"{name}.{os.getpid()}.part"


class _Machine:
    def now(self) -> datetime:
        return datetime.now(UTC)
