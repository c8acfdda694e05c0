"""The report of a simulation: what really answered beside two other policies, on the very same rows and inputs.

"Never" is the first model for the whole period; "blind" a retraining on the first of each month that serves at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from msgspec import structs
from numpy.typing import NDArray

from slipway.errors import InvalidInput
from slipway.features.sets import FeatureSet
from slipway.flows import simulation_figures, simulation_words
from slipway.flows.endpoints import folder_of
from slipway.flows.simulation_figures import hindsight, reigns
from slipway.flows.simulation_scores import (
    Scorer,
    VersionScores,
    blind_models,
    inputs_proof,
    loaded_versions,
    offline_inputs,
    score,
)
from slipway.flows.simulations import actions_of
from slipway.flows.trained_on import training_set_of
from slipway.ledger import entries, events
from slipway.models import registry
from slipway.models.bundle import LoadedModel
from slipway.pipelines.declare import Pipeline
from slipway.ports.workspace import Workspace
from slipway.records.endpoints import Contract, Revision, Served
from slipway.records.models import Bundle, Decision
from slipway.records.rollouts import Rollout
from slipway.records.runs import Run
from slipway.records.schema import Signature
from slipway.records.simulations import BLIND, NEVER, Fault, Promotion, Simulation
from slipway.tables import prediction_log

__all__ = ["Witnessed", "answered_between", "write_report"]

_ALL = 1_000_000
_INPUT = "input "
Scores = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Witnessed:
    """What only the time machine saw of a simulation.

    Args:
        requests: Predict requests sent.
        events: Events and view rows delivered.
        labels: Labels delivered.
        faults: What was injected, and how it was met.
        bent: From when until when an injected fault bent what the endpoint was fed.
        measured: Latencies and other machine-time figures.
        proofs: What it compared itself, as sentences.
    """

    requests: int = 0
    events: int = 0
    labels: int = 0
    faults: tuple[Fault, ...] = ()
    bent: tuple[tuple[datetime, datetime], ...] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)
    proofs: tuple[str, ...] = ()


def write_report(
    workspace: Workspace,
    simulation: Simulation,
    *,
    features: FeatureSet | None,
    pipeline: Pipeline[..., Any],
    witnessed: Witnessed,
    until: str = "until",
    progress: Callable[[float], None] = lambda share: None,
) -> Simulation:
    """Judge what a simulation's endpoint answered, and keep the report.

    Args:
        workspace: Whose ledger, log and bundles.
        simulation: As it was begun.
        features: The endpoint's feature set, None for models that take their inputs as they are.
        pipeline: The endpoint's pipeline: what a blind policy would run.
        witnessed: What the time machine saw.
        until: The pipeline's parameter that takes the day up to which data counts.
        progress: Told how much of the work is done, as a share.

    Raises:
        InvalidInput: Nothing was answered in the period, or by models with different inputs.
        Corrupt: The log or a bundle is damaged.
    """
    simulation = structs.replace(simulation, state="finished", ended_at=workspace.clock.now())
    answered, inputs = answered_between(workspace, simulation.name, simulation.since, simulation.until)
    with workspace.ledger.read() as tx:
        rollouts = entries.find(tx, Rollout, parent=simulation.parent_id, limit=_ALL)
        actions = actions_of(tx, simulation)
        model = _revisions(workspace, simulation.name)[0].served.model
    during = [one for one in rollouts if one.ended_at is not None and one.ended_at >= simulation.since]
    ruled = reigns(during, simulation.until)
    first = int(answered["version"][0])
    needed = {*answered["version"].to_list(), *(reign.version for reign in ruled), *(r.replaced for r in ruled)}
    with loaded_versions(workspace, model, needed) as loaded:
        progress(0.1)
        versions = VersionScores(answered, inputs, loaded)
        progress(0.3)
        blind = _blind(workspace, pipeline, answered, inputs, versions, loaded[first], first, until)
        progress(0.6)
        judged = answered["label"].is_not_null().to_numpy()
        scores = {NEVER: versions.of(first, judged), BLIND: blind}
        promotions = tuple(_hindsight(answered, versions, reign) for reign in ruled)
        progress(0.8)
        decision = loaded[first].decision
        joined = _inputs_proof(workspace, loaded[first].bundle, features, answered, inputs, witnessed)
    told = structs.replace(
        _told(simulation, witnessed, answered, scores, decision),
        drift=simulation_words.drift(actions),
        promotions=promotions,
        proofs=(versions.sentence, *joined, *witnessed.proofs),
        fingerprint=simulation_words.fingerprint_of(actions),
    )
    progress(1.0)
    return _keep(workspace, told)


def _told(
    simulation: Simulation,
    witnessed: Witnessed,
    answered: pl.DataFrame,
    scores: Mapping[str, Scores],
    decision: Decision,
) -> Simulation:
    """The figures of the three policies, in numbers and in words, beside what the time machine saw."""
    months, total = simulation_figures.months(answered, scores, decision)
    worth = simulation_figures.worth(answered, scores, decision)
    return structs.replace(
        simulation,
        requests=witnessed.requests,
        events=witnessed.events,
        labels=witnessed.labels,
        months=months,
        total=total,
        worth=worth,
        faults=witnessed.faults,
        unit=decision.unit,
        assumption=simulation_words.assumption(decision),
        sentence=simulation_words.sentence(total, worth, months=len(months), unit=decision.unit),
        measured=dict(witnessed.measured),
    )


def answered_between(
    workspace: Workspace, endpoint: str, since: datetime, until: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What an endpoint answered in a period, whichever of its models did, ordered by the decision time.

    A case that was asked again for the same decision time counts once, with its last answer.

    Args:
        workspace: Whose endpoint.
        endpoint: Its name.
        since: Rows decided at or after this.
        until: Rows decided before this.

    Returns:
        A frame of `key`, `at`, `version`, `score` and `label` (null where none has come), and one of the models' inputs
        as they were logged, parallel to it.

    Raises:
        InvalidInput: Nothing was answered, or by models with different inputs.
    """
    log = folder_of(workspace, endpoint) / "log"
    revisions = _revisions(workspace, endpoint)
    signature = _shared_signature(workspace, endpoint, revisions)
    names = [field.name for field in signature.inputs]
    by_contract: dict[bytes, list[Revision]] = {}
    for revision in revisions:
        by_contract.setdefault(msgspec.json.encode(revision.contract), []).append(revision)
    found = [_read(same[0].contract, signature, log, same) for same in by_contract.values()]
    rows = pl.concat(found).filter(pl.col("at").is_between(since, until, closed="left"))
    if not rows.height:
        raise InvalidInput(
            f"The endpoint {endpoint!r} answered nothing between {since.isoformat()} and {until.isoformat()}.",
            fix="Replay the period first; business times count, not those of the machine.",
        )
    if revisions[0].contract.key:
        rows = rows.sort("answered_at", maintain_order=True).unique(["key", "at"], keep="last", maintain_order=True)
    rows = prediction_log.joined(rows, prediction_log.labels(log)).sort("at", "key", "id")
    return rows.select("key", "at", "version", "score", "label"), rows.select(
        pl.col(f"{_INPUT}{name}").alias(name) for name in names
    )


