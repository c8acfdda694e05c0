"""A small shop: orders that come late by their size and by how busy their region is."""

import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import lightgbm as lgb
import numpy as np
import polars as pl

import slipway as sw

DAYS = 40
ROWS = DAYS * 30
FIRST = datetime(2013, 2, 1, tzinfo=UTC)
REGIONS = ["east", "north", "west"]


def _load() -> np.ndarray:
    return np.random.default_rng(3).normal(size=DAYS * 4).round(3)


@sw.table(key="order_id", time="asked_at", checks=[sw.unique("order_id"), sw.between("size", -9, 9)])
def orders() -> pl.DataFrame:
    """An order is late by its size and the load of the hour."""
    random = np.random.default_rng(7)
    size = random.normal(size=ROWS).round(3)
    asked = pl.Series([FIRST + timedelta(minutes=48 * n) for n in range(ROWS)], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        {
            "order_id": [f"O{n}" for n in range(ROWS)],
            "region": [REGIONS[n % 3] for n in range(ROWS)],
            "size": size,
            "asked_at": asked,
            "known_at": asked + timedelta(hours=20),
            "late": random.random(ROWS)
            < 1 / (1 + np.exp(1.0 - 2.5 * size - 1.5 * _load()[np.arange(ROWS) * 48 // 360])),
        }
    )


@sw.table(key=["region", "observed_at"], time="observed_at")
def load() -> pl.DataFrame:
    """How busy each region is, every six hours."""
    hours = pl.Series([FIRST + timedelta(hours=6 * n) for n in range(DAYS * 4)], dtype=pl.Datetime("us", "UTC"))
    both = [pl.DataFrame({"region": [name] * hours.len(), "observed_at": hours, "load": _load()}) for name in REGIONS]
    return pl.concat(both)


@sw.table(key="id", checks=[sw.not_null("name")])
def notes() -> pl.DataFrame:
    """Three rows that are written to."""
    return pl.DataFrame({"id": [1, 2, 3], "name": ["ada", "bob", "cy"], "worth": [1.5, 2.5, 3.5]})


@sw.table(key="id", source=sw.sql("sqlite:///till.db", "select * from sales"), watermark="sold_at", time="sold_at")
def sales(rows: pl.DataFrame) -> pl.DataFrame:
    """What a database says, which keeps its times as text."""
    return rows.with_columns(pl.col("sold_at").str.to_datetime(time_zone="UTC"))


@sw.table(key="code", source=sw.files("towns.csv"))
def towns() -> None:
    """What a file says."""


recent = sw.windows(
    "orders", time="known_at", by={"region": ["region"]}, size_1d=sw.mean("size", "1d"), seen_1d=sw.count("1d")
)


@sw.feature_view(entity="region", time="observed_at", ttl="12h")
def load_now(load: pl.LazyFrame) -> pl.LazyFrame:
    """The last known load."""
    return load.select("region", "observed_at", "load")


@sw.feature_view(entity="region", time="observed_at", ttl="1h")
def load_fresh(load: pl.LazyFrame) -> pl.LazyFrame:
    """The load, while it is fresh."""
    return load.select("region", "observed_at", "load")


@sw.feature(examples=[({"size": 1.0}, True), ({"size": -2.0}, False)])
def is_large(size: float) -> bool:
    """Whether the order is above the usual size."""
    return size > 0


features = sw.FeatureSet(recent, load_now, is_large, "size", "region")
fresh_features = sw.FeatureSet(load_fresh)


@sw.step
def train(rows: pl.DataFrame, rounds: int = 20) -> sw.Model:
    """A few small trees on what is known of each order."""
    print(f"training on {rows.height} rows")
    inputs = sw.inputs(rows, features, label="late", at="asked_at")
    settings = {"objective": "binary", "num_leaves": 7, "num_threads": 1, "deterministic": True, "verbose": -1}
    booster = lgb.train(settings, lgb.Dataset(inputs.matrix, inputs.labels), num_boost_round=rounds)
    return sw.Model(booster, inputs=inputs, decision=sw.threshold(0.5))


@sw.pipeline
def release(until: date = date(2013, 3, 12), rounds: int = 20) -> sw.Model:
    """The last days judge what the days before them taught."""
    rows = features.training_set(orders, label="late", at="asked_at", known="known_at", until=until)
    cut = round(rows.height * 0.75)
    return sw.evaluate(train(rows.head(cut), rounds), rows.tail(rows.height - cut), label="late", slices=["region"])


@sw.step
def numbers(count: int) -> list[int]:
    """Whole numbers from nothing."""
    print(f"making {count} numbers")
    return list(range(count))


@sw.step
def squared(value: int) -> int:
    """A number by itself."""
    return value * value


@sw.step(retries=2, backoff_s=0.01)
def shaky(folder: str) -> int:
    """Fails the first time."""
    mark = Path(folder) / "tried"
    if not mark.exists():
        mark.touch()
        raise ValueError("not yet")
    return 7


@sw.step(timeout_s=1)
def slow() -> int:
    """Takes longer than it may."""
    time.sleep(60)
    return 1


@sw.step
def dies(folder: str, value: int) -> int:
    """Is killed where nobody says that it may live."""
    if not (Path(folder) / "live").exists():
        os.kill(os.getpid(), 9)
    return value + 1


@sw.pipeline
def spread(count: int = 4) -> int:
    """Many steps beside each other."""
    run = sw.active_run()
    for place in range(5):
        run.log_metric("loss", 1 / (1 + place), place)
    run.set_tag("kind", "spread")
    run.log_text("said.txt", "all of it")
    run.log_json("plan.json", {"count": count})
    return sum(squared.map(sw.each(numbers(count))))


@sw.pipeline
def troubled(folder: str) -> int:
    """Steps beside each other, one that fails once, one that takes too long, and one that is killed."""
    total = sum(squared.map(sw.each(numbers(4)))) + shaky(folder)
    try:
        slow()
    except sw.errors.StepFailed as problem:
        sw.active_run().set_tag("slow", problem.code)
    return dies(folder, total)


@sw.pipeline
def wrong() -> int:
    """Raises by itself."""
    raise ValueError("the shop is closed")


endpoint = sw.Endpoint(
    "shop",
    pipeline=release,
    features=features,
    gate=sw.Gate(sw.metric("auc") >= 0.60),
    key=["order_id"],
    retrain=sw.Retrain(release, when=[sw.cron("0 3 8 * *")], cooldown="14d"),
    rollout=[sw.Shadow(at_least="3d"), sw.Canary(steps=[10, 50, 100])],
    monitors=[sw.Drift(), sw.Quality("log_loss", label_delay="1d")],
)
nightly = sw.Schedule(spread, [sw.cron("0 3 * * *")], name="nightly")
