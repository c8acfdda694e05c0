"""The registry: a model's numbered versions, and the aliases that point at them.

A version carries a signed bundle, or only a source that a tracking client named (`registered.py`). `get` and `versions`
give what has a bundle: what is judged, approved and deployed. `find` and `all_versions` give both kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound, near
from slipway.ids import check_name, new_model_id
from slipway.ledger import entries, events
from slipway.ledger.lineage import link
from slipway.models.bundle import decode_manifest
from slipway.models.packing import Packed
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import Alias, Bundle, ModelVersion

__all__ = [
    "LATEST",
    "alias_node",
    "aliases",
    "aliases_in",
    "all_versions",
    "bundle_of",
    "drop_alias",
    "find",
    "get",
    "look_up",
    "names",
    "newest_of",
    "point_alias",
    "put_deleted",
    "register",
    "set_alias",
    "versions",
    "versions_in",
]

LATEST = "latest"
_ALIAS = "alias"
_MODEL = "model"


def register(
    workspace: Workspace,
    packed: Packed,
    *,
    run_id: str = "",
    description: str = "",
    tags: Mapping[str, Any] | None = None,
) -> ModelVersion:
    """Make a packed bundle the next version of its model.

    Version, event and lineage (tables -> run -> model -> bundle) are written in one transaction.

    Args:
        workspace: Where it is recorded.
        packed: What `pack` made.
        run_id: The run that made it; the bundle's own where left out.
        description: Free text.
        tags: Free text by name.
    """
    bundle = packed.bundle
    run_id = run_id or bundle.run_id
    with workspace.ledger.write() as tx:
        newest = newest_of(tx, workspace.project, bundle.model)
        version = ModelVersion(
            id=new_model_id(),
            project=workspace.project,
            name=bundle.model,
            created_at=workspace.clock.now(),
            number=newest.number + 1 if newest else 1,
            bundle=packed.digest,
            manifest=packed.manifest,
            signature=packed.signature,
            run_id=run_id,
            actor=workspace.actor,
            description=description,
            tags=dict(tags or {}),
        )
        entries.put(tx, version, expect=0)
        tx.set_ref(workspace.project, _MODEL, version.name, version.id, expect=newest.id if newest else None)
        node = f"model:{version.id}"
        for table in bundle.data:
            link(tx, table, f"run:{run_id}" if run_id else node, "data")
        if run_id:
            link(tx, f"run:{run_id}", node, "made")
        link(tx, node, f"bundle:{packed.digest}", "packed")
        events.record(
            tx,
            workspace,
            "models.register",
            node,
            name=version.name,
            number=version.number,
            bundle=packed.digest,
        )
    workspace.say(f"Registered {version.name} version {version.number} (bundle {packed.digest[:12]}).")
    return version


def names(workspace: Workspace) -> list[str]:
    """The names of all models of the project that have a version, sorted."""
    with workspace.ledger.read() as tx:
        known = sorted(tx.refs(workspace.project, _MODEL))
        return [name for name in known if _latest(tx, workspace.project, name) is not None]


def versions(workspace: Workspace, name: str) -> list[ModelVersion]:
    """All versions of a model that carry a bundle, newest first; [] when there are none."""
    return [version for version in all_versions(workspace, name) if version.bundle]


def all_versions(workspace: Workspace, name: str) -> list[ModelVersion]:
    """All versions of a model, also those that have only a source, newest first; [] when there is no such model."""
    with workspace.ledger.read() as tx:
        return versions_in(tx, workspace.project, name)


def versions_in(tx: ReadTransaction, project: str, name: str, *, deleted: bool = False) -> list[ModelVersion]:
    """All versions of a model, newest first.

    Args:
        tx: An open transaction.
        project: The project.
        name: The model's name.
        deleted: Whether deleted ones are wanted too.
    """
    found = entries.every(tx, ModelVersion, project=project, name=name, state=None if deleted else "")
    return sorted(found, key=lambda version: -version.number)


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


def point_alias(
    tx: WriteTransaction,
    workspace: Workspace,
    name: str,
    alias: str,
    version: str | int,
    *,
    before: int | None = None,
    reason: str = "",
) -> Alias:
    """Point an alias at a version, as part of a larger change: see `set_alias`.

    Args:
        tx: The change's transaction.
        workspace: Where it is recorded.
        name: The model's name.
        alias: An allowed one.
        version: See `set_alias`.
        before: See `set_alias`.
        reason: Why, for the history.

    Raises:
        NotFound: No such model or version.
        Conflict: The alias points elsewhere than `before` by now.
    """
    key = f"{name}/{alias}"
    target = look_up(tx, workspace.project, name, str(version))
    stands = tx.ref(workspace.project, _ALIAS, key)
    was = int(stands) if stands else 0
    if before is not None and before != was:
        raise Conflict(
            f"The alias {alias!r} of {name!r} points at version {was or 'nowhere'}, not at {before or 'nowhere'}.",
            why="Somebody moved it in between.",
            fix="Look at the models again, then decide anew.",
        )
    tx.set_ref(workspace.project, _ALIAS, key, str(target.number), expect=stands)
    events.record(
        tx,
        workspace,
        "models.alias",
        f"model:{target.id}",
        name=name,
        alias=alias,
        number=target.number,
        before=was,
        reason=reason,
        evidence=_evidence(tx, target),
    )
    return Alias(model=name, alias=alias, number=target.number)


def drop_alias(tx: WriteTransaction, workspace: Workspace, name: str, alias: str) -> None:
    """Take an alias away; nothing happens where there is none."""
    kind, key = alias_node(name, alias)
    stands = tx.ref(workspace.project, kind, key)
    if not stands:
        return
    tx.set_ref(workspace.project, kind, key, "", expect=stands)
    target = look_up(tx, workspace.project, name, stands)
    events.record(
        tx,
        workspace,
        "models.alias",
        f"model:{target.id}",
        name=name,
        alias=alias,
        number=0,
        before=target.number,
        reason="",
        evidence=[],
    )


def put_deleted(tx: WriteTransaction, workspace: Workspace, version: ModelVersion) -> None:
    """Write a version down as deleted, as part of a larger change. Its record stays, for its number and its history."""
    entries.put(tx, msgspec.structs.replace(version, state="deleted", updated_at=workspace.clock.now()))
    events.record(
        tx,
        workspace,
        "models.delete",
        f"model:{version.id}",
        name=version.name,
        number=version.number,
        stage=version.stage,
    )


def aliases_in(tx: ReadTransaction, workspace: Workspace, name: str) -> dict[str, int]:
    """The aliases of a model and the numbers that they point at, inside a transaction."""
    return _aliases(tx, workspace.project, name)


def _aliases(tx: ReadTransaction, project: str, name: str) -> dict[str, int]:
    found = {}
    for key, number in tx.refs(project, _ALIAS).items():
        model, _, alias = key.rpartition("/")
        if model == name and number:
            found[alias] = int(number)
    return found


def alias_node(model: str, alias: str) -> tuple[str, str]:
    """The sort and name of the reference that an alias is."""
    return _ALIAS, f"{model}/{alias}"


def newest_of(tx: ReadTransaction, project: str, name: str) -> ModelVersion | None:
    """The version with the greatest number, also a deleted one: numbers are not given twice."""
    # By reference, not by time: versions that are registered within one tick of a simulated clock have an order too.
    id = tx.ref(project, _MODEL, name)
    return entries.get(tx, ModelVersion, id) if id else None


def look_up(tx: ReadTransaction, project: str, name: str, version: str) -> ModelVersion:
    """One version of a model inside a transaction: see `find`.

    Raises:
        NotFound: No such model, version or alias.
    """
    latest = _latest(tx, project, name)
    if latest is None:
        raise NotFound(
            f"There is no model {name!r} in the project {project!r}.",
            fix=near(name, tx.refs(project, _MODEL), what="models"),
        )
    if version == LATEST:
        return latest
    known = _aliases(tx, project, name)
    number = int(version) if _is_number(version) else known.get(version, 0)
    found = (
        entries.find(tx, ModelVersion, project=project, name=name, number=number, state="", limit=1) if number else []
    )
    if not found:
        what = "version" if _is_number(version) else "alias"
        fix = f"The newest version is {latest.number}." if what == "version" else near(version, known, what="aliases")
        raise NotFound(f"The model {name!r} has no {what} {version!r}.", fix=fix)
    return found[0]


def _latest(tx: ReadTransaction, project: str, name: str) -> ModelVersion | None:
    newest = newest_of(tx, project, name)
    if newest is None or not newest.state:
        return newest
    return next(iter(versions_in(tx, project, name)), None)


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdigit() and len(version) < 19


def _evidence(tx: ReadTransaction, version: ModelVersion) -> list[str]:
    """The newest verdict on a version, as a node of the lineage."""
    if not version.bundle:
        return []
    links = tx.links(f"bundle:{version.bundle}", towards=False)
    ids = sorted(link.target for link in links if link.target.startswith("verdict:"))
    return ids[-1:]  # ids begin with the time of their making


def _unsigned(version: ModelVersion) -> InvalidInput:
    return InvalidInput(
        f"Version {version.number} of {version.name!r} has no signed bundle.",
        why="A tracking client registered it, with its files only: nobody proved that it answers as it was trained, "
        "and no gate has read its evidence.",
        fix="Package and register the model with Slipway: return a `sw.Model` from a pipeline, or `run.log_model(...)`.",
        field="version",
    )