def _read(contract: Contract, signature: Signature, log: Path, same: Sequence[Revision]) -> pl.DataFrame:
    """The rows that revisions of one contract answered; inputs under a name that no column of the log has."""
    rows = prediction_log.predictions(log, contract, signature, revisions={revision.number for revision in same})
    rows = prediction_log.by_models(rows)
    own = rows.select("id", "key", "at", "answered_at", "version", "score")
    inputs = [
        pl.col(f"feature.{field.name}" if f"feature.{field.name}" in rows.columns else field.name)
        for field in signature.inputs
    ]
    return own.hstack(
        rows.select(one.alias(f"{_INPUT}{field.name}") for one, field in zip(inputs, signature.inputs, strict=True))
    )


def _revisions(workspace: Workspace, endpoint: str) -> list[Revision]:
    """All revisions of an endpoint, newest first."""
    with workspace.ledger.read() as tx:
        found = entries.find(tx, Revision, project=workspace.project, name=endpoint, limit=_ALL)
    if not found:
        raise InvalidInput(
            f"Nothing was ever deployed to an endpoint {endpoint!r}.", fix="Deploy a model: slipway deploy"
        )
    return sorted(found, key=lambda revision: -revision.number)


def _shared_signature(workspace: Workspace, endpoint: str, revisions: Sequence[Revision]) -> Signature:
    """The inputs that all models of an endpoint take."""
    arms = [one for r in revisions for one in (r.served, *(beside.served for beside in r.challengers))]
    served = {one.bundle: one for one in arms}
    signatures = [_bundle_of(workspace, one).signature for one in served.values()]
    kinds = {tuple((field.name, field.type) for field in one.inputs) for one in signatures}
    if len(kinds) > 1:
        raise InvalidInput(
            f"Models with different inputs have answered at {endpoint!r}.",
            why="What one of them was given says nothing of what another would have answered.",
            fix="Simulate a period in which the feature set stays the same.",
        )
    return signatures[0]


