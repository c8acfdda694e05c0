"""Takes the step calls of one run: each is found again or computed, alone or beside others, and recorded."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, TypeGuard

from msgspec.structs import replace

from slipway.errors import BackendError, RunStopped, SlipwayError, StepFailed
from slipway.ledger import artifacts, provenance, run_log
from slipway.ledger.artifacts import Encoded
from slipway.ledger.run_log import RunLog
from slipway.ledger.run_repeat import repeat
from slipway.ledger.step_output import KeptOutput, output_folder, store_output, to_output
from slipway.ledger.step_scope import Given, MakeCall, StepCall, step_scope
from slipway.pipelines import cache, futures, keys, reasons
from slipway.pipelines.attempts import attempted, check_type
from slipway.pipelines.beside import Keeper
from slipway.pipelines.cache import Hit, Miss
from slipway.pipelines.futures import StepFuture
from slipway.pipelines.hidden.present import place_of
from slipway.pipelines.hidden.recorder import Recorder, recording
from slipway.pipelines.keys import StepKey
from slipway.pipelines.placing import Place, Room
from slipway.pipelines.results import encoded_result, judged
from slipway.pipelines.resuming import Resumed
from slipway.pipelines.scheduling import Scheduler, Task
from slipway.pipelines.single_flight import SingleFlight
from slipway.pipelines.step_log import listening
from slipway.records.runs import Artifact, StepAttempt, StepOutput, StepRun
from slipway.tables.versions import reads

__all__ = ["Scope", "is_end"]


def is_end(error: BaseException, log: RunLog) -> TypeGuard[RunStopped]:
    """Whether it says that a watch of this run ended it."""
    return isinstance(error, RunStopped) and error.run_id == log.id


class Scope:
    """Takes the step calls of one run inside a `with` block. Safe for threads that carry the context along.

    Args:
        log: The run.
        place: Computes a call, in this process or elsewhere.
        room: How many submitted steps run at one time, and what they may take together.
        use_cache: Whether stored results may stand in for steps, and this run's for later ones.
        resumed: The steps of the runs that this one resumes, the newest run first.
        progress: Is told of each step's record as it changes, and what to call the call, by any thread.
        earlier: The calls that this run's are compared with; None for those of the pipeline's last run.
        beside: Runs other steps on this machine: what all need together is kept to.
        closures: The closures of code that are stored already, by their hashes; runs of one search share them.
        is_trial: Whether the run is a trial, which as a rule ends with its only step: what that came to is written with
            the run's end, within a second or before the next step, whichever is first. Until then its key is held.
    """

    def __init__(
        self,
        log: RunLog,
        place: Place,
        room: Room,
        use_cache: bool = True,
        *,
        resumed: Iterable[Iterable[StepRun]] = (),
        progress: Callable[[StepRun, str], None] | None = None,
        earlier: reasons.Earlier | None = None,
        beside: Scheduler | None = None,
        closures: dict[tuple[str, ...], str] | None = None,
        is_trial: bool = False,
    ) -> None:
        self._log = log
        self.use_cache = use_cache
        self._workspace = log.workspace
        self.place = place
        self._earlier = earlier or reasons.Earlier(log.workspace, log.run)
        self._resumed = Resumed(log.workspace, resumed)
        self._progress = progress
        self._positions = itertools.count(1)
        self._occurrences: Counter[str] = Counter()
        self._closures = {} if closures is None else closures
        self._is_trial = is_trial
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.scheduler = Scheduler(*room, beside)
        self.keeper = Keeper(self._workspace, bool(log.run.code.snapshot))
        self._flights = SingleFlight(log.workspace.root / "step-locks", self._over)
        self._untold: list[BaseException] = []
        self._running: dict[str, StepRun] = {}
        self._parts: dict[str, str] = {}  # of the calls of a `map`: what to call them
        self._listening = listening()
        self.last: tuple[Any, tuple[Artifact, ...]] = (None, ())

    def __enter__(self) -> Scope:
        self._listening.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self.stop(error)
        try:
            self.scheduler.drain()
        except BaseException as impatient:  # asked a second time to end
            for record in self._running.copy().values():
                self._note(replace(record, state="failed", key="", error=provenance.run_error(impatient)))
            raise
        finally:
            self._over.set()
            self.scheduler.close()
            self._listening.__exit__(None, None, None)
        if error is None and self._untold:
            raise self._untold[0]

    def __call__(self, call: StepCall) -> object:
        """See `StepScope.__call__`."""
        return self.call(call.name, lambda given: call, ((), {}))

    def call(self, name: str, make: MakeCall, given: Given) -> object:
        """See `StepScope.call`."""
        self.refuse_stopped()
        turn = self._turn(name)
        call = make(futures.values(given) if futures.pending(given) else given)
        self.scheduler.check(name, call.limits)
        with self.scheduler.held(call.limits):
            return self._run(call, turn, may_wait=self._is_trial)

    def submit(self, name: str, make: MakeCall, given: Given) -> Future[Any]:
        """See `StepScope.submit`."""
        after = futures.pending(given)
        call = make(given)  # what does not fit the step's parameters is said here
        self.refuse_stopped()
        turn = self._turn(name)
        if call.part:
            self._parts[self._record(name, turn).id] = call.shown

        def work() -> object:
            try:
                return self._run(make(futures.values(given)) if after else call, turn)
            except BaseException as error:
                self.stop(error)
                raise

        def pass_over(reason: BaseException) -> None:
            words = f"it did not begin, because {_words(reason)}"
            self._note(replace(self._record(name, turn), state="cancelled", reason=words))

        future: StepFuture[Any] = StepFuture(name, self._waiting)
        if after or not self.scheduler.has_room:
            self._note(replace(self._record(name, turn), state="waiting"))
        self.scheduler.submit(
            Task(turn.position, call.limits, work=work, future=future, after=after, passed_over=pass_over)
        )
        return future

    @contextmanager
    def _waiting(self, future: StepFuture[Any]) -> Iterator[None]:
        try:
            with self.scheduler.waiting(future):
                yield
        finally:
            if self._untold and future.done():
                told = Future.exception(future)
                self._untold = [error for error in self._untold if error is not told]

    def stop(self, error: BaseException) -> None:
        """Let no further step begin, because one failed or the run was ended."""
        with self._lock:
            if all(error is not other for other in self._untold):
                self._untold.append(error)
        self._over.set()
        self.scheduler.stop(error)

    def refuse_stopped(self) -> None:
        """Raise the failure that the pipeline does not know yet; one that it caught lets it go on."""
        if self._untold:
            raise self._untold.pop(0)
        if self.scheduler.stopped is not None:
            self._over.clear()
            self.scheduler.go_on()

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
            occurrence=turn.occurrence,
        )

    def _note(self, record: StepRun) -> None:
        """Keep a step's record as it stands now."""
        if record.state == "running":
            self._running[record.id] = record
        else:
            self._running.pop(record.id, None)
        self._log.later(record)
        if self._progress is not None:
            self._progress(record, self._called(record))

    def _called(self, record: StepRun) -> str:
        return self._parts.get(record.id, record.name)

    def _run(self, call: StepCall, turn: _Turn, *, may_wait: bool = False) -> object:
        started = time.perf_counter()
        if self._log.is_waiting:
            self._log.write()  # lest it waits for a key that this run holds itself
        present = keys.of_call(call)
        record = replace(
            self._record(call.name, turn),
            key=present.key,
            inputs=present.inputs,
            refusal=present.refusal,
            started_at=datetime.now(UTC),
            tolerance=call.tolerance,
        )
        found = self._find(present, call, turn)
        if isinstance(found, Hit):
            return self._take(call, found, record, started)
        with ExitStack() as held:
            key = present.key if self.use_cache else ""
            if not held.enter_context(self._flights.alone(key, self.scheduler.aside())):
                self.refuse_stopped()
            if present.key and self.use_cache and self._is_there(present.key):
                found = self._find(present, call, turn)
            if isinstance(found, Hit):
                return self._take(call, found, record, started)
            reason = self._why(call, present, found, turn.occurrence)
            return self._compute(call, present, reason, record, started, held if may_wait else None)

    def _find(self, present: StepKey, call: StepCall, turn: _Turn) -> Hit | Miss:
        if not self.use_cache:
            return Miss("the run takes no stored results")
        found: Hit | Miss = cache.find(self._workspace, present.key, place_of(call.code)) if present.key else Miss()
        if isinstance(found, Miss) and not found.reason:
            return self._resumed.find(call, present, turn.occurrence) or found
        return found

    def _is_there(self, key: str) -> bool:
        with self._workspace.ledger.read() as tx:
            return cache.is_kept(tx, self._workspace.project, key)

    def _take(self, call: StepCall, hit: Hit, record: StepRun, started: float) -> object:
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
                hidden=self.keeper.kept(call.code, source.hidden),
                output=source.output,
                seconds=time.perf_counter() - started,
            )
        )
        if source.notes is not None:
            repeat(self._log, source.notes, source.parent_id)
        self.last = (hit.value, source.outputs)
        self._workspace.say(f"{self._called(record)}: taken from run {source.parent_id[:12]}")
        return hit.value

    def _why(self, call: StepCall, present: StepKey, miss: Miss, occurrence: int) -> str:
        if present.refusal:
            return f"not cached: {present.refusal}"
        earlier = self._earlier.call(call.name, occurrence)
        closures = self._earlier.closures(earlier.closure) if earlier is not None else ()
        return miss.reason or reasons.difference(earlier, closures, present, place_of(call.code))

    def _compute(
        self, call: StepCall, present: StepKey, reason: str, record: StepRun, started: float, held: ExitStack | None
    ) -> object:
        record = replace(record, reason=reason, closure=self._keep_closures(present))
        kept = KeptOutput(output_folder(self._workspace, record.id))
        work = _Work(call, record, started, run_log.Notes(self._log.id), kept)
        self._note(record)
        try:
            value, encoded, refusal, hidden = attempted(
                call.limits, partial(self._attempt, work), partial(self._failed_attempt, work), self._pause
            )
        except BaseException as error:
            self._note_failure(work, error)
            self._blame(call, error)
            raise
        seen, more, refusal = judged(call, present, encoded, refusal, hidden)
        try:
            outputs = artifacts.store(self._workspace.blobs, encoded)
        except SlipwayError as error:  # the step did its work; the store did not: no `StepFailed`
            error.what = f"The result of the step {call.name!r} could not be stored: {error.what}"
            error.args = (error.what,)
            self._note_failure(work, error)
            raise
        self._finish(
            replace(
                work.record,
                state="finished",
                key="" if refusal else record.key,
                reason=reason + more,
                outputs=outputs,
                seconds=time.perf_counter() - started,
                reads=tuple(work.read),
                notes=work.notes.taken(),
                output=self._output(work),
                hidden=self.keeper.kept(call.code, seen),
                refusal=refusal or record.refusal,
            ),
            work,
            held,
        )
        self.last = (value, encoded.artifacts)
        return value

    def _attempt(self, work: _Work) -> tuple[Any, Encoded, str, Recorder]:
        work.notes.clear()
        work.read.clear()
        try:
            with (
                recording(work.call.code, work.call.allow) as hidden,
                run_log.notes.filled(work.notes),
                reads.filled(work.read),
                step_scope.filled(None),
                to_output.filled(work.kept),
            ):
                work.hidden = hidden
                value = self._value(work.call)
            return value, *encoded_result(value, work.call), hidden
        finally:
            for node in work.read:
                self._log.add_input(node)

    def _failed_attempt(self, work: _Work, error: Exception, pause_s: float) -> None:
        before = work.record.attempts
        seconds = time.perf_counter() - work.started - sum(one.seconds + one.pause_s for one in before)
        told = StepAttempt(error=provenance.run_error(error, step=work.call.name), seconds=seconds, pause_s=pause_s)
        work.record = replace(work.record, attempts=(*before, told))
        self._note(work.record)
        self._workspace.say(f"{work.call.shown}: attempt {len(before) + 1} failed: {told.told}")
        work.kept.write(f"[attempt {len(before) + 1} failed: {told.told}]\n")

    def _output(self, work: _Work) -> StepOutput | None:
        """Keep what the step printed, now that it has ended."""
        if work.kept.is_empty:
            return None
        try:
            work.kept.close()
            return store_output(self._workspace.blobs, output_folder(self._workspace, work.record.id))
        except SlipwayError as problem:  # what the step did matters more than what it printed
            self._workspace.say(f"{work.call.shown}: what it printed could not be kept: {problem}")
            return None

    def _value(self, call: StepCall) -> Any:
        """What one attempt of a call comes to."""
        value = self.place(call, self._log)
        if call.function is not None:
            check_type(call.function, value)
        return value

    def _pause(self, seconds: float) -> bool:
        """Wait before another attempt; returns False when the run was ended meanwhile."""
        with self.scheduler.aside():
            return not self._over.wait(seconds)

    def _finish(self, record: StepRun, work: _Work, held: ExitStack | None) -> None:
        if not self._log.is_repeat:
            for artifact in record.outputs:
                self._log.add_link(self._log.node, f"artifact:{artifact.digest}", "output")
        self._note(record)
        if record.key and self.use_cache and held is not None:
            self._log.write_soon(lambda tx: cache.remember(tx, record), held.pop_all().close)
        elif record.key and self.use_cache:
            self._log.write(lambda tx: cache.remember(tx, record))
        else:
            self._log.write()
        work.kept.remove()
        self._workspace.say(f"{self._called(record)}: {record.seconds:.1f} s ({record.reason})")

    def _note_failure(self, work: _Work, error: BaseException) -> None:
        told = provenance.run_error(error, step=work.call.name)
        record = replace(
            work.record,
            key="",
            reads=tuple(work.read),
            hidden=() if work.hidden is None else self.keeper.kept(work.call.code, work.hidden.taken()[0]),
            seconds=time.perf_counter() - work.started,
            output=self._output(work),
        )
        if is_end(error, self._log):
            self._note(replace(record, state="finished", reason=f"{record.reason}; it ended early"))
        else:
            self._note(replace(record, state="failed", error=told))
        work.kept.remove()

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


@dataclass(slots=True)
class _Work:
    """A call that is computed.

    Args:
        call: The call.
        record: Its record as it stands.
        started: When it began, by the performance counter.
        notes: What its present attempt logs.
        kept: What it prints.
        read: The table versions that its present attempt read.
        hidden: What else its present attempt reads.
    """

    call: StepCall
    record: StepRun
    started: float
    notes: run_log.Notes
    kept: KeptOutput
    read: list[str] = field(default_factory=list)
    hidden: Recorder | None = None


def _words(reason: BaseException) -> str:
    if isinstance(reason, StepFailed):
        return f"the step {reason.step!r} had failed"
    return f"the run was ended by {'Ctrl-C' if isinstance(reason, KeyboardInterrupt) else type(reason).__name__}"
