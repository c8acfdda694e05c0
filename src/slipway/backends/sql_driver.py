"""What the ledger's SQL needs of a database's driver: the same statements run on SQLite and on PostgreSQL.

Parameters are written `?`. Where the databases differ, the driver says how; nothing else knows which one it is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

__all__ = ["Dialect", "Driver", "Execute", "Rows", "Sql", "TookTooLong"]


class TookTooLong(Exception):
    """The time that a block was given is over; whoever gave it says so in a sentence."""


class Rows(Protocol):
    """What a statement answers."""

    @property
    def rowcount(self) -> int:
        """How many rows were written."""
        ...

    def fetchone(self) -> Any:
        """The next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


Execute = Callable[..., Rows]
"""Runs a statement with the values of its parameters."""


class Sql(NamedTuple):
    """A piece of SQL and the values of its parameters, in order."""

    text: str
    values: list[Any]

    def __add__(self, other: "Sql") -> "Sql":  # type: ignore[override]
        return Sql(self.text + other.text, self.values + other.values)


class Dialect(NamedTuple):
    """How a search is said so that the database goes the way that was chosen for it, instead of guessing one.

    Args:
        indexed: Names the index of a table that is to be taken: " INDEXED BY {}", or nothing.
        aside: Stands before a column that is no reason to take an index by it.
        fence: Ends a query inside EXISTS that is asked of each row, not joined.
        beside: Joins to each row `c` of what was found the rows `g` of a table that are its record's.
        longest: How many characters of a text its index holds, None for all.
        numbered: Stands before VALUES where the row brings the number that the database would give.
        settle: Lets a table's numbers go on after the greatest: of `{table}` and its column `{key}`; "" where they do.
    """

    indexed: str
    aside: str
    fence: str
    beside: str
    longest: int | None
    numbered: str = ""
    settle: str = ""


class Driver(Protocol):
    """An open transaction of a database."""

    @property
    def dialect(self) -> Dialect:
        """How it is spoken to."""
        ...

    @property
    def execute(self) -> Execute:
        """Runs a statement with the values of its parameters."""
        ...

    def execute_many(self, statement: str, values: Iterable[Sequence[object]]) -> None:
        """Run a statement for each of these values."""
        ...

    def insert(self, statement: str, values: Sequence[object], number: str) -> int:
        """Insert one row; returns the number that the database gave it.

        Args:
            statement: The INSERT.
            values: Of its parameters.
            number: The column of the number.
        """
        ...

    def now(self) -> float:
        """Machine time that all who share the database agree on, in seconds since the epoch."""
        ...

    def limited(self, seconds: float) -> AbstractContextManager[None]:
        """Bound how long the statements of a block take.

        Raises:
            TookTooLong: They took longer; the transaction stands as it stood before the block.
        """
        ...

    def fits(self, key: int, operator: str, pattern: str, row: str) -> Sql:
        """A test of a row of facets by a pattern.

        Args:
            key: The number of the field.
            operator: "LIKE", "ILIKE" or "MATCHES".
            pattern: The pattern, see `slipway.patterns`.
            row: The row's name in the statement.
        """
        ...
