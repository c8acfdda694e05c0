"""A small project with all kinds of features, in which a flow's test runs in moments."""

from datetime import UTC, datetime, timedelta

import lightgbm as lgb
import numpy as np
import polars as pl

import slipway as sw

HOURS = 24 * 70
FIRST = datetime(2013, 2, 1, tzinfo=UTC)


@sw.table(key="flight_id", time="asked_at", checks=[sw.unique("flight_id")])
def flights() -> pl.DataFrame:
    """Two departures an hour; a flight is late where the ones before it were, and in strong wind."""
    random = np.random.default_rng(7)
    rows = 2 * HOURS
    origin = np.where(np.arange(rows) % 2 == 0, "JFK", "EWR")
    wind = np.repeat(_wind(), 2)
    trouble = np.repeat(np.convolve(random.normal(size=HOURS), np.ones(6) / 6, mode="same"), 2)
    delay = 12 * trouble + wind - 10 + random.normal(0, 4, rows)
    asked = pl.Series([FIRST + timedelta(hours=int(i) // 2) for i in range(rows)], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        {
            "flight_id": [f"F{i}" for i in range(rows)],
            "origin": origin,
            "distance": random.integers(100, 3000, rows),
            "asked_at": asked,
            "departure": asked + timedelta(hours=1),
            "known_at": asked + timedelta(hours=2),
            "delay": delay,
            "late": delay > 0,
        }
    )


@sw.table(key=["origin", "observed_at"], time="observed_at")
def weather() -> pl.DataFrame:
    """One observation an hour and airport."""
    hours = [FIRST + timedelta(hours=i) for i in range(HOURS)]
    both = [
        pl.DataFrame({"origin": [name] * HOURS, "observed_at": hours, "wind": _wind(), "gust": _wind() + 5})
        for name in ("JFK", "EWR")
    ]
    return pl.concat(both).with_columns(pl.col("observed_at").cast(pl.Datetime("us", "UTC")))


def _wind() -> np.ndarray:
    return np.random.default_rng(3).gamma(4, 2.5, HOURS)


recent = sw.windows(
    "flights",
    time="known_at",
    by={"origin": ["origin"]},
    delay_6h=sw.mean("delay", "6h"),
    seen_6h=sw.count("6h"),
)


@sw.feature_view(entity="origin", time="observed_at", ttl="3h")
def weather_now(weather: pl.LazyFrame) -> pl.LazyFrame:
    """The last observation before the decision."""
    return weather.select("origin", "observed_at", "wind")


@sw.feature
def hour(departure: datetime) -> int:
    """The hour of departure."""
    return departure.hour


features = sw.FeatureSet(recent, weather_now, hour, "origin", "distance")


@sw.step
def train(rows: pl.DataFrame, rounds: int = 8, guess: bool = False) -> sw.Model:
    """Trees on all features; one that guesses learns from shuffled labels."""
    inputs = sw.inputs(rows, features, label="late")
    labels = np.random.default_rng(0).permutation(inputs.labels) if guess else inputs.labels
    data = lgb.Dataset(inputs.matrix, labels, categorical_feature=inputs.categorical)
    settings = {"objective": "binary", "num_leaves": 7, "num_threads": 1, "deterministic": True, "verbose": -1}
    booster = lgb.train(settings, data, num_boost_round=rounds)
    decision = sw.threshold(costs={"true_positive": 1, "false_positive": 1, "false_negative": 5}, unit="USD")
    return sw.Model(booster, inputs=inputs, decision=decision)


@sw.pipeline
def release(rounds: int = 8, guess: bool = False) -> sw.Model:
    """From the tables to an evaluated model; the last twelve days of the time before April judge."""
    rows = features.training_set(flights, label="late", at="asked_at", until=datetime(2013, 4, 1, tzinfo=UTC))
    cut = datetime(2013, 3, 20, tzinfo=UTC)
    fit, test = rows.filter(pl.col("asked_at") < cut), rows.filter(pl.col("asked_at") >= cut)
    return sw.evaluate(train(fit, rounds, guess), test, label="late", slices=["origin"])


@sw.pipeline
def count_rows() -> int:
    """A pipeline that makes no model."""
    return flights().height


LONG = 1500


def by_distance(distance: int, origin: str | None) -> float | None:
    """What the desk would say without a model; of an airport that it does not know it says nothing."""
    return None if origin not in ("JFK", "EWR", "LGA") else 0.25 if distance < LONG else 0.75


def by_seats(seats: int) -> float:
    """Of a field that no request has."""
    return seats / LONG


gate = sw.Gate(
    sw.metric("auc") >= 0.60,
    sw.metric("log_loss").not_worse_than("champion", margin=0.01),
    sw.no_skew(),
    sw.environment_resolves(),
    sw.approval("accountable"),
)

delays = sw.Endpoint(
    "small-delays",
    pipeline=release,
    features=features,
    gate=gate,
    key=["flight_id"],
    monitors=[sw.Drift(), sw.Quality("log_loss", label_delay="1d"), sw.KPI("cost of errors", label_delay="1d")],
)
