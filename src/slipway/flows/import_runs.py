"""The history of another tracking store: experiments, runs and logged models, each taken in whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from slipway.errors import Corrupt, InvalidInput, NotFound
from slipway.hashing import digest_file
from slipway.ledger import entries, events, run_artifacts, stored_files
from slipway.ledger.experiments import experiment_in, number_of
from slipway.ledger.lineage import link
from slipway.ledger.run_rules import check_key, check_step, plain_param, set_tags
from slipway.models import found_by
from slipway.operations.declare import check_allowed
from slipway.ports.foreign_runs import ForeignExperiment, ForeignLogged, ForeignRun, ForeignRuns
from slipway.ports.workspace import Workspace
from slipway.records.models import LoggedModel, ModelVersion
from slipway.records.runs import Artifact, Experiment, ModelUse, Run
from slipway.runs import outside
from slipway.runs.experiments import change_tags

__all__ = ["FROM", "Moved", "import_runs"]

FROM = "slipway.imported.from"
"""The tag that says which store a run, logged model or version came from."""


@dataclass(slots=True, kw_only=True)
class Moved:
    """What an import took in.

    Args:
        place: Where from.
        new: How many of each sort came now: experiments, runs, params, points, tags, artifacts, logged models, versions.
        there: How many of each sort were here already.
        counted: What there is of each sort there, and what of it is here at the end.
        left: What did not come, and why.
        proven: Versions that became bundles, with their proofs.
        unproven: Versions that came as files only, and why.
        renamed: Models whose name cannot be one here, and what they are called here.
    """

    place: str
    new: dict[str, int] = field(default_factory=dict)
    there: dict[str, int] = field(default_factory=dict)
    counted: dict[str, tuple[int, int]] = field(default_factory=dict)
    left: list[tuple[str, str]] = field(default_factory=list)
    proven: list[ModelVersion] = field(default_factory=list)
    unproven: list[tuple[str, str]] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)

    def add(self, sort: str, count: int = 1) -> None:
        """Count what came."""
        self.new[sort] = self.new.get(sort, 0) + count

    def count(self, sort: str, there: int, here: int) -> None:
        """Add what there is of a sort there, and what of it is here."""
        before = self.counted.get(sort, (0, 0))
        self.counted[sort] = (before[0] + there, before[1] + here)


def import_runs(
    workspace: Workspace, source: ForeignRuns, moved: Moved, say: Callable[[str], None] = lambda line: None
) -> None:
    """Take in experiments, runs and logged models that are not here yet, and count both sides.

    Each run comes in one change of the ledger, after its files: an import that is ended leaves whole runs, and goes on
    behind them when it is started again. Ids stay. A run that still goes on there is left for the next time.

    Args:
        workspace: Where it goes.
        source: The other store.
        moved: Counts what comes.
        say: Receives lines of progress.

    Raises:
        Denied: The actor may not write runs.
        Unavailable: The other store stopped answering.
    """
    check_allowed(workspace, "runs.import", "runs.write")
    for experiment in source.experiments():
        ids, logged = source.run_ids(experiment.id), source.logged(experiment.id)
        if not ids and not logged and experiment.name == "Default":
            continue
        kept = _experiment(workspace, experiment, moved)
        if kept is None:
            continue
        for id in ids:
            _take(workspace, source, experiment, kept, id, moved)
        for one in logged:
            _take_logged(workspace, source, kept, one, moved)
        say(f"{experiment.name}: {len(ids):,} runs, {len(logged):,} logged models looked at.")


def _experiment(workspace: Workspace, given: ForeignExperiment, moved: Moved) -> Experiment | None:
    with workspace.ledger.write() as tx:
        try:
            known = entries.find(tx, Experiment, project=workspace.project, name=given.name, limit=1)
            kept = experiment_in(tx, workspace, given.name)
            if kept.state == "deleted":
                moved.left.append((f"experiment {given.name!r}", "one of this name is in the trash here"))
                return None
            wanted = {key: value for key, value in given.tags.items() if kept.tags.get(key) != value}
            if wanted and kept.id.isdigit():
                kept = change_tags(tx, workspace, kept.id, wanted)
        except InvalidInput as problem:
            moved.left.append((f"experiment {given.name[:80]!r}", problem.what))
            return None
    (moved.there if known else moved.new)["experiments"] = 1 + (moved.there if known else moved.new).get(
        "experiments", 0
    )
    return kept


def _take(
    workspace: Workspace, source: ForeignRuns, experiment: ForeignExperiment, kept: Experiment, id: str, moved: Moved
) -> None:
    called = f"run {id}"
    with workspace.ledger.read() as tx:
        stored = tx.get("run", id)
    if stored is not None:
        is_here = stored.project == workspace.project
        moved.count("runs", 1, int(is_here))
        if is_here:
            moved.there["runs"] = moved.there.get("runs", 0) + 1
        else:
            moved.left.append((called, f"the project {stored.project!r} of this store has it"))
        return
    try:
        run = source.run(experiment.id, id)
        if run.state in ("running", "scheduled"):
            moved.left.append((called, "it has not ended there; import again when it has"))
            moved.count("runs", 1, 0)
            return
        files = _files(workspace, source, run)
        _put(workspace, source, kept, run, files)
    except (InvalidInput, Corrupt, NotFound) as problem:
        moved.left.append((called, problem.what))
        moved.count("runs", 1, 0)
        return
    moved.add("runs")
    _count(workspace, run, len(files), moved)


def _files(workspace: Workspace, source: ForeignRuns, owner: ForeignRun | ForeignLogged) -> tuple[Artifact, ...]:
    """The files of a run or logged model, kept as blobs."""
    found = []
    with tempfile.TemporaryDirectory(prefix="slipway-import-") as temporary:
        for path, file in source.files(owner, Path(temporary)):
            stored = workspace.blobs.put_file(file)
            if stored != digest_file(file):
                raise Corrupt(f"The file {path!r} of {owner.id} changed while it was read.", fix="Import again.")
            found.append(_artifact(stored_files.check_path(path), stored, file.stat().st_size))
    return tuple(found)


def _artifact(name: str, digest: str, size: int) -> Artifact:
    return Artifact(name=name, digest=digest, fingerprint=digest, format="bytes", size_bytes=size)


def _put(
    workspace: Workspace, source: ForeignRuns, experiment: Experiment, run: ForeignRun, files: tuple[Artifact, ...]
) -> None:
    now = workspace.clock.now()
    tags = {outside.RUN_NAME: run.name, **run.tags, FROM: source.place}
    if run.user:
        tags.setdefault("mlflow.user", run.user)
    for point in run.points:
        check_key(point.key, "metric")
        check_step(point.key, point.step)
    record = Run(
        id=run.id,
        project=workspace.project,
        name=run.name or run.id[:12],
        created_at=run.started_at or now,
        experiment_id=number_of(experiment),
        state=run.state,
        actor=workspace.actor,
        started_at=run.started_at or now,
        ended_at=run.ended_at,
        parent_id=run.tags.get(outside.PARENT, ""),
        params={check_key(key, "parameter"): plain_param(key, value) for key, value in run.params.items()},
        tags=set_tags({}, tags),
        datasets=run.datasets,
        models_made=tuple(ModelUse(id, step) for id, step in run.made),
    )
    with workspace.ledger.write() as tx:
        whole = msgspec.structs.replace(record, artifacts=files)
        entries.put(tx, run_artifacts.apart(tx, whole), expect=0)
        tx.add_points(run.id, run.points)
        told = {"name": record.name, "pipeline": "", "state": record.state, "imported": source.place}
        events.record(tx, workspace, "runs.finish", f"run:{run.id}", **told)


def _count(workspace: Workspace, run: ForeignRun, files: int, moved: Moved) -> None:
    """Compare what there is of a run with what can be read of it here."""
    keys = sorted({point.key for point in run.points})
    with workspace.ledger.read() as tx:
        here = outside.get(tx, workspace, run.id)
        points = sum(1 for key in keys for _ in _every_point(tx, run.id, key))
    there = len({(point.key, repr(point.value), point.step, point.at_us) for point in run.points})
    moved.count("runs", 1, 1)
    for sort, one, other in (
        ("params", len(run.params), sum(str(here.params.get(key)) == value for key, value in run.params.items())),
        ("tags", len(run.tags), sum(here.tags.get(key) == value for key, value in run.tags.items())),
        ("points", there, points),
        ("artifacts", files, len(here.artifacts)),
    ):
        moved.count(sort, one, other)
        moved.add(sort, one)
        if one != other:
            moved.left.append((f"run {run.id}", f"{one - other} of {one} {sort} are not here"))


def _every_point(tx: object, run: str, key: str) -> Iterator[object]:
    last = None
    while page := tx.points(run, key, after=last):  # type: ignore[attr-defined]
        yield from page
        last = page[-1]


def _take_logged(
    workspace: Workspace, source: ForeignRuns, experiment: Experiment, given: ForeignLogged, moved: Moved
) -> None:
    with workspace.ledger.read() as tx:
        stored = tx.get("logged_model", given.id)
    if stored is not None:
        moved.there["logged models"] = moved.there.get("logged models", 0) + 1
        moved.count("logged models", 1, int(stored.project == workspace.project))
        return
    try:
        files = _files(workspace, source, given)
    except (InvalidInput, Corrupt, NotFound) as problem:
        moved.left.append((f"logged model {given.id}", problem.what))
        moved.count("logged models", 1, 0)
        return
    now = workspace.clock.now()
    with workspace.ledger.write() as tx:
        has_run = bool(given.run_id) and tx.get("run", given.run_id) is not None
        made = LoggedModel(
            id=given.id,
            project=workspace.project,
            name=given.name or given.id,
            created_at=given.created_at or now,
            experiment_id=number_of(experiment),
            run_id=given.run_id if has_run else "",
            model_type=given.model_type,
            state="ready",
            actor=workspace.actor,
            params=given.params,
            tags={**given.tags, FROM: source.place},
            artifacts=files,
            updated_at=now,
        )
        entries.put(tx, made, expect=0)
        if has_run:
            link(tx, f"run:{given.run_id}", f"logged:{given.id}", "made")
        events.record(tx, workspace, "models.log", f"logged:{given.id}", name=made.name, run_id=made.run_id)
        found_by.told_anew(tx, f"logged:{given.id}")
    moved.add("logged models")
    moved.count("logged models", 1, 1)
