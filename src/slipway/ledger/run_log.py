"""The writer of one run's record: what is logged is in a file when the call returns, and in the ledger a second later."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from slipway.context import Slot
from slipway.errors import Conflict, NotFound, SlipwayError
from slipway.ids import new_run_id
from slipway.ledger import entries, locks, provenance
from slipway.ledger.run_absorb import REPRODUCES, absorb, applied, node_of
from slipway.ledger.run_file import RunFile, framed
from slipway.ledger.run_flusher import Flusher
from slipway.ledger.run_moving import files_of, is_gone, move, remove
from slipway.ledger.run_notes import WATCHED, Listener, Notes, notes, spot, tell, watched_of
from slipway.ledger.run_rules import check_key, check_step, metric_value, set_params, set_tags
from slipway.ledger.run_waiting import Waiting
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.run_entries import (
    ArtifactKept,
    Begun,
    CodeSaid,
    DatasetUsed,
    Finished,
    Found,
    InputRead,
    LinkMade,
    ParamSet,
    Point,
    Resumed,
    RunEntry,
    RunFact,
    StepKept,
    TagSet,
)
from slipway.records.runs import (
    Artifact,
    CodeVersion,
    Dataset,
    MetricPoint,
    Run,
    RunError,
    RunFinding,
    StepRun,
)

__all__ = ["REPRODUCES", "Notes", "RunLog", "current_run", "notes", "resume", "start"]

_TURN_BYTES = 64 << 20


class RunLog:
    """One run that is under way. Safe for threads.

    A call costs microseconds: it checks what it was given and appends it to the run's file, which survives kill -9. A
    background thread brings what is there to the ledger (or to the server that keeps the runs) at least once a second;
    `write` and `finish` do it at once. What a process left behind is taken in by the next one that opens the store.

    A process that is forked off, a data loader's worker, logs into a file of its own; that is taken in when the process
    has ended. It never touches the ledger, nor ends the run.

    Args:
        workspace: Where it is recorded.
        run: The record as it stands.
        file: The run's file.
        is_forked: Whether this process only logs, as one that was forked off does.

    Attributes:
        listeners: Whoever looks at each point after it was kept, until the run ends.
    """

    def __init__(self, workspace: Workspace, run: Run, file: RunFile, *, is_forked: bool = False) -> None:
        self.workspace = workspace
        self.id = run.id
        self._run = run  # without what `_artifacts` has
        self._artifacts = {one.name: one for one in run.artifacts}
        self._file, self._done = file, 0
        self._process = os.getpid()
        self._owner = 0 if is_forked else self._process
        self._keys: set[str] = set()
        self._lock, self._writing = threading.Lock(), threading.RLock()
        self._at_end: list[Callable[[WriteTransaction], None]] = []
        self._waiting = Waiting()
        self._is_noticed = self._is_finished = self._is_closed = self._is_gone = False
        self.listeners: list[Listener] = []
        self.feature_names: dict[str, tuple[str, ...]] = {}  # by set; steps in other processes cannot look them up
        _flusher.known.add(self)

    @property
    def run(self) -> Run:
        """The record as it stands, written or not."""
        with self._lock:
            return replace(self._run, artifacts=tuple(self._artifacts.values()))

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
        return node_of(self.id)

    def log_params(self, params: Mapping[str, object], *, within: Notes | None = None) -> None:
        """Keep parameters; each is written once.

        Args:
            params: Values by name.
            within: The step that logs, where the present context does not say it: another thread's.

        Raises:
            Conflict: A parameter has another value already.
            InvalidInput: A key or value does not fit.
        """
        with self._lock:
            after = set_params(self._run.params, params)
            self._keep(*(ParamSet(key, after[key]) for key in params if key not in self._run.params))
        if (kept := self._noting(within)) is not None:
            kept.params |= {key: self._run.params[key] for key in params}

    def log_metric(self, key: str, value: object, step: int = 0, *, within: Notes | None = None) -> None:
        """Keep one point of a metric at the present business time.

        Raises:
            InvalidInput: The key does not fit, or the value is not a number.
            RunStopped: Whoever watches the metric says that going on is no use; the point is kept.
        """
        if type(step) is not int or not -(2**62) <= step < 2**62:
            check_step(key, step)
        if type(key) is not str or key not in self._keys:
            self._keys.add(check_key(key, "metric"))
        at_us = entries.microseconds(self.workspace.clock.now())
        self.add_point(MetricPoint(key, metric_value(key, value), step, at_us), within=within)

    def add_point(self, point: MetricPoint, *, within: Notes | None = None) -> None:
        """Keep a point that was checked; see `log_metric`."""
        frame = framed(Point(point.key, point.value, point.step, point.at_us))
        with self._lock:
            self._append(frame)
        if (kept := self._noting(within)) is not None:
            kept.metrics.append(point)
        if self.listeners or (kept is not None and kept.listeners):
            tell([*self.listeners, *(kept.listeners if kept is not None else ())], [point])

    def set_tags(self, tags: Mapping[str, object], *, within: Notes | None = None) -> None:
        """Set tags; a later value replaces an earlier one.

        Raises:
            InvalidInput: A key or value does not fit.
        """
        with self._lock:
            after = set_tags(self._run.tags, tags)
            self._keep(*(TagSet(key, after[key]) for key in tags))
        if (kept := self._noting(within)) is not None:
            kept.tags |= {key: self._run.tags[key] for key in tags}

    def add_watched(self, keys: Iterable[str], *, within: Notes | None = None) -> None:
        """Say in the record which metrics are watched; what others watch stays."""
        with self._lock:
            known = watched_of(self._run)
            if fresh := [key for key in dict.fromkeys(keys) if key not in known]:
                self._keep(TagSet(WATCHED, set_tags({}, {WATCHED: ", ".join([*known, *fresh])})[WATCHED]))
        if (kept := self._noting(within)) is not None:
            kept.watched += keys

    def add_artifact(self, artifact: Artifact, *, within: Notes | None = None) -> None:
        """Keep an artifact under its name; one of the same name is replaced."""
        with self._lock:
            self._keep(ArtifactKept(artifact))
        if (kept := self._noting(within)) is not None:
            kept.artifacts.append(artifact)

    def add_points(self, points: Sequence[MetricPoint]) -> None:
        """The same for several at once, which no step of this run logged itself."""
        with self._lock:
            self._append(b"".join(framed(Point(one.key, one.value, one.step, one.at_us)) for one in points))
        tell(self.listeners, points)

    def add_input(self, node: str, role: str = "input", *, within: Notes | None = None) -> None:
        """Keep what the run read, as a node of the lineage: "table:flights/flights@<version>"."""
        with self._lock:
            if node not in self._run.inputs:
                self._keep(InputRead(node, role))
        if (kept := self._noting(within)) is not None:
            kept.inputs.append((node, role))

    def add_dataset(self, dataset: Dataset, *, within: Notes | None = None) -> None:
        """Keep which data the run used; the same twice counts once."""
        with self._lock:
            if dataset not in self._run.datasets:
                self._keep(DatasetUsed(dataset))
        if (kept := self._noting(within)) is not None:
            kept.datasets.append(dataset)

    def add_finding(self, finding: RunFinding, *, within: Notes | None = None) -> None:
        """Keep what was noticed about the run; the same of the same point counts once."""
        with self._lock:
            if all(spot(finding) != spot(other) for other in self._run.findings):
                self._keep(Found(finding))
        if (kept := self._noting(within)) is not None:
            kept.findings.append(finding)

    def add_link(self, source: str, target: str, role: str) -> None:
        """Keep another arrow of the lineage."""
        with self._lock:
            self._keep(LinkMade(source, target, role))

    def later(self, record: StepRun | RunFact) -> None:
        """Write a step's record, or a fact about the whole run, with the next batch; of two with one id the later one counts."""
        with self._lock:
            self._keep(StepKept(record) if isinstance(record, StepRun) else record)

    def set_code(self, code: CodeVersion) -> None:
        """Say which code runs."""
        with self._lock:
            self._keep(CodeSaid(code))

    def when_finished(self, then: Callable[[WriteTransaction], None]) -> None:
        """Do something in the transaction in which the run finishes well; a run that fails does nothing of it."""
        with self._lock:
            self._refuse_finished()
            self._at_end.append(then)

    def write_soon(self, then: Callable[[WriteTransaction], None], over: Callable[[], None]) -> None:
        """Do something in the transaction that brings what is kept to the ledger: in a second, or when the run ends.

        `over` is called once it is committed, by whichever thread did it.
        """
        with self._writing:
            self._waiting.work.append(then)
            self._waiting.over.append(over)

    @property
    def is_waiting(self) -> bool:
        """Whether `write_soon` was asked for something that is not in the ledger yet."""
        return bool(self._waiting.work)

    def write(self, then: Callable[[WriteTransaction], None] | None = None) -> None:
        """Bring all that is kept to the ledger now, or to the server; `then` adds to the last transaction.

        Raises:
            BackendError: The ledger or server cannot be written; what was kept stays kept.
        """
        if os.getpid() != self._owner:
            return
        with self._writing:
            if self._is_closed:
                return
            with self._lock:
                self._is_noticed = False
            waiting = len(self._waiting.work)
            try:
                self._done = move(self.workspace, self._file, self._done, then=self._waiting.joined(then))
            except BaseException as problem:
                if isinstance(problem, NotFound) and then is None and is_gone(self.workspace, self.id):
                    self._drop()
                    return
                self._notice()
                raise
            self._waiting.committed(waiting)
            full = None
            with self._lock:
                if self._file.size == self._done > _TURN_BYTES:
                    full = self._file
                    self._turn_over()
            if full is not None:
                remove(self.workspace, full)

    def finish(self, error: BaseException | None = None, *, ended_early: str = "") -> Run:
        """End the run and write everything.

        With a server that does not answer, what is not written yet stays in the run's file, and is sent later.

        Args:
            error: What ended it, None when it finished well.
            ended_early: Why it finished before its script's end, "" where it did not.

        Returns:
            The final record.
        """
        if os.getpid() != self._owner:
            return self.run
        failure: RunError | None = None if error is None else provenance.run_error(error)
        state = "finished" if failure is None else "failed"
        for path in RunFile.all_in(files_of(self.workspace), self.id):  # what processes that were forked off left
            if path != self._file.path and (left := RunFile.left(path)) is not None:
                self._take_over(left)
        end = Finished(state, datetime.now(UTC), failure, provenance.storable(ended_early))
        if self._at_end and failure is None:
            self._end_with(end)
        with self._lock:
            if not self._is_finished:
                self._keep(end)
                self._is_finished = True
        with self._writing:
            try:
                self.write()
            except SlipwayError as problem:
                if self.workspace.run_server is None:
                    raise
                self.workspace.say(f"The run {self.id} is kept here until it can be sent: {problem}")
                self._file.close()
            else:
                if not self._is_gone:
                    remove(self.workspace, self._file)
            self._is_closed = True
        return self.run

    def _end_with(self, end: Finished) -> None:
        """End in one transaction with what was asked for: not by way of the file, of which a kill would leave a half."""

        def then(tx: WriteTransaction) -> None:
            for work in self._at_end:
                work(tx)

        with self._writing, self._lock:  # what another thread logs now would stand where the end is counted
            self._refuse_finished()
            self._done = move(self.workspace, self._file, self._done)
            self._done = absorb(self.workspace, self.id, self._file.writer, self._done, framed(end), then=then)
            self._run, self._is_finished = applied(self._run, end), True

    def _take_over(self, left: RunFile) -> None:
        try:
            left.cut_torn_tail()
            move(self.workspace, left, 0)
        except SlipwayError as problem:  # it stays, and is tried again when the store is opened next
            self.workspace.say(f"A part of the run {self.id} is not written yet: {problem}")
            left.close()
        else:
            remove(self.workspace, left)

    def _drop(self) -> None:
        """The run was deleted for good while it was logged to: the training goes on, and nothing more is kept."""
        with self._lock:
            self._is_gone = self._is_closed = True
        self._file.remove()
        self._waiting.committed(len(self._waiting.over))
        self.workspace.say(f"The run {self.id} was deleted for good: what it logs is not kept any more.")

    def _keep(self, *told: RunEntry) -> None:
        """Append entries and change the record by them. The lock is held."""
        self._refuse_finished()
        if not told:
            return
        run = self._run
        for entry in told:
            run = applied(run, entry)
        self._append(b"".join(map(framed, told)))
        self._run = run
        for entry in told:
            if isinstance(entry, ArtifactKept):
                self._artifacts.pop(entry.artifact.name, None)  # one that replaces another comes last
                self._artifacts[entry.artifact.name] = entry.artifact

    def _append(self, frames: bytes) -> None:
        if self._is_finished:
            self._refuse_finished()
        if self._is_gone:
            return
        if os.getpid() != self._process:
            self._turn_over()
        self._file.append(frames)
        if not self._is_noticed:
            self._notice()

    def _turn_over(self) -> None:
        """Go on in another file."""
        self._process = os.getpid()
        folder, is_forked = files_of(self.workspace), self._process != self._owner
        self._file = RunFile.begun(folder, self._run.project, self.id, is_forked=is_forked)
        self._done = 0

    def _notice(self) -> None:
        self._is_noticed = True
        if self._process == self._owner:
            _flusher.notice(self)

    def forked(self) -> None:
        """In a process that was just forked off: whoever held a lock is not here."""
        self._lock, self._writing = threading.Lock(), threading.RLock()

    def _noting(self, within: Notes | None) -> Notes | None:
        kept = within or notes.get()
        return kept if kept is not None and kept.run_id == self.id else None

    def _refuse_finished(self) -> None:
        if self._is_finished:
            raise Conflict(
                f"The run {self.id} has ended and takes nothing more.",
                fix="Log inside its `with` block, or start another.",
            )


