"""Another project of the same store: its rows are its own, its features are what the small project shares."""

import lightgbm as lgb
import polars as pl

import slipway as sw


@sw.table(key="flight_id", time="asked_at")
def loads() -> pl.DataFrame:
    """The same departures, under other names: loads that leave with them."""
    return sw.shared("small-delays/flights@1").read().collect()


features = sw.FeatureSet(
    sw.shared("small-delays/recent@1"),
    sw.shared("small-delays/weather_now@1"),
    sw.shared("small-delays/hour@1"),
    "distance",
)


@sw.pipeline
def release() -> sw.Model:
    """A model on shared features, its rows split by a shared step."""
    rows = features.training_set(loads, label="late", at="asked_at")
    fit, test = sw.shared("small-delays/halves@1")(rows)
    inputs = sw.inputs(fit, features, label="late")
    settings = {"objective": "binary", "num_leaves": 7, "num_threads": 1, "deterministic": True, "verbose": -1}
    booster = lgb.train(settings, lgb.Dataset(inputs.matrix, inputs.labels), num_boost_round=5)
    return sw.evaluate(sw.Model(booster, inputs=inputs), test, label="late")


delays = sw.Endpoint("freight-late", pipeline=release, features=features, key=["flight_id"])
