"""The registry: a model's numbered versions, and the aliases that point at them.

A version carries a signed bundle, or only a source that a tracking client named (`registered.py`). `get` and `versions`
give what has a bundle: what is judged, approved and deployed. `find` and `all_versions` give both kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from slipway.errors import Conflict, InvalidInput
from slipway.ids import check_name, new_model_id
from slipway.ledger import entries, events
from slipway.ledger.lineage import link
from slipway.models import found_by, registered
from slipway.models.manifest import decode_manifest
from slipway.models.numbered import (
    LATEST,
    MODEL,
    aliases_in,
    look_up,
    names_in,
    newest_of,
    next_number,
    point_alias,
    versions_in,
)
from slipway.operations.declare import check_allowed
from slipway.ports.workspace import Workspace
from slipway.records.models import Alias, Bundle, ImportProof, ModelVersion

if TYPE_CHECKING:
    from slipway.models.packing import Packed

__all__ = [
    "LATEST",
    "aliases",
    "all_versions",
    "add_proof",
    "attach",
    "bundle_of",
    "find",
    "get",
    "names",
    "register",
    "set_alias",
    "versions",
]


def register(
    workspace: Workspace,
    packed: Packed,
    *,
    run_id: str = "",
    description: str = "",
    tags: Mapping[str, Any] | None = None,
    imported: ImportProof | None = None,
) -> ModelVersion:
    """Make a packed bundle the next version of its model.

    Version, event and lineage (tables -> run -> model -> bundle) are written in one transaction.

    Args:
        workspace: Where it is recorded.
        packed: What `pack` made.
        run_id: The run that made it; the bundle's own where left out.
        description: Free text.
        tags: Free text by name.
        imported: How it was proven to answer as the model from elsewhere that it was.

    Raises:
        Denied: The actor may not register models.
    """
    check_allowed(workspace, "models.register", "models.write")
    bundle = packed.bundle
    run_id = run_id or bundle.run_id
    with workspace.ledger.write() as tx:
        newest = newest_of(tx, workspace.project, bundle.model)
        measured, params = found_by.of_source(tx, run_id)
        version = ModelVersion(
            id=new_model_id(),
            project=workspace.project,
            name=bundle.model,
            created_at=workspace.clock.now(),
            number=next_number(tx, workspace.project, bundle.model),
            bundle=packed.digest,
            manifest=packed.manifest,
            signature=packed.signature,
            run_id=run_id,
            actor=workspace.actor,
            description=description,
            tags=dict(tags or {}),
            metrics=found_by.figures(bundle.metrics) or measured,
            params=params,
            imported=(imported,) if imported else (),
        )
        entries.put(tx, version, expect=0)
        registered.keep(tx, workspace.project, version.name)
        tx.set_ref(workspace.project, MODEL, version.name, version.id, expect=newest.id if newest else None)
        node = f"model:{version.id}"
        for table in bundle.data:
            link(tx, table, f"run:{run_id}" if run_id else node, "data")
        if run_id:
            link(tx, f"run:{run_id}", node, "made")
        link(tx, node, f"bundle:{packed.digest}", "packed")
        told = {"name": version.name, "number": version.number, "bundle": packed.digest}
        events.record(tx, workspace, "models.register", node, **told)
    workspace.say(f"Registered {version.name} version {version.number} (bundle {packed.digest[:12]}).")
    return version


def attach(
    workspace: Workspace, version: ModelVersion, packed: Packed, *, tags: Mapping[str, Any], imported: ImportProof
) -> ModelVersion:
    """Give a version that has only a source the signed bundle that its files became: number, aliases and source stay.

    Args:
        workspace: Where it is recorded.
        version: The version.
        packed: What `pack` made.
        tags: Free text by name, added to its own.
        imported: How the bundle was proven to answer as the files do.

    Raises:
        Denied: The actor may not register models.
        Conflict: It has a bundle by now.
    """
    check_allowed(workspace, "models.register", "models.write")
    with workspace.ledger.write() as tx:
        present = entries.get(tx, ModelVersion, version.id)
        if present.bundle:
            raise Conflict(
                f"Version {present.number} of {present.name!r} has a bundle already.",
                fix=f"Look at it: slipway models show {present.name} --version {present.number}",
            )
        changed = msgspec.structs.replace(
            present,
            bundle=packed.digest,
            manifest=packed.manifest,
            signature=packed.signature,
            tags={**present.tags, **tags},
            updated_at=workspace.clock.now(),
            imported=(*present.imported, imported),
        )
        entries.put(tx, changed)
        node = f"model:{changed.id}"
        link(tx, node, f"bundle:{packed.digest}", "packed")
        told = {"name": changed.name, "number": changed.number, "bundle": packed.digest}
        events.record(tx, workspace, "models.register", node, **told)
    workspace.say(f"Packaged {changed.name} version {changed.number} (bundle {packed.digest[:12]}).")
    return changed


def add_proof(workspace: Workspace, version: ModelVersion, proof: ImportProof) -> ModelVersion:
    """Keep with a version what came of comparing it with a service; the same comparison again is kept once.

    Raises:
        Denied: The actor may not register models.
    """
    check_allowed(workspace, "models.register", "models.write")
    with workspace.ledger.write() as tx:
        present = entries.get(tx, ModelVersion, version.id)
        if proof in present.imported:
            return present
        changed = msgspec.structs.replace(
            present, imported=(*present.imported, proof), updated_at=workspace.clock.now()
        )
        entries.put(tx, changed)
        told = {"name": changed.name, "number": changed.number, "source": proof.source, "apart": proof.apart}
        events.record(tx, workspace, "models.compare", f"model:{changed.id}", **told)
    return changed


def names(workspace: Workspace) -> list[str]:
    """The names of all models of the project that have a version, sorted."""
    with workspace.ledger.read() as tx:
        return names_in(tx, workspace.project)


def versions(workspace: Workspace, name: str) -> list[ModelVersion]:
    """All versions of a model that carry a bundle, newest first; [] when there are none."""
    return [version for version in all_versions(workspace, name) if version.bundle]


def all_versions(workspace: Workspace, name: str) -> list[ModelVersion]:
    """All versions of a model, also those that have only a source, newest first; [] when there is no such model."""
    with workspace.ledger.read() as tx:
        return versions_in(tx, workspace.project, name)


def get(workspace: Workspace, name: str, version: str | int = LATEST) -> ModelVersion:
    """One version of a model, with its bundle.

    Args:
        workspace: Where to look.
        name: The model's name.
        version: A number, an alias, or "latest".

    Raises:
        NotFound: No such model, version or alias.
        InvalidInput: The version has only a source.
    """
    found = find(workspace, name, version)
    if not found.bundle:
        raise _unsigned(found)
    return found


def find(workspace: Workspace, name: str, version: str | int = LATEST) -> ModelVersion:
    """One version of a model, whatever it carries: see `get`.

    Raises:
        NotFound: No such model, version or alias.
    """
    with workspace.ledger.read() as tx:
        return look_up(tx, workspace.project, name, str(version))


def bundle_of(workspace: Workspace, version: ModelVersion) -> Bundle:
    """The manifest of a version's bundle.

    Raises:
        InvalidInput: It has only a source.
        NotFound: Its blob is gone.
        Corrupt: It is damaged.
    """
    if not version.bundle:
        raise _unsigned(version)
    return decode_manifest(workspace.blobs.get(version.manifest))


def aliases(workspace: Workspace, name: str) -> dict[str, int]:
    """The aliases of a model and the numbers that they point at."""
    with workspace.ledger.read() as tx:
        return aliases_in(tx, workspace, name)


def set_alias(
    workspace: Workspace,
    name: str,
    alias: str,
    version: str | int,
    *,
    before: int | None = None,
    reason: str = "",
) -> Alias:
    """Point an alias at a version.

    Args:
        workspace: Where it is recorded.
        name: The model's name.
        alias: For example "champion".
        version: A number, another alias, or "latest".
        before: The number it must point at now, 0 for nowhere; None when that does not matter.
        reason: Why, for the history.

    Raises:
        NotFound: No such model or version.
        InvalidInput: "latest" and numbers cannot be aliases.
        Conflict: The alias points elsewhere than `before` by now.
    """
    check_name(alias, "alias")
    if alias == LATEST or alias.isdigit():
        raise InvalidInput(
            f"{alias!r} cannot be an alias.",
            why="It already means a version.",
            fix="For example 'champion'.",
            field="alias",
        )
    with workspace.ledger.write() as tx:
        return point_alias(tx, workspace, name, alias, version, before=before, reason=reason)


def _unsigned(version: ModelVersion) -> InvalidInput:
    return InvalidInput(
        f"Version {version.number} of {version.name!r} has no signed bundle.",
        why="A tracking client registered it, with its files only: nobody proved that it answers as it was trained, "
        "and no gate has read its evidence.",
        fix="Package and register the model with Slipway: return a `sw.Model` from a pipeline, or `run.log_model(...)`.",
        field="version",
    )