current_run: Slot[RunLog | None] = Slot("slipway.run")


def start(
    workspace: Workspace,
    *,
    name: str = "",
    experiment_id: str = "0",
    experiment: str = "",
    parent_id: str = "",
    pipeline: str = "",
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    code: CodeVersion | None = None,
    tolerance: float | None = None,
    is_one_of_many: bool = False,
) -> RunLog:
    """Record that a run begins; inside another run it becomes that run's child.

    Args:
        workspace: Where it is recorded.
        name: What people call it.
        experiment_id: The experiment it belongs to, "0" for the default one.
        experiment: The experiment's name where its id is not known here.
        parent_id: The run whose child it is; "" for the one inside which it starts.
        pipeline: The pipeline's name, "" for a plain run.
        params: Parameters known from the start.
        tags: Tags known from the start.
        code: Which code runs.
        tolerance: See `Run`.
        is_one_of_many: Whether the ledger shall know it with the first that it brings there, within a second, and not
            in a transaction of its own: in its file it is at once.

    Raises:
        InvalidInput: A parameter or tag does not fit.
    """
    outer = current_run.get()
    run = Run(
        id=new_run_id(),
        project=workspace.project,
        name=name,
        created_at=workspace.clock.now(),
        experiment_id=experiment_id,
        actor=workspace.actor,
        started_at=datetime.now(UTC),
        parent_id=parent_id or ("" if outer is None else outer.id),
        pipeline=pipeline,
        params=set_params({}, params or {}),
        tags=set_tags({}, tags or {}),
        code=code or CodeVersion(),
        environment=locks.environment(workspace),
        machine=provenance.machine(),
        host=provenance.host(),
        tolerance=tolerance,
    )
    return _opened(workspace, run, Begun(run, experiment), is_one_of_many=is_one_of_many)


def resume(workspace: Workspace, run: Run) -> RunLog:
    """Go on with a run that ended or whose process is gone.

    Args:
        workspace: Where it is recorded.
        run: Its record as it is stored.

    Raises:
        Conflict: The process that runs it is alive, or the run was deleted.
    """
    if run.deleted_at is not None:
        raise Conflict(f"The run {run.id} was deleted.", fix="Restore it first, or begin another one.")
    if run.state == "running" and not provenance.is_host_gone(run.host):
        raise Conflict(
            f"The run {run.id} is still running, in the process {run.host}.",
            why="Two processes would both be the run.",
            fix="Wait for it, or start a run inside it: sw.run(parent=...).",
        )
    entry = Resumed(provenance.host())
    return _opened(workspace, applied(run, entry), entry)


def _opened(workspace: Workspace, run: Run, entry: Begun | Resumed, *, is_one_of_many: bool = False) -> RunLog:
    file = RunFile.begun(files_of(workspace), run.project, run.id, [entry])
    log = RunLog(workspace, run, file)
    if workspace.run_server is not None or is_one_of_many:
        log._notice()
        return log
    try:
        log.write()
    except BaseException:
        file.remove()  # nobody was told of it
        raise
    return log


_flusher = Flusher()
