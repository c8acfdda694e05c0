"""Labels that came to an endpoint and belong to nothing that it ever answered."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl

from slipway.records.predictions import LabelRow
from slipway.tables.log_rows import read_parts, read_rows
from slipway.tables.log_sampling import is_logged
from slipway.tables.prediction_log import LABELS, PREDICTIONS

__all__ = ["Strays", "stray_labels"]


class Strays(msgspec.Struct, frozen=True, kw_only=True):
    """Labels that match no prediction of any revision.

    Args:
        labels: For how many predictions or keys such labels came; of several for one, one is counted.
        example: One of them, in words: "key Q1", "" where there is none.
    """

    labels: int
    example: str = ""


class _Named(msgspec.Struct, frozen=True, array_like=True):
    """The beginning of a `PredictionRow`, as far as a label can name it: the rest is not decoded."""

    id: str
    at_us: int
    answered_us: int
    version: int
    bundle: str
    key: str


def stray_labels(folder: Path, sample: float = 1.0) -> Strays:
    """Find the labels that match no prediction. Labels may come before what they judge, so it is no error to send one.

    Args:
        folder: The endpoint's log.
        sample: The least share of rows that was ever logged: a label of a row that may not be in the log is none.

    Raises:
        Corrupt: The log is damaged.
    """
    sent, _ = read_rows(folder, LABELS, LabelRow)
    if not sent:
        return Strays(labels=0)
    kept, answered, _ = read_parts(folder, PREDICTIONS, _Named, wanted=("id", "key", "at"))
    ids = {row.id for row in answered}
    timed = {row.key for row in sent if row.until_us is not None}
    decided: dict[str, list[int]] = {row.key: [] for row in answered}
    for row in answered:
        if row.key in timed:
            decided[row.key].append(row.at_us)
    for part in kept:
        ids.update(part.frame["id"].to_list())
        decided.update({key: decided.get(key, []) for key in part.frame["key"].to_list()})
        for key, at in part.frame.select("key", pl.col("at").dt.epoch("us")).iter_rows() if timed else ():
            if key in timed:
                decided[key].append(at)

    def is_known(row: LabelRow) -> bool:
        if row.prediction:
            return row.prediction in ids
        if row.until_us is None or row.since_us is None:
            return row.key in decided
        return any(row.since_us < at <= row.until_us for at in decided.get(row.key, ()))

    names = [
        _name(row)
        for row in sent
        if not is_known(row) and (sample >= 1 or (not row.prediction and is_logged(row.key, sample)))
    ]
    return Strays(labels=len(set(names)), example=names[0] if names else "")


def _name(row: LabelRow) -> str:
    if row.prediction:
        return f"prediction {row.prediction}"
    if row.until_us is None:
        return f"key {row.key}"
    return f"key {row.key} at {datetime.fromtimestamp(row.until_us / 1e6, UTC):%Y-%m-%d %H:%M:%S}"
