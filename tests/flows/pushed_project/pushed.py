"""The smallest project that a push can take to production: nothing is looked up, it trains in a moment."""

from datetime import UTC, datetime

import lightgbm as lgb
import numpy as np
import polars as pl

import slipway as sw

ROWS = 800
ROUNDS = 8


@sw.table(key="parcel_id", checks=[sw.unique("parcel_id")])
def parcels() -> pl.DataFrame:
    """A parcel is late where it goes far and weighs much."""
    random = np.random.default_rng(7)
    distance, weight = random.integers(1, 1000, ROWS), random.integers(1, 40, ROWS)
    return pl.DataFrame(
        {
            "parcel_id": [f"P{i}" for i in range(ROWS)],
            "asked_at": [datetime(2024, 1, 1, tzinfo=UTC)] * ROWS,
            "distance": distance,
            "weight": weight,
            "late": distance / 1000 + weight / 40 + random.normal(0, 0.2, ROWS) > 1,
        }
    )


@sw.feature
def load(distance: int, weight: int) -> int:
    """How much is carried how far."""
    return distance * weight


features = sw.FeatureSet(load, "distance", "weight")


@sw.step
def train(rows: pl.DataFrame) -> sw.Model:
    """A few trees."""
    inputs = sw.inputs(rows, features, label="late")
    settings = {"objective": "binary", "num_leaves": 7, "num_threads": 1, "deterministic": True, "verbose": -1}
    booster = lgb.train(settings, lgb.Dataset(inputs.matrix, labels(inputs.labels)), num_boost_round=ROUNDS)
    return sw.Model(booster, inputs=inputs, decision=sw.threshold(0.5))


def labels(known: np.ndarray) -> np.ndarray:
    """What is learnt."""
    return known


@sw.pipeline
def release() -> sw.Model:
    """From the table to an evaluated model."""
    rows = features.training_set(parcels, label="late", at="asked_at")
    cut = 3 * ROWS // 4
    return sw.evaluate(train(rows.head(cut)), rows.tail(ROWS - cut), label="late")


endpoint = sw.Endpoint(
    "parcels", pipeline=release, features=features, gate=sw.Gate(sw.metric("auc") >= 0.7), key=["parcel_id"]
)
