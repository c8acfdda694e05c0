"""Which share of a log's answers is held in memory where not all of them can be: of recent ones a greater one."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import polars as pl

from slipway.tables.log_sampling import drawn

__all__ = ["DRAWN", "Held", "held", "with_draws"]

DRAWN = "__drawn"
"""The column of a row's draw: it is among every share that is greater."""


class Held(NamedTuple):
    """Which answers are held, by their decision time.

    Args:
        old: The share of those before `recent_from`.
        recent: The share of those from then on; no smaller one.
        recent_from: None where nothing is told apart: then both shares are one.
    """

    old: float = 1.0
    recent: float = 1.0
    recent_from: datetime | None = None

    def share(self, since: datetime | None) -> float:
        """Of rows from an instant on, None for all, the share that is held of each of them."""
        is_recent = since is not None and self.recent_from is not None and since >= self.recent_from
        return self.recent if is_recent else self.old

    def expression(self) -> pl.Expr:
        """Whether a row is held; see `with_draws`."""
        if self.recent_from is None:
            return pl.col(DRAWN) < self.old
        return pl.col(DRAWN) < pl.when(pl.col("at") < self.recent_from).then(self.old).otherwise(self.recent)

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Those of rows that are held."""
        return rows.filter(self.expression()) if self.old < 1 else rows

    def moved(self, recent_from: datetime | None) -> Held:
        """With another time from which rows are recent; never an earlier one, as rows are gone that would be missed."""
        if self.old < self.recent and (recent_from is None or (self.recent_from and recent_from < self.recent_from)):
            return self
        return self._replace(recent_from=recent_from)

    def less(self, rows: pl.DataFrame) -> tuple[Held, int]:
        """Half the share of the recent rows or of the others, whichever are more.

        Args:
            rows: All that are held, with `at` and draws.

        Returns:
            That, and how many different draws of these would still be held.
        """
        others = rows if self.recent_from is None else rows.filter(pl.col("at") < self.recent_from)
        if self.recent_from is None:
            wanted = Held(self.old / 2, self.old / 2)
        elif others.height >= rows.height / 2:
            wanted = self._replace(old=self.old / 2)
        else:
            others = rows.filter(pl.col("at") >= self.recent_from)
            wanted = self._replace(recent=self.recent / 2, old=min(self.old, self.recent / 2))
        return wanted, int(wanted.of(others).get_column(DRAWN).n_unique())


def with_draws(answers: pl.DataFrame) -> pl.DataFrame:
    """Answers with the draw of each: of its key, of its id where it has none."""
    names = answers.select(pl.when(pl.col("key") != "").then("key").otherwise("id")).to_series()
    return answers.with_columns(pl.Series(DRAWN, [drawn(name) for name in names], pl.Float64))


def held(answers: pl.DataFrame, share: float) -> pl.DataFrame:
    """Of answers with draws those of a share, as if no more had been logged; the draws are left out."""
    if DRAWN not in answers.columns:
        return answers
    rows = answers if share >= 1 else answers.filter(pl.col(DRAWN) < share)
    return rows.with_columns(pl.col("log_share").clip(upper_bound=share)).drop(DRAWN)
