"""A small world of flights for the models' tests."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from slipway.models.decision import threshold
from slipway.models.inputs import Inputs, inputs
from slipway.models.model import Model

COSTS = {"false_positive": 20.0, "false_negative": 80.0}


def rows(n: int = 1200, seed: int = 0) -> pl.DataFrame:
    """Flights with missing carriers and winds; the label depends on all inputs."""
    rng = np.random.default_rng(seed)
    carrier = rng.choice(["AA", "UA", "DL", ""], n, p=[0.4, 0.3, 0.2, 0.1])
    wind = rng.normal(10, 4, n)
    distance = rng.integers(80, 3000, n)
    wet = rng.random(n) < 0.3
    odds = 0.25 * (wind - 10) + wet * 1.2 + (carrier == "UA") * 1.0 + (carrier == "") * 2.0 - 1.5
    late = rng.random(n) < 1 / (1 + np.exp(-odds))
    return pl.DataFrame(
        {
            "carrier": carrier,
            "distance": distance,
            "wind": np.where(rng.random(n) < 0.1, np.nan, wind),
            "wet": wet,
            "late": late.astype(np.int64),
        }
    ).with_columns(
        pl.col("wind").fill_nan(None), pl.when(pl.col("carrier") != "").then(pl.col("carrier")).alias("carrier")
    )


def booster(fixed: Inputs, objective: str = "binary", rounds: int = 20) -> lgb.Booster:
    assert fixed.labels is not None
    data = lgb.Dataset(fixed.matrix, fixed.labels, feature_name=fixed.names, categorical_feature=fixed.categorical)
    return lgb.train({"objective": objective, "verbose": -1, "num_threads": 1}, data, num_boost_round=rounds)


def lightgbm_model(n: int = 1200, **kwargs: Any) -> Model:
    fixed = inputs(rows(n), label="late")
    return Model(
        booster(fixed), inputs=fixed, decision=threshold(costs=COSTS, unit="USD"), **kwargs
    )  # fmt: skip


def pandas_rows(n: int = 600) -> pd.DataFrame:
    """The same flights as pandas holds them: None for a missing carrier, a category, and no missing wind."""
    frame = rows(n).drop("late").with_columns(pl.col("wind").fill_null(0.0))
    return pd.DataFrame(
        {
            "carrier": pd.Series(frame["carrier"].to_list(), dtype=object),
            "airport": pd.Series(frame["carrier"].to_list(), dtype="str"),
            "class": pd.Categorical(frame["carrier"].to_list()),
            "distance": frame["distance"].to_numpy(),
            "wind": frame["wind"].to_numpy(),
            "wet": frame["wet"].to_numpy(),
        }
    )


def pipeline(estimator: Any = None, **encoder: Any) -> Pipeline:
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False, **encoder)
    return make_pipeline(
        ColumnTransformer(
            [("texts", encode, ["carrier", "airport", "class"]), ("numbers", StandardScaler(), ["distance", "wind"])],
            remainder="passthrough",
        ),
        estimator if estimator is not None else LogisticRegression(max_iter=1000),
    )


def labels(n: int = 600) -> np.ndarray:
    return rows(n)["late"].to_numpy()
