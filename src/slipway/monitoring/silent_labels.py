"""Labels that came, and come no more: what keeps quality from being told, and what somebody must mend."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from slipway.records.monitors import Cause
from slipway.stats.intervals import share_interval

__all__ = ["labels_stopped"]

_SILENT, _LEAST = timedelta(days=2), 100


def labels_stopped(mature: pl.DataFrame, *, rows: int, share: float) -> Cause | None:
    """That labels came and come no more; None where they do, or too little is known.

    Not one of the youngest predictions that are old enough has a label, over two days, where most of those before them have.
    Labels that only take longer than declared reach some of them.

    Args:
        mature: Predictions that are old enough, with `at` and `label`.
        rows: So many must lie before them.
        share: At least so many of those must have a label.
    """
    youngest = mature["at"].max()
    if not isinstance(youngest, datetime):
        return None
    has_label = pl.col("label").is_not_null()
    is_recent = pl.col("at") > youngest - _SILENT
    recent, before = mature.filter(is_recent), mature.filter(~is_recent)
    usual = before.filter(has_label).height / max(before.height, 1)
    too_few = recent.height < _LEAST or before.height < rows or usual < share
    if too_few or recent.filter(has_label).height:
        return None
    since = mature.filter(has_label)["at"].max()
    told = f"No labels come any more: none of {recent.height:,} predictions of the last two days that are old enough has one"
    return Cause(
        kind="labels",
        sentence=f"{told}, where {usual:.0%} of those before have. Until they do nobody can say how good the answers are.",
        since=since if isinstance(since, datetime) else None,
        rows=recent.height,
        value=0.0,
        low=0.0,
        high=share_interval(0, recent.height).high,
        unit="share with a label",
        before=usual,
    )