def _bundle_of(workspace: Workspace, served: Served) -> Bundle:
    return registry.bundle_of(workspace, registry.get(workspace, served.model, served.number))


def _blind(
    workspace: Workspace,
    pipeline: Pipeline[..., Any],
    answered: pl.DataFrame,
    inputs: pl.DataFrame,
    versions: VersionScores,
    first_model: LoadedModel,
    first: int,
    until: str,
) -> Scores:
    """What a blind monthly retraining would have answered to the labelled rows."""
    judged = answered["label"].is_not_null().to_numpy()
    starts = answered["at"].dt.truncate("1mo").dt.date()
    days: list[date] = starts.unique().sort().to_list()
    quiet = replace(workspace, say=lambda line: None)  # its trainings were told when they ran
    models: dict[str, Scorer] = blind_models(quiet, pipeline, days, first=first_model, until=until)
    found = np.full(answered.height, np.nan)
    for day in days:
        inside = (starts == day).to_numpy() & judged
        model = models[f"{day:%Y-%m}"]
        if model is first_model:
            found[inside] = versions.of(first, inside)[inside]
        else:
            score(model, inputs, inside, found)
    return found


def _hindsight(answered: pl.DataFrame, versions: VersionScores, reign: simulation_figures.Reign) -> Promotion:
    ruled = answered["at"].is_between(reign.at, reign.until, closed="left").to_numpy()
    inside = ruled & answered["label"].is_not_null().to_numpy()
    promoted, replaced = (versions.of(number, inside)[inside] for number in (reign.version, reign.replaced))
    return hindsight(answered.filter(pl.Series(inside)), reign, promoted, replaced)


def _inputs_proof(
    workspace: Workspace,
    bundle: Bundle,
    features: FeatureSet | None,
    answered: pl.DataFrame,
    inputs: pl.DataFrame,
    witnessed: Witnessed,
) -> list[str]:
    """Logged inputs against the offline join; nothing where the model takes its inputs as they are."""
    if features is None or bundle.features is None or not answered["key"][0]:
        return []
    with workspace.ledger.read() as tx:
        training = training_set_of(workspace, entries.get(tx, Run, bundle.run_id))
    if training is None:
        return []
    quiet = replace(workspace, say=lambda line: None)
    since, until = answered["at"][0], answered["at"][-1] + timedelta(microseconds=1)
    named, offline = offline_inputs(quiet, bundle.features, features, training, since=since, until=until)
    return [inputs_proof(answered, inputs, named, offline, except_between=witnessed.bent)]


def _keep(workspace: Workspace, simulation: Simulation) -> Simulation:
    with workspace.ledger.write() as tx:
        entries.put(tx, simulation)
        events.record(
            tx,
            workspace,
            "simulations.finish",
            f"simulation:{simulation.id}",
            endpoint=simulation.name,
            requests=simulation.requests,
            fingerprint=simulation.fingerprint,
        )
    return simulation
