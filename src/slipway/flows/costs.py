"""What runs, models and endpoints cost, in hours, bytes and money; what is idle; what it was measured to be worth.

Hours are those for which processes were held, not those in which they worked: that is what is paid for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from slipway.errors import InvalidInput, NotFound, SlipwayError, near
from slipway.flows.cost_rates import priced, rates_meant
from slipway.flows.endpoint_costs import endpoint_cost, idle_endpoints
from slipway.ledger import entries
from slipway.models import registry
from slipway.models.holding import holders
from slipway.operations.costs import CostDetail, Costs, GetCost, GetCosts, Idle, ModelCost, RunCost, Used
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.costs import Rates
from slipway.records.endpoints import Revision
from slipway.records.models import ModelVersion
from slipway.records.runs import Artifact, Run, StepRun

__all__ = ["IDLE_DAYS", "get_cost", "held_s", "list_costs", "run_cost"]

IDLE_DAYS = 7
"""What nobody used for so long is idle."""
_DEAREST = 10
_SHORTEST = 4
_GPU = "system/gpu"
_HEX = frozenset("0123456789abcdef")


def list_costs(workspace: Workspace, request: GetCosts) -> Costs:
    """Costs of the whole project.

    Raises:
        InvalidInput: The given rates cannot be.
    """
    rates = rates_meant(workspace, request)
    with workspace.ledger.read() as tx:
        runs = _outermost(tx, workspace)
        endpoints = sorted(tx.refs(workspace.project, "endpoint"))
        used, _ = _used(tx, runs)
    return Costs(
        rates=rates,
        runs=priced(used, rates),
        models=tuple(_model_cost(workspace, name, some, rates) for name, some in _by_model(workspace, runs).items()),
        endpoints=tuple(endpoint_cost(workspace, name, rates) for name in endpoints),
        idle=(*idle_endpoints(workspace, timedelta(days=IDLE_DAYS)), *_idle_versions(workspace)),
    )


def get_cost(workspace: Workspace, request: GetCost) -> CostDetail:
    """Costs of what a name means.

    Raises:
        NotFound: Nothing here is called so.
        InvalidInput: Several runs begin so, or the given rates cannot be.
    """
    rates = rates_meant(workspace, request)
    name, models = request.name, registry.names(workspace)
    with workspace.ledger.read() as tx:
        endpoints = sorted(tx.refs(workspace.project, "endpoint"))
        runs = _outermost(tx, workspace)
        if name not in models and name not in endpoints:
            run = _run_meant(tx, workspace, name, [*models, *endpoints])
            return CostDetail(rates=rates, runs=(run_cost(tx, run, rates),))
    own = _by_model(workspace, runs).get(name, [])
    with workspace.ledger.read() as tx:
        dearest = [run_cost(tx, run, rates) for run in own]
    dearest.sort(key=lambda one: (-one.used.cpu_s, one.run_id))
    return CostDetail(
        rates=rates,
        model=_model_cost(workspace, name, own, rates) if name in models else None,
        endpoint=endpoint_cost(workspace, name, rates) if name in endpoints else None,
        runs=tuple(dearest[:_DEAREST]),
    )


def run_cost(tx: ReadTransaction, run: Run, rates: Rates) -> RunCost:
    """What one run took, its steps' results included.

    Args:
        tx: An open transaction.
        run: Which one.
        rates: By what to reckon.
    """
    used, untold = _used(tx, [run])
    note = "its end is not known, or clocks disagree" if untold else ""
    name = run.name or run.pipeline
    return RunCost(
        run_id=run.id, name=name, state=run.state, started_at=run.started_at, used=priced(used, rates), note=note
    )


def _used(tx: ReadTransaction, runs: Iterable[Run], versions: Sequence[ModelVersion] = ()) -> tuple[Used, int]:
    """What runs took together, each stored file once; and of how many the time is not known."""
    cpu_s, gpu_s, untold, stored = 0.0, 0.0, 0, dict[str, int]()
    runs = list(runs)
    seen = {project for project in {run.project for run in runs} if _has_gpus(tx, project)}
    for run in runs:
        seconds = _seconds(run)
        untold += seconds is None
        cpu_s += held_s(run) or 0.0
        gpu_s += (seconds or 0.0) * (_gpus(tx, run) if run.project in seen else 0)
        for step in entries.every(tx, StepRun, parent=run.id):
            stored |= _sizes(step.outputs) if step.state != "cached" else {}
        stored |= _sizes(run.artifacts)
    return Used(cpu_s=cpu_s, gpu_s=gpu_s, size_bytes=sum(stored.values())), untold


def held_s(run: Run) -> float | None:
    """For how many seconds a run held processes: its own, or its workers'. None where nobody knows."""
    seconds, paid = _seconds(run), run.worker_time.paid_s if run.worker_time is not None else 0.0
    return paid or None if seconds is None else max(seconds, paid)


