"""Content-addressed bytes."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

__all__ = ["Blobs", "StoredBlob"]


class StoredBlob(NamedTuple):
    """A blob as it lies there: its size in bytes, and when it was last put, by the machine's clock, at most an hour off."""

    digest: str
    size_bytes: int
    put_at: datetime


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

    def renew(self, digest: str) -> bool:
        """Whether the blob is there; from now on it counts as put now.

        Whoever is about to name a blob without putting it asks this, so that nobody deletes it meanwhile.
        """
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

    def stored(self) -> Iterator[StoredBlob]:
        """All blobs, in no order; one that is put or deleted meanwhile may be among them or not."""
        ...

    def tidy(self, before: datetime, *, dry_run: bool = False) -> int:
        """Remove what writers and deleters that were killed left before this moment; no blob goes.

        Args:
            before: By the machine's clock; what is younger may be at work.
            dry_run: Whether to count only.

        Returns:
            How many bytes that gave back, or would.
        """
        ...

    def delete(self, digest: str, *, put_before: datetime | None = None) -> bool:
        """Remove a blob for good. Nobody asks whether something still names it.

        Args:
            digest: Which.
            put_before: Leave it where it was put at this moment or later, by the machine's clock: whoever puts what is
                there already may be about to name it.

        Returns:
            Whether it was removed.
        """
        ...
