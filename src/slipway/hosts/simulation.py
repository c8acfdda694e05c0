"""A simulation's own store: made empty, given a first model that serves, and left with a report.

It is a store like any other whose file `clock` says which time it is there; see `hosts.store_clock`.
"""

from __future__ import annotations

import atexit
import fcntl
import inspect
import os
import shutil
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import IO, Any

import msgspec

from slipway import plugins
from slipway.data.declare import Table
from slipway.data.ingest import ingest
from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.flows.batch_endpoint import BatchEndpoint
from slipway.flows.endpoint import Endpoint
from slipway.flows.endpoints import folder_of
from slipway.flows.faults import BrokenFeed, Injected, tell_of
from slipway.flows.release import run_pipeline
from slipway.flows.replay_sources import Source, log_source, table_source
from slipway.flows.simulate import Plan, Simulated
from slipway.flows.simulation_report import Witnessed, write_report
from slipway.flows.trained_on import training_set_of
from slipway.gates.floors import effective
from slipway.hosts.blind_runs import blind_beside, months_between
from slipway.hosts.endpoint import open_signer
from slipway.hosts.project import Project
from slipway.hosts.server_process import stop_former
from slipway.hosts.store_clock import CLOCK_FILE
from slipway.ledger import entries
from slipway.operations.declare import call
from slipway.operations.endpoints import Deploy, Deployed
from slipway.operations.governance import Grant, Stand
from slipway.operations.table import operation
from slipway.ports.launcher import Launcher
from slipway.ports.runner import Runner
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint, declared_id
from slipway.records.loop import Action
from slipway.records.models import ModelVersion
from slipway.records.monitors import Incident
from slipway.records.people import Actor
from slipway.records.predictions import PredictionRow
from slipway.records.rollouts import Rollout
from slipway.records.runs import Run
from slipway.records.simulations import Simulation
from slipway.serving.swap import REVISION_FILE, read_revision
from slipway.tables.log_rows import read_rows

__all__ = [
    "First",
    "approve_first",
    "blind_trainings",
    "finish_report",
    "first_model",
    "fresh_store",
    "ingest_all",
    "label_delay_of",
    "pick_endpoint",
    "refuse_to_move",
    "source_of",
    "stop_all",
    "stop_tasks",
    "witnessed",
]

_A_DAY = timedelta(days=1)
_DONE_FILE = "simulation.done"
_held: dict[Path, IO[str]] = {}
_MANY = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class First:
    """The model with which a simulation begins.

    Args:
        endpoint: What the project declares.
        version: The model.
        deployed: As it serves.
    """

    endpoint: Endpoint
    version: ModelVersion
    deployed: Deployed


def fresh_store(root: Path, start: datetime) -> Path | None:
    """Make an empty store that lives in simulated time. A former simulation's is stopped and moved aside.

    Args:
        root: The store's folder.
        start: Business time at which it begins.

    Returns:
        Where the former store went, in place of what lay there; None when there was none.

    Raises:
        Conflict: The folder holds something else than a simulation's store, or a simulation runs there.
    """
    previous = None
    _hold(root)
    if root.exists() and any(root.iterdir()):
        if not (root / CLOCK_FILE).is_file():
            raise Conflict(
                f"{root} holds something already, and no simulation's store.",
                why="A simulation begins with an empty store, and would move this aside.",
                fix="Name another folder: --root DIR",
            )
        stop_all(root)
        if (root / _DONE_FILE).exists():
            previous = root.with_name(f"{root.name}.previous")
            shutil.rmtree(previous, ignore_errors=True)
            root.rename(previous)
        else:  # what never came to its report does not push out one that did
            shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    plugins.load("clock", "file")(root / CLOCK_FILE).advance_to(start)
    return previous


def refuse_to_move(log: Path, root: Path) -> None:
    """Refuse a log that lies where `fresh_store` moves or removes what there is.

    Args:
        log: The folder of the endpoint whose log is replayed.
        root: The store that the simulation makes.

    Raises:
        InvalidInput: It does.
    """
    for doomed in (root, root.with_name(f"{root.name}.previous")):
        if log.resolve().is_relative_to(doomed.resolve()):
            raise InvalidInput(
                f"The log in {log} lies in {doomed}, which this simulation would put something else in place of.",
                why="A simulation has a store of its own, and keeps one former simulation's.",
                fix="Give this one another store: --root DIR",
                field="from_log",
            )


