"""What the ledger knows of a model's way, gathered once: the maturity of a model is judged by this and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from slipway.errors import SlipwayError
from slipway.flows.approve import approvals_of
from slipway.governance.raci import declared_raci
from slipway.ledger import entries
from slipway.ledger.reproductions import reproductions_of
from slipway.models import registry
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.ci_runs import CiRun
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.endpoints import Revision
from slipway.records.gates import Approval, Verdict
from slipway.records.loop import Retraining
from slipway.records.models import Bundle, ModelVersion
from slipway.records.monitors import Finding
from slipway.records.promotions import Promotion
from slipway.records.reproductions import Reproduction
from slipway.records.responsibility import Raci
from slipway.records.rollouts import Drill, Rollout
from slipway.records.runs import Run
from slipway.records.schedules import Firing, Schedule
from slipway.records.scopes import KeptScope
from slipway.records.scorings import Scoring
from slipway.records.tables import TableVersion
from slipway.tables import catalog

__all__ = ["LABELLED", "Known", "known_of"]

LABELLED = ("quality", "kpi")
"""Monitors that judge by labels."""
_MANY = 10_000
_FINDINGS = 500
_ALIKE = 20

R = TypeVar("R", Finding, Retraining, Rollout, Drill, Scoring)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the ledger knows of one model.

    Args:
        model: Its name.
        environment: Which one is asked.
        versions: All its versions that carry a bundle, newest first.
        version: The one that is looked at: what serves, in prod before elsewhere, or else the newest.
        bundle: Its manifest, None where it cannot be read.
        run: The run that made it, None where that is not here.
        runs: The runs of all versions that are here, oldest first.
        tables: The newest version of each table that it learned from.
        revisions: All revisions that serve or served the model, oldest first.
        live: The newest revision of each endpoint that serves it now.
        declared: Its endpoints as declared in this environment.
        verdicts: Verdicts on its bundles, newest first.
        approvals: What people said of the version that is looked at.
        reproductions: Of its run, and of runs of the same code that made other versions; its own first.
        findings: The newest findings of its endpoints' monitors.
        retrainings: Of its endpoints, newest first.
        firings: Of schedules, where they made a version of it or are of its pipeline; newest first.
        schedules: Active ones of its pipeline or endpoints.
        rollouts: Of its endpoints, newest first.
        promotions: Of it, newest first.
        drills: Of its endpoints, newest first.
        scorings: Of its batch endpoints, newest first.
        ci_runs: Commits on their way by its pipelines, newest first.
        scope: The scope of one of its endpoints, None for none.
        raci: Who answers for what, None where nothing says.
    """

    model: str
    environment: str = "dev"
    versions: tuple[ModelVersion, ...] = ()
    version: ModelVersion | None = None
    bundle: Bundle | None = None
    run: Run | None = None
    runs: tuple[Run, ...] = ()
    tables: tuple[TableVersion, ...] = ()
    revisions: tuple[Revision, ...] = ()
    live: tuple[Revision, ...] = ()
    declared: tuple[DeclaredEndpoint, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    approvals: tuple[Approval, ...] = ()
    reproductions: tuple[Reproduction, ...] = ()
    findings: tuple[Finding, ...] = ()
    retrainings: tuple[Retraining, ...] = ()
    firings: tuple[Firing, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    rollouts: tuple[Rollout, ...] = ()
    promotions: tuple[Promotion, ...] = ()
    drills: tuple[Drill, ...] = ()
    scorings: tuple[Scoring, ...] = ()
    ci_runs: tuple[CiRun, ...] = ()
    scope: KeptScope | None = None
    raci: Raci | None = None

    @property
    def endpoint(self) -> str:
        """The endpoint that commands name: what serves it, what is declared for it, or its own name."""
        named = [one.name for one in (*self.live, *self.declared)]
        return named[0] if named else self.model

    @property
    def pipeline(self) -> str:
        """The pipeline that makes it; "PIPELINE" where no record says."""
        if self.run is not None and self.run.pipeline:
            return self.run.pipeline
        named = [one.retrain.pipeline for one in self.declared if one.retrain is not None]
        return named[0] if named else "PIPELINE"

    @property
    def is_batch(self) -> bool:
        """Whether all that it answers at, or is declared to, are tables that are scored."""
        served: tuple[Revision | DeclaredEndpoint, ...] = self.live or self.declared
        scoped = self.scope is not None and self.scope.terms.mode == "batch"
        return all(one.batch is not None for one in served) if served else scoped

    @property
    def in_production(self) -> bool:
        """Whether it answers in prod, or was promoted there."""
        served = any(one.environment == "prod" for one in self.live)
        return served or any(one.target == "prod" and one.state == "done" for one in self.promotions)


def known_of(workspace: Workspace, model: str) -> Known:
    """Gather what the ledger knows of a model.

    Args:
        workspace: Of its project.
        model: A name that has a version.
    """
    with workspace.ledger.read() as tx:
        current = [entries.get(tx, Revision, id) for id in tx.refs(workspace.project, "endpoint").values()]
        declared = _declared(tx, workspace, model)
    live = tuple(sorted((one for one in current if one.served.model == model), key=_prod_first))
    names = list(dict.fromkeys(one.name for one in (*live, *declared)))
    versions = tuple(registry.versions(workspace, model))
    version = _looked_at(versions, live)
    bundle = _manifest(workspace, version)
    with workspace.ledger.read() as tx:
        runs = tuple(sorted(_runs(tx, versions), key=lambda run: run.created_at))
        run = next((one for one in runs if version is not None and one.id == version.run_id), None)
        pipelines = {one.pipeline for one in runs if one.pipeline}
        parents = [f"{workspace.project}/{name}" for name in names]
        firings = entries.find(tx, Firing, project=workspace.project, limit=_MANY)
        schedules = entries.find(tx, Schedule, project=workspace.project, state="active", limit=_MANY)
        verdicts = entries.every(tx, Verdict, project=workspace.project)
        revisions = [one for one in entries.every(tx, Revision, project=workspace.project) if one.served.model == model]
        return Known(
            model=model,
            environment=workspace.environment,
            versions=versions,
            version=version,
            bundle=bundle,
            run=run,
            runs=runs,
            tables=tuple(_tables(workspace, bundle)),
            revisions=tuple(sorted(revisions, key=lambda one: (one.name, one.number))),
            live=live,
            declared=declared,
            verdicts=tuple(one for one in verdicts if one.bundle in {each.bundle for each in versions}),
            approvals=tuple(approvals_of(workspace, version.bundle)) if version is not None else (),
            reproductions=tuple(_reproductions(workspace, version, versions, runs)),
            findings=_of_parents(tx, Finding, parents, _FINDINGS),
            retrainings=_of_parents(tx, Retraining, parents, _MANY),
            firings=tuple(one for one in firings if one.model == model or one.pipeline in pipelines),
            schedules=tuple(
                one for one in schedules if one.spec.endpoint in names or one.spec.pipeline in pipelines
            ),
            rollouts=_of_parents(tx, Rollout, parents, _MANY),
            promotions=tuple(entries.every(tx, Promotion, project=workspace.project, name=model)),
            drills=_of_parents(tx, Drill, parents, _MANY),
            scorings=_of_parents(tx, Scoring, parents, _FINDINGS),
            ci_runs=_ci_runs(tx, workspace, model, pipelines),
            scope=_scope(tx, workspace, [*names, model]),
            raci=declared_raci(tx, workspace),
        )  # fmt: skip


def _prod_first(revision: Revision) -> tuple[bool, str]:
    return revision.environment != "prod", revision.name


def _declared(tx: ReadTransaction, workspace: Workspace, model: str) -> tuple[DeclaredEndpoint, ...]:
    home = f"{workspace.project}/{workspace.environment}/"
    every = entries.every(tx, DeclaredEndpoint, project=workspace.project)
    return tuple(one for one in every if one.model == model and one.id.startswith(home))


def _looked_at(versions: tuple[ModelVersion, ...], live: tuple[Revision, ...]) -> ModelVersion | None:
    served = {one.served.bundle: place for place, one in reversed(list(enumerate(live)))}
    serving = [one for one in versions if one.bundle in served]
    if serving:
        return min(serving, key=lambda one: served[one.bundle])
    return max(versions, key=lambda one: one.number, default=None)


def _manifest(workspace: Workspace, version: ModelVersion | None) -> Bundle | None:
    if version is None:
        return None
    try:
        return registry.bundle_of(workspace, version)
    except SlipwayError as problem:
        workspace.say(f"The manifest of {version.name} {version.number} cannot be read: {problem}")
        return None


def _runs(tx: ReadTransaction, versions: tuple[ModelVersion, ...]) -> Iterator[Run]:
    for id in dict.fromkeys(one.run_id for one in versions if one.run_id):
        if entries.etag(tx, Run, id):
            yield entries.as_stored(tx, Run, id)


def _reproductions(
    workspace: Workspace, version: ModelVersion | None, versions: tuple[ModelVersion, ...], runs: tuple[Run, ...]
) -> Iterator[Reproduction]:
    """A retraining brings a version that nobody has reproduced yet; that its code can be is shown by an earlier one."""
    if version is None:
        return
    codes = {run.id: run.code.closure for run in runs}
    own = codes.get(version.run_id, "")
    alike = [one for one in versions if one.id != version.id and own and codes.get(one.run_id) == own]
    for one in (version, *alike[:_ALIKE]):
        yield from reproductions_of(workspace, one.bundle)


def _tables(workspace: Workspace, bundle: Bundle | None) -> Iterator[TableVersion]:
    nodes = [node for node in (bundle.data if bundle is not None else ()) if node.startswith("table:")]
    names = dict.fromkeys(node.removeprefix("table:").partition("@")[0].rpartition("/")[2] for node in nodes)
    for head in catalog.heads(workspace):
        if head.name in names:
            yield head


def _of_parents(tx: ReadTransaction, record: type[R], parents: list[str], limit: int) -> tuple[R, ...]:
    found = [one for parent in parents for one in entries.find(tx, record, parent=parent, limit=limit)]
    return tuple(sorted(found, key=lambda one: one.created_at, reverse=True))


def _ci_runs(tx: ReadTransaction, workspace: Workspace, model: str, pipelines: set[str]) -> tuple[CiRun, ...]:
    found = entries.find(tx, CiRun, project=workspace.project, limit=_FINDINGS)
    own = [one for one in found if one.model == model or (not one.model and one.name in pipelines)]
    return tuple(sorted(own, key=lambda one: -one.number))


def _scope(tx: ReadTransaction, workspace: Workspace, names: list[str]) -> KeptScope | None:
    found = entries.find(tx, KeptScope, project=workspace.project, limit=_MANY)
    return next((one for one in found if one.terms.serves in names or one.name in names), None)
