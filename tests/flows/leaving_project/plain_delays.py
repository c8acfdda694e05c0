"""A project whose model needs nothing but its request: what can leave the machine."""

from datetime import UTC, datetime, timedelta

import lightgbm as lgb
import numpy as np
import polars as pl

import slipway as sw

FIRST = datetime(2013, 2, 1, tzinfo=UTC)
ROWS = 1200


@sw.table(key="flight_id", time="asked_at")
def flights() -> pl.DataFrame:
    """Late in the evening, and over long distances."""
    random = np.random.default_rng(7)
    asked = pl.Series([FIRST + timedelta(hours=i) for i in range(ROWS)], dtype=pl.Datetime("us", "UTC"))
    distance = random.integers(100, 3000, ROWS)
    late = (np.arange(ROWS) % 24) / 12 + distance / 3000 + random.normal(0, 0.4, ROWS) > 1.5
    columns = {"flight_id": [f"F{i}" for i in range(ROWS)], "distance": distance, "asked_at": asked, "late": late}
    return pl.DataFrame(columns).with_columns(departure=pl.col("asked_at"))


@sw.feature
def hour(departure: datetime) -> int:
    """The hour of departure."""
    return departure.hour


features = sw.FeatureSet(hour, "distance")


@sw.step
def train(rows: pl.DataFrame) -> sw.Model:
    """A few trees."""
    inputs = sw.inputs(rows, features, label="late")
    settings = {"objective": "binary", "num_leaves": 7, "num_threads": 1, "deterministic": True, "verbose": -1}
    booster = lgb.train(settings, lgb.Dataset(inputs.matrix, inputs.labels), num_boost_round=8)
    return sw.Model(booster, inputs=inputs)


@sw.pipeline
def release() -> sw.Model:
    """From the table to an evaluated model."""
    rows = features.training_set(flights, label="late", at="asked_at", until=datetime(2013, 4, 1, tzinfo=UTC))
    cut = datetime(2013, 3, 10, tzinfo=UTC)
    test = rows.filter(pl.col("asked_at") >= cut)
    return sw.evaluate(train(rows.filter(pl.col("asked_at") < cut)), test, label="late")


plain = sw.Endpoint("plain", pipeline=release, features=features, key=["flight_id"])
