"""Reproduce: run a run again from its snapshot, parameters and table versions, and compare every result."""

from __future__ import annotations

from slipway.errors import Conflict, Corrupt, InvalidInput, NotFound, SlipwayError
from slipway.ledger import artifacts, entries, events, lineage
from slipway.ledger.run_log import REPRODUCES
from slipway.models import registry
from slipway.models.model import Model
from slipway.operations.runs import Reproduce, Reproduced
from slipway.pipelines import snapshot, staging
from slipway.pipelines.comparison import Compared, Distance, Made, compare
from slipway.pipelines.reasons import steps_of
from slipway.ports.runner import LOG_FILE
from slipway.ports.workspace import Workspace
from slipway.records.filesets import FileSetVersion
from slipway.records.models import ModelVersion
from slipway.records.reproductions import Reproduction
from slipway.records.runs import Artifact, Run
from slipway.records.tables import TableVersion
from slipway.records.tasks import PipelineAnswer
from slipway.runs import search
from slipway.tables import filesets, versions

__all__ = ["reproduce", "reproductions_of"]

_MISSING = frozenset({"ModuleNotFoundError", "ImportError", "MissingExtra"})


def reproduce(workspace: Workspace, request: Reproduce) -> Reproduced:
    """Run a run again in a fresh process and compare; while it still runs, asking again goes on waiting for it.

    Raises:
        NotFound: There is no such run or model version.
        InvalidInput: The run cannot be run again at all: it is no pipeline's, has no snapshot, or did not finish.
    """
    run, bundle = _target(workspace, request.target)
    _check(run)
    with workspace.ledger.read() as tx:
        number = len(entries.find(tx, Reproduction, parent=run.id, limit=100_000)) + 1
    name = f"reproduce-{run.id}-{number}"
    folder = workspace.root.resolve() / "tasks" / name
    if workspace.runner.state(folder) == "absent":
        try:
            pins = _pins(workspace, run)
            snapshot.unpacked(workspace, run.code.snapshot)
        except (NotFound, Corrupt) as problem:
            found = Compared(verdict="cannot", sentence=str(problem))
            return Reproduced(reproduction=_record(workspace, run, number, bundle, found, None))
        task = staging.task(
            workspace,
            snapshot=run.code.snapshot,
            pipeline=run.pipeline,
            params_of=run.id,
            tags={REPRODUCES: run.id},
            pins=pins,
            use_cache=False,
            register=False,
        )
        workspace.runner.start(staging.stage(workspace, name, task))
    if workspace.runner.wait(folder, request.wait_s) == "running":
        return Reproduced(reproduction=None)
    found, again = _judged(workspace, run, staging.answer(folder), f"It was killed; see {folder / LOG_FILE}.")
    return Reproduced(reproduction=_record(workspace, run, number, bundle, found, again))


def reproductions_of(workspace: Workspace, bundle: str) -> list[Reproduction]:
    """The reproductions of the run that made a bundle, newest first."""
    with workspace.ledger.read() as tx:
        found = [
            entries.get(tx, Reproduction, link.target.partition(":")[2])
            for link in tx.links(f"bundle:{bundle}", towards=False)
            if link.target.startswith("reproduction:")
        ]
    return sorted(found, key=lambda one: (one.parent_id, one.number), reverse=True)


def _target(workspace: Workspace, target: str) -> tuple[Run, str]:
    """The run that is meant, and the bundle that its model was packaged as ("" for none)."""
    name, _, number = target.partition(":")
    if name not in registry.names(workspace):
        run = search.get_run(workspace, target)
        if run.project != workspace.project:
            raise NotFound(f"There is no run {target!r} in {workspace.project!r}.", fix="See `slipway runs list`.")
        return run, _bundle_of(workspace, run)
    version = registry.get(workspace, name, number or registry.LATEST)
    if not version.run_id:
        raise InvalidInput(
            f"{version.name} {version.number} was registered without a run.",
            why="What is reproduced is the run that made it.",
            fix="Train it in a pipeline: slipway run PIPELINE",
            field="target",
        )
    return search.get_run(workspace, version.run_id), version.bundle


def _bundle_of(workspace: Workspace, run: Run) -> str:
    with workspace.ledger.read() as tx:
        made = [link.target for link in tx.links(f"run:{run.id}", towards=False) if link.target.startswith("model:")]
        return entries.get(tx, ModelVersion, made[0].partition(":")[2]).bundle if made else ""


def _check(run: Run) -> None:
    if not run.pipeline:
        raise InvalidInput(
            f"The run {run.id} is no pipeline's.",
            why="Only a pipeline can be run again without its author: what a script did around it is not kept.",
            fix="Write the training as steps under @sw.pipeline and run it: slipway run PIPELINE",
            field="target",
        )
    if run.state != "finished":
        raise InvalidInput(
            f"The run {run.id} of {run.pipeline!r} is {run.state}.",
            why="There is no result to compare with.",
            fix="Reproduce one that finished: slipway runs list --state finished",
            field="target",
        )
    if not run.code.snapshot:
        raise InvalidInput(
            f"The run {run.id} of {run.pipeline!r} has no project snapshot.",
            why="It was started from Python, and its code was not kept.",
            fix=f"Start it with `slipway run {run.pipeline}`, which keeps one, and reproduce that run.",
            field="target",
        )


