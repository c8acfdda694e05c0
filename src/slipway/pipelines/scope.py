"""Takes the step calls of one run: each is found again or computed, alone or beside others, and recorded."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeGuard

from msgspec.structs import replace

from slipway.errors import BackendError, InvalidInput, RunStopped, SlipwayError, StepFailed
from slipway.ledger import artifacts, provenance, run_log
from slipway.ledger.artifacts import Encoded
from slipway.ledger.run_log import RunLog
from slipway.ledger.step_scope import Given, MakeCall, StepCall, step_scope
from slipway.pipelines import cache, futures, keys, reasons
from slipway.pipelines.apart import Apart
from slipway.pipelines.attempts import attempted, check_type
from slipway.pipelines.cache import Hit, Miss
from slipway.pipelines.futures import StepFuture
from slipway.pipelines.keys import StepKey
from slipway.pipelines.remote import Remote
from slipway.pipelines.resuming import Resumed
from slipway.pipelines.scheduling import Machine, Scheduler, Task, cpus_here
from slipway.pipelines.single_flight import SingleFlight
from slipway.records.runs import Artifact, StepAttempt, StepRun
from slipway.tables.versions import reads

__all__ = ["Scope", "is_end"]


def is_end(error: BaseException, log: RunLog) -> TypeGuard[RunStopped]:
    """Whether it says that a watch of this run ended it."""
    return isinstance(error, RunStopped) and error.run_id == log.id


class Scope:
    """Takes the step calls of one run inside a `with` block. Safe for threads that carry the context along.

    Args:
        log: The run.
        remote: Runs steps in another process; None for this one.
        use_cache: Whether stored results may stand in for steps, and this run's for later ones.
        workers: How many submitted steps run at one time; None for one a core.
        machine: What steps may take together; None for what this machine has.
        resumed: The steps of the run that this one resumes.
        progress: Is told of each step's record as it changes, by any thread.
        earlier: The calls that this run's are compared with; None for those of the pipeline's last run.
    """

    def __init__(
        self,
        log: RunLog,
        remote: Remote | None,
        *,
        use_cache: bool = True,
        workers: int | None = None,
        machine: Machine | None = None,
        resumed: Iterable[StepRun] = (),
        progress: Callable[[StepRun], None] | None = None,
        earlier: reasons.Earlier | None = None,
    ) -> None:
        self._log = log
        self._use_cache = use_cache
        self._workspace = log.workspace
        self.remote = remote
        self._apart: Apart | None = None
        self._earlier = earlier or reasons.Earlier(log.workspace, log.run)
        self._resumed = Resumed(log.workspace, resumed)
        self._progress = progress
        self._positions = itertools.count(1)
        self._occurrences: Counter[str] = Counter()
        self._closures: dict[tuple[str, ...], str] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._scheduler = Scheduler(workers or cpus_here(), machine or Machine.here())
        self._flights = SingleFlight(log.workspace.root / "step-locks", self._over)
        self._untold: list[BaseException] = []
        self._running: dict[str, StepRun] = {}
        self.last: tuple[Any, tuple[Artifact, ...]] = (None, ())

    def __enter__(self) -> Scope:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self._stop(error)
        try:
            self._scheduler.drain()
        except BaseException as impatient:  # asked a second time to end
            for record in self._running.copy().values():
                self._note(replace(record, state="failed", key="", error=provenance.run_error(impatient)))
            raise
        finally:
            self._over.set()
            self._scheduler.close()
        if error is None and self._untold:
            raise self._untold[0]

    def __call__(self, call: StepCall) -> object:
        """See `StepScope.__call__`."""
        return self.call(call.name, lambda given: call, ((), {}))

    def call(self, name: str, make: MakeCall, given: Given) -> object:
        """See `StepScope.call`."""
        self._refuse_stopped()
        turn = self._turn(name)
        call = make(futures.values(given) if futures.pending(given) else given)
        self._scheduler.check(name, call.limits)
        with self._scheduler.held(call.limits):
            return self._run(call, turn)

    def submit(self, name: str, make: MakeCall, given: Given) -> Future[Any]:
        """See `StepScope.submit`."""
        after = futures.pending(given)
        call = make(given)  # what does not fit the step's parameters is said here
        self._refuse_stopped()
        turn = self._turn(name)

        def work() -> object:
            try:
                return self._run(make(futures.values(given)) if after else call, turn)
            except BaseException as error:
                self._stop(error)
                raise

        def pass_over(reason: BaseException) -> None:
            words = f"it did not begin, because {_words(reason)}"
            self._note(replace(self._record(name, turn), state="cancelled", reason=words))

        future: StepFuture[Any] = StepFuture(name, self._waiting)
        if after or not self._scheduler.has_room:
            self._note(replace(self._record(name, turn), state="waiting"))
        self._scheduler.submit(
            Task(turn.position, call.limits, work=work, future=future, after=after, passed_over=pass_over)
        )
        return future

    @contextmanager
    def _waiting(self, future: StepFuture[Any]) -> Iterator[None]:
        try:
            with self._scheduler.waiting(future):
                yield
        finally:
            if self._untold and future.done():
                told = Future.exception(future)
                self._untold = [error for error in self._untold if error is not told]

    def _stop(self, error: BaseException) -> None:
        """Let no further step begin, because one failed or the run was ended."""
        with self._lock:
            if all(error is not other for other in self._untold):
                self._untold.append(error)
        self._over.set()
        self._scheduler.stop(error)

    def _refuse_stopped(self) -> None:
        """Raise the failure that the pipeline does not know yet; one that it caught lets it go on."""
        if self._untold:
            raise self._untold.pop(0)
        if self._scheduler.stopped is not None:
            self._over.clear()
            self._scheduler.go_on()

    def _turn(self, name: str) -> _Turn:
        with self._lock:
            turn = _Turn(next(self._positions), self._occurrences[name])
            self._occurrences[name] += 1
        return turn

    def _record(self, name: str, turn: _Turn) -> StepRun:
        return StepRun(
            id=f"{self._log.id}.{turn.position}",
            project=self._workspace.project,
            name=name,
            created_at=self._workspace.clock.now(),
            parent_id=self._log.id,
        )

    def _note(self, record: StepRun) -> None:
        """Keep a step's record as it stands now."""
        if record.state == "running":
            self._running[record.id] = record
        else:
            self._running.pop(record.id, None)
        self._log.later(record)
        if self._progress is not None:
            self._progress(record)

    def _run(self, call: StepCall, turn: _Turn) -> object:
        started = time.perf_counter()
        present = keys.of_call(call)
        record = replace(
            self._record(call.name, turn), key=present.key, inputs=present.inputs, started_at=datetime.now(UTC)
        )
        found = self._find(present, call, turn)
        if isinstance(found, Hit):
            return self._take(found, record, started)
        with self._flights.alone(present.key if self._use_cache else "", self._scheduler.aside()) as is_alone:
            if not is_alone:
                self._refuse_stopped()
            if present.key and self._use_cache and self._is_there(present.key):
                found = self._find(present, call, turn)
            if isinstance(found, Hit):
                return self._take(found, record, started)
            return self._compute(call, present, self._why(call, present, found, turn.occurrence), record, started)

    def _find(self, present: StepKey, call: StepCall, turn: _Turn) -> Hit | Miss:
        if not self._use_cache:
            return Miss("the run takes no stored results")
        found: Hit | Miss = cache.find(self._workspace, present.key) if present.key else Miss()
        if isinstance(found, Miss) and not found.reason:
            return self._resumed.find(call, present, turn.occurrence) or found
        return found

    def _is_there(self, key: str) -> bool:
        with self._workspace.ledger.read() as tx:
            return cache.is_kept(tx, self._workspace.project, key)

    def _take(self, hit: Hit, record: StepRun, started: float) -> object:
        source = hit.source
        for node in source.reads:
            self._log.add_input(node)
        for artifact in source.outputs:
            self._log.add_link(f"artifact:{artifact.digest}", self._log.node, "reused")
        self._note(
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
        self._note(record)
        notes, read = run_log.Notes(self._log.id), list[str]()
        attempts: list[StepAttempt] = []

        def attempt() -> tuple[Any, Encoded, str]:
            notes.clear()
            read.clear()
            try:
                with run_log.notes.filled(notes), reads.filled(read), step_scope.filled(None):
                    value = self._value(call)
                return value, *_encoded(value, call)
            finally:
                for node in read:
                    self._log.add_input(node)

        def failed(error: Exception, pause_s: float) -> None:
            nonlocal record
            seconds = time.perf_counter() - started - sum(one.seconds + one.pause_s for one in attempts)
            attempts.append(
                StepAttempt(error=provenance.run_error(error, step=call.name), seconds=seconds, pause_s=pause_s)
            )
            record = replace(record, attempts=tuple(attempts))
            self._note(record)
            self._workspace.say(f"{record.name}: attempt {len(attempts)} failed: {attempts[-1].told}")

        try:
            value, encoded, refusal = attempted(call.limits, attempt, failed, self._pause)
        except BaseException as error:
            self._note_failure(record, error, read, started)
            self._blame(call, error)
            raise
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

    def _value(self, call: StepCall) -> Any:
        """What one attempt of a call comes to."""
        if call.function is None:
            return cache.settled(call.compute())
        if self.remote is not None:
            value = self.remote(call, self._log)
        elif call.limits.timeout_s is not None:
            with self._lock:
                self._apart = self._apart or Apart(self._log)
            value = self._apart(call)
        else:
            value = cache.settled(call.compute())
        check_type(call.function, value)
        return value

    def _pause(self, seconds: float) -> bool:
        """Wait before another attempt; returns False when the run was ended meanwhile."""
        with self._scheduler.aside():
            return not self._over.wait(seconds)

    def _finish(self, record: StepRun) -> None:
        if not self._log.is_repeat:
            for artifact in record.outputs:
                self._log.add_link(self._log.node, f"artifact:{artifact.digest}", "output")
        self._note(record)
        if record.key and self._use_cache:
            self._log.write(lambda tx: cache.remember(tx, record.project, record.key, record.id))
        else:
            self._log.write()
        self._workspace.say(f"{record.name}: {record.seconds:.1f} s ({record.reason})")

    def _note_failure(self, record: StepRun, error: BaseException, read: list[str], started: float) -> None:
        told = provenance.run_error(error, step=record.name)
        seconds = time.perf_counter() - started
        if is_end(error, self._log):
            reason = f"{record.reason}; it ended early"
            self._note(replace(record, state="finished", reason=reason, reads=tuple(read), seconds=seconds, key=""))
            return
        self._note(replace(record, state="failed", error=told, reads=tuple(read), seconds=seconds, key=""))

    def _blame(self, call: StepCall, error: BaseException) -> None:
        """Tell the user's failure from Slipway's: only the first becomes a `StepFailed`."""
        if is_end(error, self._log):
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


@dataclass(frozen=True, slots=True)
class _Turn:
    """A call's place in its run.

    Args:
        position: Among all calls, from 1.
        occurrence: Among the calls of its step, from 0.
    """

    position: int
    occurrence: int


def _words(reason: BaseException) -> str:
    if isinstance(reason, StepFailed):
        return f"the step {reason.step!r} had failed"
    return f"the run was ended by {type(reason).__name__}"


def _encoded(value: Any, call: StepCall) -> tuple[Encoded, str]:
    try:
        return cache.encode(value, call.returns), ""
    except InvalidInput as problem:
        if call.returns:
            raise
        return Encoded(()), f"its result is not stored: {problem.what}"
