"""Content-addressed bytes."""

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
