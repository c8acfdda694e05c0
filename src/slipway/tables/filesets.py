"""Versions of file sets: folders of images, texts or anything else, each file stored once.

A version is a list of (path, digest, size) over blobs, so that adding one file in a hundred stores one in a hundred.
Blobs and lists are stored before the one transaction that makes the version known: a crash before it leaves blobs that
nobody names; after it, all is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC

import msgspec

from slipway.errors import Conflict, Corrupt, InvalidInput, NotFound, near
from slipway.hashing import digest as digest_of
from slipway.hashing import fingerprint
from slipway.ids import check_name
from slipway.ledger import entries, events, lineage, versions
from slipway.operations.declare import check_allowed
from slipway.ports.ledger_store import ReadTransaction, WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.filesets import FileEntry, FileIndex, FileSetVersion
from slipway.tables.catalog import pins, reads

__all__ = [
    "FileDiff",
    "commit",
    "current_file_hash",
    "current_version",
    "diff",
    "entries_of",
    "fileset_history",
    "fileset_node",
    "filesets",
    "find_file",
    "index_blob",
    "index_of",
    "noted",
    "resolve",
    "store_lists",
]

HEAD = "files"
_CUT = 256
_lists = msgspec.msgpack.Encoder()
_read_list = msgspec.msgpack.Decoder(tuple[FileEntry, ...])


class FileDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What is different between two versions, by path.

    Args:
        added: Only in the later one.
        removed: Only in the earlier one.
        changed: In both, with other bytes.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


def fileset_node(project: str, name: str, version: str) -> str:
    """The lineage node of a version: `files:<project>/<name>@<version>`."""
    return f"files:{_id(project, name, version)}"


def current_file_hash(tx: ReadTransaction, project: str, name: str) -> str | None:
    """The version that a reader gets who names none: the pinned one, else the current one."""
    return (pins.get() or {}).get(f"files:{project}/{name}") or tx.ref(project, HEAD, name)


def current_version(tx: ReadTransaction, project: str, name: str) -> FileSetVersion | None:
    """The version that writers build on, whatever is pinned; None when there is none."""
    version = tx.ref(project, HEAD, name)
    return None if version is None else entries.get(tx, FileSetVersion, _id(project, name, version))


def filesets(workspace: Workspace) -> tuple[FileSetVersion, ...]:
    """The current version of each file set of the workspace's project, by name."""
    project = workspace.project
    with workspace.ledger.read() as tx:
        return tuple(
            entries.get(tx, FileSetVersion, _id(project, name, version))
            for name, version in sorted(tx.refs(project, HEAD).items())
        )


def fileset_history(workspace: Workspace, name: str) -> tuple[FileSetVersion, ...]:
    """All versions of a file set, newest first.

    Raises:
        NotFound: The project has no such file set.
    """
    resolve(workspace, name)
    with workspace.ledger.read() as tx:
        found = entries.every(tx, FileSetVersion, project=workspace.project, name=name)
        return tuple(sorted(found, key=lambda version: -version.number))


def resolve(workspace: Workspace, name: str, version: str | None = None, *, project: str = "") -> FileSetVersion:
    """One version of a file set.

    Args:
        workspace: Whose ledger is asked.
        name: The set's name.
        version: Its number, or at least 8 digits of its hash; None for the current one, or the one that is pinned here.
        project: The set's project, "" for the workspace's own.

    Raises:
        NotFound: There is no such file set or version.
    """
    owner = project or workspace.project
    with workspace.ledger.read() as tx:
        head = current_file_hash(tx, owner, name)
        if head is None:
            raise NotFound(
                f"The project {owner!r} has no file set {name!r}.",
                why=near(name, tx.refs(owner, HEAD), what="file sets"),
                fix=f"Make its first version: slipway data files add {name} FOLDER",
            )
        if not version:
            return entries.get(tx, FileSetVersion, _id(owner, name, head))
        if version.isdigit() and len(version) < 8:
            found = entries.find(tx, FileSetVersion, project=owner, name=name, number=int(version))
        elif tx.get(entries.kind_of(FileSetVersion), _id(owner, name, version)) is not None:
            found = [entries.get(tx, FileSetVersion, _id(owner, name, version))]
        else:
            every = entries.find(tx, FileSetVersion, project=owner, name=name, limit=100_000)
            found = [one for one in every if len(version) >= 8 and one.version.startswith(version)]
    if len(found) != 1:
        raise NotFound(
            f"The file set {name!r} has no version {version!r}.",
            fix=f"List its versions: slipway data files show {name}",
        )
    return found[0]


def entries_of(workspace: Workspace, version: FileSetVersion) -> Iterator[FileEntry]:
    """The files of a version, by path.

    Raises:
        NotFound: A list is gone.
        Corrupt: The index or a list is not what was written.
    """
    for listed in index_of(workspace, version).lists:
        try:
            yield from _read_list.decode(workspace.blobs.get(listed))
        except msgspec.DecodeError as problem:
            raise Corrupt(f"A list of the file set {version.id} cannot be read: {problem}.") from problem


def index_blob(version: FileSetVersion) -> str:
    """The digest of the blob that says what a version consists of."""
    return version.erased[-1].manifest if version.erased else version.index


def index_of(workspace: Workspace, version: FileSetVersion) -> FileIndex:
    """What a version consists of.

    Raises:
        NotFound: Its index is gone.
        Corrupt: It is not what was written.
    """
    found = msgspec.json.decode(workspace.blobs.get(index_blob(version)), type=FileIndex)
    if not version.erased and fingerprint(found) != version.version:
        raise Corrupt(
            f"The index of the file set {version.id} does not have the hash that is the version.",
            why="The ledger's record or the index was altered.",
            fix="Restore the store from a backup.",
        )
    return found