def _hold(root: Path) -> None:
    """Own a simulation's store for the life of this process.

    The lock lies beside the store, which may be moved aside.
    """
    if root in _held:
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    file = root.with_name(f".{root.name}.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip() or "another one"
        file.close()
        raise Conflict(
            f"A simulation runs in {root} already: process {owner}.",
            fix="Wait for it or stop it, or give this one a store of its own: --root DIR",
        ) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    atexit.register(file.close)
    _held[root] = file


def stop_all(root: Path) -> None:
    """Stop the control plane, the endpoints and the retrainings of a simulation's store."""
    stop_former(root)
    launcher: Launcher = plugins.load("launcher", "process")()
    for folder in root.glob("endpoints/*/*/"):
        launcher.stop(folder)
    stop_tasks(root, plugins.load("runner", "process")())


def stop_tasks(root: Path, runner: Runner) -> None:
    """Stop the pipelines that still run for a store whose control plane has been stopped."""
    for folder in root.glob("tasks/*/"):
        runner.stop(folder)


def pick_endpoint(project: Project, name: str | None) -> Endpoint:
    """The endpoint to simulate: by name, or the only one that the project declares.

    Raises:
        NotFound: The project declares no endpoint of that name.
        InvalidInput: No name was given and there is not exactly one, or the endpoint cannot be simulated.
    """
    # What scores a table is asked by nobody: there are no requests that could be played again.
    declared = {key: one for key, one in project.declared(Endpoint).items() if not isinstance(one, BatchEndpoint)}
    if name is not None and isinstance(project.declared(Endpoint).get(name), BatchEndpoint):
        raise InvalidInput(
            f"The batch endpoint {name!r} cannot be simulated: it answers no requests.",
            fix=f"Score rows of the past with it: slipway score {name} --table-version VERSION",
        )
    if name is None and len(declared) != 1:
        raise InvalidInput(
            f"The project {project.name!r} declares {len(declared)} endpoints{': ' if declared else ''}"
            f"{', '.join(sorted(declared))}.",
            why="One of them is simulated.",
            fix="Name it: slipway simulate ENDPOINT --since DATE --until DATE",
        )
    endpoint: Endpoint = project.pick(Endpoint, name if name is not None else next(iter(declared)), "endpoint")
    for given, what, fix in (
        (endpoint.pipeline, "names no pipeline", "pipeline=release"),
        (endpoint.features, "names no feature set", "features=features"),
        (endpoint.key_fields, "has no key", 'key=["order_id"]'),
    ):
        if not given:
            raise InvalidInput(
                f"The endpoint {endpoint.name!r} {what}, so it cannot be simulated.",
                why="A simulation trains its first model, follows its features, and finds answers by their key.",
                fix=f"Declare it: sw.Endpoint({endpoint.name!r}, ..., {fix})",
            )
    return endpoint


def label_delay_of(endpoint: Endpoint) -> timedelta:
    """How long a label may take at most, by what the endpoint's monitors declare; a day where none does."""
    delays = [monitor.spec().label_delay_us for monitor in endpoint.monitors]
    return max((timedelta(microseconds=us) for us in delays if us), default=_A_DAY)


def ingest_all(project: Project) -> None:
    """Make a version of every table that the project declares."""
    for table in project.declared(Table).values():
        ingest(project.workspace, table, folder=project.folder)


def first_model(project: Project, endpoint: Endpoint, since: datetime) -> ModelVersion:
    """Run the endpoint's pipeline on what was there before a simulation begins.

    Raises:
        InvalidInput: The pipeline cannot be told up to when data counts.
        StepFailed: It failed, or returned no model.
    """
    pipeline = endpoint.pipeline
    assert pipeline is not None  # pick_endpoint saw to it
    retrain = endpoint.declared(project.name, since, environment=project.workspace.environment).retrain
    name = retrain.until if retrain is not None else "until"
    parameter = inspect.signature(pipeline.function).parameters.get(name)
    if parameter is None:
        raise InvalidInput(
            f"The pipeline {pipeline.name!r} has no parameter {name or 'until'!r}.",
            why="Its first model would know what comes after the simulation's begin, and so would every later one.",
            fix=f"Let it take the day up to which data counts: def {pipeline.name}(until: date)",
        )
    kinds = typing.get_type_hints(pipeline.function).get(name, date)
    is_instant = kinds is datetime or datetime in typing.get_args(kinds)
    done = run_pipeline(
        project.workspace,
        pipeline,
        {name: since if is_instant else since.date()},
        endpoint=endpoint,
        simulation=True,
        snapshot=project.published(),
    )
    assert done.version is not None  # an endpoint's pipeline that returns no model was refused
    return done.version


def approve_first(
    workspace: Workspace, endpoint: Endpoint, version: ModelVersion, actor: Actor, until: datetime, comment: str
) -> Deployed:
    """Let a first model serve: a simulated person approves it, and its policy until the end of the simulation.

    Args:
        workspace: The simulation's store.
        endpoint: What the project declares.
        version: The model.
        actor: Who approves, of the kind "simulated".
        until: When the standing approval lapses.
        comment: Why.

    Raises:
        GateRefused: A check refuses the model.
    """
    declared = _declared(workspace, endpoint.name)
    person = replace(workspace, actor=actor)
    for check in effective(declared.gate, workspace.environment).checks:
        if check.kind == "approval":
            given = Grant(model=version.name, version=str(version.number), role=check.role, comment=comment)
            call(person, operation("approvals.grant"), given)
            workspace.say(f"{actor} approves it as {check.role}.")
    wanted = Deploy(model=version.name, version=str(version.number), endpoint=endpoint.name)
    deployed: Deployed = call(workspace, operation("endpoints.deploy"), wanted)
    if declared.retrain is not None:
        call(person, operation("approvals.stand"), Stand(endpoint=endpoint.name, until=until, comment=comment))
        workspace.say(f"{actor} approves its retraining policy until {until.date()}.")
    else:
        workspace.say(f"{endpoint.name} declares no retraining: its first model serves all the time.")
    return deployed


def source_of(project: Project, first: First, plan: Plan, log: Path | None) -> Source:
    """What is replayed: the table that the first model was trained on, or another endpoint's log.

    Args:
        project: The simulation's project.
        first: What serves.
        plan: The period.
        log: The folder of an endpoint that was asked, or the store around it; None for the table.

    Raises:
        NotFound: There is no log in that folder.
        InvalidInput: Nothing was asked in the period, or there is no single key.
    """
    workspace, endpoint = project.workspace, first.endpoint
    with workspace.ledger.read() as tx:
        training = training_set_of(workspace, entries.get(tx, Run, first.version.run_id))
    assert training is not None  # a model with features was released with it
    assert first.deployed.revision is not None
    assert endpoint.features is not None
    if log is None:
        delay = label_delay_of(endpoint)
        return table_source(
            workspace, first.deployed.revision, training, endpoint.features,
            since=plan.since, until=plan.until, label_delay=delay,
        )  # fmt: skip
    folder = log_folder(log, project.name, endpoint.name)
    contract = read_revision(folder / REVISION_FILE, open_signer(folder.resolve())).contract
    return log_source(folder / "log", contract, training.spec, since=plan.since, until=plan.until)


def log_folder(given: Path, project: str, endpoint: str) -> Path:
    """The folder of an endpoint that was asked, given itself or as the store around it.

    Raises:
        NotFound: Neither has a prediction log.
    """
    for folder in (given, given / "endpoints" / project / endpoint):
        if (folder / "log").is_dir() and (folder / REVISION_FILE).is_file():
            return folder
    raise NotFound(
        f"There is no prediction log in {given}.",
        why=f"It is neither an endpoint's folder nor a store with the endpoint {endpoint!r} of {project!r}.",
        fix="Name a store, as in --from-log .slipway",
    )


@contextmanager
def blind_trainings(project: Project, first: First, plan: Plan) -> Iterator[Thread]:
    """Train what a blind policy would serve, beside the replay; see `blind_runs`."""
    workspace = project.workspace
    with workspace.ledger.read() as tx:
        run = entries.get(tx, Run, first.version.run_id)
    with blind_beside(workspace, run, months_between(plan.since, plan.until), "until") as thread:
        yield thread


def finish_report(
    project: Project,
    first: First,
    begun: Simulation,
    done: Simulated,
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> Simulation:
    """What a simulation comes to, kept as a record: three policies side by side, faults and how each was met.

    Args:
        project: The simulation's project.
        first: The model with which it began.
        begun: Its record, as it was begun.
        done: What was done.
        progress: Told how much of the work is done, as a share.
    """
    endpoint = first.endpoint
    assert endpoint.pipeline is not None  # pick_endpoint saw to it
    written = write_report(
        project.workspace,
        begun,
        features=endpoint.features,
        pipeline=endpoint.pipeline,
        witnessed=witnessed(project.workspace, endpoint, done),
        progress=progress,
    )
    (project.workspace.root / _DONE_FILE).touch()
    return written


def witnessed(workspace: Workspace, endpoint: Endpoint, done: Simulated) -> Witnessed:
    """What the time machine saw of a simulation, and how each fault was met by what the ledger holds."""
    parent = f"{workspace.project}/{endpoint.name}"
    with workspace.ledger.read() as tx:
        actions = sorted(entries.find(tx, Action, parent=parent, limit=_MANY), key=lambda action: action.number)
        rollouts = entries.find(tx, Rollout, parent=parent, limit=_MANY)
        incidents = entries.find(tx, Incident, parent=parent, limit=_MANY)
    answered = _answered(folder_of(workspace, endpoint.name) / "log") if done.injected else {}
    return Witnessed(
        requests=done.requests,
        events=done.events,
        labels=done.labels,
        faults=tuple(tell_of(fault, actions, rollouts, incidents, answered) for fault in done.injected),
        bent=tuple(_bent(fault, endpoint) for fault in done.injected if isinstance(fault.fault, BrokenFeed)),
        measured=_measured(done),
    )


def _bent(injected: Injected, endpoint: Endpoint) -> tuple[datetime, datetime]:
    """From when until when a broken feed reached the features: its last rows hold until newer ones, or their TTL."""
    fault = injected.fault
    assert isinstance(fault, BrokenFeed)
    assert endpoint.features is not None  # pick_endpoint saw to it
    ttl_us = endpoint.features.views[fault.view].ttl_us
    lasts = _A_DAY if ttl_us is None else timedelta(microseconds=ttl_us)
    return fault.since, fault.until + lasts


def _measured(done: Simulated) -> dict[str, Any]:
    """Figures of machine time: shown, never judged."""
    ordered = sorted(done.latencies_ms)
    found: dict[str, Any] = {"single-row requests": len(ordered)}
    for name, place in (("latency p50, ms", 0.5), ("latency p99, ms", 0.99)):
        if ordered:
            found[name] = round(ordered[min(int(len(ordered) * place), len(ordered) - 1)], 3)
    return found


class _Answered(msgspec.Struct, frozen=True, array_like=True):
    """The first fields of a prediction row: the rest is not decoded."""

    id: str
    at_us: int
    answered_us: int
    version: int


assert PredictionRow.__struct_fields__[:4] == _Answered.__struct_fields__


def _answered(folder: Path) -> dict[int, int]:
    """How many rows each model version answered."""
    rows, _ = read_rows(folder, "predictions", _Answered)
    counts: dict[int, int] = {}
    for row in {row.id: row for row in rows}.values():
        counts[row.version] = counts.get(row.version, 0) + 1
    return counts


def _declared(workspace: Workspace, name: str) -> DeclaredEndpoint:
    with workspace.ledger.read() as tx:
        return entries.get(tx, DeclaredEndpoint, declared_id(workspace.project, workspace.environment, name))
