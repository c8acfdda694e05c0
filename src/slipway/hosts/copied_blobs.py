"""Blobs, and parts of tables, copied from one place to another and compared there, byte for byte."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from slipway.errors import Corrupt, NotFound
from slipway.hashing import digest as digest_of
from slipway.hashing import digest_file
from slipway.ids import new_id
from slipway.ports.blobs import Blobs, StoredBlob
from slipway.ports.workspace import OpenParts
from slipway.tables.part_folders import part_path

__all__ = ["Brought", "Kept", "bring", "compare", "places_of", "stored"]

_THREADS = 8
_WHOLE_BYTES = 8 << 20
_BATCH = 256
_BATCH_BYTES = 64 << 20
_DIGEST = 64
_HEX = frozenset("0123456789abcdef")

Notice = Callable[[int, int], None]
"""Is told how many are done, of how many."""


class Kept(Protocol):
    """What both blobs and parts of tables are asked here; see `Blobs`."""

    def put_file(self, path: Path) -> str:
        """See `Blobs.put_file`."""
        ...

    def put_files(self, paths: Sequence[Path]) -> list[tuple[str, bool]]:
        """See `Blobs.put_files`."""
        ...

    def get(self, digest: str) -> bytes:
        """See `Blobs.get`."""
        ...

    def fetch(self, digest: str, path: Path) -> None:
        """See `Blobs.fetch`."""
        ...

    def has(self, digest: str) -> bool:
        """See `Blobs.has`."""
        ...

    def stored(self) -> Iterator[StoredBlob]:
        """See `Blobs.stored`."""
        ...

    def delete(self, digest: str) -> bool:
        """See `Blobs.delete`."""
        ...


class Brought(NamedTuple):
    """What the source has: sizes by digest; and what cannot be read there, with the reason."""

    wanted: dict[str, int]
    faults: dict[str, str]


class FolderParts:
    """The parts of a table in a store's folder, see `Kept`.

    Args:
        folder: `<root>/tables/<project>/<table>`; it may be missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put_file(self, path: Path) -> str:
        """See `Blobs.put_file`."""
        digest = digest_file(path)
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f".{new_id()}.tmp"
        with path.open("rb") as source, part.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
        part.replace(part_path(self._folder, digest))
        handle = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        return digest

    def put_files(self, paths: Sequence[Path]) -> list[tuple[str, bool]]:
        """See `Blobs.put_files`."""
        return [(self.put_file(path), True) for path in paths]

    def get(self, digest: str) -> bytes:
        """See `Blobs.get`."""
        try:
            data = part_path(self._folder, digest).read_bytes()
        except FileNotFoundError:
            raise _missing(digest, self._folder) from None
        if digest_of(data) != digest:
            raise _damaged(digest, self._folder)
        return data

    def fetch(self, digest: str, path: Path) -> None:
        """See `Blobs.fetch`."""
        FolderParts(path.parent)._take(part_path(self._folder, digest), digest, path)

    def has(self, digest: str) -> bool:
        """See `Blobs.has`."""
        return part_path(self._folder, digest).exists()

    def stored(self) -> Iterator[StoredBlob]:
        """See `Blobs.stored`."""
        for path in self._folder.glob("*.parquet"):
            if len(path.stem) == _DIGEST and set(path.stem) <= _HEX:
                with suppress(FileNotFoundError):  # removed meanwhile
                    found = path.stat()
                    yield StoredBlob(path.stem, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def delete(self, digest: str) -> bool:
        """See `Blobs.delete`."""
        part_path(self._folder, digest).unlink(missing_ok=True)
        return True

    def _take(self, source: Path, digest: str, path: Path) -> None:
        try:
            with source.open("rb") as file, path.open("wb") as target:
                for piece in iter(lambda: file.read(1 << 20), b""):
                    target.write(piece)
        except FileNotFoundError:
            raise _missing(digest, source.parent) from None
        if digest_file(path) != digest:
            path.unlink()
            raise _damaged(digest, source.parent)


def places_of(root: Path, blobs: Blobs, parts: OpenParts | None) -> dict[tuple[str, str], Kept]:
    """The tables of a store, as project and name, each with what keeps its parts."""
    if parts is not None:
        objects: Any = blobs
        return {name: parts(*name) for name in objects.tables()}
    folders = [folder for folder in (root / "tables").glob("*/*") if folder.is_dir()]
    return {(folder.parent.name, folder.name): FolderParts(folder) for folder in sorted(folders)}


def opened_parts(root: Path, parts: OpenParts | None, name: tuple[str, str]) -> Kept:
    """What keeps the parts of a table in a store."""
    return FolderParts(root / "tables" / name[0] / name[1]) if parts is None else parts(*name)


def stored(kept: Kept) -> tuple[int, int]:
    """How many there are, and their bytes."""
    sizes = [found.size_bytes for found in kept.stored()]
    return len(sizes), sum(sizes)


def bring(source: Kept, target: Kept, aside: Path, notice: Notice) -> Brought:
    """Let a place have what another has, and nothing else.

    Args:
        source: The other place; it may be written to meanwhile.
        target: Nobody else writes to it.
        aside: A folder for what is too large for the memory.
        notice: Is told how far it is.

    Raises:
        BackendError: One of them fails.
    """
    wanted = {found.digest: found.size_bytes for found in source.stored()}
    there = {found.digest: found.size_bytes for found in target.stored()}
    for digest in there.keys() - wanted.keys():
        target.delete(digest)
    missing = [digest for digest, size in wanted.items() if there.get(digest) != size]
    for digest in there.keys() & missing:
        target.delete(digest)
    faults: dict[str, str] = {}

    def read(digest: str) -> Path | None:
        path = aside / digest
        try:
            if wanted[digest] <= _WHOLE_BYTES:
                path.write_bytes(source.get(digest))
            else:
                source.fetch(digest, path)
        except (Corrupt, NotFound) as problem:
            faults[digest] = problem.what
            return None
        return path

    done = 0
    notice(done, len(missing))
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="slipway-copy") as pool:
        for batch in _batches(missing, wanted):
            paths = [path for path in pool.map(read, batch) if path is not None]
            target.put_files(paths)
            for path in paths:
                path.unlink()
            done += len(batch)
            notice(done, len(missing))
    gone = [digest for digest in faults if not source.has(digest)]
    for digest in gone:  # it was deleted meanwhile
        del wanted[digest], faults[digest]
    return Brought(wanted, faults)


