"""Runs that a program elsewhere writes, call by call: each call is one change of the ledger, durable when it returns."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.ids import new_run_id
from slipway.ledger import entries, events, run_artifacts
from slipway.ledger.experiments import get_experiment
from slipway.ledger.limits import check_room
from slipway.ledger.run_rules import check_key, plain_param, set_tags
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.runs import Artifact, Dataset, MetricPoint, ModelUse, Run, RunState

__all__ = [
    "PARENT",
    "RUN_NAME",
    "add_datasets",
    "add_model_history",
    "add_models",
    "create",
    "delete_tag",
    "drop_files",
    "get",
    "get_active",
    "get_open",
    "log",
    "set_deleted",
    "store_file",
    "update",
]

RUN_NAME = "mlflow.runName"
"""The tag that MLflow's clients name a run by; it is the run's name."""

PARENT = "mlflow.parentRunId"
"""The tag that says which run a run is inside of."""

_HISTORY = "mlflow.log-model.history"
_HISTORY_LENGTH = 8000
_ENDED = ("finished", "failed", "killed")
_SOUNDS = ("amber", "bold", "calm", "clever", "eager", "gentle", "keen", "lucky", "merry", "quiet", "rapid", "steady")
_THINGS = ("anchor", "beacon", "bosun", "buoy", "cutter", "harbor", "keel", "lantern", "mast", "rudder", "sail", "tide")


def create(
    tx: WriteTransaction,
    workspace: Workspace,
    *,
    experiment: str,
    name: str = "",
    user: str = "",
    started_at: datetime | None = None,
    tags: Mapping[str, str],
) -> Run:
    """Record that a run begins.

    Args:
        tx: The change's transaction.
        workspace: Where it is recorded.
        experiment: The experiment's id, "0" for the default one.
        name: What people call it; made up where neither it nor its tag is given.
        user: Who the client says it is; a claim, kept as a tag.
        started_at: When it began; now where left out.
        tags: Tags known from the start.

    Raises:
        NotFound: There is no such experiment.
        InvalidInput: The experiment is deleted, a tag does not fit, or the two names differ.
    """
    if get_experiment(tx, workspace, experiment).state != "active":
        raise InvalidInput(
            f"The experiment {experiment} must be in the 'active' state to take a run.", fix="Restore it first."
        )
    tagged = tags.get(RUN_NAME, "")
    if name and tagged and name != tagged:
        raise InvalidInput(
            f"The run's name is {name!r}, and its tag {RUN_NAME!r} says {tagged!r}.",
            why="Both are given and they differ.",
            fix="Give one of them.",
            field="run_name",
        )
    check_room(tx, workspace, "runs_a_day")
    name = name or tagged or _made_up_name()
    given = {**tags, RUN_NAME: name}
    if user and "mlflow.user" not in given:
        given["mlflow.user"] = user
    run = Run(
        id=new_run_id(),
        project=workspace.project,
        name=name,
        created_at=workspace.clock.now(),
        experiment_id=experiment,
        actor=workspace.actor,
        started_at=started_at or datetime.now(UTC),
        parent_id=given.get(PARENT, ""),
        tags=set_tags({}, given),
    )
    entries.put(tx, run, expect=0)
    _tell(tx, workspace, "runs.start", run)
    return run


def get(tx: ReadTransaction, workspace: Workspace, id: str) -> Run:
    """The project's run of an id, deleted or not.

    Raises:
        NotFound: There is none.
    """
    return run_artifacts.whole(tx, _stored(tx, workspace, id))


def _stored(tx: ReadTransaction, workspace: Workspace, id: str) -> Run:
    stored = tx.get("run", id)
    if stored is None or stored.project != workspace.project:
        raise NotFound(f"Run with id={id[:80]} not found.", fix="See the runs of this project.")
    return entries.decoded(stored, Run)


def get_active(tx: ReadTransaction, workspace: Workspace, id: str) -> Run:
    """The project's run of an id as it is stored, to be written to: without the artifacts that stand elsewhere.

    Raises:
        NotFound: There is none.
        InvalidInput: It is deleted.
    """
    run = _stored(tx, workspace, id)
    if run.deleted_at is not None:
        raise InvalidInput(
            f"The run {id} must be in the 'active' state. Current state is deleted.", fix="Restore it first."
        )
    return run


def get_open(tx: ReadTransaction, workspace: Workspace, id: str) -> Run:
    """The project's run of an id, to be given points, parameters, files or another state.

    Raises:
        NotFound: There is none.
        InvalidInput: It is deleted, or a pipeline's: what that holds is loaded again when it is reproduced, and gates
            judge by it, so only the store's own processes write there. It takes tags and names.
    """
    run = get_active(tx, workspace, id)
    if run.pipeline:
        raise InvalidInput(
            f"The run {id} is of the pipeline {run.pipeline!r}: it takes tags from a client, and nothing else.",
            why="What it holds is loaded again when it is reproduced.",
            fix="Start a run of your own.",
        )
    return run


def update(
    tx: WriteTransaction,
    workspace: Workspace,
    id: str,
    *,
    state: RunState | None = None,
    ended_at: datetime | None = None,
    name: str = "",
) -> Run:
    """Say how a run stands.

    Args:
        tx: The change's transaction.
        workspace: Where it is recorded.
        id: The run.
        state: None to leave it. A run that goes on after its end is running again.
        ended_at: When it ended, None to leave it.
        name: Its new name, "" to leave it.

    Raises:
        NotFound: There is no such run.
        InvalidInput: It is deleted, or a pipeline's.
    """
    run = get_open(tx, workspace, id) if state or ended_at else get_active(tx, workspace, id)
    changed = msgspec.structs.replace(run, state=state or run.state, ended_at=ended_at or run.ended_at)
    if state in ("running", "scheduled"):
        changed = msgspec.structs.replace(changed, ended_at=ended_at)
    if name:
        changed = msgspec.structs.replace(changed, name=name, tags=set_tags(run.tags, {RUN_NAME: name}))
    entries.put(tx, changed)
    if state in _ENDED and run.state not in _ENDED:
        _tell(tx, workspace, "runs.finish", changed)
    return changed


def log(
    tx: WriteTransaction,
    workspace: Workspace,
    id: str,
    *,
    metrics: Iterable[MetricPoint] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log points, parameters and tags of a run, all of them or nothing.

    Args:
        tx: The change's transaction.
        workspace: Where it is recorded.
        id: The run.
        metrics: Points; an identical one is stored once.
        params: Written once: the same value again is fine.
        tags: A later value replaces an earlier one.

    Raises:
        NotFound: There is no such run.
        InvalidInput: It is deleted or a pipeline's, or a key or value does not fit.
        Conflict: A parameter has another value already.
    """
    run = get_open(tx, workspace, id) if metrics or params else get_active(tx, workspace, id)
    if params or tags:
        changed = _with_tags(_with_params(run, params or {}), tags or {})
        if changed != run:
            entries.put(tx, changed)
    if metrics:
        tx.add_points(id, metrics)


