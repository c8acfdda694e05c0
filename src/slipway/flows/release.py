"""Release: run an endpoint's pipeline and put its model, packaged and proven, into the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from slipway.errors import InvalidDeclaration, InvalidInput, NotFound
from slipway.features.certificate import certificate_of
from slipway.flows.endpoint import Endpoint
from slipway.flows.feed import keep_views
from slipway.flows.metric_contracts import keep
from slipway.flows.package import package
from slipway.flows.trained_on import training_set_of
from slipway.governance.asked import Asked, asked
from slipway.governance.raci import ACCOUNTABLE
from slipway.ledger import entries, events
from slipway.models.model import Model
from slipway.operations.declare import check_allowed
from slipway.pipelines import engine
from slipway.pipelines.declare import Pipeline
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.gates import GateSpec
from slipway.records.models import ModelVersion
from slipway.records.runs import Run, StepRun

__all__ = ["Released", "declare_endpoint", "release", "run_pipeline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What came of a pipeline's run.

    Args:
        run: The run.
        value: What the pipeline returned.
        version: The registered version, None when it returned no model.
    """

    run: Run
    value: object
    version: ModelVersion | None


def declare_endpoint(
    workspace: Workspace, endpoint: Endpoint, *, simulation: bool | None = None, snapshot: str = ""
) -> None:
    """Keep an endpoint's declaration, so that a server can deploy to it without the project's code.

    Args:
        workspace: Where it is kept.
        endpoint: What the project's code declares now.
        simulation: Whether it takes decision times from its callers; None leaves that as it stands.
        snapshot: The digest of the project's snapshot, which a retraining runs; "" leaves the stored one.

    Raises:
        Denied: The actor may not declare endpoints.
        InvalidDeclaration: Its gate asks for words that the project's RACI leaves nobody to give.
    """
    check_allowed(workspace, "endpoints.declare", "endpoints.declare")
    declared = endpoint.declared(
        workspace.project,
        workspace.clock.now(),
        environment=workspace.environment,
        simulation=bool(simulation),
        snapshot=snapshot,
    )
    declared = msgspec.structs.replace(declared, online=workspace.online)
    if declared.batch is not None:
        placed = msgspec.structs.replace(declared.batch, executor=workspace.placement.setting)
        declared = msgspec.structs.replace(declared, batch=placed)
    with workspace.ledger.write() as tx:
        _check_words(asked(tx, workspace), declared.name, declared.gate)
        for terms in (declared.kpi, *(monitor.contract for monitor in declared.monitors)):
            if terms is not None:
                keep(tx, workspace, terms, endpoint=declared.name)
        try:
            former = entries.get(tx, DeclaredEndpoint, declared.id)
        except NotFound:
            former = None
        if former is not None:
            kept = former.simulation if simulation is None else simulation
            declared = msgspec.structs.replace(declared, simulation=kept, snapshot=snapshot or former.snapshot)
            if declared == msgspec.structs.replace(former, created_at=declared.created_at):
                return
        entries.put(tx, declared)
        events.record(tx, workspace, "endpoints.declare", f"endpoint:{declared.id}", model=declared.model)


def _check_words(people: Asked, endpoint: str, gate: GateSpec | None) -> None:
    """A gate that no version can ever pass is refused before one is made: slipway.toml and the gate contradict each other."""
    for check in gate.checks if gate and people.rows else ():
        if check.kind != "approval" or check.role != ACCOUNTABLE:
            continue
        never = people.too_few_named(check.count)
        if never is not None:
            raise InvalidDeclaration(
                f"The gate of {endpoint!r} can never be passed: {never.found}.",
                why="Where slipway.toml says who is accountable for approving, nobody else's word counts as theirs.",
                fix=never.fix,
            )


