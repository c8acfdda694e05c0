"""What a purge does with each sort of record: which other records and which bytes go with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from slipway.errors import Corrupt, NotFound
from slipway.flows.purge_plan import Plan, hold_around, inside, is_at_work
from slipway.flows.trashed import logged_in, runs_in
from slipway.ledger import entries, events, locks
from slipway.models import numbered
from slipway.models.manifest import decode_manifest
from slipway.pipelines import cache
from slipway.pipelines.beside import files_of
from slipway.pipelines.snapshot import contents_of
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import LoggedModel, ModelVersion, RegisteredModel
from slipway.records.record import Record
from slipway.records.responsibility import Comment, Notice
from slipway.records.runs import Artifact, Environment, Experiment, Run, RunArtifact, RunWriter, StepRun

__all__ = [
    "Doomed",
    "Look",
    "looks",
    "remove_experiment",
    "remove_logged",
    "remove_model",
    "remove_run",
    "remove_version",
]

_RESTORED = "it was taken out of the trash meanwhile"
_AT_WORK = "a process still logs to it: end it first"
_MANY = 1_000_000


R = TypeVar("R", bound=Record)


@dataclass
class Doomed:
    """What goes with records that were removed.

    Args:
        records: How many entries went.
        runs: The runs among them.
        digests: The blobs that they named.
    """

    records: int = 0
    runs: list[str] = field(default_factory=list)
    digests: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Look:
    """What one thing consists of: its entries by kind and id, and the blobs that they name."""

    keys: set[tuple[str, str]]
    digests: set[str]


def looks(tx: ReadTransaction, workspace: Workspace, plan: Plan) -> Iterator[Look]:
    """What all that goes by a plan consists of; what turns out to be at work is taken out of the plan."""
    for id in plan.versions:
        yield _look(
            entries.get(tx, ModelVersion, id), digests=_in_version(workspace, entries.get(tx, ModelVersion, id))
        )
    for name in plan.models:
        yield Look({(entries.kind_of(RegisteredModel), f"{workspace.project}/{name}")}, set())
    for id in plan.logged:
        model = entries.get(tx, LoggedModel, id)
        yield _look(model, digests=_in_files(model.artifacts))
    for id in list(plan.runs):
        if is_at_work(entries.get(tx, Run, id)):
            plan.keep(plan.runs, id, _AT_WORK)
    hold_around(tx, workspace, plan)
    for id in plan.runs:
        run = entries.get(tx, Run, id)
        steps, others = _parts(tx, id)
        yield _look(run, *steps, *others, digests=_in_run(workspace, run, steps))
    for number in plan.experiments:
        yield Look({(entries.kind_of(Experiment), number)}, set())


def remove_run(tx: WriteTransaction, workspace: Workspace, id: str, doomed: Doomed) -> str:
    """Remove a run with its steps and points; returns why it stays, "" when it is gone."""
    run = _still(tx, Run, id)
    if run is None:
        return ""
    if run.deleted_at is None:
        return _RESTORED
    if is_at_work(run):
        return _AT_WORK
    if why := _made(tx, f"run:{id}") or _held_inside(tx, workspace, run):
        return why
    steps, others = _parts(tx, id)
    doomed.digests |= _in_run(workspace, run, steps)
    doomed.runs.append(id)
    for step in steps:
        if step.key:
            cache.forget(tx, step)
    _remove(tx, doomed, run, *steps, *others, *_said(tx, f"run:{id}"))
    tx.unlink(f"run:{id}")
    events.record(tx, workspace, "runs.purge", f"run:{id}", name=run.name)
    return ""


def remove_logged(tx: WriteTransaction, workspace: Workspace, id: str, doomed: Doomed) -> str:
    """Remove a logged model; returns why it stays, "" when it is gone."""
    model = _still(tx, LoggedModel, id)
    if model is None:
        return ""
    if model.deleted_at is None:
        return _RESTORED
    if why := _made(tx, f"logged:{id}"):
        return why
    doomed.digests |= _in_files(model.artifacts)
    _remove(tx, doomed, model)
    tx.unlink(f"logged:{id}")
    events.record(tx, workspace, "models.purge", f"logged:{id}", name=model.name)
    return ""


def remove_version(tx: WriteTransaction, workspace: Workspace, id: str, doomed: Doomed) -> str:
    """Remove a version of a model; returns why it stays, "" when it is gone. Its number is not given again."""
    version = _still(tx, ModelVersion, id)
    if version is None:
        return ""
    if not version.state:
        return _RESTORED
    numbered.keep_number(tx, workspace.project, version.name)
    doomed.digests |= _in_version(workspace, version)
    _remove(tx, doomed, version, *_said(tx, f"model:{id}"))
    if tx.ref(workspace.project, numbered.MODEL, version.name) == id:
        numbered.settle_newest(tx, workspace.project, version.name)
    tx.unlink(f"model:{id}")
    subject = f"registered:{workspace.project}/{version.name}"
    events.record(tx, workspace, "models.purge", subject, name=version.name, number=version.number, id=id)
    return ""


def remove_model(tx: WriteTransaction, workspace: Workspace, name: str, doomed: Doomed) -> str:
    """Remove what was said of a model as a whole; returns why it stays, "" when it is gone."""
    model = _still(tx, RegisteredModel, f"{workspace.project}/{name}")
    if model is None:
        return ""
    if model.deleted_at is None:
        return _RESTORED
    _remove(tx, doomed, model)
    events.record(tx, workspace, "models.purge", f"registered:{model.id}", name=name)
    return ""


def remove_experiment(tx: WriteTransaction, workspace: Workspace, number: str, doomed: Doomed) -> str:
    """Remove an experiment whose runs are gone; returns why it stays, "" when it is gone."""
    experiment = _still(tx, Experiment, number)
    if experiment is None:
        return ""
    if experiment.state != "deleted":
        return _RESTORED
    for run in runs_in(tx, workspace, number):
        return f"its run {run.id} stays"
    for one in logged_in(tx, workspace, number):
        return f"its logged model {one.id} stays"
    _remove(tx, doomed, experiment)
    events.record(tx, workspace, "experiments.purge", f"experiment:{number}", name=experiment.name)
    return ""


def _still(tx: ReadTransaction, record_type: type[R], id: str) -> R | None:
    """The record, None where another purge was faster."""
    try:
        return entries.get(tx, record_type, id)
    except NotFound:
        return None


def _remove(tx: WriteTransaction, doomed: Doomed, *records: Record) -> None:
    for record in records:
        doomed.records += tx.remove(entries.kind_of(type(record)), record.id)


def _made(tx: ReadTransaction, node: str) -> str:
    """Why something stays because of a version that was registered meanwhile, "" where none was."""
    for link in tx.links(node, towards=False):
        kind, _, id = link.target.partition(":")
        if kind == "model" and tx.get(kind, id) is not None:
            version = entries.get(tx, ModelVersion, id)
            return f"version {version.number} of {version.name!r} is made from it"
    return ""


def _held_inside(tx: ReadTransaction, workspace: Workspace, run: Run) -> str:
    """Why a run stays because of one inside it, "" for none. Those that are around it too, by a client's tags, hold nothing."""
    around, up = {run.id}, run
    while up.parent_id and up.parent_id not in around and (outer := _still(tx, Run, up.parent_id)) is not None:
        around.add(outer.id)
        up = outer
    return next(
        (f"the run {one.id} inside it stays" for one in inside(tx, workspace, run.id) if one.id not in around), ""
    )


