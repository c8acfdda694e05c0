"""Versions of models as tracking clients register them: a source, a stage, aliases. They have no signed bundle."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound
from slipway.ids import new_model_id
from slipway.ledger import entries, events
from slipway.ledger.lineage import link
from slipway.ledger.search import every_found
from slipway.models import found_by, numbered, registered
from slipway.models.holding import refuse_held
from slipway.models.registered_rules import check_text, said, with_tags
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import ModelVersion
from slipway.records.search import And, Field, In, IsNull

__all__ = [
    "STAGES",
    "add_version",
    "change_version",
    "check_alias",
    "delete_version",
    "deleted_version",
    "get_version",
    "move_to_stage",
    "restore_version",
    "set_alias",
    "versions_of_logged",
]

STAGES = ("None", "Staging", "Production", "Archived")
"""MLflow's stages, which aliases have replaced."""

_HERE = IsNull(Field("attribute", "deleted"))
_AT_ONCE = 1000
_ALIAS_LENGTH = 255
_ALIAS = re.compile(r"[\w-]+\Z")
_NUMBERED = re.compile(r"v?\d+\Z", re.IGNORECASE)


def add_version(
    tx: WriteTransaction,
    workspace: Workspace,
    name: str,
    *,
    source: str,
    location: str,
    run_id: str = "",
    logged_model_id: str = "",
    description: str = "",
    run_link: str = "",
    tags: Mapping[str, str],
    number: int = 0,
    stage: str = "None",
) -> ModelVersion:
    """Make stored files the next version of a model. It has no bundle, so that it cannot be deployed.

    Args:
        tx: The change's transaction.
        workspace: Where it is recorded.
        name: The model's name; it exists.
        source: Where the files are, in the client's words.
        location: The same as a path among the stored artifacts, "" for a version without files.
        run_id: The run that made it.
        logged_model_id: The logged model that it is.
        description: Free text.
        run_link: A link to the run elsewhere.
        tags: Free text by name.
        number: Its number elsewhere, which no version here has; the next one where left out.
        stage: One of `STAGES`.

    Raises:
        NotFound: There is no such model.
        InvalidInput: A tag or the description does not fit.
    """
    registered.get(tx, workspace, name)
    newest = numbered.newest_of(tx, workspace.project, name)
    metrics, params = found_by.of_source(tx, run_id, logged_model_id)
    version = ModelVersion(
        id=new_model_id(),
        project=workspace.project,
        name=name,
        created_at=(now := workspace.clock.now()),
        number=number or numbered.next_number(tx, workspace.project, name),
        run_id=run_id,
        actor=workspace.actor,
        description=check_text(description),
        tags=with_tags({}, tags),
        source=source,
        location=location,
        logged_model_id=logged_model_id,
        run_link=run_link,
        stage=stage,
        updated_at=now,
        metrics=metrics,
        params=params,
    )
    _put_new(tx, version, newest, has_number=bool(number))
    _link(tx, workspace, version)
    return version


def _put_new(tx: WriteTransaction, version: ModelVersion, newest: ModelVersion | None, *, has_number: bool) -> None:
    """Let the model's reference name its newest version, which one with a number from elsewhere need not be."""
    entries.put(tx, version, expect=0)
    if has_number:
        numbered.keep_number(tx, version.project, version.name, version.number)
        numbered.settle_newest(tx, version.project, version.name)
    else:
        tx.set_ref(version.project, "model", version.name, version.id, expect=newest.id if newest else None)


def get_version(tx: ReadTransaction, workspace: Workspace, name: str, number: str) -> ModelVersion:
    """One version of a model by its number.

    Raises:
        NotFound: There is no such version.
        InvalidInput: The number is none.
    """
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise InvalidInput(
            f"Parameter 'version' must be an integer, got {number[:40]!r}.", fix="Versions count from 1."
        )
    found = entries.find(tx, ModelVersion, project=workspace.project, name=name, number=int(number), state="", limit=1)
    if not found:
        raise NotFound(
            f"Model Version (name={name[:80]}, version={number}) not found.", fix="List the model's versions."
        )
    return found[0]


def change_version(
    tx: WriteTransaction,
    workspace: Workspace,
    name: str,
    number: str,
    *,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    drop: str | None = None,
) -> ModelVersion:
    """Say something else of a version: see `change`.

    Raises:
        NotFound: There is no such version.
        InvalidInput: A tag or the description does not fit.
    """
    present = get_version(tx, workspace, name, number)
    changed = said(present, workspace.clock.now(), description, tags, drop)
    entries.put(tx, changed)
    return changed


def delete_version(
    tx: WriteTransaction, workspace: Workspace, name: str, number: str, *, reason: str = ""
) -> ModelVersion:
    """Put a version into the trash, and take the aliases away that point at it. Its number is not given again.

    Raises:
        NotFound: There is no such version.
        InvalidInput: It carries a signed bundle and is held: see `refuse_held`.
    """
    present = get_version(tx, workspace, name, number)
    refuse_held(tx, workspace, [present])
    for alias, target in numbered.aliases_in(tx, workspace, name).items():
        if target == present.number:
            numbered.drop_alias(tx, workspace, name, alias)
    numbered.put_deleted(tx, workspace, present, reason=reason)
    return present


