"""The process that runs one step: a task folder in, a result out; the ledger is never opened.

    python -m slipway.hosts.step_worker FOLDER

The exit code is 0 when `result.json` was written, whatever it says.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from slipway.code import reference
from slipway.errors import Corrupt, InvalidInput, NotFound, RunStopped
from slipway.hashing import digest
from slipway.ledger import archive, provenance
from slipway.ledger import artifacts as stored
from slipway.ledger.run_apart import logged_in
from slipway.ledger.run_log import current_run, notes
from slipway.pipelines import cache
from slipway.pipelines.attempts import only_here
from slipway.pipelines.beside import PASSED_OVER
from slipway.pipelines.hidden import hooks
from slipway.pipelines.hidden.recorder import recording
from slipway.records.runs import Artifact, RunError
from slipway.records.tasks import BEGUN, PROTOCOL, StepAnswer, StepTask

__all__ = ["add_code", "main", "perform"]


class _Protocol(msgspec.Struct):
    protocol: int


def perform(folder: Path, *, loaded: str | None = None, place: Path | None = None) -> None:
    """Carry out the task in a folder and write `result.json`, last and whole.

    Args:
        folder: The task's folder.
        loaded: The digest of the code that this process can import already, None for none.
        place: Where that code lies.
    """
    try:
        answer = _answer(folder, loaded, place)
    except Exception as problem:  # the user's code may raise anything: it becomes the result
        answer = StepAnswer(state="failed", error=provenance.run_error(problem))
    _write_whole(folder / "result.json", msgspec.json.encode(answer))


def _answer(folder: Path, loaded: str | None, place: Path | None) -> StepAnswer:
    task = _task(folder)
    hooks.install()
    if task.code != loaded or place is None:
        place = folder / "code"
        added = add_code(folder, task, place)
    else:
        added = []
    # Relative paths lead where they lead in the pipeline's process; on another machine that folder may not exist.
    with chdir(task.cwd) if os.path.isdir(task.cwd) else nullcontext():
        answer = _computed(folder, task, added)
    if answer.error is None or not task.beside:
        return answer
    # The copy of the code is gone when somebody reads this: the lines are named where they can be mended.
    trace = answer.error.trace.replace(f"{place}{os.sep}", f"{task.beside}{os.sep}")
    return replace(answer, error=replace(answer.error, trace=trace))


def _computed(folder: Path, task: StepTask, added: list[str]) -> StepAnswer:
    try:
        function = _function(task)
        inputs = {
            name: stored.decode(parts, lambda artifact: _bytes(folder, artifact)) for name, parts in task.inputs.items()
        }
        (folder / BEGUN).touch()
        started = time.perf_counter()
        try:
            with (
                _logging(folder, task),
                only_here(task.step),
                recording((function,), task.allow, cwd=task.cwd or None) as recorder,
            ):
                value = cache.settled(function(**inputs))
        except Exception as error:
            seconds = time.perf_counter() - started
            if isinstance(error, RunStopped) and task.run is not None and error.run_id == task.run.id:
                told = RunError(type="RunStopped", message=provenance.storable(error.what), step=task.step)
                return StepAnswer(state="stopped", error=told, seconds=seconds)
            return StepAnswer(state="failed", error=provenance.run_error(error, step=task.step), seconds=seconds)
        seconds = time.perf_counter() - started
        encoded = cache.encode(value, task.returns)
    finally:
        for path in added:
            sys.path.remove(path)
    for artifact, data in encoded.parts:
        _write_whole(folder / "artifacts" / artifact.digest, data)
    hidden, undeclared = recorder.taken()
    return StepAnswer(
        state="finished", outputs=encoded.artifacts, seconds=seconds, hidden=hidden, undeclared=undeclared
    )


@contextmanager
def _logging(folder: Path, task: StepTask) -> Iterator[None]:
    """The pipeline's run is current inside; what is logged goes into the folder."""
    if task.run is None or task.now is None:
        yield
        return
    clock = _TaskClock(task.now)
    log = logged_in(folder, folder / "artifacts", task.run, clock, lambda line: print(line, flush=True))
    log.feature_names.update(task.feature_names)
    with current_run.filled(log), notes.filled(None):
        yield


class _TaskClock:
    """Business time goes on from where the task was made as machine time does."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._since = time.monotonic()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=time.monotonic() - self._since)


def _task(folder: Path) -> StepTask:
    try:
        written = (folder / "task.json").read_bytes()
        found = msgspec.json.decode(written, type=_Protocol).protocol
        if found != PROTOCOL:
            raise InvalidInput(
                f"The task is written in protocol {found}, this worker speaks protocol {PROTOCOL}.",
                fix="Use the same release of Slipway in the step's environment.",
            )
        return msgspec.json.decode(written, type=StepTask)
    except FileNotFoundError as problem:
        raise NotFound(
            f"There is no task in {folder}.", fix="A worker is started by Slipway, with the folder that it made."
        ) from problem
    except msgspec.DecodeError as problem:
        raise Corrupt(f"The task in {folder} cannot be read: {problem}.") from problem


def add_code(folder: Path, task: StepTask, place: Path) -> list[str]:
    """Unpack a task's code and let this process import it; returns what was added to the path.

    Args:
        folder: The task's folder.
        task: The task.
        place: Where to unpack it.

    Raises:
        Corrupt: The code is not what its digest says.
    """
    if not task.code:
        return []
    data = (folder / "code.zip").read_bytes()
    if digest(data) != task.code:
        raise Corrupt("The task's code is not what its digest says.")
    archive.unpack(data, place)
    if task.beside and os.path.isdir(task.beside):
        _link_beside(place, Path(task.beside))
    added = [str(place), str(place / "src")]
    sys.path[:0] = added
    return added


def _link_beside(place: Path, project: Path) -> None:
    """Let a project's other files be found beside the copy of its code, by links; no code is linked."""
    for entry in os.scandir(project):
        target = place / entry.name
        if entry.name.startswith(".") or entry.name in PASSED_OVER:
            continue
        if target.is_dir() and entry.is_dir():
            _link_beside(target, Path(entry.path))
        elif not target.exists() and not entry.name.endswith(".py"):
            target.symlink_to(entry.path)


def _function(task: StepTask) -> Any:
    module, _, qualname = task.function.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as problem:
        raise NotFound(
            f"The worker has no module {problem.name!r}, which the step {task.step!r} needs.",
            fix="Keep the step in a file of the project, and install what it imports in the step's environment.",
        ) from problem
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if not callable(found) or reference(found) != task.function:
        raise NotFound(
            f"The step {task.step!r} is not at {task.function} of the task's code.",
            fix="Define it at the top level of a module.",
        )
    return getattr(found, "function", found)


def _bytes(folder: Path, artifact: Artifact) -> bytes:
    try:
        data = (folder / "artifacts" / artifact.digest).read_bytes()
    except FileNotFoundError as problem:
        raise NotFound(
            f"The task lacks the bytes of its input {artifact.name!r}.", fix="Run the pipeline again."
        ) from problem
    if digest(data) != artifact.digest:
        raise Corrupt(f"The bytes of the input {artifact.name!r} are damaged.")
    return data


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_bytes(data)
    temporary.replace(path)  # not synced: whoever made the folder is gone too when the machine is


def main() -> None:
    """Run the task in the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m slipway.hosts.step_worker FOLDER")
    perform(Path(sys.argv[1]).resolve())


if __name__ == "__main__":
    main()
