"""What every custom monitor must do."""

# ruff: noqa: D102  # a test's name is its sentence

from __future__ import annotations

import math

import msgspec
import polars as pl

from slipway.ports.monitor import Judged

__all__ = ["MonitorSuite"]


class MonitorSuite:
    """Override `make`, `well` and `ill`."""

    def make(self, rows: pl.DataFrame) -> Judged:
        """Ask the plug-in, with some options."""
        raise NotImplementedError

    def well(self) -> pl.DataFrame:
        """Answered rows of an endpoint that is well: its inputs, `score`, `label`, and `at` in UTC."""
        raise NotImplementedError

    def ill(self) -> pl.DataFrame:
        """Answered rows that it must alert on, with the same columns."""
        raise NotImplementedError

    def test_what_is_well_raises_no_alarm(self) -> None:
        assert self.asked(self.well()).state in ("ok", "note")

    def test_what_is_ill_raises_one_in_words(self) -> None:
        said = self.asked(self.ill())
        assert said.state == "alert"
        assert len(said.sentence.split()) >= 3

    def test_too_few_rows_are_neither_an_error_nor_an_alarm(self) -> None:
        for rows in (self.ill().clear(), self.ill()[:1]):
            assert self.asked(rows).state != "alert"

    def test_rows_without_labels_are_no_error(self) -> None:
        for rows in (self.well(), self.ill()):
            self.asked(rows.with_columns(label=pl.lit(None, dtype=rows.schema["label"])))

    def test_nulls_in_inputs_are_no_error(self) -> None:
        own = [name for name in self.well().columns if name not in ("score", "at")]
        self.asked(self.well().with_columns(pl.lit(None, dtype=self.well().schema[name]).alias(name) for name in own))

    def test_the_order_of_the_rows_and_who_asks_again_change_nothing(self) -> None:
        for rows in (self.well(), self.ill()):
            first = self.asked(rows)
            for again in (rows, rows.reverse(), rows.sample(fraction=1.0, shuffle=True, seed=1)):
                assert self.asked(again).state == first.state

    def test_other_columns_of_the_log_do_not_disturb_it(self) -> None:
        more = self.ill().with_columns(pl.lit("x").alias("bundle"), pl.lit(1).alias("arm"))
        assert self.asked(more).state == "alert"

    def test_figures_can_be_kept(self) -> None:
        for rows in (self.well(), self.ill()):
            said = self.asked(rows)
            msgspec.json.encode(dict(said.values))
            assert said.value is None or math.isfinite(said.value)

    def asked(self, rows: pl.DataFrame) -> Judged:
        before = rows.clone()
        said = self.make(rows)
        assert isinstance(said, Judged)
        assert said.sentence
        assert rows.equals(before)
        return said
