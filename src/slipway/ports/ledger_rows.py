"""A ledger's rows as they lie in its tables: for a copy that is to be the same, number by number."""

from collections.abc import Sequence
from typing import Protocol

__all__ = ["LedgerRows", "Row"]

Row = tuple[str | int | float | bytes | None, ...]
"""A row's values. Its key comes first: rows are ordered by it, as Python orders tuples."""


class LedgerRows(Protocol):
    """The rows of an open transaction. What is a ledger's own is not among them: leases, whose blobs it has, its mark."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables, in an order in which they can be filled."""
        ...

    def count(self, table: str) -> int:
        """How many rows a table has."""
        ...

    def page(self, table: str, after: Row | None, limit: int) -> list[Row]:
        """Rows in the order of their keys.

        Args:
            table: Which.
            after: The key after which to begin, None for the first one.
            limit: How many at most.
        """
        ...

    def key(self, table: str, row: Row) -> Row:
        """The key of a row."""
        ...

    def add(self, table: str, rows: Sequence[Row]) -> None:
        """Insert rows that are not there."""
        ...

    def remove(self, table: str, rows: Sequence[Row]) -> None:
        """Delete the rows that have the keys of these."""
        ...

    def settle(self) -> None:
        """Let the numbers that the database gives from now on follow those that were added."""
        ...
