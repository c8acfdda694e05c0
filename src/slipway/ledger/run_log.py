"""The writer of one run's record: what is logged is buffered and written in batches, nothing is lost on the way out."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from slipway.context import Slot
from slipway.errors import BackendError, Conflict
from slipway.ids import new_run_id
from slipway.ledger import entries, events, lineage, provenance
from slipway.ledger.run_rules import check_key, check_step, metric_value, set_params, set_tags
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.record import Record
from slipway.records.runs import Artifact, CodeVersion, MetricPoint, Run, RunError, StepNotes

__all__ = ["REPRODUCES", "Notes", "RunLog", "current_run", "notes", "start"]

REPRODUCES = "slipway.reproduces"
"""The tag of a run that repeats another one to compare with it: the other one's id."""

_WAKE_POINTS = 1000
_BLOCK_POINTS = 50_000
_INTERVAL_S = 1.0


class RunLog:
    """One run that is under way. Safe for threads.

    A call costs microseconds: it checks and keeps what it was given. A background thread writes what is kept at least
    once a second; `write` and `finish` write at once.

    Args:
        workspace: Where it is recorded.
        run: The record, already in the ledger.
    """

    def __init__(self, workspace: Workspace, run: Run) -> None:
        self.workspace = workspace
        self.id = run.id
        self._run = run
        self._is_changed = False
        self._points: list[MetricPoint] = []
        self._later: dict[tuple[type[Record], str], Record] = {}
        self._links: list[tuple[str, str, str]] = []
        self._at_end: list[Callable[[WriteTransaction], None]] = []
        self._lock = threading.Lock()
        self._writing = threading.RLock()
        self._is_finished = False

    @property
    def run(self) -> Run:
        """The record as it stands, written or not."""
        return self._run

    @property
    def is_repeat(self) -> bool:
        """Whether it repeats another run to compare with it.

        What it makes is not linked as its output: it would stand in the lineage of everything that was built on the
        equal results of the first.
        """
        return REPRODUCES in self._run.tags

    @property
    def node(self) -> str:
        """The run as a node of the lineage."""
        return f"run:{self.id}"

    def log_params(self, params: Mapping[str, object]) -> None:
        """Keep parameters; each is written once.

        Raises:
            Conflict: A parameter has another value already.
            InvalidInput: A key or value does not fit.
        """
        with self._lock:
            self._change(self._run, params=set_params(self._run.params, params))
        if (kept := self._noting()) is not None:
            kept.params |= {key: self._run.params[key] for key in params}

    def log_metric(self, key: str, value: object, step: int = 0) -> None:
        """Keep one point of a metric at the present business time.

        Raises:
            InvalidInput: The key does not fit, or the value is not a number.
        """
        check_step(key, step)
        point = MetricPoint(
            check_key(key, "metric"), metric_value(key, value), step, entries.microseconds(self.workspace.clock.now())
        )
        with self._lock:
            self._refuse_finished()
            self._points.append(point)
            waiting = len(self._points)
        if (kept := self._noting()) is not None:
            kept.metrics.append(point)
        if waiting == 1:
            _flusher.notice(self)
        elif waiting == _WAKE_POINTS:
            _flusher.wake()
        elif waiting >= _BLOCK_POINTS:
            self.write()

    def set_tags(self, tags: Mapping[str, object]) -> None:
        """Set tags; a later value replaces an earlier one.

        Raises:
            InvalidInput: A key or value does not fit.
        """
        with self._lock:
            self._change(self._run, tags=set_tags(self._run.tags, tags))
        if (kept := self._noting()) is not None:
            kept.tags |= {key: self._run.tags[key] for key in tags}

    def add_artifact(self, artifact: Artifact) -> None:
        """Keep an artifact under its name; one of the same name is replaced."""
        with self._lock:
            others = tuple(other for other in self._run.artifacts if other.name != artifact.name)
            self._change(self._run, artifacts=(*others, artifact))
            if not self.is_repeat:
                self._links.append((self.node, f"artifact:{artifact.digest}", "output"))
        if (kept := self._noting()) is not None:
            kept.artifacts.append(artifact)

    def repeat(self, logged: StepNotes) -> None:
        """Log again what a step logged when it ran, at the present business time."""
        self.log_params(logged.params)
        self.set_tags(logged.tags)
        for point in logged.metrics:
            self.log_metric(point.key, point.value, point.step)
        for artifact in logged.artifacts:
            self.add_artifact(artifact)

    def add_input(self, node: str, role: str = "input") -> None:
        """Keep what the run read, as a node of the lineage: "table:flights/flights@<version>"."""
        with self._lock:
            if node not in self._run.inputs:
                self._change(self._run, inputs=(*self._run.inputs, node))
                self._links.append((node, self.node, role))

    def add_link(self, source: str, target: str, role: str) -> None:
        """Keep another arrow of the lineage for the next write."""
        with self._lock:
            self._refuse_finished()
            self._links.append((source, target, role))

    def later(self, record: Record) -> None:
        """Write a record with the next batch; of two with one id the later one counts."""
        with self._lock:
            self._refuse_finished()
            self._later[type(record), record.id] = record
        _flusher.notice(self)

    def when_finished(self, then: Callable[[WriteTransaction], None]) -> None:
        """Do something in the transaction in which the run finishes well; a run that fails does nothing of it."""
        with self._lock:
            self._refuse_finished()
            self._at_end.append(then)

    def write(self, then: Callable[[WriteTransaction], None] | None = None) -> None:
        """Write all that is kept, in one transaction; `then` adds to the same transaction.

        Raises:
            BackendError: The ledger cannot be written; what was kept stays kept.
        """
        with self._writing:
            with self._lock:
                points, self._points = self._points, []
                later, self._later = self._later, {}
                links, self._links = self._links, []
                run = self._run if self._is_changed else None
                self._is_changed = False
            if not (points or later or links or run or then):
                return
            try:
                with self.workspace.ledger.write() as tx:
                    if run is not None:
                        entries.put(tx, run)
                    for record in later.values():
                        entries.put(tx, record)
                    for source, target, role in links:
                        lineage.link(tx, source, target, role)
                    if points:
                        tx.add_points(self.id, points)
                    if then is not None:
                        then(tx)
            except BaseException:
                with self._lock:
                    self._points[:0] = points
                    self._later = later | self._later
                    self._links[:0] = links
                    self._is_changed = self._is_changed or run is not None
                raise

    def finish(self, error: BaseException | None = None) -> Run:
        """End the run and write everything.

        Args:
            error: What ended it, None when it finished well.

        Returns:
            The final record.
        """
        failure: RunError | None = None if error is None else provenance.run_error(error)
        state = "finished" if failure is None else "failed"
        with self._lock:
            self._change(self._run, state=state, ended_at=datetime.now(UTC), error=failure)
            self._is_finished = True

        def end(tx: WriteTransaction) -> None:
            for then in self._at_end if failure is None else ():
                then(tx)
            _tell(tx, self.workspace, "runs.finish", self._run)

        self.write(end)
        return self._run

    def _change(self, run: Run, **fields: object) -> None:
        self._refuse_finished()
        self._run = msgspec.structs.replace(run, **fields)
        if not self._is_changed:
            self._is_changed = True
            _flusher.notice(self)

    def _noting(self) -> Notes | None:
        kept = notes.get()
        return kept if kept is not None and kept.run_id == self.id else None

    def _refuse_finished(self) -> None:
        if self._is_finished:
            raise Conflict(
                f"The run {self.id} has ended and takes nothing more.",
                fix="Log inside its `with` block, or start another.",
            )


