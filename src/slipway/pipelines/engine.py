"""Runs a pipeline: each step call is recorded, and found again where nothing that it depends on has changed."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from msgspec.structs import replace

from slipway.code import closure
from slipway.errors import BackendError, InvalidInput, NotFound, RunStopped, SlipwayError, StepFailed, UserError, near
from slipway.ledger import artifacts, entries, provenance, run_log
from slipway.ledger.artifacts import Encoded
from slipway.ledger.run_log import RunLog
from slipway.ledger.step_scope import StepCall, step_scope
from slipway.pipelines import cache, keys, reasons
from slipway.pipelines.cache import Hit, Miss
from slipway.pipelines.declare import Pipeline
from slipway.pipelines.keys import StepKey
from slipway.pipelines.placing import Place, placed
from slipway.pipelines.remote import Remote
from slipway.ports.workspace import Workspace
from slipway.records.runs import Artifact, CodeVersion, Run, StepRun
from slipway.schema.fingerprints import of_value
from slipway.tables import catalog
from slipway.tables.versions import reads

__all__ = ["PipelineResult", "params_of", "run"]

_PARAMS = "params"


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
) -> PipelineResult:
    """Run a pipeline and record it.

    Args:
        workspace: Where it is recorded.
        pipeline: What to run.
        params: Its parameters by name; defaults fill the rest.
        resume: The id of an earlier run of the same pipeline: its parameters are taken where none are given. Steps that
            it finished are found again, as they would be anyway.
        remote: Runs steps in another process; where the workspace says when None.
        tags: Tags of the run.
        snapshot: The digest of the project's snapshot, where one was taken.
        use_cache: Whether stored results may stand in for steps, and this run's for later ones.
        pins: Versions at which tables are read: `<project>/<table>` -> hash; any other table is read as it is now.

    Raises:
        StepFailed: A step raised; its own exception is the cause. The run is recorded as failed.
        RunStopped: A metric that is watched with `stop=True` says that going on is no use. The run is recorded as
            finished early, with the reason.
        InvalidInput: The parameters do not fit.
        NotFound: There is no such run to resume.
    """
    given = _resumed(workspace, pipeline, resume) if resume and params is None else params or {}
    arguments = _arguments(pipeline, given)
    log = run_log.start(
        workspace,
        name=pipeline.name,
        pipeline=pipeline.name,
        params=arguments,
        tags={**({"slipway.resumes": resume} if resume else {}), **(tags or {})},
        code=_code(pipeline, snapshot),
    )
    read: list[str] = []
    pinned = catalog.pins.filled(pins or {})
    try:
        with placed(log, remote) as place:
            scope = _Scope(log, place, use_cache=use_cache)
            _keep_params(log, arguments)
            try:
                with run_log.current_run.filled(log), step_scope.filled(scope), reads.filled(read), pinned:
                    value = pipeline.function(**arguments)
            finally:
                for node in read:
                    log.add_input(node)
        _keep_result(log, scope, value)
    except BaseException as error:
        log.finish(ended_early=error.what) if _ends(error, log) else log.finish(error)
        raise
    return PipelineResult(log.finish(), value)


def _ends(error: BaseException, log: RunLog) -> TypeGuard[RunStopped]:
    """Whether it says that a watch of this run ended it."""
    return isinstance(error, RunStopped) and error.run_id == log.id


class _Scope:
    """Takes the step calls of one run. Safe for threads that carry the context along."""

    def __init__(self, log: RunLog, place: Place, *, use_cache: bool) -> None:
        self._log = log
        self._use_cache = use_cache
        self._workspace = log.workspace
        self._place = place
        self._earlier = reasons.Earlier(log.workspace, log.run)
        self._positions = itertools.count(1)
        self._occurrences: Counter[str] = Counter()
        self._closures: dict[tuple[str, ...], str] = {}
        self._lock = threading.Lock()
        self.last: tuple[Any, tuple[Artifact, ...]] = (None, ())

    def __call__(self, call: StepCall) -> object:
        started = time.perf_counter()
        with self._lock:
            position = next(self._positions)
            occurrence = self._occurrences[call.name]
            self._occurrences[call.name] += 1
        present = keys.of_call(call)
        found: Hit | Miss = Miss()
        if not self._use_cache:
            found = Miss("the run takes no stored results")
        elif present.key:
            found = cache.find(self._workspace, present.key)
        record = StepRun(
            id=f"{self._log.id}.{position}",
            project=self._workspace.project,
            name=call.name,
            created_at=self._workspace.clock.now(),
            parent_id=self._log.id,
            key=present.key,
            inputs=present.inputs,
        )
        if isinstance(found, Hit):
            return self._take(found, record, started)
        return self._compute(call, present, self._why(call, present, found, occurrence), record, started)

    def _take(self, hit: Hit, record: StepRun, started: float) -> object:
        source = hit.source
        for node in source.reads:
            self._log.add_input(node)
        for artifact in source.outputs:
            self._log.add_link(f"artifact:{artifact.digest}", self._log.node, "reused")
        self._log.later(
            replace(
                record,
                state="cached",
                reason=f"nothing that it depends on has changed since run {source.parent_id[:12]}",
                source_run_id=source.parent_id,
                outputs=source.outputs,
                closure=source.closure,
                reads=source.reads,
                notes=source.notes,
                seconds=time.perf_counter() - started,
            )
        )
        if source.notes is not None:
            self._log.repeat(source.notes, source.parent_id)
        self.last = (hit.value, source.outputs)
        self._workspace.say(f"{record.name}: taken from run {source.parent_id[:12]}")
        return hit.value

    def _why(self, call: StepCall, present: StepKey, miss: Miss, occurrence: int) -> str:
        if present.refusal:
            return f"not cached: {present.refusal}"
        earlier = self._earlier.call(call.name, occurrence)
        return miss.reason or reasons.difference(self._workspace.blobs, earlier, present)

    def _compute(self, call: StepCall, present: StepKey, reason: str, record: StepRun, started: float) -> object:
        record = replace(record, reason=reason, closure=self._keep_closures(present))
        self._log.later(record)
        notes, read = run_log.Notes(self._log.id), list[str]()
        try:
            with run_log.notes.filled(notes), reads.filled(read), step_scope.filled(None):
                value = self._place(call)
            encoded, refusal = _encoded(value, call)
        except BaseException as error:
            self._note_failure(record, error, read, started)
            self._blame(call, error)
            raise
        finally:
            for node in read:
                self._log.add_input(node)
        if changed := keys.changed_inputs(call.inputs, present.inputs):
            refusal = f"it changed its argument {', '.join(changed)} in place, so its result cannot stand in for it"
        elif encoded.pickled:
            reason += f"; its result holds {', '.join(sorted(set(encoded.pickled)))}, which only pickle can store"
        if refusal:
            reason += f"; {refusal}"
        try:
            outputs = artifacts.store(self._workspace.blobs, encoded)
        except BaseException as error:  # the step did its work; the store did not: no `StepFailed`
            self._note_failure(record, error, read, started)
            raise
        self._finish(
            replace(
                record,
                state="finished",
                key="" if refusal else record.key,
                reason=reason,
                outputs=outputs,
                seconds=time.perf_counter() - started,
                reads=tuple(read),
                notes=notes.taken(),
            )
        )
        self.last = (value, encoded.artifacts)
        return value

    def _finish(self, record: StepRun) -> None:
        if not self._log.is_repeat:
            for artifact in record.outputs:
                self._log.add_link(self._log.node, f"artifact:{artifact.digest}", "output")
        self._log.later(record)
        if record.key and self._use_cache:
            self._log.write(lambda tx: cache.remember(tx, record.project, record.key, record.id))
        else:
            self._log.write()
        self._workspace.say(f"{record.name}: {record.seconds:.1f} s ({record.reason})")

    def _note_failure(self, record: StepRun, error: BaseException, read: list[str], started: float) -> None:
        told = provenance.run_error(error, step=record.name)
        seconds = time.perf_counter() - started
        if _ends(error, self._log):
            reason = f"{record.reason}; it ended early"
            self._log.later(
                replace(record, state="finished", reason=reason, reads=tuple(read), seconds=seconds, key="")
            )
            return
        self._log.later(replace(record, state="failed", error=told, reads=tuple(read), seconds=seconds, key=""))

    def _blame(self, call: StepCall, error: BaseException) -> None:
        """Tell the user's failure from Slipway's: only the first becomes a `StepFailed`."""
        if _ends(error, self._log):
            return
        if isinstance(error, StepFailed):
            error.run_id = self._log.id
            return
        is_slipways = isinstance(error, BackendError) or (isinstance(error, SlipwayError) and call.function is None)
        if is_slipways or not isinstance(error, Exception):
            return
        told = provenance.run_error(error, step=call.name)
        raise StepFailed(
            f"The step {call.name!r} failed: {told.type}: {told.message}",
            step=call.name,
            run_id=self._log.id,
            trace=told.trace,
            fix=f"Mend it and run the pipeline again: the steps before it are found stored (run {self._log.id[:12]}).",
        ) from error

    def _keep_closures(self, present: StepKey) -> str:
        known = tuple(one.hash for one in present.closures)
        if known not in self._closures:
            self._closures[known] = reasons.write_closures(self._workspace.blobs, present.closures)
        return self._closures[known]


def _encoded(value: Any, call: StepCall) -> tuple[Encoded, str]:
    try:
        return cache.encode(value, call.returns), ""
    except InvalidInput as problem:
        if call.returns:
            raise
        return Encoded(()), f"its result is not stored: {problem.what}"


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


def _resumed(workspace: Workspace, pipeline: Pipeline[..., Any], run_id: str) -> Mapping[str, Any]:
    with workspace.ledger.read() as tx:
        try:
            earlier = entries.get(tx, Run, run_id)
        except NotFound as problem:
            raise NotFound(f"There is no run {run_id!r} to resume.", fix="See `slipway runs`.") from problem
    if earlier.pipeline != pipeline.name:
        raise InvalidInput(
            f"The run {run_id} is of {earlier.pipeline or 'no pipeline'}, not of {pipeline.name!r}.",
            fix="Resume a run of the same pipeline, or run this one anew.",
            field="resume",
        )
    kept = params_of(workspace, earlier)
    return earlier.params if kept is None else kept


def params_of(workspace: Workspace, run: Run) -> Mapping[str, Any] | None:
    """The parameters that a run was given, in their own types; None where it had none or they could not be stored.

    Raises:
        NotFound: Their stored bytes are gone.
        Corrupt: They are damaged.
    """
    kept = [one for one in run.artifacts if one.name.partition("/")[0] == _PARAMS]
    found: Mapping[str, Any] | None = artifacts.load(workspace.blobs, kept) if kept else None
    return found


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
    _keep(log, _PARAMS, dict(arguments)) if arguments else None


def _keep_result(log: RunLog, scope: _Scope, value: Any) -> None:
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
