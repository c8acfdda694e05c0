"""Tags and branches: names for versions, which copy no bytes; and the merge of a branch."""

from __future__ import annotations

from functools import partial

import msgspec

from slipway.errors import Conflict, InvalidInput, NotFound, near
from slipway.ledger import entries, events
from slipway.operations.table_versions import BranchTable, MergeTable, TableState, TagTable
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.tables import Manifest, Part, TableVersion
from slipway.tables.catalog import (
    BASE,
    BRANCH,
    TAG,
    get,
    head,
    manifest_of,
    named_refs,
    record_id,
    subject,
    words,
)
from slipway.tables.commits import Origin, commit, moved_head
from slipway.tables.part_cache import part_folder
from slipway.tables.parts import PartWriter
from slipway.tables.personal import common_readers
from slipway.tables.resolve import Version, check_ref_name, resolve
from slipway.tables.scans import scan_parts
from slipway.tables.staging import Staged
from slipway.tables.versions import appended, moved_onto

__all__ = ["branch", "branch_table", "drop_branch", "drop_tag", "merge", "merge_branch", "tag", "tag_table"]


def tag(
    workspace: Workspace, table: str, name: str, version: Version | None = None, *, move: bool = False
) -> TableVersion:
    """Name a version for good: it is kept by every cleaning, and read by this name.

    Args:
        workspace: Whose store is written.
        table: The table's name.
        name: The tag.
        version: Which version, as `resolve` takes it; None for the current one.
        move: Whether a tag that names another version is moved; it never is otherwise.

    Returns:
        The version that the tag names.

    Raises:
        InvalidInput: The name reads as a number, a hash or a date, or is a branch's.
        NotFound: There is no such version, or its rows were cleaned away.
        Conflict: The tag names another version.
    """
    check_ref_name(name, "tag")
    found = resolve(workspace, table, version) if version is not None else head(workspace, table)
    with workspace.ledger.write() as tx:
        _check_free(tx, workspace.project, table, name, BRANCH)
        _check_there(tx, found)
        former = tx.ref(workspace.project, TAG, f"{table}/{name}")
        if former == found.version:
            return found
        if former is not None and not move:
            raise Conflict(
                f"The tag {name!r} of the table {table!r} names another version ({former[:12]}).",
                why="A tag never moves by itself.",
                fix=f"Choose another name, or move it: `slipway data tag {table} {name} {found.number} --move`.",
            )
        tx.set_ref(workspace.project, TAG, f"{table}/{name}", found.version, expect=former)
        body = {"tag": name, "target": found.version, "former": former or ""}
        events.record(tx, workspace, "tables.tag", subject(workspace.project, table), **body)
    return found


def drop_tag(workspace: Workspace, table: str, name: str) -> TableVersion:
    """Take a tag away; returns the version that it named.

    Raises:
        NotFound: There is no such tag.
    """
    with workspace.ledger.write() as tx:
        former = _named(tx, workspace.project, table, name, TAG)
        tx.set_ref(workspace.project, TAG, f"{table}/{name}", "", expect=former)
        body = {"tag": name, "target": "", "former": former}
        events.record(tx, workspace, "tables.tag", subject(workspace.project, table), **body)
    return get(workspace, table, former)


def branch(workspace: Workspace, table: str, name: str, version: Version | None = None) -> TableVersion:
    """Begin a branch at a version: a second head that is written on its own. No byte is copied.

    Args:
        workspace: Whose store is written.
        table: The table's name.
        name: The branch.
        version: Where it begins, as `resolve` takes it; None for the current version.

    Returns:
        The version at which it begins.

    Raises:
        InvalidInput: The name reads as a number, a hash or a date, or is a tag's.
        NotFound: There is no such version, or its rows were cleaned away.
        Conflict: There is such a branch already, and it begins or is elsewhere.
    """
    check_ref_name(name, "branch")
    found = resolve(workspace, table, version) if version is not None else head(workspace, table)
    with workspace.ledger.write() as tx:
        _check_free(tx, workspace.project, table, name, TAG)
        _check_there(tx, found)
        former = [tx.ref(workspace.project, kind, f"{table}/{name}") for kind in (BRANCH, BASE)]
        if former == [found.version] * 2:
            return found
        if former != [None, None]:
            raise Conflict(
                f"The table {table!r} has a branch {name!r} already.",
                fix=f"Choose another name, or drop it: `slipway data branch {table} {name} --drop`.",
            )
        _set_branch(tx, workspace.project, table, name, found.version, found.version)
        body = {"branch": name, "target": found.version}
        events.record(tx, workspace, "tables.branch", subject(workspace.project, table), **body)
    return found