class Notes:
    """Gathers what is logged to one run inside a `with notes.filled(...)` block, so that it can be logged again.

    Args:
        run_id: The run.

    Attributes:
        metrics, params, tags, artifacts: As `StepNotes` has them.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.metrics: list[MetricPoint] = []
        self.params: dict[str, Any] = {}
        self.tags: dict[str, str] = {}
        self.artifacts: list[Artifact] = []

    def taken(self) -> StepNotes | None:
        """What was logged, None for nothing."""
        if not (self.metrics or self.params or self.tags or self.artifacts):
            return None
        return StepNotes(
            metrics=tuple(self.metrics), params=self.params, tags=self.tags, artifacts=tuple(self.artifacts)
        )


current_run: Slot[RunLog | None] = Slot("slipway.run")
notes: Slot[Notes | None] = Slot("slipway.notes")


def start(
    workspace: Workspace,
    *,
    name: str = "",
    experiment_id: str = "0",
    pipeline: str = "",
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    code: CodeVersion | None = None,
) -> RunLog:
    """Record that a run begins; inside another run it becomes that run's child.

    Args:
        workspace: Where it is recorded.
        name: What people call it.
        experiment_id: The experiment it belongs to, "0" for the default one.
        pipeline: The pipeline's name, "" for a plain run.
        params: Parameters known from the start.
        tags: Tags known from the start.
        code: Which code runs.

    Raises:
        InvalidInput: A parameter or tag does not fit.
    """
    outer = current_run.get()
    now = workspace.clock.now()
    run = Run(
        id=new_run_id(),
        project=workspace.project,
        name=name,
        created_at=now,
        experiment_id=experiment_id,
        actor=workspace.actor,
        started_at=datetime.now(UTC),
        parent_id="" if outer is None else outer.id,
        pipeline=pipeline,
        params=set_params({}, params or {}),
        tags=set_tags({}, tags or {}),
        code=code or CodeVersion(),
        environment=provenance.environment(),
        host=provenance.host(),
    )
    with workspace.ledger.write() as tx:
        entries.put(tx, run, expect=0)
        _tell(tx, workspace, "runs.start", run)
    return RunLog(workspace, run)


def _tell(tx: WriteTransaction, workspace: Workspace, verb: str, run: Run) -> None:
    events.record(tx, workspace, verb, f"run:{run.id}", name=run.name, pipeline=run.pipeline, state=run.state)


class _Flusher:
    """One background thread a process; it writes what open runs keep, and ends when nothing was kept for a while."""

    def __init__(self) -> None:
        self._runs: weakref.WeakSet[RunLog] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._thread: threading.Thread | None = None

    def notice(self, run: RunLog) -> None:
        """A run keeps something: write it within a second."""
        with self._lock:
            self._runs.add(run)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="slipway-runs", daemon=True)
                self._thread.start()

    def wake(self) -> None:
        """Write now."""
        self._woken.set()

    def _work(self) -> None:
        idle = 0
        while idle < 10:
            self._woken.wait(_INTERVAL_S)
            self._woken.clear()
            with self._lock:
                runs = list(self._runs)
                self._runs.clear()
                idle = 0 if runs else idle + 1
                if idle >= 10:
                    self._thread = None
            for run in runs:
                try:
                    run.write()
                except BackendError as problem:
                    # Kept, and written with the next batch; `finish` raises when it still fails.
                    run.workspace.say(f"The run {run.id} could not be written yet: {problem}")
                    with self._lock:
                        self._runs.add(run)


_flusher = _Flusher()