def _parts(tx: ReadTransaction, run_id: str) -> tuple[list[StepRun], list[Record]]:
    """A run's steps, and what else is recorded below it."""
    others: list[Record] = []
    for kind in (RunWriter, RunArtifact):
        others += entries.find(tx, kind, parent=run_id, limit=_MANY)
    return entries.find(tx, StepRun, parent=run_id, limit=_MANY), others


def _said(tx: ReadTransaction, node: str) -> list[Record]:
    """What people said of something, and were told of that."""
    return [*entries.every(tx, Comment, parent=node), *entries.every(tx, Notice, parent=node)]


def _look(*records: Record, digests: set[str]) -> Look:
    return Look({(entries.kind_of(type(record)), record.id) for record in records}, digests)


def _in_files(files: Iterable[Artifact]) -> set[str]:
    return {file.digest for file in files}


def _in_run(workspace: Workspace, run: Run, steps: Sequence[StepRun]) -> set[str]:
    found = {run.code.diff, *_in_snapshot(workspace, run.code.snapshot)} | _in_files(run.artifacts)
    found |= _in_lock(workspace, run.environment) | set(files_of(run, steps).values())
    for step in steps:
        found |= (
            {step.closure, step.output.digest if step.output else ""}
            | _in_files(step.outputs)
            | _in_files(step.notes.artifacts if step.notes else ())
        )
    return found - {""}


def _in_snapshot(workspace: Workspace, digest: str) -> set[str]:
    """A project's snapshot, and the files beside its code."""
    with suppress(NotFound, Corrupt):  # then a sweep finds its files
        return {digest, *contents_of(workspace, digest).files.values()} if digest else set()
    return {digest}


def _in_lock(workspace: Workspace, environment: Environment | None) -> set[str]:
    with suppress(NotFound, Corrupt):  # then a sweep finds its wheels
        lock = locks.lock_of(workspace.blobs, environment)
        return set() if lock is None else {lock.digest, *(one.wheel for one in lock.packages)}
    return set()


def _in_version(workspace: Workspace, version: ModelVersion) -> set[str]:
    if not version.bundle:
        return set()
    found = {version.manifest, version.signature, version.bundle}
    with suppress(NotFound, Corrupt):  # then a sweep finds its files
        bundle = decode_manifest(workspace.blobs.get(version.manifest))
        found |= {bundle.evaluated, *(file.digest for file in bundle.files)} | _in_lock(workspace, bundle.environment)
    return found - {""}