def delete_tag(tx: WriteTransaction, workspace: Workspace, id: str, key: str) -> None:
    """Take a tag away from a run.

    Raises:
        NotFound: There is no such run, or it has no such tag.
        InvalidInput: It is deleted.
    """
    run = get_active(tx, workspace, id)
    if key not in run.tags:
        raise NotFound(f"No tag with name: {key[:80]} in run with id {id}.", fix="Its tags are listed with it.")
    kept = {name: value for name, value in run.tags.items() if name != key}
    parent = "" if key == PARENT else run.parent_id
    entries.put(tx, msgspec.structs.replace(run, tags=kept, parent_id=parent))


def set_deleted(tx: WriteTransaction, workspace: Workspace, id: str, *, deleted: bool, reason: str = "") -> None:
    """Put a run into the trash, or take it back. What it logged stays until it is purged.

    Raises:
        NotFound: There is no such run.
    """
    run = get(tx, workspace, id)
    if (run.deleted_at is not None) == deleted:
        return
    changed = msgspec.structs.replace(run, deleted_at=workspace.clock.now() if deleted else None)
    entries.put(tx, changed)
    _tell(tx, workspace, "runs.delete" if deleted else "runs.restore", changed, reason=reason)


def add_datasets(tx: WriteTransaction, workspace: Workspace, id: str, datasets: Iterable[Dataset]) -> None:
    """Say which data a run read; the same dataset again gains tags only.

    Raises:
        NotFound: There is no such run.
        InvalidInput: It is deleted, or a pipeline's.
    """
    run = get_open(tx, workspace, id)
    known = {(one.name, one.digest): one for one in run.datasets}
    for one in datasets:
        former = known.get((one.name, one.digest))
        known[one.name, one.digest] = (
            one if former is None else msgspec.structs.replace(former, tags={**former.tags, **one.tags})
        )
    entries.put(tx, msgspec.structs.replace(run, datasets=tuple(known.values())))


