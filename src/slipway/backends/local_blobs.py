"""Blobs in a local folder: a temporary file, fsync, rename."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from slipway.errors import BackendError, Corrupt, NotFound
from slipway.hashing import digest as digest_of
from slipway.hashing import digest_file

__all__ = ["LocalBlobs"]

_CHUNK_BYTES = 1 << 20


class LocalBlobs:
    """A folder of files named by digest, spread over 256 subfolders.

    A file appears by rename after fsync, so it is whole or absent. Damage found while reading is an error, never bytes.

    Args:
        folder: Made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
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

    def get(self, digest: str) -> bytes:
        """See `Blobs.get`."""
        try:
            data = self._path(digest).read_bytes()
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
            temporary = _write_temporary(path.parent, iter(lambda: file.read(_CHUNK_BYTES), b""))
        if digest_file(temporary) != digest:
            temporary.unlink()
            raise self._damaged(digest)
        temporary.replace(path)

    def has(self, digest: str) -> bool:
        """See `Blobs.has`."""
        return self._path(digest).exists()

    def _path(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise NotFound(f"{digest!r} is not a digest.", why="A digest is 64 hex digits.")
        return self._folder / digest[:2] / digest[2:]

    def _store(self, digest: str, chunks: Iterable[bytes]) -> None:
        path = self._path(digest)
        try:
            if path.exists() and digest_file(path) == digest:
                return
            made = not path.parent.exists()
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_temporary(path.parent, chunks).replace(path)
            _sync_folder(path.parent)
            if made:
                _sync_folder(self._folder)
        except OSError as problem:
            raise BackendError(
                f"A blob could not be written into {self._folder}: {problem.strerror or problem}.",
                fix="See that the disk has space and the folder may be written, and try again.",
            ) from problem

    @staticmethod
    def _missing(digest: str) -> NotFound:
        return NotFound(f"No blob {digest} is stored.", fix="Restore the store's `blobs` folder from a backup.")

    def _damaged(self, digest: str) -> Corrupt:
        return Corrupt(
            f"The blob {digest} is damaged: its bytes do not match its digest.",
            fix=f"Restore {self._path(digest)} from a backup, or make its content again.",
        )


def _write_temporary(folder: Path, chunks: Iterable[bytes]) -> Path:
    handle, name = tempfile.mkstemp(dir=folder, prefix=".part-")
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
