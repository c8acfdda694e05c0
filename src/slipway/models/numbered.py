"""A model's numbered versions and the aliases that point at them, inside a transaction: what the registry rests on."""

from __future__ import annotations

import msgspec

from slipway.errors import Conflict, NotFound, near
from slipway.ledger import entries, events
from slipway.ledger.search import every_found
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import Alias, ModelVersion
from slipway.records.runs import Run
from slipway.records.search import And, Condition, Field, In, IsNull, Not, Order

__all__ = [
    "LATEST",
    "MODEL",
    "alias_node",
    "aliases_in",
    "aliases_of_all",
    "drop_alias",
    "keep_number",
    "latest_by_name",
    "latest_of",
    "look_up",
    "names_in",
    "newest_of",
    "next_number",
    "point_alias",
    "put_deleted",
    "put_restored",
    "run_stayed",
    "settle_newest",
    "versions_in",
]

LATEST = "latest"
MODEL = "model"
"""The sort of the references that name each model's newest version."""

_ALIAS = "alias"
_NAME = Field("attribute", "name")
_HERE = IsNull(Field("attribute", "deleted"))
_NEWEST = Order(Field("attribute", "number"), descending=True)
_GIVEN = "model-number"


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


def look_up(tx: ReadTransaction, project: str, name: str, version: str) -> ModelVersion:
    """One version of a model inside a transaction: see `registry.find`.

    Raises:
        NotFound: No such model, version or alias.
    """
    latest = latest_of(tx, project, name)
    if latest is None:
        raise NotFound(
            f"There is no model {name!r} in the project {project!r}.",
            fix=near(name, tx.refs(project, MODEL), what="models"),
        )
    if version == LATEST:
        return latest
    number = int(version) if _is_number(version) else int(tx.ref(project, _ALIAS, f"{name}/{version}") or 0)
    found = (
        entries.find(tx, ModelVersion, project=project, name=name, number=number, state="", limit=1) if number else []
    )
    if not found:
        what = "version" if _is_number(version) else "alias"
        known = aliases_of_all(tx, project).get(name, {})
        fix = f"The newest version is {latest.number}." if what == "version" else near(version, known, what="aliases")
        raise NotFound(f"The model {name!r} has no {what} {version!r}.", fix=fix)
    return found[0]


def next_number(tx: WriteTransaction, project: str, name: str) -> int:
    """The number of the version that is about to be recorded; it is written down as given.

    Numbers go on after a model was deleted or purged: "flight-delays 3" means one version in the audit log.
    """
    number = _greatest(tx, project, name) + 1
    keep_number(tx, project, name, number)
    return number


def keep_number(tx: WriteTransaction, project: str, name: str, number: int = 0) -> None:
    """Write down which numbers of a name were given, so that it is known when no version is left.

    Args:
        tx: The change's transaction.
        project: The project.
        name: The model's name.
        number: One that was given, beside those of the versions that are there.
    """
    greatest = max(number, _greatest(tx, project, name))
    if greatest:
        tx.set_ref(project, _GIVEN, name, str(greatest), expect=tx.ref(project, _GIVEN, name))


def _greatest(tx: ReadTransaction, project: str, name: str) -> int:
    given = tx.ref(project, _GIVEN, name)
    if given is not None:
        return int(given)
    return max((version.number for version in versions_in(tx, project, name, deleted=True)), default=0)


def settle_newest(tx: WriteTransaction, project: str, name: str) -> None:
    """Let the model's reference name its newest version, also a deleted one; there is none where no version counts."""
    found = versions_in(tx, project, name, deleted=True)
    target = found[0].id if any(not version.state for version in found) else ""
    former = tx.ref(project, MODEL, name)
    if (former or "") != target:
        tx.set_ref(project, MODEL, name, target, expect=former)


