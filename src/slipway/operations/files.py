"""Versioned file sets: their versions, files and differences."""

from msgspec import Struct

from slipway.operations.declare import Empty, Operation
from slipway.records.filesets import FileEntry, FileSetVersion

__all__ = ["DiffFiles", "FileDifferences", "FileEntries", "FileSetDetail", "FileSets", "GetFileSet", "operations"]


class FileSets(Struct, frozen=True, kw_only=True):
    """The current version of each file set."""

    filesets: tuple[FileSetVersion, ...]


class GetFileSet(Struct, frozen=True, kw_only=True):
    """Which version of which file set.

    Args:
        name: The set's name.
        version: A version's number, or at least 8 digits of its hash; "" for the current one.
        under: Only files whose path begins with this.
    """

    name: str
    version: str = ""
    under: str = ""


class FileSetDetail(Struct, frozen=True, kw_only=True):
    """A file set's versions, newest first."""

    versions: tuple[FileSetVersion, ...]


class FileEntries(Struct, frozen=True, kw_only=True):
    """The files of a version, by path."""

    version: FileSetVersion
    files: tuple[FileEntry, ...]


class DiffFiles(Struct, frozen=True, kw_only=True):
    """Which versions to compare.

    Args:
        name: The set's name.
        earlier: A version's number or hash.
        later: The other one's; "" for the current one.
    """

    name: str
    earlier: str
    later: str = ""


class FileDifferences(Struct, frozen=True, kw_only=True):
    """What is different between two versions, by path."""

    earlier: FileSetVersion
    later: FileSetVersion
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


operations = (
    Operation(
        name="files.list",
        summary="List the file sets with their current versions.",
        permission="tables.read",
        request=Empty,
        response=FileSets,
        body="slipway.tables.file_browse:list_filesets",
    ),
    Operation(
        name="files.get",
        summary="Show one file set's versions.",
        permission="tables.read",
        request=GetFileSet,
        response=FileSetDetail,
        body="slipway.tables.file_browse:get_fileset",
    ),
    Operation(
        name="files.entries",
        summary="List the files of a version.",
        permission="tables.read",
        request=GetFileSet,
        response=FileEntries,
        body="slipway.tables.file_browse:list_entries",
    ),
    Operation(
        name="files.diff",
        summary="Say which files two versions do not share.",
        permission="tables.read",
        request=DiffFiles,
        response=FileDifferences,
        body="slipway.tables.file_browse:diff_files",
    ),
)
