"""Whether enough of a window is known to judge it by."""

from __future__ import annotations

import polars as pl

__all__ = ["MIN_DAYS", "MIN_LABELLED", "MIN_ROWS", "immature"]

MIN_ROWS = 200
MIN_LABELLED = 0.5
MIN_DAYS = 7
_MATURE = 0.9


def immature(mature: pl.DataFrame, known: pl.DataFrame, column: str, what: str, least: int = 1) -> str:
    """Why what is known of a window does not yet say how good it is; "" where it does.

    Args:
        mature: Rows old enough to be known, with `at` and the column.
        known: Those of them that are.
        column: It is null where nothing is known yet.
        what: What the column holds, for the sentence.
        least: Fewer known rows tell nothing.
    """
    if not mature.height:
        return "no prediction is old enough"
    told = f"{known.height:,} of {mature.height:,} mature predictions have {what}"
    share = known.height / mature.height
    if known.height < least or share < MIN_LABELLED:
        return f"{told}: too few to tell"
    days = known["at"].dt.date().n_unique()
    if days < MIN_DAYS:
        return f"{told}, of {days} days: too few to tell; {MIN_DAYS} are needed, for the rows of a day are alike"
    middle = mature["at"].min() + (mature["at"].max() - mature["at"].min()) / 2  # type: ignore[operator]
    older = mature.filter(pl.col("at") <= middle)
    usual = 1 - older[column].null_count() / older.height
    if share < _MATURE * usual:
        return f"{told}, {share:.0%} where {usual:.0%} is usual: provisional, nothing is judged by it yet"
    return ""
