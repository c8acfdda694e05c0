"""Runs a pipeline: each step call is recorded, and found again where nothing that it depends on has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.code import closure
from slipway.errors import InvalidInput, UserError, near
from slipway.ledger import artifacts, provenance, run_log
from slipway.ledger.limits import check_pipeline
from slipway.ledger.run_log import RunLog
from slipway.ledger.run_tags import RESUMES
from slipway.ledger.step_scope import step_scope
from slipway.operations.declare import check_allowed
from slipway.pipelines import cache, futures
from slipway.pipelines.declare import Pipeline, pipelines_running
from slipway.pipelines.hidden import hooks
from slipway.pipelines.hidden.recorder import recording
from slipway.pipelines.placing import placed, room_of
from slipway.pipelines.remote import Remote
from slipway.pipelines.resuming import PARAMS, code_since, params_of, run_to_resume, steps_resumed
from slipway.pipelines.scheduling import Machine
from slipway.pipelines.scope import Scope, is_end
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.run_entries import ReadBeside
from slipway.records.runs import CodeVersion, Run, StepRun
from slipway.schema.fingerprints import of_value
from slipway.tables import catalog
from slipway.tables.versions import reads

__all__ = ["PipelineResult", "params_of", "run"]


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """What a pipeline's run came to.

    Args:
        run: The final record.
        value: What the pipeline returned.
    """

    run: Run
    value: Any


def run(
    workspace: Workspace,
    pipeline: Pipeline[..., Any],
    params: Mapping[str, Any] | None = None,
    *,
    resume: str | None = None,
    remote: Remote | None = None,
    tags: Mapping[str, object] | None = None,
    snapshot: str = "",
    use_cache: bool = True,
    pins: Mapping[str, str] | None = None,
    workers: int | None = None,
    machine: Machine | None = None,
    progress: Callable[[StepRun, str], None] | None = None,
    begun: Callable[[WriteTransaction, str], None] | None = None,
) -> PipelineResult:
    """Run a pipeline and record it.

    Args:
        workspace: Where it is recorded.
        pipeline: What to run.
        params: Its parameters by name; defaults fill the rest.
        resume: The id of an earlier run of the same pipeline, or "last": its parameters are taken where none are given.
            Steps that it finished are found again, those that may not be cached too.
        remote: Runs steps in another process; where the workspace says when None.
        tags: Tags of the run.
        snapshot: The digest of the project's snapshot, where one was taken.
        use_cache: Whether stored results may stand in for steps, and this run's for later ones.
        pins: Versions at which tables are read: `<project>/<table>` -> hash; any other table is read as it is now.
        workers: How many submitted steps run at one time; what the workspace says when None, or one a core.
        machine: What steps may take together; when None what this machine has, or no limit where others carry them out.
        progress: Is told of each step's record as it changes, and what to call the call, by any thread.
        begun: Is called before the first step, in a transaction, with the run's id; what it raises ends the run.

    Raises:
        StepFailed: A step raised; its own exception is the cause. The run is recorded as failed.
        RunStopped: A metric that is watched with `stop=True` says that going on is no use. The run is recorded as
            finished early, with the reason.
        InvalidInput: The parameters do not fit.
        NotFound: There is no such run to resume.
        Denied: Whoever asks may not record runs here.
        OverQuota: The project may begin no more runs today, or has as many pipelines under way as it may.
    """
    check_allowed(workspace, "runs.start", "runs.write")
    earlier = run_to_resume(workspace, pipeline, resume) if resume else None
    arguments = _arguments(pipeline, _given(workspace, params, earlier))
    log = _started(workspace, pipeline, arguments, earlier, tags or {}, snapshot)
    done = _resumed(log, earlier) if earlier else []
    try:
        if begun is not None:
            log.write(lambda tx: begun(tx, log.id))
        with placed(log, remote) as place:
            scope = Scope(log, place, room_of(workspace, workers, machine), use_cache, resumed=done, progress=progress)
            _keep_params(log, arguments)
            value = _body(log, pipeline, arguments, scope, pins or {})
        _keep_result(log, scope, value)
    except BaseException as error:
        log.finish(ended_early=error.what) if is_end(error, log) else log.finish(error)
        raise
    return PipelineResult(log.finish(), value)


def _started(
    workspace: Workspace,
    pipeline: Pipeline[..., Any],
    arguments: Mapping[str, Any],
    earlier: Run | None,
    tags: Mapping[str, object],
    snapshot: str,
) -> RunLog:
    check_pipeline(workspace, goes_on=earlier is not None)
    log = run_log.start(
        workspace,
        name=pipeline.name,
        pipeline=pipeline.name,
        params=arguments,
        tags={**({RESUMES: earlier.id} if earlier else {}), **tags},
        code=_code(pipeline, snapshot),
        tolerance=pipeline.tolerance,
    )
    hooks.install()
    return log


def _body(
    log: RunLog, pipeline: Pipeline[..., Any], arguments: Mapping[str, Any], scope: Scope, pins: Mapping[str, str]
) -> Any:
    """What the pipeline returns, when all its steps have ended."""
    hooks.install()
    read: list[str] = []
    named = (f"{pipeline.__module__}:{pipeline.name}",)
    body = (pipeline.function,)
    try:
        with (
            recording(body) as beside,
            run_log.current_run.filled(log),
            reads.filled(read),
            catalog.pins.filled(pins),
            pipelines_running.filled(named),
            scope,
            step_scope.filled(scope),
        ):
            args, _ = futures.values(((pipeline.function(**arguments),), {}))
            return args[0]
    finally:
        for node in read:
            log.add_input(node)
        if seen := beside.taken()[0]:
            log.later(ReadBeside(scope.keeper.kept(body, seen)))
        if told := scope.keeper.told:
            log.workspace.say(told)


def _resumed(log: RunLog, earlier: Run) -> list[list[StepRun]]:
    """The steps of the runs that this one resumes; says what changed in the code since."""
    if changed := code_since(log.workspace, earlier.code, log.run.code):
        log.workspace.say(f"This resumes run {earlier.id[:12]}. {changed}")
    with log.workspace.ledger.read() as tx:
        return steps_resumed(tx, earlier)


def _given(workspace: Workspace, params: Mapping[str, Any] | None, earlier: Run | None) -> Mapping[str, Any]:
    if earlier is None or params is not None:
        return params or {}
    kept = params_of(workspace, earlier)
    return earlier.params if kept is None else kept


def _arguments(pipeline: Pipeline[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    known = pipeline.signature.parameters
    for name in params:
        if name not in known:
            raise InvalidInput(
                f"The pipeline {pipeline.name!r} has no parameter {name!r}.",
                fix=near(name, known, what="parameters"),
                field=name,
            )
    try:
        return dict(pipeline.arguments(**params).arguments)
    except TypeError as problem:
        missing = [name for name, one in known.items() if one.default is one.empty and name not in params]
        raise InvalidInput(
            f"The pipeline {pipeline.name!r} needs {', '.join(missing) or 'other parameters'}: {problem}.",
            fix=f"Give {'it' if len(missing) == 1 else 'them'} a value, for example {missing[0]}=...",
            field=missing[0] if missing else "",
        ) from problem


def _code(pipeline: Pipeline[..., Any], snapshot: str) -> CodeVersion:
    function = pipeline.function
    try:
        reached = closure(function).hash
    except UserError:  # code that cannot be followed leaves the field empty; its steps say why where it matters
        reached = ""
    return provenance.code_version(
        Path(function.__code__.co_filename).parent,
        closure=reached,
        entry=f"{function.__module__}:{function.__qualname__}",
        snapshot=snapshot,
    )


def _keep_params(log: RunLog, arguments: Mapping[str, Any]) -> None:
    """Keep the parameters in their own types, for a later run with the same ones."""
    _keep(log, PARAMS, dict(arguments)) if arguments else None


def _keep_result(log: RunLog, scope: Scope, value: Any) -> None:
    made, outputs = scope.last
    if value is made and outputs and outputs[0].name.partition("/")[0] == "result":
        for artifact in outputs:
            log.add_artifact(artifact)
    elif value is not None:
        _keep(log, "result", value)


def _keep(log: RunLog, name: str, value: Any) -> None:
    try:
        encoded = artifacts.encode(name, cache.settled(value), of_value)
    except InvalidInput:  # nothing depends on it: the step that made it says that it could not be stored
        return
    if not encoded.pickled:
        for artifact in artifacts.store(log.workspace.blobs, encoded):
            log.add_artifact(artifact)
