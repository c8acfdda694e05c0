"""Blobs in a local folder: a temporary file, fsync, rename."""

import ctypes
import errno
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from slipway.errors import BackendError, Corrupt, NotFound, Unavailable
from slipway.hashing import digest as digest_of
from slipway.hashing import digest_file
from slipway.ports.blobs import StoredBlob

__all__ = ["LocalBlobs"]

_CHUNK_BYTES = 1 << 20
_DIGEST = 64
_HEX = re.compile("[0-9a-f]{64}")
_PART = ".part-"
_BATCH_BYTES = 256 << 20
_BATCH_FILES = 4096
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES})


class LocalBlobs:
    """A folder of files named by digest, spread over 256 subfolders.

    A file appears by rename after fsync, so it is whole or absent. Damage found while reading is an error, never bytes.

    Args:
        folder: Made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begin = os.path.join(folder, "")
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes) -> str:
        """See `Blobs.put`."""
        digest = digest_of(data)
        self._store(digest, (data,))
        return digest

    def put_file(self, path: Path) -> str:
        """See `Blobs.put_file`."""
        digest = digest_file(path)
        with path.open("rb") as file:
            self._store(digest, iter(lambda: file.read(_CHUNK_BYTES), b""))
        return digest

    def put_files(self, paths: Sequence[Path]) -> list[tuple[str, bool]]:
        """See `Blobs.put_files`. A batch waits for the disk once: all its bytes are there before any gets its name."""
        told: list[tuple[str, bool]] = []
        waiting: dict[str, str] = {}
        size = 0
        try:
            for path in paths:
                length = os.stat(path).st_size
                if length > _CHUNK_BYTES * 8:
                    digest = digest_file(path)
                    new = not self.has(digest) and digest not in waiting
                    told.append((self.put_file(path), new))
                    continue
                with open(path, "rb") as file:
                    data = file.read()
                digest = digest_of(data)
                new = digest not in waiting and not self._has_whole(digest, len(data))
                if new:
                    waiting[digest] = self._write_waiting(digest, data)
                    size += len(data)
                told.append((digest, new))
                if size >= _BATCH_BYTES or len(waiting) >= _BATCH_FILES:
                    self._name_waiting(waiting)
                    size = 0
            self._name_waiting(waiting)
        finally:
            for temporary in waiting.values():
                Path(temporary).unlink(missing_ok=True)
        return told

    def get(self, digest: str) -> bytes:
        """See `Blobs.get`."""
        try:
            with open(self._name(digest), "rb", buffering=0) as file:
                data = file.readall()
        except FileNotFoundError:
            raise self._missing(digest) from None
        if digest_of(data) != digest:
            raise self._damaged(digest)
        return data

    def fetch(self, digest: str, path: Path) -> None:
        """See `Blobs.fetch`."""
        source = self._path(digest)
        if not source.exists():
            raise self._missing(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as file:
            temporary = Path(_write_temporary(path.parent, iter(lambda: file.read(_CHUNK_BYTES), b"")))
        if digest_file(temporary) != digest:
            temporary.unlink()
            raise self._damaged(digest)
        temporary.replace(path)

    def has(self, digest: str) -> bool:
        """See `Blobs.has`."""
        return os.path.exists(self._name(digest))

    def renew(self, digest: str) -> bool:
        """See `Blobs.renew`."""
        try:
            os.utime(self._name(digest))
        except FileNotFoundError:
            return False
        return True

    def link(self, digest: str, path: Path) -> bool:
        """See `Blobs.link`."""
        source = self._path(digest)
        try:
            os.link(source, path)
        except FileNotFoundError:
            if source.exists():
                raise
            raise self._missing(digest) from None
        except OSError as problem:
            if problem.errno in _NO_LINKS:
                return False
            raise
        # Whoever wrote to the one name would change the bytes of the other.
        source.chmod(0o444)
        return True

    def stored(self) -> Iterator[StoredBlob]:
        """See `Blobs.stored`."""
        for folder in self._folder.iterdir():
            for file in os.scandir(folder) if folder.is_dir() else ():
                if len(folder.name + file.name) == _DIGEST:
                    with suppress(FileNotFoundError):  # deleted meanwhile
                        found = file.stat()
                        at = datetime.fromtimestamp(found.st_mtime, UTC)
                        yield StoredBlob(folder.name + file.name, found.st_size, at)

    def tidy(self, before: datetime, *, dry_run: bool = False) -> int:
        """See `Blobs.tidy`. What was aside when a deletion was killed is gone, as it would be had it not been killed."""
        freed = 0
        for path in [*self._folder.glob(f"*/{_PART}*"), *self._folder.glob("*/.gone-*")]:
            with suppress(FileNotFoundError):  # its writer was only slow
                found = path.stat()
                # A file that was put aside keeps the time at which it was put: it tells nothing of the deletion.
                if max(found.st_mtime, found.st_ctime) < before.timestamp():
                    freed += found.st_size
                    if not dry_run:
                        path.unlink()
        return freed

    def delete(self, digest: str, *, put_before: datetime | None = None) -> bool:
        """See `Blobs.delete`."""
        path = self._path(digest)
        aside = path.with_name(f".gone-{uuid4().hex}")
        until = math.inf if put_before is None else put_before.timestamp()
        try:
            if path.stat().st_mtime >= until:
                return False
            # Aside first: who puts it from now on finds nothing and writes it anew, and who put it before has left a
            # time on the file.
            os.replace(path, aside)
        except FileNotFoundError:
            return False
        if aside.stat().st_mtime >= until:
            os.replace(aside, path)
            return False
        aside.unlink()
        _sync_folder(path.parent)
        return True

    def _has_whole(self, digest: str, size: int) -> bool:
        """Whether it is there with this size; then it counts as put now."""
        path = self._path(digest)
        try:
            if path.stat().st_size != size:
                return False
            os.utime(path)
        except FileNotFoundError:
            return False
        return True

    def _write_waiting(self, digest: str, data: bytes) -> str:
        folder = self._folder / digest[:2]
        try:
            handle, name = tempfile.mkstemp(dir=folder, prefix=_PART)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=folder, prefix=_PART)
        try:
            with os.fdopen(handle, "wb", buffering=0) as file:
                written = 0
                while written < len(data):
                    written += file.write(memoryview(data)[written:])
        except OSError as problem:
            Path(name).unlink(missing_ok=True)
            raise _unwritable(self._folder, problem) from problem
        return name

    def _name_waiting(self, waiting: dict[str, str]) -> None:
        """Name what was written, after all of it is on the disk; `waiting` is empty then."""
        if not waiting:
            return
        try:
            _sync_files(self._folder, list(waiting.values()))
            for digest, temporary in list(waiting.items()):
                os.replace(temporary, self._path(digest))
                del waiting[digest]
            _sync_files(self._folder, [])
        except BackendError:
            raise
        except OSError as problem:
            raise _unwritable(self._folder, problem) from problem

    def _path(self, digest: str) -> Path:
        return Path(self._name(digest))

    def _name(self, digest: str) -> str:
        """Where it lies, as text: a step looks a few up, and a `Path` takes longer to make than the file to open."""
        if not _HEX.fullmatch(digest):
            raise NotFound(f"{digest!r} is not a digest.", why="A digest is 64 hex digits.")
        return f"{self._begin}{digest[:2]}{os.sep}{digest[2:]}"

    def _store(self, digest: str, chunks: Iterable[bytes]) -> None:
        path = self._name(digest)
        try:
            if self._has_whole_content(path, digest):
                return
            folder = os.path.dirname(path)
            if not os.path.exists(folder):
                self._make_folders()
            os.replace(_write_temporary(folder, chunks), path)
            _sync_folder(folder)
        except OSError as problem:
            raise _unwritable(self._folder, problem) from problem

    @staticmethod
    def _has_whole_content(path: str, digest: str) -> bool:
        try:
            if digest_file(path) != digest:
                return False
            os.utime(path)  # it counts as put now
        except FileNotFoundError:
            return False
        return True

    def _make_folders(self) -> None:
        # All at once: each alone would make the blob that needs it wait for the disk once more.
        self._folder.mkdir(parents=True, exist_ok=True)
        for number in range(256):
            with suppress(FileExistsError):
                os.mkdir(f"{self._begin}{number:02x}")  # a `Path` takes as long to make as the folder
        _sync_folder(self._folder)

    @staticmethod
    def _missing(digest: str) -> NotFound:
        return NotFound(f"No blob {digest} is stored.", fix="Restore the store's `blobs` folder from a backup.")

    def _damaged(self, digest: str) -> Corrupt:
        return Corrupt(
            f"The blob {digest} is damaged: its bytes do not match its digest.",
            fix=f"Restore {self._path(digest)} from a backup, or make its content again.",
        )


def _write_temporary(folder: Path | str, chunks: Iterable[bytes]) -> str:
    name = os.path.join(folder, f"{_PART}{uuid4().hex}")
    with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        try:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            os.unlink(name)
            raise
    return name


def _sync_folder(folder: Path | str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_files(folder: Path, files: list[str]) -> None:
    """Wait until everything that was written in a folder's file system is on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        whole = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if whole is not None:  # Linux: one wait for thousands of files
            if whole(handle):
                raise BackendError(
                    f"The disk did not take what was written into {folder}: {os.strerror(ctypes.get_errno())}."
                )
            return
    finally:
        os.close(handle)
    for name in [*files, *map(str, folder.iterdir()), str(folder)]:
        handle = os.open(name, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _unwritable(folder: Path, problem: OSError) -> BackendError:
    kind = Unavailable if problem.errno in _NO_SPACE else BackendError
    return kind(
        f"A blob could not be written into {folder}: {problem.strerror or problem}.",
        fix="See that the disk has space and the folder may be written, and try again.",
    )
