"""A binary format of many rows at once, by columns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from slipway.records.schema import Field, FieldType

__all__ = ["BulkFormat", "BulkRows", "BulkWriter"]


class BulkRows(Protocol):
    """The rows of a body: read, and looked at by column. They are no values of Python before a part of them is asked for."""

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    @property
    def unknown(self) -> Sequence[str]:
        """The columns that are no field."""
        ...

    @property
    def unchecked(self) -> frozenset[str]:
        """Fields whose values come as they are in the body, for somebody else to check; all others fit their field."""
        ...

    def part(self, first: int, count: int) -> list[list[Any]]:
        """Rows in a sequence, by column: one list a field, in the order of the fields.

        Raises:
            InvalidInput: A value is none of Python's; only of fields that are unchecked.
        """
        ...


class BulkWriter(Protocol):
    """Writes rows part by part: `head`, then what `rows` returns, then `tail` are one body."""

    @property
    def head(self) -> bytes:
        """What stands before all rows."""
        ...

    @property
    def tail(self) -> bytes:
        """What stands behind them, so that a body that was cut off is known."""
        ...

    def rows(self, columns: Sequence[Sequence[Any]]) -> bytes:
        """Some rows, by column, in the order in which the columns were named."""
        ...


class BulkFormat(Protocol):
    """Reads and writes one format of the wire. Its bytes come from strangers: none of them may harm the process."""

    def open(
        self,
        body: bytes,
        fields: Sequence[Field],
        check_rows: Callable[[int], None],
        check_text: Callable[[int], None],
    ) -> BulkRows:
        """The rows of a body. May be called in any thread.

        Args:
            body: What came.
            fields: What a row has.
            check_rows: Called with the number of rows before any value is made; raises where there are too many.
            check_text: Called with the bytes of all texts of all rows, those that rows share counted for each; likewise.

        Raises:
            InvalidInput: The body is not of this format, was cut off, lacks a field, or holds what a request cannot.
        """
        ...

    def writer(self, kinds: Mapping[str, FieldType], said: Mapping[str, str]) -> BulkWriter:
        """A writer of rows.

        Args:
            kinds: The columns and their types: texts, floats, whole numbers or booleans.
            said: What else the body says of them.
        """
        ...