def add_models(
    tx: WriteTransaction,
    workspace: Workspace,
    id: str,
    *,
    read: Iterable[str] = (),
    made: Iterable[ModelUse] = (),
) -> None:
    """Say which logged models a run read and made.

    Raises:
        NotFound: There is no such run.
        InvalidInput: It is deleted, or a pipeline's.
    """
    run = get_open(tx, workspace, id)
    was_read = dict.fromkeys([*run.models_read, *(ModelUse(one) for one in read)])
    were_made = dict.fromkeys([*run.models_made, *made])
    entries.put(tx, msgspec.structs.replace(run, models_read=tuple(was_read), models_made=tuple(were_made)))


def add_model_history(tx: WriteTransaction, workspace: Workspace, id: str, said: str) -> None:
    """Keep what a client says of a model that it stored with a run, in the tag where clients look for it.

    Args:
        tx: The change's transaction.
        workspace: Where it is recorded.
        id: The run.
        said: A JSON object.

    Raises:
        NotFound: There is no such run.
        InvalidInput: It is deleted, or `said` is no JSON object.
    """
    run = get_open(tx, workspace, id)
    try:
        added = msgspec.json.decode(said, type=dict[str, Any])
        former = msgspec.json.decode(run.tags.get(_HISTORY, "[]"), type=list[Any])
    except (msgspec.DecodeError, RecursionError) as problem:
        raise InvalidInput(
            f"What is said of the model is no JSON object: {problem}.", fix="Send MLflow's `model_json`."
        ) from problem
    kept = [*former, added]
    while len(kept) > 1 and len(msgspec.json.encode(kept).decode()) > _HISTORY_LENGTH:
        del kept[0]
    entries.put(tx, _with_tags(run, {_HISTORY: msgspec.json.encode(kept).decode()}))


def store_file(tx: WriteTransaction, workspace: Workspace, id: str, stored: Artifact) -> None:
    """Name a stored blob as a run's artifact; one of the same path gives way.

    Raises:
        NotFound: There is no such run.
        InvalidInput: It is deleted or a pipeline's, or the path does not fit.
    """
    run = get_open(tx, workspace, id)
    changed = run_artifacts.add(tx, run, stored, checked=True)
    if changed is not run:
        entries.put(tx, changed)


def drop_files(tx: WriteTransaction, workspace: Workspace, id: str, path: str) -> None:
    """Forget a run's artifact or folder of artifacts; "" for all. The blobs are left: others may name them.

    Raises:
        NotFound: There is no such run.
        InvalidInput: It is deleted.
    """
    entries.put(tx, run_artifacts.drop(tx, get_open(tx, workspace, id), path))


def _with_params(run: Run, params: Mapping[str, str]) -> Run:
    if not params:
        return run
    kept = dict(run.params)
    for key, value in params.items():
        plain = plain_param(check_key(key, "parameter"), value)
        # What was logged natively has its own type; a client of text knows it by its text.
        if key in kept and str(kept[key]) != plain:
            raise Conflict(
                f"Changing param values is not allowed. Param with key={key!r} was already logged with "
                f"value={str(kept[key])[:60]!r} for run ID={run.id!r}. Attempted logging new value {plain[:60]!r}.",
                fix="Start another run, or log what changes while it runs as a metric or a tag.",
            )
        kept.setdefault(key, plain)
    return msgspec.structs.replace(run, params=kept)


def _with_tags(run: Run, tags: Mapping[str, str]) -> Run:
    if not tags:
        return run
    changed = msgspec.structs.replace(run, tags=set_tags(run.tags, tags))
    if RUN_NAME in tags:
        changed = msgspec.structs.replace(changed, name=tags[RUN_NAME])
    if PARENT in tags:
        changed = msgspec.structs.replace(changed, parent_id=tags[PARENT])
    return changed


def _made_up_name() -> str:
    return f"{random.choice(_SOUNDS)}-{random.choice(_THINGS)}-{random.randrange(1000)}"


def _tell(tx: WriteTransaction, workspace: Workspace, verb: str, run: Run, **more: str) -> None:
    events.record(tx, workspace, verb, f"run:{run.id}", name=run.name, pipeline=run.pipeline, state=run.state, **more)
