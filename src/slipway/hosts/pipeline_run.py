"""The process that runs a pipeline, or syncs a table, from a stored project snapshot: a task folder in, a run in the ledger and a result out.

It carries out scorings of batch endpoints too, for which a bundle is all the code that there is.

    python -m slipway.hosts.pipeline_run FOLDER

It opens the store and writes the ledger, as `slipway run` does; unlike that it imports the project from the snapshot and
from nowhere else. Killed at any moment it may be started again: what was finished is found stored. The exit code is 0
when `result.json` was written, whatever it says.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import site
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

import slipway
from slipway.data.declare import Table
from slipway.data.ingest import in_order, ingest
from slipway.data.sync import sync
from slipway.errors import InvalidInput, NotFound, StepFailed
from slipway.flows.endpoint import Endpoint, fed_by
from slipway.flows.release import Released, run_pipeline
from slipway.flows.warm_start import former_of
from slipway.hosts.environment_use import using
from slipway.hosts.executors import placement
from slipway.hosts.project import Project, open_workspace
from slipway.hosts.score_run import carry_out
from slipway.hosts.settings import FILE, EnvironmentSettings, read_settings
from slipway.ledger import entries, projects, provenance
from slipway.ledger.search import search
from slipway.loop import firings
from slipway.pipelines import engine, isolation, snapshot, staging
from slipway.pipelines.declare import Pipeline
from slipway.pipelines.params import converted
from slipway.pipelines.warm import Former, former
from slipway.ports.runner import CANCELLED_FILE, LOCK_DESCRIPTOR, LOCK_FILE, RESULT_FILE
from slipway.ports.workspace import Workspace, current_workspace
from slipway.records.models import ModelVersion
from slipway.records.runs import Run, RunError
from slipway.records.search import Compare, Field
from slipway.records.sources import Sync
from slipway.records.tasks import PipelineAnswer, PipelineTask
from slipway.runs.recovery import recover
from slipway.whole_files import write_whole

__all__ = ["main", "perform"]

_RETRAINING = "slipway.retraining"
_PROJECT = "project"
"""The folder of the task's folder in which the project lies while it runs."""


def perform(folder: Path) -> None:
    """Carry out the task in a folder and write `result.json`, last and whole.

    It changes what this process can import, so it is for a process of its own.
    """
    try:
        answer = _answer(folder)
    except (Exception, SystemExit) as problem:  # the user's code may raise anything: it becomes the result
        answer = PipelineAnswer(state="failed", error=_told(problem))
    finally:
        os.chdir(folder)
        shutil.rmtree(folder / _PROJECT, ignore_errors=True)
    write_whole(folder / RESULT_FILE, msgspec.json.encode(answer))


def _answer(folder: Path) -> PipelineAnswer:
    task = staging.read_task(folder)
    workspace = open_workspace(
        Path(task.root),
        project=task.project,
        environment=task.environment,
        actor=task.actor,
        say=lambda line: print(line, flush=True),
    )
    with using(workspace.root), closing(workspace.ledger), current_workspace.filled(workspace):
        projects.register(workspace)
        recover(workspace)
        try:
            if task.sync:
                _sync(task, workspace, folder)
                return PipelineAnswer(state="finished")
            if task.scoring:
                carry_out(workspace, task.scoring)
                return PipelineAnswer(state="finished")
            if task.firing:
                return _fire(task, workspace, folder)
            return _released(_run(task, workspace, folder))
        except (Exception, SystemExit) as problem:
            run = None if task.sync or task.scoring else _own_run(workspace)
            return PipelineAnswer(state="failed", run_id=run.id if run else "", error=_told(problem))


def _released(released: Released) -> PipelineAnswer:
    version = released.version
    if version is None:
        return PipelineAnswer(state="finished", run_id=released.run.id)
    return PipelineAnswer(
        state="finished",
        run_id=released.run.id,
        model=version.name,
        version=version.number,
        bundle=version.bundle,
        is_new=version.run_id == released.run.id,
    )


def _project(task: PipelineTask, workspace: Workspace, folder: Path) -> Project:
    """The project as its snapshot has it, in a folder of its own: what a step writes there is seen by no other run."""
    code = folder / _PROJECT
    shutil.rmtree(code, ignore_errors=True)  # of one that was killed
    snapshot.fetch(workspace, task.snapshot, code, files=task.files)
    _import_only(code, task.snapshot)
    if not task.sync:  # the source's relative paths begin where its table was declared
        (code / task.cwd).mkdir(parents=True, exist_ok=True)
        os.chdir(code / task.cwd)
    settings = read_settings(code)
    chosen = settings.environments.get(task.environment, EnvironmentSettings())
    placed = placement(chosen.executor, chosen.workers)
    return Project(code, settings, replace(workspace, placement=placed))


