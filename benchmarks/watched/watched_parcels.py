"""Parcels that are late by distance, weight, carrier and wind: the endpoint that faults are injected into.

The tables hold the weeks that teach the model and those in which it serves; nothing changes in them by itself but days and
weeks: fewer and heavier parcels at weekends, more in the daytime.
"""

from datetime import UTC, date, datetime, timedelta

import lightgbm as lgb
import numpy as np
import polars as pl

import slipway as sw

FIRST = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
TAUGHT, SERVED = 56, 56
CARRIERS, MIX = ["alto", "brisk", "cargo", "drift"], (0.4, 0.3, 0.2, 0.1)
REGIONS = ["north", "south"]
DAILY, AT_WEEKENDS = 20, 12
HOURS = 24 * (TAUGHT + SERVED)


def _wind() -> np.ndarray:
    return np.random.default_rng(3).gamma(4, 2.5, (HOURS, 2)).round(2)


@sw.table(key="parcel_id", time="asked_at", checks=[sw.unique("parcel_id")])
def parcels() -> pl.DataFrame:
    """Each parcel as it is asked about, and whether it was late, which is known 20 hours later."""
    random = np.random.default_rng(7)
    hours = np.arange(HOURS)
    hour = np.repeat(hours, np.where(hours // 24 % 7 < 5, DAILY, AT_WEEKENDS))
    rows, is_weekend = hour.size, hour // 24 % 7 >= 5
    carrier, region = random.choice(4, rows, p=MIX), random.integers(0, 2, rows)
    distance = np.clip(random.gamma(2.5, 200, rows), 15, 2500).round(1)
    weight = np.exp(random.normal(0.6 + 0.3 * is_weekend, 0.5)).round(2)
    wind = _wind()[hour, region]
    logit = 1.6 * np.log(distance / 450) + 0.45 * (weight - 2) + 0.15 * (wind - 10) + 0.9 * (carrier == 2) - 0.7
    is_late = random.random(rows) < 1 / (1 + np.exp(-logit))
    asked = pl.Series([FIRST + timedelta(hours=int(one)) for one in hour], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        {
            "parcel_id": [f"P{place}" for place in range(rows)],
            "carrier": np.array(CARRIERS)[carrier],
            "region": np.array(REGIONS)[region],
            "distance": distance,
            "weight": np.where(random.random(rows) < 0.02, np.nan, weight),
            "price": (6 + 0.01 * distance + random.normal(0, 1, rows)).round(2),
            "asked_at": asked,
            "known_at": asked + timedelta(hours=20),
            "late": is_late,
        }
    ).with_columns(pl.col("weight").fill_nan(None))


@sw.table(key=["region", "observed_at"], time="observed_at")
def weather() -> pl.DataFrame:
    """The wind of each region, hour by hour."""
    hours = pl.Series([FIRST + timedelta(hours=i) for i in range(HOURS)], dtype=pl.Datetime("us", "UTC"))
    winds = _wind()
    return pl.concat(
        pl.DataFrame({"region": [name] * HOURS, "observed_at": hours, "wind": winds[:, place]})
        for place, name in enumerate(REGIONS)
    )


@sw.table(key="id", watermark="seen", source=sw.sql("sqlite:///shop.db", "depots"), schedule=sw.cron("0 3 * * *"))
def depots(rows: pl.DataFrame) -> pl.DataFrame:
    """The shop's depots, as its database has them."""
    return rows


@sw.feature_view(entity="region", time="observed_at", ttl="6h")
def weather_now(weather: pl.LazyFrame) -> pl.LazyFrame:
    """The last observation before the decision."""
    return weather.select("region", "observed_at", "wind")


features = sw.FeatureSet(weather_now, "region", "carrier", "distance", "weight")

profit = sw.MetricContract(
    "profit per parcel",
    value="price - 6 * label",
    unit="EUR",
    guard=0.3,
    table=parcels,
    key="parcel_id",
    owner="bea",
    delay="1d",
    window="7d",
    metric="log_loss",
)


@sw.step
def train(rows: pl.DataFrame) -> sw.Model:
    """A few small trees."""
    inputs = sw.inputs(rows, features, label="late")
    settings = {"objective": "binary", "num_leaves": 7, "num_threads": 1, "deterministic": True, "verbose": -1}
    data = lgb.Dataset(inputs.matrix, inputs.labels, categorical_feature=inputs.categorical)
    booster = lgb.train(settings, data, num_boost_round=60)
    decision = sw.threshold(costs={"true_positive": 1, "false_positive": 1, "false_negative": 3}, unit="EUR")
    return sw.Model(booster, inputs=inputs, decision=decision)


@sw.pipeline
def release(until: date = date(2026, 3, 2)) -> sw.Model:
    """The last two weeks judge what the weeks before them taught."""
    rows = features.training_set(parcels, label="late", at="asked_at", known="known_at", until=until)
    cut = rows["asked_at"].max() - timedelta(days=14)
    fit, test = rows.filter(pl.col("asked_at") < cut), rows.filter(pl.col("asked_at") >= cut)
    return sw.evaluate(train(fit), test, label="late", contract=profit)


watched = sw.Endpoint(
    "parcels",
    pipeline=release,
    features=features,
    key=["parcel_id"],
    kpi=profit,
    monitors=[
        sw.Service(availability=0.99),
        sw.Freshness("weather_now"),
        sw.Drift(pages_a_month=1, segment="carrier", holidays=["2026-04-16"]),
        sw.Consistency(),
        sw.EstimatedQuality("log_loss"),
        sw.Quality("log_loss", label_delay="1d", window="7d"),
    ],
)