def drop_branch(workspace: Workspace, table: str, name: str) -> TableVersion:
    """Take a branch away; returns its last version, which a cleaning may sweep later.

    Raises:
        NotFound: There is no such branch.
    """
    with workspace.ledger.write() as tx:
        former = _named(tx, workspace.project, table, name, BRANCH)
        _set_branch(tx, workspace.project, table, name, "", "")
        body = {"branch": name, "target": "", "former": former}
        events.record(tx, workspace, "tables.branch", subject(workspace.project, table), **body)
    return get(workspace, table, former)


def merge(workspace: Workspace, table: str, name: str) -> TableVersion:
    """Bring what a branch added into the table. The branch then goes on from there.

    Where the table has not moved since the branch began, its head becomes the branch's. Where it has, rows that were
    appended on the branch are appended to the table, without being written again.

    Args:
        workspace: Whose store is written.
        table: The table's name.
        name: The branch.

    Returns:
        The table's new version, or the current one when the branch has nothing new.

    Raises:
        NotFound: There is no such table or branch.
        Conflict: The table moved on, and the branch did more than append, columns changed, or both added one key.
    """
    theirs = head(workspace, table, branch=name)
    ours = head(workspace, table)
    with workspace.ledger.read() as tx:
        base = tx.ref(workspace.project, BASE, f"{table}/{name}")
    if theirs.version in (ours.version, base):
        return ours
    move = partial(_moved_branch, theirs=theirs, name=name)
    if base == ours.version:
        with workspace.ledger.write() as tx:
            moved_head(tx, workspace, theirs, former=ours, verb="tables.merge")
            move(tx, theirs.version)
        return theirs
    begun = get(workspace, table, base or "")
    manifests = [manifest_of(workspace, version) for version in (begun, theirs, ours)]
    added = _appended_parts(table, name, *manifests)
    _check_keys(workspace, ours, added, *manifests)
    staged = Staged(
        folder=part_folder(workspace, table),
        table=table,
        fields=manifests[1].fields,
        types=manifests[1].types,
        parts=added,
        blocks=(),
        leaves=(),
    )
    with PartWriter(workspace, table) as writer:
        moved = moved_onto(workspace, writer, staged, ours)
        draft = appended(ours, manifests[2], moved)
        personal = tuple(dict.fromkeys((*ours.about.personal, *theirs.about.personal)))
        readers = common_readers((ours.about, theirs.about))
        simulated = theirs.about.origin or ours.about.origin
        about = msgspec.structs.replace(theirs.about, personal=personal, readers=readers, origin=simulated)
        origin = Origin(source=f"the branch {name}", checks=theirs.checks, about=about)
        return commit(workspace, table, draft, former=ours, origin=origin, verb="tables.merge", also=move)


def tag_table(workspace: Workspace, request: TagTable) -> TableState:
    """Set, move or drop a tag; see `tag`."""
    if request.drop:
        return TableState(version=drop_tag(workspace, request.name, request.tag))
    version = request.version or None
    return TableState(version=tag(workspace, request.name, request.tag, version, move=request.move))


def branch_table(workspace: Workspace, request: BranchTable) -> TableState:
    """Begin or drop a branch; see `branch`."""
    if request.drop:
        return TableState(version=drop_branch(workspace, request.name, request.branch))
    return TableState(version=branch(workspace, request.name, request.branch, request.version or None))


