"""Pipelines started without a checkout: from the project's newest code, or from the code of a run that is taken up again.

Each start is a task folder of its own, whose name is its key, and a process that outlives whoever asked. The run carries
the key as a tag, so that it is found when it begins.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from slipway.errors import Conflict, Corrupt, InvalidInput, NotFound, near
from slipway.flows.repeatable import beside_of, check_pipelines, check_snapshot
from slipway.ids import check_name, new_id
from slipway.ledger import entries, events, provenance
from slipway.ledger.limits import check_pipeline
from slipway.ledger.run_log import REPRODUCES
from slipway.ledger.run_tags import RERUNS, STARTED
from slipway.ledger.search import search
from slipway.operations.declare import Empty
from slipway.operations.pipelines import (
    Begun,
    GetBegun,
    KnownCode,
    KnownPipeline,
    Pipelines,
    RetryRun,
    StartPipeline,
)
from slipway.pipelines import snapshot, staging
from slipway.pipelines.given import fitting
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.runner import LOG_FILE, TASK_FILE
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.runs import Run
from slipway.records.schedules import Schedule
from slipway.records.search import Compare, Field
from slipway.records.tasks import PipelineTask
from slipway.runs.browse import own_run

__all__ = ["get_begun", "list_pipelines", "retry", "start"]

_RUNS_LOOKED_AT = 200
_PRINTED_BYTES = 8_000
_MOST_WAIT_S = 20.0
_LOOK_EVERY_S = 0.05
_NOT_OF_A_CHECKOUT = (STARTED, RERUNS, REPRODUCES, "slipway.firing", "slipway.retraining")
_PUBLISH = "Publish it from the project's folder: slipway run PIPELINE, slipway deploy or slipway schedules apply."


def list_pipelines(workspace: Workspace, request: Empty) -> Pipelines:
    """The pipelines of the project's newest code, or why none can be started."""
    code = newest_code(workspace)
    if code is None:
        return Pipelines(why=f"The store has no code of the project {workspace.project!r}. {_PUBLISH}")
    try:
        contents = snapshot.contents_of(workspace, code.snapshot)
        snapshot.check_files(workspace, contents)
    except (NotFound, Corrupt) as problem:
        return Pipelines(code=code, why=f"{problem.what} {_PUBLISH}")
    if contents.pipelines is None:
        why = (
            "The project's newest code was published by an earlier release, which did not say what its pipelines take."
        )
        return Pipelines(code=code, why=f"{why} {_PUBLISH}")
    known = tuple(
        KnownPipeline(name=name, about=one.about, parameters=one.parameters)
        for name, one in sorted(contents.pipelines.items())
    )
    return Pipelines(code=code, pipelines=known, why="" if known else "The project's newest code declares no pipeline.")


def newest_code(workspace: Workspace) -> KnownCode | None:
    """The newest code of the project that a run, an endpoint or a schedule was given from a checkout; None for none."""
    with workspace.ledger.read() as tx:
        found = [*_of_runs(tx, workspace), *_of_declarations(tx, workspace)]
    return max(found, key=lambda one: one.at, default=None)


def _of_runs(tx: ReadTransaction, workspace: Workspace) -> list[KnownCode]:
    recent = entries.find(tx, Run, project=workspace.project, limit=_RUNS_LOOKED_AT)
    return [
        KnownCode(snapshot=run.code.snapshot, at=run.created_at, by=f"run {run.pipeline}", run_id=run.id)
        for run in recent
        if run.pipeline and run.code.snapshot and not any(tag in run.tags for tag in _NOT_OF_A_CHECKOUT)
    ]


