"""A store that is a copy of another one: what was copied, and whether it was found to be the same."""

from datetime import datetime

from msgspec import Struct

__all__ = ["CopiedFiles", "CopiedRows", "CopyMark", "StoreCopy"]


class CopyMark(Struct, frozen=True):
    """Stands in a ledger that is being filled, so that nobody takes it for whole.

    Args:
        source: Where the store is that it is copied from.
        command: What goes on with it.
    """

    source: str
    command: str


class CopiedRows(Struct, frozen=True):
    """A table of the ledger.

    Args:
        table: Its name.
        rows: How many rows it has.
        digest: Of all its rows in their order, as 64 hex digits; "" where they were only counted.
    """

    table: str
    rows: int
    digest: str = ""


class CopiedFiles(Struct, frozen=True):
    """A sort of files: "blobs", "parts of tables", or "files of the folder".

    Args:
        sort: Which.
        count: How many there are.
        size_bytes: Of all of them.
    """

    sort: str
    count: int
    size_bytes: int


class StoreCopy(Struct, frozen=True, kw_only=True):
    """What was copied, and what comparing both sides found.

    Args:
        source: The environment that was copied.
        target: The environment that it was copied to.
        source_store: Where the source is.
        taken_at: The moment of which the ledger's copy is, by the machine's clock.
        ledger: Its tables.
        files: Blobs, parts of tables, and files of the folder.
        differences: What is not the same, each by name; () where both are equal.
        written_meanwhile: How many events the source has that came after that moment.
    """

    source: str
    target: str
    source_store: str
    taken_at: datetime
    ledger: tuple[CopiedRows, ...]
    files: tuple[CopiedFiles, ...]
    differences: tuple[str, ...] = ()
    written_meanwhile: int = 0