def merge_branch(workspace: Workspace, request: MergeTable) -> TableState:
    """Merge a branch; see `merge`."""
    return TableState(version=merge(workspace, request.name, request.branch))


def _appended_parts(table: str, name: str, base: Manifest, theirs: Manifest, ours: Manifest) -> tuple[Part, ...]:
    def columns(manifest: Manifest) -> tuple[object, ...]:
        return tuple(f.name for f in manifest.fields), manifest.field_ids, manifest.types, manifest.key, manifest.time

    why = ""
    if columns(theirs) != columns(base) or columns(ours) != columns(base):
        where = "branch" if columns(theirs) != columns(base) else "table"
        why = f"The columns of the {where} changed since the branch began."
    elif theirs.parts[: len(base.parts)] != base.parts:
        why = "The branch changed or compacted rows that were there when it began; only what it appends can be brought over."
    if why:
        raise Conflict(
            f"The branch {name!r} cannot be merged into the table {table!r}: both have moved on.",
            why=why,
            fix=f"Compare them: `slipway data diff {table} main {name}`; make the change again on a new branch.",
        )
    return theirs.parts[len(base.parts) :]


def _check_keys(
    workspace: Workspace, ours: TableVersion, added: tuple[Part, ...], base: Manifest, theirs: Manifest, now: Manifest
) -> None:
    """No key may have come both ways: the table would hold it twice."""
    known = {part.digest for part in base.parts}
    since = [part for part in now.parts if part.digest not in known]
    if not now.key or not since:
        return
    folder, what = part_folder(workspace, ours.name), words(ours)
    key = list(now.key)
    mine = scan_parts(folder, now, what, since).select(key)
    both = scan_parts(folder, theirs, what, added).select(key).join(mine, on=key, how="semi").head(1).collect()
    if both.height:
        said = ", ".join(f"{column} = {value!r}" for column, value in both.row(0, named=True).items())
        raise Conflict(
            f"The table {ours.name!r} and the branch both have rows with the key {said} since the branch began.",
            why="After the merge the key would be there twice.",
            fix="Upsert the branch's rows instead: table.upsert(table.read('BRANCH')).",
        )


def _moved_branch(tx: WriteTransaction, version: str, *, theirs: TableVersion, name: str) -> None:
    if tx.ref(theirs.project, BRANCH, f"{theirs.name}/{name}") != theirs.version:
        raise Conflict(
            f"The branch {name!r} of the table {theirs.name!r} was written while it was merged.",
            why="Nothing of it was merged.",
            fix=f"Merge it again: `slipway data merge {theirs.name} {name}`.",
        )
    _set_branch(tx, theirs.project, theirs.name, name, version, version)


def _set_branch(tx: WriteTransaction, project: str, table: str, name: str, version: str, base: str) -> None:
    for kind, target in ((BRANCH, version), (BASE, base)):
        tx.set_ref(project, kind, f"{table}/{name}", target, expect=tx.ref(project, kind, f"{table}/{name}"))


def _named(tx: ReadTransaction, project: str, table: str, name: str, kind: str) -> str:
    found = tx.ref(project, kind, f"{table}/{name}")
    if found is None:
        raise NotFound(
            f"The table {table!r} has no {kind} {name!r}.",
            why=near(name, named_refs(tx, project, table, kind), what=f"{kind}s"),
            fix=f"List them: `slipway data history {table}`.",
        )
    return found


def _check_free(tx: ReadTransaction, project: str, table: str, name: str, kind: str) -> None:
    if tx.ref(project, kind, f"{table}/{name}") is not None:
        raise InvalidInput(f"{name!r} is a {kind} of the table {table!r} already.", fix="Choose another name.")


def _check_there(tx: ReadTransaction, version: TableVersion) -> None:
    now = entries.get(tx, TableVersion, record_id(version.project, version.name, version.version))
    if now.cleaned_at is not None:
        raise NotFound(
            f"{words(now)} cannot be named: its rows were cleaned away on {now.cleaned_at:%Y-%m-%d}.",
            fix=f"Choose another: `slipway data history {version.name}`.",
        )
