"""What every custom check of rows must do."""

# ruff: noqa: D102  # a test's name is its sentence

from __future__ import annotations

import polars as pl

__all__ = ["CheckSuite"]


class CheckSuite:
    """Override `make`, `right` and `wrong`."""

    def make(self) -> pl.Expr:
        """The plug-in's expression, with some options."""
        raise NotImplementedError

    def right(self) -> pl.DataFrame:
        """Some rows that pass."""
        raise NotImplementedError

    def wrong(self) -> pl.DataFrame:
        """Some rows that do not, each for a reason of its own, with the same columns."""
        raise NotImplementedError

    def test_right_rows_pass_and_every_wrong_one_fails(self) -> None:
        assert self.found(self.right()) == [True] * self.right().height
        assert self.found(self.wrong()) == [False] * self.wrong().height

    def test_a_row_is_judged_alone_as_among_others(self) -> None:
        both = pl.concat([self.right(), self.wrong()])
        together = self.found(both)
        assert together == [self.found(both[place])[0] for place in range(both.height)]
        assert together == self.found(both.reverse())[::-1]

    def test_nulls_pass(self) -> None:
        assert self.found(self.right().clear(1)) == [None]

    def test_no_rows_are_no_error(self) -> None:
        assert self.found(self.right().clear()) == []

    def test_the_same_options_give_the_same_expression(self) -> None:
        assert self.make().meta.serialize() == self.make().meta.serialize()

    def test_it_names_columns_of_the_table(self) -> None:
        assert self.make().meta.root_names()
        assert set(self.make().meta.root_names()) <= set(self.right().columns)

    def found(self, rows: pl.DataFrame) -> list[bool | None]:
        told = rows.lazy().select(self.make()).collect()
        assert told.width == 1
        assert told.schema[told.columns[0]] == pl.Boolean
        return told.to_series().to_list()