def restore_version(
    tx: WriteTransaction, workspace: Workspace, name: str, number: int, *, reason: str = ""
) -> ModelVersion:
    """Take a version out of the trash. Aliases that went with it are set anew.

    Raises:
        NotFound: There is no such version in the trash.
        InvalidInput: Its model is in the trash too.
        Conflict: A version that was renamed has its number.
    """
    gone = deleted_version(tx, workspace, name, number)
    registered.refuse_deleted(tx, workspace, name)
    if entries.find(tx, ModelVersion, project=workspace.project, name=name, number=number, state="", limit=1):
        raise Conflict(
            f"The model {name!r} has another version {number} now, which was renamed to it.",
            fix="Leave the old one in the trash.",
        )
    numbered.put_restored(tx, workspace, gone, reason=reason)
    numbered.settle_newest(tx, workspace.project, name)
    return gone


def deleted_version(tx: ReadTransaction, workspace: Workspace, name: str, number: int) -> ModelVersion:
    """The version of a number that is in the trash.

    Raises:
        NotFound: There is none.
    """
    found = entries.find(
        tx, ModelVersion, project=workspace.project, name=name, number=number, state="deleted", limit=1
    )
    if not found:
        raise NotFound(
            f"There is no version {number} of {name[:80]!r} in the trash.",
            fix="See what is in it: slipway trash list",
        )
    return found[0]


def move_to_stage(
    tx: WriteTransaction, workspace: Workspace, name: str, number: str, stage: str, *, archive: bool
) -> ModelVersion:
    """Move a version to a stage.

    Args:
        tx: The change's transaction.
        workspace: Where it is recorded.
        name: The model.
        number: The version.
        stage: One of `STAGES`, in any capitals.
        archive: Whether other versions of that stage are archived.

    Raises:
        NotFound: There is no such version.
        InvalidInput: There is no such stage, or versions of it cannot be archived.
    """
    wanted = {one.lower(): one for one in STAGES}.get(stage.lower())
    if wanted is None:
        raise InvalidInput(
            f"Invalid Model Version stage: {stage[:40]}. Value must be one of {', '.join(STAGES)}.",
            fix="Better: set an alias, which any name can be.",
            field="stage",
        )
    if archive and wanted not in ("Staging", "Production"):
        raise InvalidInput(
            f"Model version transition cannot archive existing model versions because {wanted!r} is not an Active stage.",
            fix="Archive when moving to Staging or Production only.",
        )
    present = get_version(tx, workspace, name, number)
    if archive:
        for other in numbered.versions_in(tx, workspace.project, name):
            if other.stage == wanted and other.id != present.id:
                _put_stage(tx, workspace, other, "Archived")
    return _put_stage(tx, workspace, present, wanted)


def set_alias(tx: WriteTransaction, workspace: Workspace, name: str, alias: str, number: str) -> None:
    """Point an alias at a version, wherever it points now.

    Raises:
        NotFound: There is no such version.
        InvalidInput: It cannot be an alias.
    """
    check_alias(alias)
    get_version(tx, workspace, name, number)
    numbered.point_alias(tx, workspace, name, alias, number)


def versions_of_logged(tx: ReadTransaction, workspace: Workspace, ids: Sequence[str]) -> dict[str, list[ModelVersion]]:
    """The registry's versions that logged models became, by the models' ids."""
    found: dict[str, list[ModelVersion]] = {}
    for begin in range(0, len(ids), _AT_ONCE):
        where = And((_HERE, In(Field("attribute", "logged_model"), tuple(ids[begin : begin + _AT_ONCE]))))
        for version in every_found(tx, ModelVersion, project=workspace.project, where=where):
            found.setdefault(version.logged_model_id, []).append(version)
    return found


def check_alias(alias: str) -> None:
    """Check a name that shall be an alias.

    Raises:
        InvalidInput: It already means something, or holds what no alias may.
    """
    if not _ALIAS.match(alias) or len(alias) > _ALIAS_LENGTH:
        raise InvalidInput(
            f"Invalid alias name: {alias[:80]!r}.",
            why="It may only contain letters, digits, underscores and dashes.",
            fix="For example 'champion'.",
            field="alias",
        )
    if alias.lower() == numbered.LATEST or _NUMBERED.match(alias):
        raise InvalidInput(
            f"The alias name {alias!r} is reserved.",
            why="It already means a version.",
            fix="For example 'champion'.",
            field="alias",
        )


def _link(tx: WriteTransaction, workspace: Workspace, version: ModelVersion) -> None:
    """Tie it to what it was made of, and tell of it."""
    if version.run_id:
        link(tx, f"run:{version.run_id}", f"model:{version.id}", "made")
    if version.logged_model_id:
        link(tx, f"logged:{version.logged_model_id}", f"model:{version.id}", "registered")
    told = {"name": version.name, "number": version.number, "source": version.source}
    events.record(tx, workspace, "models.register", f"model:{version.id}", **told)


def _put_stage(tx: WriteTransaction, workspace: Workspace, version: ModelVersion, stage: str) -> ModelVersion:
    changed = msgspec.structs.replace(version, stage=stage, updated_at=workspace.clock.now())
    entries.put(tx, changed)
    events.record(
        tx,
        workspace,
        "models.stage",
        f"model:{version.id}",
        name=version.name,
        number=version.number,
        stage=stage,
        before=version.stage,
    )
    return changed