def compare(brought: Brought, target: Kept, sort: str, aside: Path, notice: Notice) -> list[str]:
    """Read all of a place again and compare it with what was to come; what differs, each by name.

    Raises:
        BackendError: It fails.
    """
    there = {found.digest: found.size_bytes for found in target.stored()}
    differences = [f"{sort}: {digest} cannot be read: {why}" for digest, why in sorted(brought.faults.items())]
    for digest in sorted(brought.wanted.keys() - there.keys() - brought.faults.keys()):
        differences.append(f"{sort}: {digest} is not in the copy")
    for digest in sorted(there.keys() - brought.wanted.keys()):
        differences.append(f"{sort}: {digest} is only in the copy")
    damaged: list[str] = []

    def look(digest: str) -> None:
        try:
            if there[digest] <= _WHOLE_BYTES:
                size = len(target.get(digest))
            else:
                path = aside / new_id()
                target.fetch(digest, path)
                size = path.stat().st_size
                path.unlink()
        except Corrupt:
            size = -1
        if size != brought.wanted[digest]:
            damaged.append(digest)

    _each(look, [digest for digest in there if digest in brought.wanted], notice)
    return differences + [f"{sort}: {digest} has other bytes in the copy" for digest in sorted(damaged)]


def _batches(digests: list[str], sizes: dict[str, int]) -> Iterator[list[str]]:
    """As many as are put with one wait for the disk: a place is waited for once a batch."""
    batch: list[str] = []
    size = 0
    for digest in digests:
        if batch and (len(batch) == _BATCH or size + sizes[digest] > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(digest)
        size += sizes[digest]
    if batch:
        yield batch


def _each(work: Callable[[str], None], digests: list[str], notice: Notice) -> None:
    notice(0, len(digests))
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="slipway-copy") as pool:
        for done, _ in enumerate(pool.map(work, digests), 1):
            notice(done, len(digests))


def _missing(digest: str, folder: Path) -> NotFound:
    return NotFound(f"No part {digest} is in {folder}.", fix="Restore it from a backup, or make the table again.")


def _damaged(digest: str, folder: Path) -> Corrupt:
    return Corrupt(
        f"The part {digest} in {folder} is damaged: its bytes do not match its digest.",
        fix="Restore it from a backup, or make the table again.",
    )
