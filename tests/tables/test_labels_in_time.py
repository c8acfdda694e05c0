"""Labels as they were known at a row's own time, counted again one by one."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from slipway.records.predictions import LabelRow
from slipway.tables.labels_in_time import joined_by
from slipway.tables.prediction_log import INSTANT, counting, joined, labels_frame

START = datetime(2026, 1, 5, tzinfo=UTC)
HOUR_US = 3_600_000_000


def instants(hours: object) -> pl.Series:
    start = int(START.timestamp() * 1e6)
    return pl.Series(start + np.asarray(hours, dtype=np.int64) * HOUR_US).cast(INSTANT)


def told(
    hour: int, value: float, *, id: str = "", key: str = "", revision: int = 0, back: int | None = None
) -> LabelRow:
    moment = int(START.timestamp() * 1e6) + hour * HOUR_US
    since = None if back is None else moment - back * HOUR_US
    return LabelRow(
        prediction=id,
        key=key,
        value=value,
        observed_us=moment,
        received_us=moment,
        revision=revision,
        since_us=since,
        until_us=None if back is None else moment,
    )


def test_a_label_that_comes_again_or_is_corrected_too_late_leaves_the_one_in_time() -> None:
    rows = pl.DataFrame({"id": ["a", "b", "c", "d"], "key": ["", "k", "k", "m"], "at": instants([0, 1, 2, 3])})
    labels = [
        told(5, 1.0, id="a"),
        told(50, 1.0, id="a"),
        told(6, 1.0, key="k"),
        told(40, 0.0, key="k", revision=2),
        told(30, 1.0, id="d"),
    ]
    came, until = labels_frame(labels, [1] * len(labels)), instants([24, 24, 48, 24])
    found = joined_by(rows, came, until)
    assert found.drop("label", "labelled_at").equals(rows)
    assert found["label"].to_list() == [1.0, 1.0, 0.0, 1.0]
    assert found["labelled_at"].to_list() == [START + timedelta(hours=hour) for hour in (5, 6, 40, 30)]


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_the_log_said_at_that_time(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = 60
    keys = [f"k{i}" if i else "" for i in random.integers(0, 12, n)]
    rows = pl.DataFrame({"id": [f"p{i}" for i in range(n)], "key": keys, "at": instants(random.integers(0, 50, n))})
    labels = []
    for _ in range(300):
        hour, value, revision = int(random.integers(0, 200)), float(random.integers(0, 2)), int(random.integers(0, 2))
        if random.random() < 0.5:
            labels.append(told(hour, value, id=f"p{random.integers(0, n)}", revision=revision))
        else:
            back = None if random.random() < 0.7 else 30
            labels.append(told(hour, value, key=f"k{random.integers(1, 12)}", revision=revision, back=back))
    came, hours = labels_frame(labels, [1] * len(labels)), random.integers(0, 200, n)
    found = joined_by(rows, came, instants(hours))
    found = found.select("id", in_time=pl.when(pl.col("labelled_at") <= instants(hours)).then("label"))
    for place, hour in enumerate(hours.tolist()):
        then = came.filter(pl.col("observed_at") <= START + timedelta(hours=hour))
        assert found.row(place)[1] == joined(rows[place : place + 1], counting(then))["label"].item()
