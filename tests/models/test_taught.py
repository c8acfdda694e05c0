"""Rows that taught a model are recognised among others, however many there were and in whatever frames they came."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from slipway.models.taught import overlap_of, taught_by
from slipway.ports.workspace import Workspace
from slipway.tables import versions
from slipway.tables.row_batches import batches_of


def rows(first: int, count: int) -> pl.DataFrame:
    number = np.arange(first, first + count)
    return pl.DataFrame(
        {
            "id": number,
            "text": [f"t{one % 7}" for one in number],
            "at": pl.Series([datetime(2013, 1, 1, tzinfo=UTC)] * count, dtype=pl.Datetime("us", "UTC")),
            "value": number % 5 / 3,
        }
    )


def test_rows_are_recognised_whatever_the_order_of_rows_and_columns() -> None:
    taught = taught_by(rows(0, 500))
    assert taught is not None
    assert (taught.rows, taught.distinct, taught.whole) == (500, True, True)
    shuffled = rows(400, 300).sample(fraction=1.0, shuffle=True, seed=3).select("value", "text", "id", "at")
    found = overlap_of(taught, shuffled.with_columns(more=1))
    assert found is not None
    assert (found.rows, found.taught) == (300, 100)
    assert overlap_of(taught, rows(500, 300)).taught == 0  # type: ignore[union-attr]


def test_of_many_rows_a_sample_is_looked_up_without_bias() -> None:
    taught = taught_by(rows(0, 300_000))
    assert taught is not None
    assert not taught.whole
    assert len(taught.hashes) == 8 * 65_536
    found = overlap_of(taught, rows(290_000, 100_000))
    assert found is not None
    assert 15_000 < found.rows < 30_000
    assert found.taught / found.rows == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("batch_rows", [7, 333, 5000])
def test_batches_of_a_table_are_the_same_rows(workspace: Workspace, batch_rows: int) -> None:
    stored = batches_of(workspace, versions.overwrite(workspace, "rows", rows(0, 2000)), batch_rows=batch_rows)
    whole = taught_by(rows(0, 2000))
    assert taught_by(stored) == whole
    assert overlap_of(taught_by(rows(1500, 2000)), stored) == overlap_of(taught_by(rows(1500, 2000)), rows(0, 2000))
    assert overlap_of(taught_by(rows(1500, 2000)), stored).taught == 500  # type: ignore[union-attr]


def test_equal_rows_are_said_to_be_no_identity() -> None:
    twice = pl.concat([rows(0, 10), rows(3, 1)])
    assert not taught_by(twice).distinct  # type: ignore[union-attr]
    assert taught_by(rows(0, 10)).distinct  # type: ignore[union-attr]


@pytest.mark.parametrize("given", [None, np.zeros((3, 2)), pl.DataFrame(), pl.DataFrame({"x": [[1], [2]]})])
def test_of_what_has_no_rows_to_hash_nobody_can_tell(given: Any) -> None:
    assert taught_by(given) is None


def test_another_hash_another_column_or_nothing_cannot_be_told() -> None:
    taught = taught_by(rows(0, 10))
    assert taught is not None
    assert overlap_of(msgspec.structs.replace(taught, hashing="polars 0"), rows(0, 10)) is None
    assert overlap_of(taught, rows(0, 10).drop("text")) is None
    assert overlap_of(None, rows(0, 10)) is None


def test_pandas_and_polars_frames_of_categories_are_told_by_their_texts() -> None:
    frame = rows(0, 50).drop("at").with_columns(pl.col("text").cast(pl.Categorical))
    assert overlap_of(taught_by(frame), frame.with_columns(pl.col("text").cast(pl.String))).taught == 50  # type: ignore[union-attr]
    pandas = frame.to_pandas()
    assert overlap_of(taught_by(pandas), frame).taught == 50  # type: ignore[union-attr]
