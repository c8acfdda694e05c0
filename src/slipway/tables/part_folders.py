"""Where a table's parts lie: files of a folder, and beside it what keeps them for all machines, where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from slipway.errors import BackendError, NotFound
from slipway.hashing import digest_file
from slipway.ports.blobs import Blobs
from slipway.ports.workspace import Workspace
from slipway.records.tables import Part

__all__ = ["PartFolder", "folder_of", "part_path", "table_folder"]

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class PartFolder:
    """Where a table's parts lie: files of a folder, which is a cache where an object store keeps them.

    Args:
        path: The folder; it may be missing.
        kept: What keeps the parts, None where the folder does.
    """

    path: Path
    kept: Blobs | None = None

    def bring(self, parts: Iterable[Part]) -> None:
        """See that the files of parts are here, where something else keeps them; each comes whole, and verified.

        A file that is here and has another size than it should is fetched again. One that is nowhere is left out: whoever
        reads it says so.

        Raises:
            Corrupt: What is kept is damaged.
            BackendError: It cannot be had now, or the file system failed.
        """
        if self.kept is None:
            return
        missing = list(dict.fromkeys(part.digest for part in parts if not self._is_whole(part)))
        if len(missing) < 2:
            for digest in missing:
                self._fetch(digest)
            return
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="slipway-parts") as pool:
            list(pool.map(self._fetch, missing))

    def file(self, part: Part) -> Path:
        """The file of a part, brought here where it was not."""
        self.bring((part,))
        return part_path(self.path, part.digest)

    def keep(self, paths: Sequence[Path]) -> None:
        """Put files of the folder where parts are kept; they are durable then.

        Raises:
            BackendError: It failed.
        """
        if self.kept is not None:
            self.kept.put_files(paths)

    def remove(self, digest: str) -> None:
        """Remove a part, here and where it is kept. It need not be there."""
        if self.kept is not None:
            self.kept.delete(digest)
        part_path(self.path, digest).unlink(missing_ok=True)

    def verify(self, part: Part) -> bool:
        """Whether every byte of a part is what was written; where something keeps it, it is there too, and mends the copy."""
        path = part_path(self.path, part.digest)
        if self.kept is None:
            return digest_file(path) == part.digest
        if not self.kept.has(part.digest):
            return False
        if digest_file(path) != part.digest:
            self._fetch(part.digest)
        return True

    def _is_whole(self, part: Part) -> bool:
        try:
            return part_path(self.path, part.digest).stat().st_size == part.size_bytes
        except FileNotFoundError:
            return False

    def _fetch(self, digest: str) -> None:
        assert self.kept is not None, "asked only there"
        try:
            self.kept.fetch(digest, part_path(self.path, digest))
        except NotFound:
            pass
        except OSError as problem:
            if isinstance(problem, BackendError):
                raise
            raise BackendError(
                f"The part {digest} cannot be written to {self.path}: {problem}.",
                why="It is kept in the object store; here is a copy of what is read.",
                fix="Make room: files of parts may be removed there at any time while nothing reads them.",
            ) from problem


def folder_of(workspace: Workspace, table: str, *, project: str | None = None) -> PartFolder:
    """Where the parts of a table lie, for whoever writes them; to read, see `part_cache.part_folder`."""
    owner = project or workspace.project
    kept = None if workspace.open_parts is None else workspace.open_parts(owner, table)
    return PartFolder(table_folder(workspace, table, project=owner), kept)


def table_folder(workspace: Workspace, table: str, *, project: str | None = None) -> Path:
    """The folder of a table's parts: `<root>/tables/<project>/<table>`."""
    return workspace.root / "tables" / (project or workspace.project) / table


def part_path(folder: Path, digest: str) -> Path:
    """The file of a part in its table's folder."""
    return folder / f"{digest}.parquet"
