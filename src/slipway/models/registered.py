"""Models as tracking clients register them: a name with versions that have a source, stages, tags, descriptions.

A version that carries a signed bundle stays as it is: what serves, and why it was let through, must be told later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound, near
from slipway.ledger import entries, events
from slipway.models import numbered
from slipway.models.holding import refuse_held
from slipway.models.registered_rules import check_model_name, check_text, refuse_signed, said, with_tags
from slipway.operations.models import Documented, DocumentModel
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.models import RegisteredModel

__all__ = [
    "WRITTEN", "change", "create", "delete", "document", "documents", "get", "in_trash", "keep", "keep_documents", "refuse_deleted", "rename",
    "restore",
]  # fmt: skip

WRITTEN = ("purpose", "harm", "limits", "owner")
"""What people write down of a model, because nothing else can tell it."""
_DOCUMENT = "document."
_SAYS_NOTHING = 3


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


def documents(tx: ReadTransaction, workspace: Workspace, name: str) -> dict[str, str]:
    """What people wrote down of a model, by field.

    Raises:
        NotFound: There is no such model.
    """
    tags = get(tx, workspace, name).tags
    return {key.removeprefix(_DOCUMENT): text for key, text in tags.items() if key.startswith(_DOCUMENT)}


def document(workspace: Workspace, request: DocumentModel) -> Documented:
    """Write down what a reader must know of a model and no evidence tells; it holds for all its versions.

    Raises:
        NotFound: There is no such model.
        InvalidInput: There is no such field, or the text says nothing.
    """
    if request.field not in WRITTEN:
        raise InvalidInput(
            f"Nobody writes down {request.field!r}.", fix=near(request.field, WRITTEN, what="fields"), field="field"
        )
    text = request.text.strip()
    if len(text) < _SAYS_NOTHING:
        raise InvalidInput(f"{text!r} says nothing of the {request.field}.", fix="Write a sentence.", field="text")
    with workspace.ledger.write() as tx:
        keep(tx, workspace.project, request.name)
        change(tx, workspace, request.name, tags={f"{_DOCUMENT}{request.field}": text})
        _tell(tx, workspace, "models.document", request.name, field=request.field)
        said = documents(tx, workspace, request.name)
    return Documented(name=request.name, written=said, missing=tuple(field for field in WRITTEN if field not in said))


def keep_documents(tx: WriteTransaction, workspace: Workspace, name: str, written: Mapping[str, str]) -> None:
    """Take over what was written down of a model in another store, as far as nobody wrote it down here."""
    said = documents(tx, workspace, name)
    new = {f"{_DOCUMENT}{field}": text for field, text in written.items() if field not in said}
    if new:
        change(tx, workspace, name, tags=new)


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