def _of_declarations(tx: ReadTransaction, workspace: Workspace) -> list[KnownCode]:
    endpoints = entries.every(tx, DeclaredEndpoint, project=workspace.project)
    schedules = entries.every(tx, Schedule, project=workspace.project)
    said = [(f"the endpoint {one.name}", one.id, one.snapshot, one.created_at) for one in endpoints]
    said += [(f"the schedule {one.name}", one.id, one.snapshot, one.applied_at or one.created_at) for one in schedules]
    here = f"{workspace.project}/{workspace.environment}/"
    return [KnownCode(snapshot=taken, at=at, by=by) for by, id, taken, at in said if taken and id.startswith(here)]


def start(workspace: Workspace, request: StartPipeline) -> Begun:
    """Start a pipeline of the newest code. The same key again is the same start.

    Raises:
        NotFound: There is no such pipeline.
        InvalidInput: A parameter is unknown, missing or does not fit.
        Conflict: Nothing can be started, or the key is another start's.
        BackendError: No process can be started.
    """
    known = list_pipelines(workspace, Empty())
    if known.code is None or known.why:
        raise Conflict("No pipeline can be started here.", why=known.why, fix=_PUBLISH)
    chosen = next((one for one in known.pipelines if one.name == request.pipeline), None)
    if chosen is None:
        names = [one.name for one in known.pipelines]
        raise NotFound(
            f"The project's newest code declares no pipeline {request.pipeline[:200]!r}.",
            fix=near(request.pipeline, names, what="pipelines there"),
        )
    params = _fitting(chosen, request.params)
    task = _task(workspace, request.key, snapshot=known.code.snapshot, pipeline=chosen.name, params=params)
    body = {"pipeline": chosen.name, "params": sorted(params), "snapshot": known.code.snapshot}
    return _begin(workspace, task, "pipelines.start", f"project:{workspace.project}", body, request.reason)


def _fitting(chosen: KnownPipeline, given: Mapping[str, Any]) -> dict[str, Any]:
    params = fitting(chosen.parameters, given, of=f"the pipeline {chosen.name!r}")
    for one in chosen.parameters:
        if one.is_needed and one.name not in params:
            raise InvalidInput(
                f"The pipeline {chosen.name!r} needs the parameter {one.name!r}.",
                fix="Give it a value: it has no default.",
                field=one.name,
            )
    return params


def retry(workspace: Workspace, request: RetryRun) -> Begun:
    """Take up a run of a pipeline that ended. The same key again is the same start.

    Raises:
        NotFound: There is no such run, or something that it takes is gone.
        InvalidInput: It is no pipeline's, or its code was not kept.
        Conflict: It has not ended, it finished and is to go on, or the key is another start's.
        BackendError: No process can be started.
    """
    run = own_run(workspace, request.id)
    check_pipelines(run)
    if run.state in ("running", "scheduled") and not provenance.is_host_gone(run.host):
        raise Conflict(f"The run {run.id} is still {run.state}.", fix="Wait until it has ended, or cancel it.")
    if run.state == "finished" and request.begin == "last":
        raise Conflict(
            f"The run {run.id} finished: there is nothing to go on with.",
            fix="Start it again with other parameters, or from the start.",
        )
    code = _code_for(workspace, run, is_newest=request.code == "newest")
    files, cwd = beside_of(workspace, run) if request.code == "same" else ({}, "")
    again = request.begin == "start"
    task = _task(
        workspace,
        request.key,
        snapshot=code,
        pipeline=run.pipeline,
        params_of=run.id if again else "",
        resume="" if again else run.id,
        use_cache=not again,
        files=files,
        cwd=cwd,
        tags={RERUNS: run.id} if again else {},
    )
    body = {"pipeline": run.pipeline, "begin": request.begin, "code": request.code, "snapshot": code}
    return _begin(workspace, task, "pipelines.retry", f"run:{run.id}", body, request.reason)


