"""What a custom check of rows must be: a function that says in an expression which rows are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import polars as pl

__all__ = ["RowCheck"]


class RowCheck(Protocol):
    """Made of its options when rows are looked at.

    Guarantees: it looks at one row at a time, so that a row is as right alone as among others; of what is null it says
    null, which passes; the same options give the same expression.
    """

    def __call__(self, **options: Any) -> pl.Expr:
        """A Polars expression of booleans: true for each row that is right.

        Args:
            **options: What `sw.custom_check` was given: text, numbers, true or false.
        """
        ...
