"""Rows as somebody may see them."""

from __future__ import annotations

import polars as pl

from slipway.records.people import Actor
from slipway.records.tables import AboutTable
from slipway.tables.personal import MASK, may_see

__all__ = ["masked"]


def masked(frame: pl.DataFrame, about: AboutTable, actor: Actor) -> pl.DataFrame:
    """A frame as an actor may see it: `MASK` in the place of the values of personal columns. Nulls stay nulls.

    Args:
        frame: Rows to be shown: a preview, failing rows, a difference.
        about: Names the personal columns.
        actor: Who looks.
    """
    if may_see(actor):
        return frame
    hidden = [name for name in about.personal if name in frame.columns]
    return frame.with_columns(pl.when(pl.col(n).is_not_null()).then(pl.lit(MASK)).alias(n) for n in hidden)
