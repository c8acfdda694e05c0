"""The bodies of the operations on file sets."""

from slipway.operations.declare import Empty
from slipway.operations.files import DiffFiles, FileDifferences, FileEntries, FileSetDetail, FileSets, GetFileSet
from slipway.ports.workspace import Workspace
from slipway.tables.filesets import diff, entries_of, fileset_history, filesets, resolve

__all__ = ["diff_files", "get_fileset", "list_entries", "list_filesets"]


def list_filesets(workspace: Workspace, request: Empty) -> FileSets:
    """The current version of each file set, by name."""
    return FileSets(filesets=filesets(workspace))


def get_fileset(workspace: Workspace, request: GetFileSet) -> FileSetDetail:
    """A file set's versions, newest first; the one that is asked for, where one is.

    Raises:
        NotFound: There is no such file set or version.
    """
    if request.version:
        return FileSetDetail(versions=(resolve(workspace, request.name, request.version),))
    return FileSetDetail(versions=fileset_history(workspace, request.name))


def list_entries(workspace: Workspace, request: GetFileSet) -> FileEntries:
    """The files of a version, by path.

    Raises:
        NotFound: There is no such file set or version.
        Corrupt: Its index or a list is not what was written.
    """
    found = resolve(workspace, request.name, request.version)
    files = tuple(entry for entry in entries_of(workspace, found) if entry.path.startswith(request.under))
    return FileEntries(version=found, files=files)


def diff_files(workspace: Workspace, request: DiffFiles) -> FileDifferences:
    """Which files two versions do not share.

    Raises:
        NotFound: There is no such file set or version.
        Corrupt: An index or a list is not what was written.
    """
    earlier, later = (resolve(workspace, request.name, version) for version in (request.earlier, request.later))
    found = diff(workspace, earlier, later)
    return FileDifferences(
        earlier=earlier, later=later, added=found.added, removed=found.removed, changed=found.changed
    )