def _code_for(workspace: Workspace, run: Run, *, is_newest: bool) -> str:
    """The digest of the code that takes up a run, which is there and whole."""
    if is_newest:
        known = list_pipelines(workspace, Empty())
        if known.code is None or known.why:
            raise Conflict(f"The run {run.id} cannot be taken up with newer code.", why=known.why, fix=_PUBLISH)
        names = [one.name for one in known.pipelines]
        if run.pipeline not in names:
            raise Conflict(
                f"The project's newest code declares no pipeline {run.pipeline!r}.",
                fix=f"{near(run.pipeline, names, what='pipelines there')} Or take the code that ran then.",
            )
        return known.code.snapshot
    check_snapshot(run)
    snapshot.check_files(workspace, snapshot.contents_of(workspace, run.code.snapshot))
    return run.code.snapshot


def _task(workspace: Workspace, key: str, *, tags: Mapping[str, str] | None = None, **more: object) -> PipelineTask:
    named = check_name(key or new_id(), "key")
    return staging.task(workspace, tags={STARTED: named, **(tags or {})}, is_release=True, **more)  # type: ignore[arg-type]


def _begin(
    workspace: Workspace, task: PipelineTask, verb: str, subject: str, body: Mapping[str, object], reason: str
) -> Begun:
    """Write the task and start its process; one that is there already is only started."""
    key = task.tags[STARTED]
    folder = workspace.root.resolve() / "tasks" / f"start-{key}"
    is_new = not (folder / TASK_FILE).exists()
    if is_new:
        check_pipeline(workspace, goes_on=bool(task.resume))
    staging.stage(workspace, folder.name, task)
    if is_new:  # before the process: nothing runs that the audit log does not know of
        with workspace.ledger.write() as tx:
            events.record(tx, workspace, verb, subject, **body, key=key, reason=reason.strip())
    workspace.runner.start(folder)
    return get_begun(workspace, GetBegun(key=key))


def get_begun(workspace: Workspace, request: GetBegun) -> Begun:
    """What has become of a start, a retry or a rerun.

    Raises:
        NotFound: The key is none's.
    """
    folder = _folder_of(workspace, request.key)
    task = staging.read_task(folder)
    if task.project != workspace.project:
        raise _unknown(request.key)
    until = time.monotonic() + min(max(request.wait_s, 0.0), _MOST_WAIT_S)
    while (found := _stand(workspace, folder, task, request.key)).state == "starting" and time.monotonic() < until:
        time.sleep(_LOOK_EVERY_S)
    return found


def _folder_of(workspace: Workspace, key: str) -> Path:
    tasks = workspace.root.resolve() / "tasks"
    for kind in ("start", "rerun"):
        if (folder := tasks / f"{kind}-{check_name(key, 'key')}").is_dir() and (folder / TASK_FILE).exists():
            return folder
    raise _unknown(key)


def _unknown(key: str) -> NotFound:
    return NotFound(f"Nothing was started under the key {key!r}.", fix="Look at the runs: slipway runs list")


def _stand(workspace: Workspace, folder: Path, task: PipelineTask, key: str) -> Begun:
    state = workspace.runner.state(folder)  # before the run is looked for: it begins before its process ends
    about = Begun(key=key, pipeline=task.pipeline, from_run=task.resume or task.params_of)
    with workspace.ledger.read() as tx:
        tagged = Compare(Field("tag", STARTED), "=", key)
        found = search(tx, Run, project=task.project, where=tagged, limit=1).records
    if found:
        return replace(about, state="begun", run_id=found[0].id)
    if state == "running":
        return replace(about, printed=_printed(folder))
    answer = staging.answer(folder)
    if answer is None:
        return replace(about, state="gone", printed=_printed(folder))
    return replace(about, state="failed", run_id=answer.run_id, error=answer.error, printed=_printed(folder))


def _printed(folder: Path) -> str:
    """The end of what a task's process printed, without secrets."""
    try:
        with (folder / LOG_FILE).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _PRINTED_BYTES))
            return provenance.without_secrets(file.read().decode("utf-8", "replace"))
    except FileNotFoundError:
        return ""
