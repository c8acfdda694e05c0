"""Models as tracking clients register them: a name with versions that have a source, stages, tags, descriptions.

A version that carries a signed bundle stays as it is: what serves, and why it was let through, must be told later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound, near
from slipway.ledger import answers, entries, events
from slipway.models import numbered
from slipway.models.holding import refuse_held
from slipway.models.registered_rules import check_model_name, check_text, refuse_signed, said, with_tags
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.documents import DocumentAnswer
from slipway.records.models import RegisteredModel
from slipway.records.people import Actor

__all__ = [
    "change", "create", "delete", "documents", "get", "in_trash", "keep", "keep_documents", "refuse_deleted", "rename",
    "restore",
]  # fmt: skip

_FORMER = "document."


def create(
    tx: WriteTransaction, workspace: Workspace, name: str, *, description: str = "", tags: Mapping[str, str]
) -> RegisteredModel:
    """Make a model that has no versions yet.

    Raises:
        InvalidInput: The name or a tag does not fit.
        Conflict: There is one of this name.
    """
    check_model_name(name)
    if _stored(tx, workspace.project, name) is not None:
        raise Conflict(f"Registered Model (name={name}) already exists.", fix="Choose another name, or use this one.")
    now = workspace.clock.now()
    made = RegisteredModel(
        id=_id(workspace.project, name),
        project=workspace.project,
        name=name,
        created_at=now,
        actor=workspace.actor,
        description=check_text(description),
        tags=with_tags({}, tags),
        updated_at=now,
    )
    entries.put(tx, made)
    answers.forget(tx, workspace.project, f"model:{name}")  # those of a model of this name that is no more
    _tell(tx, workspace, "models.create", name)
    return made


def get(tx: ReadTransaction, workspace: Workspace, name: str) -> RegisteredModel:
    """What is said of a model as a whole; one that was only ever packaged here says nothing more than its name.

    Raises:
        NotFound: There is no such model.
    """
    stored = _stored(tx, workspace.project, name)
    if stored is not None:
        return stored
    known = [one.name for one in entries.every(tx, RegisteredModel, project=workspace.project, state="")]
    raise NotFound(f"Registered Model with name={name[:80]} not found.", fix=near(name, known, what="models"))


def keep(tx: WriteTransaction, project: str, name: str) -> None:
    """Make the record of a model that has versions, where it has none: it says nothing more than the name."""
    if _stored(tx, project, name) is not None:
        return
    versions = numbered.versions_in(tx, project, name)
    if versions:
        made = RegisteredModel(
            id=_id(project, name),
            project=project,
            name=name,
            created_at=versions[-1].created_at,
            actor=versions[-1].actor,
            updated_at=max(version.updated_at or version.created_at for version in versions),
        )
        entries.put(tx, made)
        answers.forget(tx, project, f"model:{name}")


def change(
    tx: WriteTransaction,
    workspace: Workspace,
    name: str,
    *,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    drop: str | None = None,
) -> RegisteredModel:
    """Say something else of a model: its description, tags to set, a tag to take away.

    Raises:
        NotFound: There is no such model.
        InvalidInput: A tag or the description does not fit.
    """
    present = get(tx, workspace, name)
    changed = said(present, workspace.clock.now(), description, tags, drop)
    entries.put(tx, changed)
    return changed


def documents(tx: ReadTransaction, workspace: Workspace, name: str) -> dict[str, DocumentAnswer]:
    """What people answered of a model, by field; in stores of an earlier release it is among the tags, without who and when.

    Raises:
        NotFound: There is no such model.
    """
    present = get(tx, workspace, name)
    tags = {key.removeprefix(_FORMER): text for key, text in present.tags.items() if key.startswith(_FORMER)}
    former = {
        field: DocumentAnswer(
            id="",
            project=workspace.project,
            name=f"model:{name}",
            created_at=present.created_at,
            field=field,
            text=text,
            actor=Actor(""),
            updated_at=present.created_at,
        )
        for field, text in tags.items()
    }
    return former | answers.answers(tx, workspace.project, f"model:{name}")


def keep_documents(tx: WriteTransaction, workspace: Workspace, name: str, given: Mapping[str, DocumentAnswer]) -> None:
    """Take over what was answered of a model in another store, as far as nobody answered it here."""
    keep(tx, workspace.project, name)
    answers.take_over(tx, workspace.project, f"model:{name}", given)


def rename(tx: WriteTransaction, workspace: Workspace, name: str, new_name: str) -> RegisteredModel:
    """Give a model with its versions and aliases another name.

    Raises:
        NotFound: There is no such model.
        InvalidInput: The name does not fit, or a version carries a signed bundle, which names its model.
        Conflict: There is another model of this name.
    """
    present = get(tx, workspace, name)
    check_model_name(new_name)
    if new_name == name:
        return present
    versions = numbered.versions_in(tx, workspace.project, name, deleted=True)
    refuse_signed(versions, "renamed")
    numbered.keep_number(tx, workspace.project, name)
    taken = _stored(tx, workspace.project, new_name) is not None
    if taken or numbered.versions_in(tx, workspace.project, new_name):
        raise Conflict(f"Registered Model (name={new_name}) already exists.", fix="Choose another name.")
    now = workspace.clock.now()
    newest = tx.ref(workspace.project, "model", name)
    for version in versions:
        entries.put(tx, msgspec.structs.replace(version, name=new_name, updated_at=now))
    numbered.keep_number(tx, workspace.project, new_name, versions[0].number if versions else 0)
    if newest:
        tx.set_ref(workspace.project, "model", name, "", expect=newest)
        former = tx.ref(workspace.project, "model", new_name)
        tx.set_ref(workspace.project, "model", new_name, newest, expect=former)
    for alias, number in numbered.aliases_in(tx, workspace, name).items():
        kind, key = numbered.alias_node(name, alias)
        tx.set_ref(workspace.project, kind, key, "", expect=str(number))
        kind, key = numbered.alias_node(new_name, alias)
        tx.set_ref(workspace.project, kind, key, str(number), expect=tx.ref(workspace.project, kind, key))
    entries.put(tx, msgspec.structs.replace(present, state="deleted", updated_at=now))
    moved = msgspec.structs.replace(present, id=_id(workspace.project, new_name), name=new_name, updated_at=now)
    entries.put(tx, moved)
    answers.move(tx, workspace.project, f"model:{name}", f"model:{new_name}")
    _tell(tx, workspace, "models.rename", new_name, before=name)
    return moved


def delete(tx: WriteTransaction, workspace: Workspace, name: str, *, reason: str = "") -> None:
    """Put a model with its versions into the trash, and take its aliases away. The name can be used again at once.

    Raises:
        NotFound: There is no such model.
        InvalidInput: A version that carries a signed bundle is held: see `refuse_held`.
    """
    present = get(tx, workspace, name)
    versions = numbered.versions_in(tx, workspace.project, name)
    refuse_held(tx, workspace, versions)
    numbered.keep_number(tx, workspace.project, name)
    for alias in numbered.aliases_in(tx, workspace, name):
        numbered.drop_alias(tx, workspace, name, alias)
    now = workspace.clock.now()
    for version in versions:
        numbered.put_deleted(tx, workspace, version, reason=reason)
    numbered.settle_newest(tx, workspace.project, name)
    entries.put(tx, msgspec.structs.replace(present, state="deleted", updated_at=now, deleted_at=now))
    _tell(tx, workspace, "models.delete", name, reason=reason)


def restore(tx: WriteTransaction, workspace: Workspace, name: str, *, reason: str = "") -> RegisteredModel:
    """Take a model out of the trash, with the versions that were deleted with it. Aliases are set anew.

    Raises:
        NotFound: There is no such model in the trash.
    """
    gone = in_trash(tx, workspace, name)
    if gone is None:
        raise NotFound(
            f"There is no model {name[:80]!r} in the trash.",
            why="A new model of the same name takes its place there; versions of the old one are restored one by one.",
            fix="See what is in it: slipway trash list",
        )
    for version in numbered.versions_in(tx, workspace.project, name, deleted=True):
        if version.state and version.deleted_at == gone.deleted_at:
            numbered.put_restored(tx, workspace, version, reason=reason)
    numbered.settle_newest(tx, workspace.project, name)
    back = msgspec.structs.replace(gone, state="", updated_at=workspace.clock.now(), deleted_at=None)
    entries.put(tx, back)
    _tell(tx, workspace, "models.restore", name, reason=reason)
    return back


def in_trash(tx: ReadTransaction, workspace: Workspace, name: str) -> RegisteredModel | None:
    """The model of a name that is in the trash as a whole, None where none is."""
    found = _recorded(tx, workspace.project, name)
    return None if found is None or found.deleted_at is None else found


def refuse_deleted(tx: ReadTransaction, workspace: Workspace, name: str) -> None:
    """Refuse to restore a version whose model is in the trash as a whole.

    Raises:
        InvalidInput: It is.
    """
    if in_trash(tx, workspace, name) is not None:
        raise InvalidInput(
            f"The model {name!r} is in the trash with its versions.",
            fix=f"Restore it: slipway trash restore model:{name}",
        )


def _id(project: str, name: str) -> str:
    return f"{project}/{name}"


def _recorded(tx: ReadTransaction, project: str, name: str) -> RegisteredModel | None:
    id = _id(project, name)
    return entries.get(tx, RegisteredModel, id) if tx.get(entries.kind_of(RegisteredModel), id) else None


def _stored(tx: ReadTransaction, project: str, name: str) -> RegisteredModel | None:
    found = _recorded(tx, project, name)
    return None if found is None or found.state else found


def _tell(tx: WriteTransaction, workspace: Workspace, verb: str, name: str, **body: Any) -> None:
    events.record(tx, workspace, verb, f"registered:{_id(workspace.project, name)}", name=name, **body)
