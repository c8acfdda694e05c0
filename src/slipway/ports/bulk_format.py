"""A binary format of many rows at once, by columns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

__all__ = ["BulkFormat"]


class BulkFormat(Protocol):
    """Reads and writes one format of the wire. Its bytes come from strangers: none of them may harm the process."""

    def read(
        self, body: bytes, check_rows: Callable[[int], None], check_text: Callable[[int], None]
    ) -> tuple[dict[str, list[Any]], int]:
        """The columns of a body, by name, and the number of their rows.

        Args:
            body: What came.
            check_rows: Called with the number of rows before any value is made; raises where there are too many.
            check_text: Called with the characters of all texts so far, as they become more; raises where they are too many.

        Raises:
            InvalidInput: The body is not of this format, or holds what a request cannot.
        """
        ...

    def write(self, columns: Mapping[str, Sequence[Any]], said: Mapping[str, str]) -> bytes:
        """Columns of one length as a body; a column of True, False and None is one of booleans.

        Args:
            columns: By name: texts, floats, whole numbers or booleans.
            said: What else the body says of them.
        """
        ...
