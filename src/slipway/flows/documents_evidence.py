"""What the ledger knows of one version of a model, gathered once for its documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from slipway.errors import NotFound
from slipway.flows.endpoints import revision_of
from slipway.flows.metric_contracts import state_of
from slipway.flows.models import get_model
from slipway.flows.trained_on import training_of
from slipway.governance.raci import declared_raci
from slipway.ledger import entries
from slipway.models import registered, registry
from slipway.models.registry import bundle_of
from slipway.operations.contracts import ContractState
from slipway.operations.models import GetModel, ModelDetail
from slipway.operations.permissions import allowed
from slipway.ports.ledger_store import ReadTransaction
from slipway.ports.workspace import Workspace
from slipway.records.contracts import KeptContract
from slipway.records.declarations import DeclaredEndpoint
from slipway.records.documents import DocumentAnswer
from slipway.records.endpoints import Revision
from slipway.records.features import TrainingSet
from slipway.records.load import LoadReport
from slipway.records.models import Bundle, ModelVersion
from slipway.records.monitors import Finding, Incident
from slipway.records.responsibility import Raci
from slipway.records.rollouts import Rollout
from slipway.records.runs import Run
from slipway.records.scopes import KeptScope
from slipway.records.tables import TableVersion
from slipway.tables.personal import may_read

__all__ = ["Known", "gather"]

_MANY = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that a document of a version is made of.

    Args:
        version: The version.
        bundle: Its manifest.
        detail: Its verdicts, approvals and reproductions.
        run: The run that made it, None where it is not known here.
        training: What it was trained on, None where that is not known.
        tables: The versions of tables behind it, as far as they are known here and open to whoever asks.
        declared: The endpoints whose model it is, as declared in this environment.
        serving: What serves at each of them, by name; those at which nothing ever did are not in it.
        findings: The newest finding of each monitor of them.
        incidents: What is open at them.
        rollouts: The roll-outs in which this bundle was the challenger, newest first.
        contracts: The metric contracts that they are under.
        scopes: The scopes that ask for one of them.
        loads: Load tests of the bundle, newest first.
        raci: Who answers for what, None where nobody said.
        answers: What people answered, by field.
        personal: Inputs and columns behind it that tell of a person.
    """

    version: ModelVersion
    bundle: Bundle
    detail: ModelDetail
    run: Run | None
    training: TrainingSet | None
    tables: tuple[TableVersion, ...]
    declared: tuple[DeclaredEndpoint, ...]
    serving: Mapping[str, Revision]
    findings: tuple[Finding, ...]
    incidents: tuple[Incident, ...]
    rollouts: tuple[Rollout, ...]
    contracts: tuple[ContractState, ...]
    scopes: tuple[KeptScope, ...]
    loads: tuple[LoadReport, ...]
    raci: Raci | None
    answers: Mapping[str, DocumentAnswer]
    personal: tuple[str, ...]

    @property
    def node(self) -> str:
        """The bundle's node in the lineage."""
        return f"bundle:{self.version.bundle}"


def gather(workspace: Workspace, name: str, version: str = "") -> Known:
    """Everything about a version.

    Raises:
        NotFound: There is no such model or version.
        InvalidInput: The version has no bundle.
    """
    found = registry.get(workspace, name, version or registry.LATEST)
    detail = get_model(workspace, GetModel(name=found.name, version=str(found.number)))
    bundle = detail.bundle or bundle_of(workspace, found)
    home = f"{workspace.project}/{workspace.environment}/"
    with workspace.ledger.read() as tx:
        every = entries.every(tx, DeclaredEndpoint, project=workspace.project)
        declared = tuple(one for one in every if one.model == found.name and one.id.startswith(home))
        names = {one.name for one in declared}
        parents = [f"{workspace.project}/{one}" for one in sorted(names)]
        contracts = [
            one for one in entries.every(tx, KeptContract, project=workspace.project) if one.id.startswith(home)
        ]
        scopes = entries.every(tx, KeptScope, project=workspace.project)
        tables = tuple(_tables(tx, workspace, bundle))
        answers = registered.documents(tx, workspace, found.name)
        return Known(
            version=found,
            bundle=bundle,
            detail=detail,
            run=entries.get(tx, Run, found.run_id) if found.run_id and entries.etag(tx, Run, found.run_id) else None,
            training=_training(workspace, found),
            tables=tables,
            declared=declared,
            serving=_serving(workspace, sorted(names)),
            findings=tuple(one for parent in parents for one in _newest(tx, parent)),
            incidents=tuple(
                one
                for parent in parents
                for one in entries.find(tx, Incident, parent=parent, state="open", limit=_MANY)
            ),
            rollouts=tuple(
                one
                for parent in parents
                for one in entries.find(tx, Rollout, parent=parent, limit=_MANY)
                if one.challenger.bundle == found.bundle
            ),
            contracts=tuple(state_of(tx, workspace, one) for one in contracts if names & set(one.endpoints)),
            scopes=tuple(one for one in scopes if one.terms.serves in names),
            loads=tuple(entries.find(tx, LoadReport, parent=found.bundle, limit=_MANY)),
            raci=declared_raci(tx, workspace),
            answers=answers,
            personal=tuple(_personal(tables)),
        )


def _training(workspace: Workspace, version: ModelVersion) -> TrainingSet | None:
    try:
        return training_of(workspace, version)
    except NotFound:  # the run was purged: a document says that nobody knows any more
        return None


def _tables(tx: ReadTransaction, workspace: Workspace, bundle: Bundle) -> list[TableVersion]:
    """Those that are open to whoever asks: what is closed to somebody is not told by way of a model."""
    if not allowed(workspace.actor, "tables.read"):
        return []
    ids = [node.partition(":")[2] for node in bundle.data if node.startswith("table:")]
    found = [entries.get(tx, TableVersion, id) for id in ids if entries.etag(tx, TableVersion, id)]
    return [one for one in found if may_read(workspace.actor, one.about)]


def _serving(workspace: Workspace, names: list[str]) -> dict[str, Revision]:
    found = {}
    for name in names:
        try:
            found[name] = revision_of(workspace, name)
        except NotFound:  # it was declared, and nothing was ever deployed to it
            continue
    return found


def _newest(tx: ReadTransaction, parent: str) -> list[Finding]:
    """The newest finding of each monitor; they come newest first."""
    first: dict[str, Finding] = {}
    for one in entries.find(tx, Finding, parent=parent, limit=_MANY):
        first.setdefault(one.name, one)
    return list(first.values())


def _personal(tables: tuple[TableVersion, ...]) -> list[str]:
    return [f"{one.name}.{column}" for one in tables for column in one.about.personal]
