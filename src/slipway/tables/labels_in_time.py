"""The labels of answered rows as they were known at some time: one that came later does not take an earlier one away."""

from __future__ import annotations

import polars as pl

from slipway.tables.prediction_log import counting, joined

__all__ = ["joined_by"]


def joined_by(answered: pl.DataFrame, came: pl.DataFrame, until: pl.Series) -> pl.DataFrame:
    """As `prediction_log.joined`, but the labels that were observed by each row's own time go before all later ones.

    Args:
        answered: From `prediction_log.predictions`.
        came: Every label, as it came: `prediction_log.labels_frame`.
        until: Of each row, its time.

    Returns:
        The same rows in the same order with the columns `label` and `labelled_at`, which says whether it was in time.
    """
    found = joined(answered, counting(came))
    is_late = (found["labelled_at"] > until).fill_null(value=False)
    if not is_late.any():
        return found
    late = found.select("id", "key", "at", until=until).with_row_index("place").filter(is_late)
    # Each row has a time of its own, so each gets labels of its own: those of a key by a key that is the row's alone.
    late = late.with_columns(alone=pl.col("place").cast(pl.String))
    by_id = came.join(late.select("alone", "until", prediction="id"), on="prediction", how="inner")
    by_key = came.filter((pl.col("prediction") == "") & (pl.col("key") != ""))
    by_key = by_key.join(late.select("alone", "key", "until"), on="key", how="inner").with_columns(key="alone")
    in_time = pl.concat([one.filter(pl.col("observed_at") <= pl.col("until")) for one in (by_id, by_key)])
    earlier = joined(late.select("id", "at", key="alone"), counting(in_time.select(came.columns)))
    earlier = earlier.with_columns(late["place"]).filter(pl.col("label").is_not_null())
    places = earlier["place"].to_numpy()
    return found.with_columns(found[name].clone().scatter(places, earlier[name]) for name in ("label", "labelled_at"))
