"""A small project whose endpoint is retrained and rolled out, on 200 orders a day that never change their ways."""

from datetime import UTC, date, datetime, timedelta

import lightgbm as lgb
import numpy as np
import polars as pl

import slipway as sw

ROWS_A_DAY = 200
DAYS = 90
FIRST = datetime(2013, 2, 1, tzinfo=UTC)
REGIONS = ["east", "north", "west"]
ROWS = ROWS_A_DAY * DAYS


def _load() -> np.ndarray:
    return np.random.default_rng(3).normal(size=DAYS * 24).round(3)


@sw.table(key="order_id", time="asked_at", checks=[sw.unique("order_id")])
def orders() -> pl.DataFrame:
    """An order is late by its size and by the load of the hour."""
    random = np.random.default_rng(7)
    places = np.arange(ROWS)
    minutes = places * (24 * 60 * DAYS / ROWS)
    size = random.normal(size=ROWS).round(3)
    chance = 1 / (1 + np.exp(1.0 - 1.4 * size - 0.8 * _load()[(minutes // 60).astype(int)]))
    asked = pl.Series([FIRST + timedelta(minutes=float(one)) for one in minutes], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        {
            "order_id": [f"O{place}" for place in places],
            "region": [REGIONS[place % 3] for place in places],
            "size": size,
            "asked_at": asked,
            "known_at": asked + timedelta(hours=20),
            "late": random.random(ROWS) < chance,
        }
    )


@sw.table(key=["region", "observed_at"], time="observed_at")
def load() -> pl.DataFrame:
    """How busy each region is, hour by hour."""
    hours = pl.Series([FIRST + timedelta(hours=i) for i in range(DAYS * 24)], dtype=pl.Datetime("us", "UTC"))
    both = [pl.DataFrame({"region": [name] * hours.len(), "observed_at": hours, "load": _load()}) for name in REGIONS]
    return pl.concat(both)


recent = sw.windows("orders", time="known_at", by={"region": ["region"]}, size_1d=sw.mean("size", "1d"))


@sw.feature_view(entity="region", time="observed_at", ttl="6h")
def load_now(load: pl.LazyFrame) -> pl.LazyFrame:
    """The last known load."""
    return load.select("region", "observed_at", "load")


features = sw.FeatureSet(recent, load_now, "region", "size")


@sw.step
def train(rows: pl.DataFrame) -> sw.Model:
    """A few small trees."""
    inputs = sw.inputs(rows, features, label="late")
    if len(set(inputs.labels.tolist())) < 2:
        raise ValueError("every label is the same, nothing can be learnt from them")
    settings = {"objective": "binary", "num_leaves": 7, "num_threads": 1, "deterministic": True, "verbose": -1}
    data = lgb.Dataset(inputs.matrix, inputs.labels, categorical_feature=inputs.categorical)
    booster = lgb.train(settings, data, num_boost_round=30)
    decision = sw.threshold(costs={"true_positive": 1, "false_positive": 1, "false_negative": 5}, unit="USD")
    return sw.Model(booster, inputs=inputs, decision=decision)


@sw.pipeline
def release(until: date = date(2013, 4, 1)) -> sw.Model:
    """The last ten days judge what the days before them taught."""
    rows = features.training_set(orders, label="late", at="asked_at", known="known_at", until=until)
    cut = rows["asked_at"].max() - timedelta(days=10)
    fit, test = rows.filter(pl.col("asked_at") < cut), rows.filter(pl.col("asked_at") >= cut)
    return sw.evaluate(train(fit), test, label="late", slices=["region"])


gate = sw.Gate(
    sw.metric("auc") >= 0.60,
    sw.metric("log_loss").not_worse_than("champion", margin=0.05),
    sw.no_skew(),
    sw.approval("accountable"),
)

looping = sw.Endpoint(
    "looping",
    pipeline=release,
    features=features,
    gate=gate,
    key=["order_id"],
    rollout=[
        sw.Shadow("log_loss", margin=0.05, at_least="1d", deadline="6d"),
        sw.Canary(steps=(20, 60, 100), margin=0.2, alpha=0.05, deadline="3d"),
    ],
    retrain=sw.Retrain(release, when=[sw.cron("0 3 8,18 * *"), sw.degraded], cooldown="14d"),
    monitors=[sw.Drift(), sw.Quality("log_loss", label_delay="1d")],
)
