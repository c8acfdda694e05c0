"""Takes pieces of runs' files into the ledger, each exactly once: what it says and how far it goes, in one transaction.

Whoever is killed, the other side knows from the ledger where to go on; a piece that is sent twice is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.ledger import entries, events, lineage, run_artifacts
from slipway.ledger.experiments import experiment_in
from slipway.ledger.run_file import parse
from slipway.ledger.run_rules import set_params, set_tags
from slipway.ledger.run_tags import RERUNS
from slipway.ledger.store_folder import folder_id
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.run_entries import (
    ArtifactKept,
    Begun,
    CodeSaid,
    DatasetUsed,
    FileBegun,
    Finished,
    Found,
    InputRead,
    LinkMade,
    ParamSet,
    Point,
    ReadBeside,
    Resumed,
    RunEntry,
    StepKept,
    TagSet,
    WorkersHeld,
)
from slipway.records.runs import Artifact, MetricPoint, Run, RunFinding, RunWriter, StepRun

__all__ = ["REPRODUCES", "absorb", "applied", "forget", "node_of"]

_VERBS: dict[type, str] = {Begun: "runs.start", Resumed: "runs.resume", Finished: "runs.finish"}

REPRODUCES = "slipway.reproduces"
"""The tag of a run that repeats another one to compare with it: the other one's id."""


def node_of(run_id: str) -> str:
    """A run as a node of the lineage."""
    return f"run:{run_id}"


def applied(run: Run, entry: RunEntry) -> Run:
    """The run's record after an entry of its file; entries that do not change it leave it as it is.

    Artifacts are left to the caller: a record that holds all of them is not copied for each.

    Raises:
        Conflict: A parameter has another value already.
    """
    change: dict[str, object] = {}
    match entry:
        case ParamSet(key, value):
            change["params"] = set_params(run.params, {key: value})
        case TagSet(key, value):
            change["tags"] = set_tags(run.tags, {key: value})
        case InputRead(node, _) if node not in run.inputs:
            change["inputs"] = (*run.inputs, node)
        case DatasetUsed(dataset) if dataset not in run.datasets:
            change["datasets"] = (*run.datasets, dataset)
        case CodeSaid(code):
            change["code"] = code
        case Found(finding):
            change["findings"] = (*run.findings, finding)
        case WorkersHeld(time):
            change["worker_time"] = time
        case ReadBeside(hidden):
            change["hidden"] = hidden
        case Resumed(host):
            change |= {"state": "running", "host": host, "ended_at": None, "error": None, "ended_early": ""}
        case Finished(state, ended_at, error, ended_early):
            change |= {"state": state, "ended_at": ended_at, "error": error, "ended_early": ended_early}
    return msgspec.structs.replace(run, **change) if change else run


def absorb(
    workspace: Workspace,
    run_id: str,
    writer: str,
    offset: int,
    data: bytes,
    *,
    then: Callable[[WriteTransaction], None] | None = None,
    check: Callable[[Sequence[RunEntry]], Sequence[RunEntry]] | None = None,
    is_here: bool = True,
) -> int:
    """Take a piece of a run's file into the ledger.

    Args:
        workspace: The store, with the run's project.
        run_id: The run.
        writer: Which of its files.
        offset: Where the piece begins in the file.
        data: The piece: whole frames. Empty with `then` alone.
        then: Adds to the same transaction.
        check: Looks through the entries of a stranger's piece and returns them, changed where that is right.
        is_here: Whether the file lies in the store's own folder; see `forget`.

    Returns:
        How much of the file is in the ledger now. Less than `offset` means that something before is missing and
        nothing was taken.

    Raises:
        InvalidInput: The piece does not fit.
        NotFound: The piece is of a run that does not exist.
        Conflict: The run belongs to another project, or begins twice.
    """
    mark = f"{run_id}.{writer}"
    with workspace.ledger.write() as tx:
        found = tx.get(entries.kind_of(RunWriter), mark)
        done = 0
        if found is not None:
            if found.project != workspace.project:
                raise _elsewhere(workspace, run_id)
            done = entries.decoded(found, RunWriter).offset
        fresh = data[done - offset :] if offset <= done else b""
        if fresh:
            read = parse(fresh, first=done == 0)
            told = read if check is None else check(read)
            piece = _Piece(tx, workspace, run_id, writer)
            done += len(fresh)
            if is_here and found is None and _is_whole(told):
                piece.take_whole(told)
            else:
                piece.take(told)
                name = folder_id(workspace.root) if is_here else ""
                at = workspace.clock.now()
                counted = RunWriter(
                    id=mark, name=name, project=workspace.project, created_at=at, parent_id=run_id, offset=done
                )
                entries.put(tx, counted)
        if then is not None:
            then(tx)
    return done


def _is_whole(told: Sequence[RunEntry]) -> bool:
    """Whether a file's first piece is all of it: a run from its begin to its end."""
    return len(told) > 2 and isinstance(told[1], Begun) and isinstance(told[-1], Finished)


def forget(workspace: Workspace, marks: Iterable[str]) -> None:
    """Forget how much of files is in the ledger, of which nothing can come again: they are removed."""
    kind = entries.kind_of(RunWriter)
    with workspace.ledger.read() as tx:
        known = [mark for mark in marks if tx.get(kind, mark) is not None]
    if not known:  # they were taken whole: no transaction for nothing
        return
    with workspace.ledger.write() as tx:
        for mark in known:
            tx.remove(kind, mark)


