"""Rerun: start from an old run with only the named change, and say what differs when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slipway import errors
from slipway.errors import Conflict, InvalidInput, NotFound, OverQuota, SlipwayError, StepFailed, near
from slipway.flows.repeatable import beside_of, check_pipelines, check_snapshot, pins_of, run_meant
from slipway.flows.run_changes import changes
from slipway.flows.warm_start import former_of, started_from
from slipway.ids import new_id
from slipway.ledger import entries, events
from slipway.ledger.limits import check_pipeline
from slipway.ledger.run_tags import RERUNS, STARTED
from slipway.operations.runs import Reran, Rerun
from slipway.pipelines import snapshot, staging
from slipway.pipelines.given import check_readable
from slipway.ports.runner import LOG_FILE, TASK_FILE
from slipway.ports.workspace import Workspace
from slipway.records.runs import Run
from slipway.records.tasks import PipelineAnswer

__all__ = ["rerun"]


def rerun(workspace: Workspace, request: Rerun, *, checkout: str = "") -> Reran:
    """Start from an old run in a fresh process, and compare; while it runs, asking again with its key waits for it.

    Args:
        workspace: Where it is recorded.
        request: What to start from, and what to change.
        checkout: The digest of a snapshot whose code runs instead of the run's own: of the caller's checkout.

    Raises:
        NotFound: There is no such run or version, or something that it read is gone.
        Corrupt: Something that it read, or its code, is damaged.
        InvalidInput: It is no pipeline's run, its code was not kept, it has no such parameter, or a value does not fit.
        Conflict: It is still running, or the key is another rerun's.
        StepFailed: The new run failed; it is kept as failed.
        OverQuota: The project may begin no more runs today, or has as many pipelines under way as it may.
    """
    run, _ = run_meant(workspace, request.target)
    check_pipelines(run)
    key = request.key or new_id()
    folder = workspace.root.resolve() / "tasks" / f"rerun-{key}"
    if (folder / TASK_FILE).exists():
        if staging.read_task(folder).tags.get(RERUNS) != run.id:
            raise Conflict(f"The key {key!r} is a rerun's of another run.", fix="Give another key.")
        workspace.runner.start(folder)  # whoever staged it may have been killed before this
    else:
        folder = _staged(workspace, run, request, key, checkout)
    if workspace.runner.wait(folder, request.wait_s) == "running":
        return Reran(key=key, parent_id=run.id)
    return _ended(workspace, run, key, folder)


def _staged(workspace: Workspace, run: Run, request: Rerun, key: str, checkout: str) -> Path:
    """Write the task of a rerun, and start it."""
    if run.state in ("running", "scheduled"):
        raise Conflict(f"The run {run.id} of {run.pipeline!r} is still {run.state}.", fix="Wait until it has ended.")
    if not checkout:
        check_snapshot(run)
        _check_names(run, request.params)
    contents = snapshot.contents_of(workspace, checkout or run.code.snapshot)
    snapshot.check_files(workspace, contents)
    if run.pipeline in (contents.pipelines or {}):
        known = (contents.pipelines or {})[run.pipeline].parameters
        check_readable(known, request.params, of=f"the pipeline {run.pipeline!r}")
    # With the data of now go the files of now, which are those of the checkout where one is named.
    is_as_then = request.data == "same" or not checkout
    files, cwd = beside_of(workspace, run) if is_as_then else ({}, "")
    start = run.id if request.warm_start else started_from(workspace, run)
    if start:
        former_of(workspace, start)
    check_pipeline(workspace)
    task = staging.task(
        workspace,
        snapshot=checkout or run.code.snapshot,
        pipeline=run.pipeline,
        params=dict(request.params),
        params_of=run.id,
        tags={RERUNS: run.id, STARTED: key},
        pins=pins_of(workspace, run) if request.data == "same" else {},
        is_release=True,
        warm_start=start,
        files=files,
        cwd=cwd,
    )
    folder = staging.stage(workspace, f"rerun-{key}", task)
    workspace.runner.start(folder)
    with workspace.ledger.write() as tx:
        body = {"pipeline": run.pipeline, "key": key, "params": sorted(request.params), "data": request.data}
        events.record(tx, workspace, "runs.rerun", f"run:{run.id}", **body, code="now" if checkout else "same")
    return folder


def _check_names(run: Run, params: Mapping[str, Any]) -> None:
    for name in params:
        if name not in run.params:
            raise InvalidInput(
                f"The run {run.id} of {run.pipeline!r} had no parameter {name!r}.",
                why="It runs the code of then.",
                fix=f"{near(name, run.params, what='parameters')} For the code of your checkout add: --code now",
                field=name,
            )


def _ended(workspace: Workspace, run: Run, key: str, folder: Path) -> Reran:
    answer = staging.answer(folder)
    if answer is None:
        raise StepFailed(
            f"The rerun of {run.id} was killed.",
            step=run.pipeline,
            fix=f"Ask for it again with its key to go on: --key {key}. What it printed is in {folder / LOG_FILE}",
        )
    if answer.state == "failed":
        raise _failure(answer)
    with workspace.ledger.read() as tx:
        made = entries.get(tx, Run, answer.run_id)
    return Reran(
        key=key,
        parent_id=run.id,
        run=made,
        model=answer.model,
        version=answer.version,
        is_new=answer.is_new,
        changes=changes(workspace, run, made),
    )


def _failure(answer: PipelineAnswer) -> SlipwayError:
    """The error that the process told: Slipway's own as it was, the project's as that of a step."""
    error = answer.error
    if error is None:
        told = f"See the run: slipway runs show {answer.run_id[:12]}"
        return StepFailed("The rerun failed, and did not say why.", step="", run_id=answer.run_id, fix=told)
    kind = getattr(errors, error.type, None)
    if (
        not error.step
        and isinstance(kind, type)
        and issubclass(kind, InvalidInput | NotFound | errors.Corrupt | OverQuota)
    ):
        return kind(error.message)
    where = f"The step {error.step!r}" if error.step else "The rerun"
    return StepFailed(
        f"{where} failed: {error.told}",
        step=error.step,
        run_id=answer.run_id,
        trace=error.trace,
        fix=f"See the run: slipway runs show {answer.run_id[:12]}" if answer.run_id else "",
    )