def newest_of(tx: ReadTransaction, project: str, name: str) -> ModelVersion | None:
    """The version with the greatest number, also a deleted one."""
    # By reference, not by time: versions that are registered within one tick of a simulated clock have an order too.
    id = tx.ref(project, MODEL, name)
    return entries.get(tx, ModelVersion, id) if id else None


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
    """Point an alias at a version, as part of a larger change: see `registry.set_alias`.

    Args:
        tx: The change's transaction.
        workspace: Where it is recorded.
        name: The model's name.
        alias: An allowed one.
        version: See `registry.set_alias`.
        before: See `registry.set_alias`.
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
    if was != target.number:
        _take_alias(tx, workspace.project, name, alias, was)
        entries.put(tx, msgspec.structs.replace(target, aliases=tuple(sorted({*target.aliases, alias}))))
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
    _take_alias(tx, workspace.project, name, alias, target.number)
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


def put_deleted(tx: WriteTransaction, workspace: Workspace, version: ModelVersion, *, reason: str = "") -> None:
    """Put a version into the trash, as part of a larger change."""
    now = workspace.clock.now()
    entries.put(tx, msgspec.structs.replace(version, state="deleted", aliases=(), updated_at=now, deleted_at=now))
    _tell(tx, workspace, "models.delete", version, reason)


def put_restored(tx: WriteTransaction, workspace: Workspace, version: ModelVersion, *, reason: str = "") -> None:
    """Take a version out of the trash, as part of a larger change. Aliases that went with it stay away."""
    now = workspace.clock.now()
    entries.put(tx, msgspec.structs.replace(version, state="", updated_at=now, deleted_at=None))
    _tell(tx, workspace, "models.restore", version, reason)


def _tell(tx: WriteTransaction, workspace: Workspace, verb: str, version: ModelVersion, reason: str) -> None:
    events.record(
        tx,
        workspace,
        verb,
        f"model:{version.id}",
        name=version.name,
        number=version.number,
        stage=version.stage,
        reason=reason,
    )


def alias_node(model: str, alias: str) -> tuple[str, str]:
    """The sort and name of the reference that an alias is."""
    return _ALIAS, f"{model}/{alias}"


def aliases_in(tx: ReadTransaction, workspace: Workspace, name: str) -> dict[str, int]:
    """The aliases of a model and the numbers that they point at, inside a transaction."""
    return aliases_of_all(tx, workspace.project).get(name, {})


def aliases_of_all(tx: ReadTransaction, project: str) -> dict[str, dict[str, int]]:
    """The aliases of every model of a project and the numbers that they point at, by the models' names."""
    found: dict[str, dict[str, int]] = {}
    for key, number in tx.refs(project, _ALIAS).items():
        model, _, alias = key.rpartition("/")
        found.setdefault(model, {})[alias] = int(number)
    return found


def names_in(tx: ReadTransaction, project: str) -> list[str]:
    """The names of all models that have a version, sorted."""
    newest = tx.refs(project, MODEL)
    gone = {version.id for version in every_found(tx, ModelVersion, project=project, where=Not(_HERE))}
    doubtful = tuple(name for name, id in newest.items() if id in gone)
    kept = latest_by_name(tx, project, In(_NAME, doubtful)) if doubtful else {}
    return sorted((newest.keys() - {*doubtful}) | kept.keys())


def latest_by_name(tx: ReadTransaction, project: str, where: Condition) -> dict[str, ModelVersion]:
    """Of each model the version with the greatest number of those that a condition fits, by name.

    Args:
        tx: An open transaction.
        project: The project.
        where: What must hold of a version besides that it is not deleted.
    """
    asked = And((_HERE, where))
    found = every_found(tx, ModelVersion, project=project, where=asked, order=(_NEWEST,), best_per=_NAME)
    return {version.name: version for version in found}


def latest_of(tx: ReadTransaction, project: str, name: str) -> ModelVersion | None:
    """The version with the greatest number that is not deleted; None for none."""
    newest = newest_of(tx, project, name)
    if newest is None or not newest.state:
        return newest
    return next(iter(versions_in(tx, project, name)), None)


def _take_alias(tx: WriteTransaction, project: str, name: str, alias: str, number: int) -> None:
    for version in entries.find(tx, ModelVersion, project=project, name=name, number=number, limit=1) if number else ():
        entries.put(tx, msgspec.structs.replace(version, aliases=tuple(one for one in version.aliases if one != alias)))


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdigit() and len(version) < 19


def _evidence(tx: ReadTransaction, version: ModelVersion) -> list[str]:
    """The newest verdict on a version, as a node of the lineage."""
    if not version.bundle:
        return []
    links = tx.links(f"bundle:{version.bundle}", towards=False)
    ids = sorted(link.target for link in links if link.target.startswith("verdict:"))
    return ids[-1:]  # ids begin with the time of their making


def run_stayed(tx: ReadTransaction, version: ModelVersion) -> bool:
    """Whether a version came from another store and the run that made it is there, and not here."""
    return bool(version.made_by) and not entries.etag(tx, Run, version.run_id)
