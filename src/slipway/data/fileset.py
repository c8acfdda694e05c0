"""File sets in a project's code: `sw.fileset("photos")`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from slipway import data as room
from slipway.ids import check_name
from slipway.ports.workspace import workspace

if TYPE_CHECKING:
    from slipway.records.filesets import FileSetVersion
    from slipway.tables.file_folders import CheckedOut

__all__ = ["FileSet", "fileset"]


class FileSet:
    """A versioned set of files, by name. What a run reads of it is pinned as an input of the run.

    Args:
        name: Its name.
        folder: Where its files are, for `add`; None for none.

    Raises:
        InvalidInput: The name cannot be one.

    Attributes:
        name: Its name.
        folder: Where its files are, or None.
    """

    def __init__(self, name: str, folder: str | Path | None = None) -> None:
        self.name = check_name(name, "file set")
        self.folder = None if folder is None else Path(folder)

    def __repr__(self) -> str:
        return f"<file set {self.name}>"

    def add(self, folder: str | Path | None = None) -> FileSetVersion:
        """Make what is in a folder the set's current version. Only files that are new are stored.

        Args:
            folder: Which one, None for the set's own.

        Raises:
            UserError: No project is open.
            InvalidInput: No folder is named, or something in it cannot be kept.
            Conflict: A file was written while it was read.
        """
        chosen = Path(folder) if folder is not None else self.folder or Path(self.name)
        return room.file_folders.add_folder(workspace(), self.name, chosen)

    def paths(self, version: str | None = None) -> list[str]:
        """The paths of a version's files, sorted.

        Args:
            version: Its number or hash, None for the current one.

        Raises:
            UserError: No project is open.
            NotFound: There is no such version, or none at all.
        """
        found = room.filesets.noted(room.filesets.resolve(workspace(), self.name, version))
        return [entry.path for entry in room.filesets.entries_of(workspace(), found)]

    def read(self, path: str, version: str | None = None) -> bytes:
        """The bytes of one file.

        Args:
            path: As `paths` gives it.
            version: The version's number or hash, None for the current one.

        Raises:
            UserError: No project is open.
            NotFound: There is no such version or file.
            Corrupt: Stored bytes are damaged.
        """
        return room.file_folders.read_file(workspace(), self.name, path, version)

    def check_out(
        self,
        folder: str | Path,
        version: str | None = None,
        *,
        paths: Iterable[str] = (),
        link: bool = False,
        force: bool = False,
    ) -> CheckedOut:
        """Write a version's files into a folder. Other files that are there stay.

        Args:
            folder: Where to; made when it is missing.
            version: The version's number or hash, None for the current one.
            paths: Only these files, and those in these folders; () for all.
            link: Whether files share the store's bytes on the disk, read-only, where it can.
            force: Whether files with another content are overwritten.

        Raises:
            UserError: No project is open.
            NotFound: There is no such version or file.
            Conflict: Files with another content are there; nothing was written.
            Corrupt: Stored bytes are damaged.
        """
        found = room.filesets.resolve(workspace(), self.name, version)
        return room.file_folders.check_out(workspace(), found, Path(folder), paths=tuple(paths), link=link, force=force)


def fileset(name: str, folder: str | Path | None = None) -> FileSet:
    """Name a versioned set of files: images, texts, anything. Each file is stored once, whatever versions hold it.

    Args:
        name: Its name.
        folder: Where its files are, for `add`; a folder of its name where none is given.

    Raises:
        InvalidInput: The name cannot be one.

    Example:
        >>> import slipway as sw
        >>> photos = sw.fileset("photos", "data/photos")
        >>> photos
        <file set photos>
    """
    return FileSet(name, folder)