def _sync(task: PipelineTask, workspace: Workspace, folder: Path) -> None:
    """Carry out a sync that the loop has written down; what comes of it is in its record."""
    with workspace.ledger.read() as tx:
        begun = entries.get(tx, Sync, task.sync)
    if begun.state != "running":  # this process's forerunner was killed when all was done
        return
    table = _project(task, workspace, folder).pick(Table, begun.name, "table")
    sync(workspace, table, Path(task.folder), full=begun.full, begun=begun)


def _fire(task: PipelineTask, workspace: Workspace, folder: Path) -> PipelineAnswer:
    """Carry out a firing of a schedule, unless it was done, and tell its end in the ledger.

    Raises:
        Conflict: Another folder's process runs it.
    """
    with firings.held(workspace, task.firing) as present:
        if present.state != "started":  # this process's forerunner was killed when all was done
            return PipelineAnswer(state="finished", run_id=present.run_id)
        try:
            answered = _earlier(task, workspace) or _released(_run(task, workspace, folder))
        except (Exception, SystemExit) as problem:  # the user's code may raise anything
            run = _own_run(workspace)
            answered = PipelineAnswer(state="failed", run_id=run.id if run else "", error=_told(problem))
        firings.end(workspace, task.firing, answered)
    return answered


def _forerunner(task: PipelineTask, workspace: Workspace) -> Run | None:
    """The newest run that a process for this firing had begun and that has ended since, killed or not."""
    if not task.firing:
        return None
    tagged = Compare(Field("tag", firings.FIRING_TAG), "=", task.tags[firings.FIRING_TAG])
    with workspace.ledger.read() as tx:
        found = search(tx, Run, project=task.project, where=tagged, limit=1).records
    if not found or (found[0].state == "running" and not provenance.is_host_gone(found[0].host)):
        return None
    return found[0]


def _earlier(task: PipelineTask, workspace: Workspace) -> PipelineAnswer | None:
    """What a forerunner of this process had finished before it was killed; None where something is left to do."""
    run = _forerunner(task, workspace)
    if run is None or run.state != "finished":
        return None
    with workspace.ledger.read() as tx:
        made = Compare(Field("attribute", "run_id"), "=", run.id)
        versions = search(tx, ModelVersion, project=task.project, where=made, limit=1).records
    if not versions:  # a model that it may have returned is registered by resuming it: no step runs again
        is_done = any(artifact.name.partition("/")[0] == "result" for artifact in run.artifacts)
        return PipelineAnswer(state="finished", run_id=run.id) if is_done and not task.endpoint else None
    version = versions[0]
    return PipelineAnswer(
        state="finished",
        run_id=run.id,
        model=version.name,
        version=version.number,
        bundle=version.bundle,
        is_new=True,
    )


def _run(task: PipelineTask, workspace: Workspace, folder: Path) -> Released:
    project = _project(task, workspace, folder)
    workspace = project.workspace
    pipeline: Pipeline[..., Any] = project.pick(Pipeline, task.pipeline, "pipeline")
    endpoint = project.pick(Endpoint, task.endpoint, "endpoint") if task.endpoint else None
    if task.is_release:
        endpoint = fed_by(project.declared(Endpoint).values(), pipeline)
    given = converted(pipeline, task.params)
    params = _params_of(task, workspace, pipeline) | given if task.params_of else given
    if endpoint is not None and endpoint.retrain is not None and _RETRAINING in task.tags:
        _ingest(workspace, endpoint.retrain.tables, _home(project, workspace))
    forerunner = _forerunner(task, workspace)
    resume = forerunner.id if forerunner is not None else task.resume
    pins = {name if "/" in name else f"{task.project}/{name}": version for name, version in task.pins.items()}
    with former.filled(former_of(workspace, task.warm_start) if task.warm_start else Former()):
        return run_pipeline(
            workspace,
            pipeline,
            params if params or not task.resume else None,
            resume=resume or None,
            endpoint=endpoint,
            snapshot=task.snapshot,
            declare=False,
            register=task.register,
            tags=task.tags,
            pins=pins,
            use_cache=task.use_cache,
        )


def _ingest(workspace: Workspace, tables: Sequence[Table], home: Path) -> None:
    """Read a retraining's tables anew. Relative paths begin where the project lies: what is there now is wanted, not what was published."""
    here = Path.cwd()
    os.chdir(home)
    try:
        for table in in_order(tables):
            ingest(workspace, table, folder=home)
    finally:
        os.chdir(here)


