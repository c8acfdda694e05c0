"""Files of one person in a file set: found in every version, and erased from all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from slipway.errors import Conflict
from slipway.ledger import entries
from slipway.ports.ledger_store import WriteTransaction
from slipway.ports.workspace import Workspace
from slipway.records.filesets import FileEntry, FileIndex, FileSetVersion
from slipway.records.tables import Erased
from slipway.tables.filesets import entries_of, fileset_history, index_blob, index_of, store_lists

__all__ = ["FilesFound", "find_files", "rewrite_files", "switch_files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesFound:
    """Where a person's files are in one file set.

    Args:
        name: The set's.
        versions: The versions that hold one of them, with all their files.
        paths: Which files.
        digests: Their contents.
        shared: Contents that other files have too, in words: they stay.
    """

    name: str
    versions: Sequence[tuple[FileSetVersion, list[FileEntry]]]
    paths: frozenset[str]
    digests: frozenset[str]
    shared: tuple[str, ...]


def find_files(workspace: Workspace, name: str, paths: Sequence[str]) -> FilesFound:
    """Search all versions of a file set.

    Args:
        workspace: Whose store is searched.
        name: The set's name.
        paths: Paths of files, or of folders.

    Raises:
        NotFound: There is no such file set.
        Corrupt: A list is missing or altered.
    """
    versions, hit, digests = [], set[str](), set[str]()
    for version in fileset_history(workspace, name):
        files = list(entries_of(workspace, version))
        theirs = [one for one in files if _is_under(one.path, paths)]
        if theirs:
            versions.append((version, files))
            hit |= {one.path for one in theirs}
            digests |= {one.digest for one in theirs}
    shared = _shared(workspace, name, frozenset(hit), digests) if digests else {}
    words = tuple(f"The content of a file is also {place}: it stays there." for place in sorted(set(shared.values())))
    return FilesFound(
        name=name,
        versions=versions,
        paths=frozenset(hit),
        digests=frozenset(digests - shared.keys()),
        shared=words,
    )


def rewrite_files(
    workspace: Workspace, found: FilesFound, *, erasure: str, reason: str
) -> tuple[list[tuple[FileSetVersion, FileSetVersion]], list[str]]:
    """Write what takes the place of versions' lists; nobody sees it before `switch_files`.

    Returns:
        Pairs of a record and the one that takes its place, and the blobs that are removed then: "blob:<digest>".

    Raises:
        BackendError: The file system failed.
    """
    pairs, old, new = [], set[str](), set[str]()
    for version, files in found.versions:
        former: FileIndex = index_of(workspace, version)
        kept = [one for one in files if one.path not in found.paths]
        index, _ = store_lists(workspace, kept)
        blob = workspace.blobs.put(msgspec.json.encode(index))
        told = Erased(
            erasure=erasure,
            at=workspace.clock.now(),
            by=str(workspace.actor),
            reason=reason,
            rows=len(files) - len(kept),
            manifest=blob,
        )
        record = msgspec.structs.replace(
            version,
            files=len(kept),
            size_bytes=sum(one.size_bytes for one in kept),
            erased=(*version.erased, told),
        )
        pairs.append((version, record))
        old |= {index_blob(version), *former.lists}
        new |= {blob, *index.lists}
    for version in fileset_history(workspace, found.name):
        if version.id not in {before.id for before, _ in pairs}:
            new |= {index_blob(version), *index_of(workspace, version).lists}
    return pairs, [f"blob:{digest}" for digest in sorted((old - new) | found.digests)]


def switch_files(tx: WriteTransaction, pairs: Sequence[tuple[FileSetVersion, FileSetVersion]]) -> None:
    """Put the records that say what versions consist of now.

    Raises:
        Conflict: One of them is no longer what it was.
    """
    for before, after in pairs:
        if entries.get(tx, FileSetVersion, before.id) != before:
            raise Conflict(f"The file set {before.name!r} was changed by somebody else meanwhile.", fix="Erase again.")
        entries.put(tx, after)


def _is_under(path: str, wanted: Sequence[str]) -> bool:
    return any(path == one or path.startswith(one.rstrip("/") + "/") for one in wanted)


def _shared(workspace: Workspace, name: str, paths: frozenset[str], digests: set[str]) -> dict[str, str]:
    """Contents that files have which are not erased: of this set and of all others in the store."""
    found: dict[str, str] = {}
    with workspace.ledger.read() as tx:
        every = entries.every(tx, FileSetVersion)
    for version in every:
        own = (version.project, version.name) == (workspace.project, name)
        for entry in entries_of(workspace, version):
            if entry.digest in digests and not (own and entry.path in paths):
                found[entry.digest] = f"{entry.path!r} of the file set {version.name!r}"
    return found
