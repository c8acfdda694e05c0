"""Versioned file sets: which files a version holds."""

from msgspec import Struct

from slipway.records.record import Record
from slipway.records.tables import Erased

__all__ = ["FileEntry", "FileIndex", "FileSetVersion"]


class FileEntry(Struct, frozen=True, array_like=True):
    """One file of a version.

    Args:
        path: Relative to the folder, with `/`, in UTF-8.
        digest: Of its bytes.
        size_bytes: Of the file.
    """

    path: str
    digest: str
    size_bytes: int


class FileIndex(Struct, frozen=True):
    """What a version consists of. Its canonical encoding's hash *is* the version.

    Args:
        lists: Digests of blobs with entries in the order of their paths. Where a list ends depends on the paths alone, so
            that versions share the lists in which nothing has changed.
    """

    lists: tuple[str, ...]


class FileSetVersion(Record, frozen=True, kw_only=True, tag="files"):
    """One version of a file set. Id: `<project>/<name>@<version>`; name: the set's.

    Args:
        number: Counts the set's versions from 1.
        version: The hash of its index.
        index: The index's blob digest.
        parent: The version before it, "" for the first.
        files: How many in all.
        size_bytes: Of all files.
        added: How many files its parent did not have.
        changed: How many have other bytes than in its parent.
        removed: How many files of its parent are not in it.
        stored_bytes: What it took to store: the bytes of files that were not there, and of lists.
        source: Where the files came from.
        run_id: The run that wrote it, or "".
        erased: Which files were erased from it, oldest first; see `Erased`, whose rows are files here.
    """

    number: int
    version: str
    index: str
    parent: str = ""
    files: int
    size_bytes: int
    added: int = 0
    changed: int = 0
    removed: int = 0
    stored_bytes: int = 0
    source: str = ""
    run_id: str = ""
    erased: tuple[Erased, ...] = ()