def _home(project: Project, workspace: Workspace) -> Path:
    """The project's own folder where it can be told from that of its store; else the snapshot's."""
    store = Path(project.settings.environments.get(workspace.environment, EnvironmentSettings()).store)
    root = workspace.root.resolve()
    depth = len(store.parts)
    if store.is_absolute() or ".." in store.parts or root.parts[-depth:] != store.parts:
        return Path.cwd()
    home = root.parents[depth - 1]
    return home if (home / FILE).is_file() else Path.cwd()


def _params_of(task: PipelineTask, workspace: Workspace, pipeline: Pipeline[..., Any]) -> dict[str, object]:
    with workspace.ledger.read() as tx:
        run = entries.get(tx, Run, task.params_of)
    kept = engine.params_of(workspace, run)
    worded = sorted(run.params.keys() & pipeline.signature.parameters.keys() - task.params.keys())
    if kept is None and worded:
        raise InvalidInput(
            f"The run {run.id} was given {', '.join(worded)}, which could not be stored in their own types.",
            why="A pipeline is run again with exactly the parameters that it had.",
            fix="Give the pipeline plain values, dates, frames or arrays, and run it anew.",
        )
    # What the pipeline has no more, where another code runs than ran then, is told as a difference of the two.
    return {name: value for name, value in (kept or {}).items() if name in pipeline.signature.parameters}


def _import_only(code: Path, digest: str) -> None:
    """Let the project's modules come from the snapshot alone: no checkout of this or another project may stand in."""
    if not (code / FILE).is_file():
        raise NotFound(
            f"The snapshot {digest[:12]} has no slipway.toml, so nobody knows which module is the project's.",
            fix='Write one: [project], name = "...", module = "..."; then run the pipeline again: slipway run PIPELINE',
        )
    own = str(Path(slipway.__file__).parents[1])
    installed = tuple(
        str(Path(place).resolve()) for place in (*site.getsitepackages(), site.getusersitepackages(), own)
    )
    standard = tuple(str(Path(prefix).resolve() / "lib") for prefix in (sys.base_prefix, sys.base_exec_prefix))
    kept = [path for path in sys.path if path.startswith((*installed, *standard)) or not _is_checkout(Path(path))]
    sys.path[:] = [str(code), str(code / "src"), *kept]
    # Compiled files would be something added to the folder; and the repository around the store is not this code's.
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.environ["GIT_CEILING_DIRECTORIES"] = str(code.parent)


def _is_checkout(path: Path) -> bool:
    place = path.resolve()
    return any((folder / FILE).is_file() for folder in (place, *place.parents))


def _own_run(workspace: Workspace) -> Run | None:
    """The run that this process began, for a failure that does not name it."""
    with workspace.ledger.read() as tx:
        recent = entries.find(tx, Run, project=workspace.project, limit=200)
    return next((run for run in recent if run.host == provenance.host()), None)


def _told(problem: BaseException) -> RunError:
    """The sentence that the project's developer would have read on a terminal, and their own lines."""
    if not isinstance(problem, StepFailed):
        return provenance.run_error(problem)
    kind = type(problem.__cause__ or problem).__name__
    message, trace = provenance.storable(str(problem)), provenance.storable(problem.trace)
    return RunError(type=kind, message=message, step=problem.step, trace=trace)


class _Stopped(BaseException):
    """Somebody asked the process to end: the run is told as failed, and no result is written."""


class Cancelled(_Stopped):
    """Somebody ended the run, and said why."""


def _stop_with(folder: Path) -> Callable[[int, object], None]:
    def stop(number: int, frame: object) -> None:
        try:
            told = (folder / CANCELLED_FILE).read_text()
        except OSError:
            raise _Stopped(f"It was stopped by {signal.Signals(number).name}.") from None
        raise Cancelled(told)

    return stop


def _hold(folder: Path) -> None:
    """Be the one that runs the folder's task, for as long as this process lives.

    Raises:
        SystemExit: Somebody else runs it.
    """
    file = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        given = os.path.samestat(os.fstat(LOCK_DESCRIPTOR), os.fstat(file))
    except OSError:
        given = False
    if given and file != LOCK_DESCRIPTOR:
        os.close(file)
        file = LOCK_DESCRIPTOR
        os.set_inheritable(file, False)  # programs that the task starts may outlive it
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"The task in {folder} is run by another process.")
    os.ftruncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)


def main() -> None:
    """Run the task in the folder named on the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m slipway.hosts.pipeline_run FOLDER")
    folder = Path(sys.argv[1]).resolve()
    _hold(folder)
    isolation.hold()
    if (folder / RESULT_FILE).exists():
        return
    signal.signal(signal.SIGTERM, _stop_with(folder))
    try:
        perform(folder)
    except _Stopped as told:
        sys.exit(str(told))


if __name__ == "__main__":
    main()