def _elsewhere(workspace: Workspace, run_id: str) -> Conflict:
    return Conflict(
        f"The run {run_id} does not belong to {workspace.project!r}.", fix="Log to a run of the project that is open."
    )


@dataclass
class _Piece:
    """One piece on its way into an open transaction."""

    tx: WriteTransaction
    workspace: Workspace
    run_id: str
    writer: str

    def take_whole(self, told: Sequence[RunEntry]) -> None:
        """Take a run from its begin to its end. Nothing counts it: where the run is known, all of it came with that."""
        if self._run() is None:
            self.take(told)

    def take(self, told: Sequence[RunEntry]) -> None:
        before = run = self._run()
        points: list[MetricPoint] = []
        steps: dict[str, StepRun] = {}
        links: list[tuple[str, str, str]] = []
        files: dict[str, Artifact] = {}
        for entry in told:
            match entry:
                case Point(key, value, step, at_us):
                    points.append(MetricPoint(key, value, step, at_us))
                    continue
                case FileBegun():
                    self._check_header(entry)
                    continue
                case Begun():
                    run = self._begin(entry, run)
                    continue
                case StepKept(step_run):
                    steps[step_run.id] = step_run
                    continue
                case LinkMade(source, target, role):
                    links.append((source, target, role))
                    continue
            if run is None:
                raise self._missing()
            if isinstance(entry, ArtifactKept):
                files.pop(entry.artifact.name, None)  # the later one of a name comes last
                files[entry.artifact.name] = entry.artifact
            present, run = run, self._changed(run, entry)
            links += self._links(present, run, entry)
        if run is None:
            if points or steps or links:
                raise self._missing()
            return
        run = self._with_files(run, files)
        if run is not before:
            entries.put(self.tx, run)
        for step_run in steps.values():
            entries.put(self.tx, step_run)
        for source, target, role in links:
            lineage.link(self.tx, source, target, role)
        if points:
            self.tx.add_points(self.run_id, points)
        self._tell(told, run)

    def _with_files(self, run: Run, files: dict[str, Artifact]) -> Run:
        if run.artifacts_here is None:  # all at once: one by one would copy all for each
            others = (one for one in run.artifacts if one.name not in files)
            return msgspec.structs.replace(run, artifacts=(*others, *files.values())) if files else run
        for artifact in files.values():
            run = run_artifacts.add(self.tx, run, artifact)
        return run

    def _run(self) -> Run | None:
        found = self.tx.get(entries.kind_of(Run), self.run_id)
        if found is None:
            return None
        run = entries.decoded(found, Run)
        if run.project != self.workspace.project:
            raise _elsewhere(self.workspace, self.run_id)
        return run

    def _begin(self, entry: Begun, present: Run | None) -> Run:
        if present is not None or entry.run.id != self.run_id or entry.run.project != self.workspace.project:
            raise Conflict(
                f"The run {self.run_id} cannot begin as {entry.run.id} of {entry.run.project!r}.",
                why="A run begins once, in its own file.",
                fix="Start another run.",
            )
        run = entry.run
        if entry.experiment:
            named = experiment_in(self.tx, self.workspace, entry.experiment)
            run = msgspec.structs.replace(run, experiment_id=named.id)
        if run.pipeline and RERUNS in run.tags:  # a stranger's run is no pipeline's
            lineage.link(self.tx, node_of(run.tags[RERUNS]), node_of(run.id), "rerun")
        return run

    def _changed(self, run: Run, entry: RunEntry) -> Run:
        try:
            return applied(run, entry)
        except Conflict as problem:
            # Two processes wrote to one run: the one that came first stays, and the record says so.
            assert isinstance(entry, ParamSet)
            told = RunFinding(kind="conflict", key=entry.key, words=problem.what, at=datetime.now(UTC))
            return applied(run, Found(told))

    def _links(self, before: Run, run: Run, entry: RunEntry) -> list[tuple[str, str, str]]:
        node = node_of(self.run_id)
        match entry:
            case ArtifactKept(artifact) if REPRODUCES not in run.tags:
                return [(node, f"artifact:{artifact.digest}", "output")]
            case InputRead(source, role) if source not in before.inputs:
                return [(source, node, role)]
        return []

    def _tell(self, told: Sequence[RunEntry], run: Run) -> None:
        # Events name who did it: a left-over file is another's work, told by whoever finds it.
        who = self.workspace if run.actor == self.workspace.actor else replace(self.workspace, actor=run.actor)
        for entry in told:
            verb = _VERBS.get(type(entry))
            if verb is not None:
                state = entry.state if isinstance(entry, Finished) else "running"
                body = {"name": run.name, "pipeline": run.pipeline, "state": state}
                events.record(self.tx, who, verb, node_of(run.id), **body)

    def _check_header(self, header: FileBegun) -> None:
        if (header.run_id, header.writer, header.project) != (self.run_id, self.writer, self.workspace.project):
            raise InvalidInput(
                f"The file says that it is of run {header.run_id} in {header.project!r}.",
                why=f"It was sent as {self.run_id} in {self.workspace.project!r}.",
                fix="Send each file under its own run and project.",
            )

    def _missing(self) -> NotFound:
        return NotFound(
            f"There is no run {self.run_id!r} to log to.", fix="Start it first; its file begins with how it started."
        )