def run_pipeline(
    workspace: Workspace,
    pipeline: Pipeline[..., Any],
    params: Mapping[str, object] | None,
    *,
    endpoint: Endpoint | None = None,
    simulation: bool = False,
    snapshot: str = "",
    declare: bool = True,
    register: bool = True,
    tags: Mapping[str, object] | None = None,
    pins: Mapping[str, str] | None = None,
    use_cache: bool = True,
    resume: str | None = None,
    workers: int | None = None,
    progress: Callable[[StepRun, str], None] | None = None,
    begun: Callable[[WriteTransaction, str], None] | None = None,
) -> Released:
    """Run a pipeline; a model that it returns is packaged and registered.

    Args:
        workspace: Where it is recorded.
        pipeline: What to run.
        params: Its parameters; None for those of the run that is resumed.
        endpoint: The endpoint that it feeds: gives the model its name and features.
        simulation: Whether the endpoint will take decision times from its callers.
        snapshot: The digest of the project's snapshot: what it takes to run this again without a checkout.
        declare: Whether the endpoint's stored declaration becomes what the code says; not where a snapshot runs again.
        register: Whether a model is packaged and registered; otherwise the run alone is kept.
        tags: Tags of the run.
        pins: See `engine.run`; they hold for the pipeline's own reading.
        use_cache: See `engine.run`.
        resume: See `engine.run`.
        workers: See `engine.run`.
        progress: See `engine.run`.
        begun: See `engine.run`.

    Raises:
        StepFailed: A step raised; the run is kept as failed.
        InvalidInput: The model cannot be packaged with equal answers, or its features are not proven equal.
        InvalidDeclaration: The endpoint's gate asks for words that the project's RACI leaves nobody to give.
    """
    if endpoint is not None and declare and register:
        with workspace.ledger.read() as tx:
            _check_words(asked(tx, workspace), endpoint.name, endpoint.gate.spec if endpoint.gate else None)
    run = partial(engine.run, workspace, pipeline, params, snapshot=snapshot, tags=tags, pins=pins)
    result = run(use_cache=use_cache, resume=resume, workers=workers, progress=progress, begun=begun)
    version = None
    if isinstance(result.value, Model) and register:
        if endpoint is not None and declare:
            declare_endpoint(workspace, endpoint, simulation=simulation, snapshot=snapshot)
        version = release(workspace, result.value, result.run, endpoint=endpoint, name=pipeline.name.replace("_", "-"))
    _check_model(pipeline, endpoint, result.value)
    return Released(run=result.run, value=result.value, version=version)


def _check_model(pipeline: Pipeline[..., Any], endpoint: Endpoint | None, value: object) -> None:
    if endpoint is not None and not isinstance(value, Model):
        raise InvalidDeclaration(
            f"The pipeline {pipeline.name!r} of the endpoint {endpoint.name!r} returned a {type(value).__name__}.",
            why="What serves is a model.",
            fix="Return what `sw.Model(...)` or `sw.evaluate(...)` gives.",
        )


def release(workspace: Workspace, model: Model, run: Run, *, endpoint: Endpoint | None, name: str) -> ModelVersion:
    """Package and register a pipeline's model; with features, prove first that serving them gives the same values.

    Raises:
        InvalidInput: The model cannot be packaged with equal answers, or its features are not proven equal.
        InvalidDeclaration: The endpoint's gate asks for words that the project's RACI leaves nobody to give.
    """
    if endpoint is None or endpoint.features is None:
        return package(workspace, model, run, name=endpoint.name if endpoint else name)
    training = training_set_of(workspace, run)
    if training is None:
        raise InvalidInput(
            f"The pipeline of {endpoint.name!r} made no training set of its feature set {endpoint.features.name!r}.",
            why="Only features that come from one definition are the same in training and serving.",
            fix="Get the rows by `features.training_set(...)` inside the pipeline.",
        )
    keep_views(workspace, endpoint.features)
    certificate = certificate_of(workspace, training.spec, endpoint.features.functions)
    return package(
        workspace,
        model,
        run,
        name=endpoint.name,
        features=training.spec,
        functions=endpoint.features.functions,
        training=training,
        certificate=certificate,
    )