def _pins(workspace: Workspace, run: Run) -> dict[str, str]:
    """The versions of tables and file sets that the run read; tables are verified to the last byte.

    Raises:
        NotFound: One of them is gone, or it cannot be told which one was meant.
        Corrupt: One is damaged.
    """
    pins: dict[str, str] = {}
    for node in run.inputs:
        kind, _, rest = node.partition(":")
        if kind not in ("table", "files"):
            continue
        name, _, version = rest.rpartition("@")
        pin = name if kind == "table" else f"files:{name}"
        if pin in pins:
            what = "table" if kind == "table" else "file set"
            raise NotFound(
                f"The run read two versions of the {what} {name!r}, and which one as the current one is not recorded.",
                fix="Let the pipeline name the older version as a parameter.",
            )
        owner, _, table = name.partition("/")
        if kind == "table":
            _check_not_erased(run, versions.get(workspace, table, version, project=owner))
            versions.verify(workspace, table, version, project=owner)
        else:
            _check_not_erased(run, filesets.resolve(workspace, table, version, project=owner))
        pins[pin] = version
    return pins


def _check_not_erased(run: Run, version: TableVersion | FileSetVersion) -> None:
    since = [one for one in version.erased if one.at >= run.started_at]
    if since:
        rows = sum(one.rows for one in since)
        told = "; ".join(f"{one.rows:,} on {one.at:%Y-%m-%d} by {one.by}: {one.reason}" for one in since)
        kind = "rows of the table" if isinstance(version, TableVersion) else "files of the file set"
        raise NotFound(
            f"Of the {kind} {version.name!r}, version {version.number}, which the run read, {rows:,} were erased ({told}).",
            why="What a person asked to be removed is kept nowhere, so the run cannot be made again from what it read.",
            fix="Run its pipeline anew: slipway run PIPELINE",
        )


def _judged(workspace: Workspace, run: Run, answer: PipelineAnswer | None, killed: str) -> tuple[Compared, Run | None]:
    if answer is None:
        return Compared(verdict="cannot", sentence=killed), None
    error = answer.error
    if not answer.run_id:
        return Compared(verdict="cannot", sentence=error.message if error else "It came to nothing."), None
    with workspace.ledger.read() as tx:
        before = Made(run, steps_of(tx, run.id))
        after = Made(entries.get(tx, Run, answer.run_id), steps_of(tx, answer.run_id))
    if after.run.error is not None and after.run.error.type in _MISSING:
        told = f"A library is missing: {after.run.error.message}. Install what the run's lock names."
        return Compared(verdict="cannot", sentence=told), after.run
    return compare(workspace.blobs, before, after, _distance(workspace)), after.run


def _distance(workspace: Workspace) -> Distance:
    def apart(old: Artifact, new: Artifact) -> float | None:
        """The greatest difference of two models' answers to the reference rows of the first; None for no models."""
        if (old.format, new.format) != (Model.slipway_format, Model.slipway_format):
            return None
        try:
            first, second = (artifacts.load(workspace.blobs, [one]) for one in (old, new))
            known = [case for case in first.state.cases if case.answer is not None]
            answers = second.predict_rows([case.row for case in known])
        except SlipwayError:  # one is gone or cannot be read here, or they do not take the same rows
            return None
        return max((abs(answer - case.answer) for answer, case in zip(answers, known, strict=True)), default=None)

    return apart


def _record(
    workspace: Workspace, run: Run, number: int, bundle: str, found: Compared, again: Run | None
) -> Reproduction:
    took = 0.0 if again is None or again.ended_at is None else (again.ended_at - again.started_at).total_seconds()
    made = Reproduction(
        id=f"{run.id}-{number}",
        project=workspace.project,
        name=run.pipeline,
        created_at=workspace.clock.now(),
        parent_id=run.id,
        number=number,
        verdict=found.verdict,
        sentence=found.sentence,
        step=found.step,
        compared=found.compared,
        run_id=again.id if again else "",
        bundle=bundle,
        seconds=took,
        actor=workspace.actor,
    )
    node = f"reproduction:{made.id}"
    try:
        with workspace.ledger.write() as tx:
            entries.put(tx, made, expect=0)
            lineage.link(tx, f"run:{run.id}", node, "reproduced")
            if bundle:
                lineage.link(tx, f"bundle:{bundle}", node, "reproduced")
            if again is not None:
                lineage.link(tx, f"run:{again.id}", node, "repeated")
            body = {"verdict": made.verdict, "step": made.step, "again": made.run_id, "pipeline": run.pipeline}
            events.record(tx, workspace, "runs.reproduce", f"run:{run.id}", **body)
    except Conflict:  # somebody else waited for the same process, and was first
        with workspace.ledger.read() as tx:
            return entries.get(tx, Reproduction, made.id)
    return made