def find_file(workspace: Workspace, version: FileSetVersion, path: str) -> FileEntry:
    """The file of a path.

    Raises:
        NotFound: The version has no such file.
    """
    known = {entry.path: entry for entry in entries_of(workspace, version)}
    if path not in known:
        raise NotFound(
            f"Version {version.number} of the file set {version.name!r} has no file {path!r}.",
            why=near(path, known, what="files"),
            fix=f"List them: slipway data files show {version.name} --files",
        )
    return known[path]


def noted(version: FileSetVersion) -> FileSetVersion:
    """Take down that a version is read here: it is an input of the run that reads it."""
    recorded, node = reads.get(), fileset_node(version.project, version.name, version.version)
    if recorded is not None and node not in recorded:
        recorded.append(node)
    return version


def diff(workspace: Workspace, earlier: FileSetVersion, later: FileSetVersion) -> FileDiff:
    """What is different between two versions. Lists that both have are not read.

    Raises:
        NotFound: A list is gone.
        Corrupt: An index or a list is not what was written.
    """
    old, new = index_of(workspace, earlier).lists, index_of(workspace, later).lists
    before = _entries_in(workspace, [one for one in old if one not in set(new)])
    after = _entries_in(workspace, [one for one in new if one not in set(old)])
    return FileDiff(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(p for p in before.keys() & after.keys() if before[p].digest != after[p].digest)),
    )


def store_lists(workspace: Workspace, files: Iterable[FileEntry]) -> tuple[FileIndex, int]:
    """Store the lists of files; returns the index, and the bytes of lists that were not there.

    Raises:
        BackendError: The file system failed.
    """
    lists, stored, open_list = [], 0, list[FileEntry]()

    def close() -> None:
        nonlocal stored
        data = _lists.encode(open_list)
        stored += 0 if workspace.blobs.has(digest_of(data)) else len(data)
        lists.append(workspace.blobs.put(data))
        open_list.clear()

    for entry in sorted(files, key=lambda one: one.path):
        open_list.append(entry)
        if int(digest_of(entry.path.encode())[:8], 16) % _CUT == 0:
            close()
    if open_list:
        close()
    return FileIndex(tuple(lists)), stored


def commit(
    workspace: Workspace,
    name: str,
    index: FileIndex,
    *,
    parent: FileSetVersion | None,
    told: FileDiff,
    files: int,
    size_bytes: int,
    stored_bytes: int,
    source: str,
    run_id: str = "",
) -> FileSetVersion:
    """Make a version known: its record, the head, lineage and the event, in one transaction.

    A version that existed before keeps its record, and the head returns to it.

    Raises:
        Denied: The actor may not write tables and file sets.
        Conflict: The head is no longer `parent`.
        InvalidInput: These are the files of a version from which some were erased.
    """
    check_name(name, "file set")
    check_allowed(workspace, "files.commit", "tables.write")
    version, blob, project = fingerprint(index), workspace.blobs.put(msgspec.json.encode(index)), workspace.project
    with workspace.ledger.write() as tx:
        if parent is not None and entries.get(tx, FileSetVersion, parent.id).erased != parent.erased:
            raise Conflict(f"Files were erased from {name!r} while this version of it was made.", fix="Do it again.")
        record = _known(tx, project, name, version)
        if record is None:
            record = FileSetVersion(
                id=_id(project, name, version),
                project=project,
                name=name,
                created_at=workspace.clock.now().astimezone(UTC),
                number=versions.next_number(tx, FileSetVersion, project, name),
                version=version,
                index=blob,
                parent=parent.version if parent else "",
                files=files,
                size_bytes=size_bytes,
                added=len(told.added),
                changed=len(told.changed),
                removed=len(told.removed),
                stored_bytes=stored_bytes,
                source=source,
                run_id=run_id,
            )
            entries.put(tx, record, expect=0)
        try:
            tx.set_ref(project, HEAD, name, version, expect=parent.version if parent else None)
        except Conflict as problem:
            raise Conflict(
                f"The file set {name!r} was written by somebody else while this version of it was made.",
                fix="Do it again: it then builds on what is there now.",
            ) from problem
        _tell(tx, workspace, record, run_id)
    return record


def _tell(tx: WriteTransaction, workspace: Workspace, record: FileSetVersion, run_id: str) -> None:
    """Lineage and event of a version that became current."""
    node = fileset_node(record.project, record.name, record.version)
    if record.parent:
        lineage.link(tx, fileset_node(record.project, record.name, record.parent), node, "parent")
    if run_id:
        lineage.link(tx, f"run:{run_id}", node, "output")
    body = {"version": record.version, "number": record.number, "files": record.files}
    events.record(tx, workspace, "files.add", f"files:{record.project}/{record.name}", **body)


def _known(tx: ReadTransaction, project: str, name: str, version: str) -> FileSetVersion | None:
    if tx.get(entries.kind_of(FileSetVersion), _id(project, name, version)) is None:
        return None
    record = entries.get(tx, FileSetVersion, _id(project, name, version))
    if record.erased:
        raise InvalidInput(
            f"The files for {name!r} are those of version {record.number}, from which "
            f"{record.erased[-1].rows:,} files were erased on {record.erased[-1].at:%Y-%m-%d}.",
            fix="Remove these files from the folder, then add it again.",
        )
    return record


def _entries_in(workspace: Workspace, lists: list[str]) -> dict[str, FileEntry]:
    return {entry.path: entry for one in lists for entry in _read_list.decode(workspace.blobs.get(one))}


def _id(project: str, name: str, version: str) -> str:
    return f"{project}/{name}@{version}"
