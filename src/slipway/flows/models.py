"""Models as people see them: versions with aliases, bundle, verdicts, approvals, lineage."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from slipway.errors import Denied
from slipway.flows.approve import approvals_of
from slipway.flows.trained_on import check_readable_behind, personal_inputs
from slipway.ledger import entries, lineage, search
from slipway.ledger.reproductions import reproductions_of
from slipway.models import registry
from slipway.operations.declare import Empty
from slipway.operations.models import (
    AliasMoved,
    FoundModels,
    GetModel,
    ModelDetail,
    ModelRow,
    Models,
    SetAlias,
)
from slipway.ports.workspace import Workspace
from slipway.records.gates import Verdict
from slipway.records.models import Bundle, ModelVersion
from slipway.records.search import Search
from slipway.tables.personal import may_see, sees_all

__all__ = ["get_model", "list_models", "search_models", "set_alias"]


def list_models(workspace: Workspace, request: Empty) -> Models:
    """All versions of all models, newest first."""
    with workspace.ledger.read() as tx:
        found = list(entries.every(tx, ModelVersion, project=workspace.project, state=""))
    found.sort(key=lambda version: (version.created_at, version.number), reverse=True)
    return Models(models=_rows(found))


def search_models(workspace: Workspace, request: Search) -> FoundModels:
    """A page of versions.

    Raises:
        InvalidInput: The search cannot be read, or the limit is not between 1 and 1,000.
    """
    with workspace.ledger.read() as tx:
        page = search.asked(tx, ModelVersion, workspace, request)
    return FoundModels(models=_rows(page.records), token=page.next_token)


def _rows(versions: Iterable[ModelVersion]) -> tuple[ModelRow, ...]:
    return tuple(
        ModelRow(
            version=version,
            aliases=version.aliases,
            metrics={name: value for name, value in version.metrics.items() if "[" not in name},
        )
        for version in versions
    )


def get_model(workspace: Workspace, request: GetModel) -> ModelDetail:
    """One version.

    Raises:
        NotFound: No such model or version.
    """
    version = registry.find(workspace, request.name, request.version)
    bundle = _shown(workspace, version, registry.bundle_of(workspace, version)) if version.bundle else None
    with workspace.ledger.read() as tx:
        judged = [
            entries.get(tx, Verdict, link.target.partition(":")[2])
            for link in (tx.links(f"bundle:{version.bundle}", towards=False) if bundle else ())
            if link.target.startswith("verdict:")
        ]
        links = lineage.trace(tx, f"model:{version.id}")
    repeated = tuple(reproductions_of(workspace, version.bundle)) if bundle else ()
    return ModelDetail(
        version=version,
        bundle=bundle,
        aliases=version.aliases,
        verdicts=tuple(sorted(judged, key=lambda verdict: (verdict.created_at, verdict.id), reverse=True)),
        approvals=tuple(approvals_of(workspace, version.bundle)) if bundle else (),
        lineage=tuple(links),
        reproductions=repeated,
    )


def _shown(workspace: Workspace, version: ModelVersion, bundle: Bundle) -> Bundle:
    """A manifest without the values of inputs that whoever asks may not see: of persons, and of tables closed to them."""
    if bundle.explained is None or sees_all(workspace):
        return bundle
    hidden = frozenset() if may_see(workspace.actor) else personal_inputs(workspace, version, bundle)
    try:
        check_readable_behind(workspace, bundle)
    except Denied:
        hidden = frozenset(field.name for field in bundle.signature.inputs)
    shown = tuple(
        msgspec.structs.replace(one, values=(), answers=()) if one.input in hidden else one
        for one in bundle.explained.dependences
    )
    return msgspec.structs.replace(bundle, explained=msgspec.structs.replace(bundle.explained, dependences=shown))


def set_alias(workspace: Workspace, request: SetAlias) -> AliasMoved:
    """Point an alias at a version.

    Raises:
        NotFound: No such model or version.
        InvalidInput: The alias already means something else.
        Conflict: Somebody else moved it meanwhile.
    """
    before = registry.aliases(workspace, request.name).get(request.alias, 0)
    moved = registry.set_alias(
        workspace, request.name, request.alias, request.version, before=before, reason=request.reason
    )
    return AliasMoved(alias=moved.alias, number=moved.number, before=before)
