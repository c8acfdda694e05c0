"""Content-addressed bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

__all__ = ["Blobs"]


class Blobs(Protocol):
    """Stores bytes under their digest. Safe for many threads and processes at once.

    Guarantees: what `put` acknowledged survives kill -9; a blob is whole or absent; `get` never returns bytes that
    do not match the digest; putting the same bytes twice stores them once.
    """

    def put(self, data: bytes) -> str:
        """Store bytes; returns their digest."""
        ...

    def put_file(self, path: Path) -> str:
        """Store a file's bytes by streaming; the file is left where it is. Returns the digest."""
        ...

    def put_files(self, paths: Sequence[Path]) -> list[tuple[str, bool]]:
        """Store many files' bytes with few waits for the disk; when it returns, all are stored.

        Returns:
            Of each file in order: its digest, and whether its bytes were new here.
        """
        ...

    def get(self, digest: str) -> bytes:
        """The bytes.

        Raises:
            NotFound: No such blob.
            Corrupt: The stored bytes do not match the digest.
        """
        ...

    def fetch(self, digest: str, path: Path) -> None:
        """Write the blob's bytes to a file, which appears whole or not at all.

        Raises:
            NotFound: No such blob.
            Corrupt: The stored bytes do not match the digest.
        """
        ...

    def has(self, digest: str) -> bool:
        """Whether the blob is there (its content is not verified)."""
        ...

    def link(self, digest: str, path: Path) -> bool:
        """Make a file that shares the blob's own bytes on the disk and cannot be written; its content is not verified.

        Returns:
            False where the store cannot: then nothing was made.

        Raises:
            NotFound: No such blob.
            FileExistsError: There is a file already.
        """
        ...

    def delete(self, digest: str) -> bool:
        """Remove a blob for good; returns whether it was there. Nobody asks whether something still names it."""
        ...