def _seconds(run: Run) -> float | None:
    """How long a run took; of one that goes on, until now. None where nobody knows."""
    until = run.ended_at or (datetime.now(UTC) if run.state == "running" else None)
    seconds = None if until is None else (until - run.started_at).total_seconds()
    return None if seconds is None or seconds < 0 else seconds


def _has_gpus(tx: ReadTransaction, project: str) -> bool:
    """Whether any run of a project ever was seen to have a graphics processor: most projects' metrics need not be read."""
    return bool(tx.names(entries.kind_of(Run), project=project, space="metric", contains=_GPU, limit=1))


def _gpus(tx: ReadTransaction, run: Run) -> int:
    """How many graphics processors a run was seen to have."""
    keys = [point.key for point in tx.latest_points([run.id]).get(run.id, [])]
    return sum(key.startswith(_GPU) and key.endswith("_percent") for key in keys)


def _sizes(artifacts: Iterable[Artifact]) -> dict[str, int]:
    return {one.digest: one.size_bytes for one in artifacts}


def _outermost(tx: ReadTransaction, workspace: Workspace) -> list[Run]:
    """The project's runs but for those inside others, whose time the outer ones have."""
    return [run for run in entries.every(tx, Run, project=workspace.project) if not run.parent_id]


def _by_model(workspace: Workspace, runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs that each model took: those that made its versions, and all of a pipeline that makes no other model."""
    makers, made = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    by_id, names = {run.id: run for run in runs}, registry.names(workspace)
    for name in names:
        for version in registry.all_versions(workspace, name):
            made[name].add(version.run_id)
            if (run := by_id.get(version.run_id)) is not None and run.pipeline:
                makers[run.pipeline].add(name)
    return {name: [run for run in runs if run.id in made[name] or makers.get(run.pipeline) == {name}] for name in names}


def _model_cost(workspace: Workspace, model: str, own: Sequence[Run], rates: Rates) -> ModelCost:
    bundles = _bundle_bytes(workspace, registry.versions(workspace, model))
    with workspace.ledger.read() as tx:
        used, untold = _used(tx, own)
        revisions = [one for one in entries.every(tx, Revision, project=workspace.project) if one.served.model == model]
    in_prod = [one for one in revisions if one.environment == "prod"]
    serving = min(in_prod or revisions, key=lambda one: one.created_at, default=None)
    first = min((run.created_at for run in own), default=None)
    span = (serving.created_at - first) / timedelta(days=1) if serving is not None and first is not None else None
    return ModelCost(
        model=model,
        runs=len(own),
        used=priced(msgspec.structs.replace(used, size_bytes=used.size_bytes + bundles), rates),
        untold=untold,
        first_run_at=first,
        serving_since=None if serving is None else serving.created_at,
        days=None if span is None or span < 0 else span,
        environment="" if serving is None else serving.environment,
    )


def _bundle_bytes(workspace: Workspace, versions: Iterable[ModelVersion]) -> int:
    """The bytes of the versions' bundles, each file once; a manifest that is gone counts nothing."""
    stored: dict[str, int] = {}
    for version in versions:
        try:
            files = registry.bundle_of(workspace, version).files
        except SlipwayError as problem:
            workspace.say(f"The bundle of {version.name} {version.number} is not counted: {problem}")
            continue
        stored |= {file.digest: file.size_bytes for file in files}
    return sum(stored.values())


def _idle_versions(workspace: Workspace) -> tuple[Idle, ...]:
    """Versions that nothing names and that are not their model's newest, a week after they were made."""
    old = workspace.clock.now() - timedelta(days=IDLE_DAYS)
    found = []
    for name in registry.names(workspace):
        versions = registry.versions(workspace, name)
        newest = max((one.number for one in versions), default=0)
        some = [one for one in versions if one.number != newest and one.created_at <= old]
        with workspace.ledger.read() as tx:
            held = holders(tx, workspace, some) if some else {}
        found += [
            Idle(
                what="version",
                name=f"{name}:{one.number}",
                sentence=f"made {one.created_at:%Y-%m-%d}; nothing serves or served it, no alias or approval names it",
                command=f"slipway trash put model:{name}:{one.number}",
                size_bytes=_bundle_bytes(workspace, [one]),
            )
            for one in sorted(some, key=lambda one: one.number)
            if one.id not in held
        ]
    return tuple(found)


def _run_meant(tx: ReadTransaction, workspace: Workspace, name: str, known: Sequence[str]) -> Run:
    found = []
    if len(name) >= _SHORTEST and set(name) <= _HEX:
        runs = entries.every(tx, Run, project=workspace.project)
        found = [run for run in runs if run.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidInput(f"{len(found)} runs begin with {name!r}.", fix="Give more of its id.", field="name")
    raise NotFound(
        f"No model, endpoint or run is called {name!r} in {workspace.project!r}.",
        fix=near(name, known, what="models and endpoints") if known else "See what there is: slipway cost",
    )
