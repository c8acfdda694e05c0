"""Orders that will be paid late or not: a small project with all kinds of features, and ways to get them wrong."""

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import lightgbm as lgb
import numpy as np
import polars as pl

import slipway as sw

FIRST = datetime(2013, 3, 25, tzinfo=UTC)  # the clocks of Berlin change on the 31st
LAST = FIRST + timedelta(days=14)
HOURS = 14 * 24
SHOPS = ("Café Röda", "north", "South ", "0042")
BERLIN = ZoneInfo("Europe/Berlin")


def orders_of(seed: int, rows: int = 2 * HOURS) -> pl.DataFrame:
    """Orders; two in a hundred have no amount, one in five no note."""
    random = np.random.default_rng(seed)
    placed = [FIRST + timedelta(minutes=int(m)) for m in np.sort(random.integers(0, HOURS * 60, rows))]
    amount = np.round(random.gamma(2, 40, rows), 2)
    shop = random.integers(0, len(SHOPS), rows)
    late = (amount / 80 + shop / 2 + random.normal(0, 1, rows)) > 2
    utc = pl.Datetime("us", "UTC")
    return pl.DataFrame(
        {
            "order_id": [f"O{seed}-{i}" for i in range(rows)],
            "shop": [SHOPS[i] for i in shop],
            "amount": [None if gap < 0.02 else float(a) for a, gap in zip(amount, random.random(rows), strict=True)],
            "items": random.integers(1, 9, rows),
            "note": [None if gap < 0.2 else f" Gift for {i % 7} ÄÖ " for i, gap in enumerate(random.random(rows))],
            "placed_at": pl.Series(placed, dtype=utc),
            "known_at": pl.Series([at + timedelta(minutes=90) for at in placed], dtype=utc),
            "late": late,
        }
    )


def rates_of(seed: int) -> pl.DataFrame:
    """What each shop's bank asks, every second hour, and what it paid back; known half an hour later."""
    random = np.random.default_rng(seed + 1)
    hours = [FIRST + timedelta(hours=2 * i) for i in range(HOURS // 2)]
    utc = pl.Datetime("us", "UTC")
    return pl.concat(
        pl.DataFrame(
            {
                "shop": [shop] * len(hours),
                "valid_at": pl.Series(hours, dtype=utc),
                "observed_at": pl.Series([at + timedelta(minutes=30) for at in hours], dtype=utc),
                "rate": np.round(random.normal(5, 1, len(hours)), 3),
                "refund": np.round(random.normal(50, 9, len(hours)), 3),
            }
        )
        for shop in SHOPS
    )


recent = sw.windows(
    "orders",
    time="known_at",
    by={"recent": ["shop"]},
    mean_amount=sw.mean("amount", "6h"),
    seen=sw.count("6h"),
    most=sw.max("items", "6h"),
)


@sw.feature_view(entity="shop", time="observed_at", ttl="5h")
def bank(rates: pl.LazyFrame) -> pl.LazyFrame:
    """The shop's rates as they were known."""
    return rates.select("shop", "observed_at", "rate", "refund")


@sw.feature
def hour(placed_at: datetime) -> int:
    """The local hour."""
    return placed_at.astimezone(BERLIN).hour


@sw.feature
def size(amount: float | None) -> float:
    """The amount on a logarithmic scale; -1 where nobody said."""
    return -1.0 if amount is None else math.log1p(amount)


@sw.feature
def each(amount: float | None, items: int) -> float | None:
    """The amount of one item."""
    return None if amount is None else amount / items


@sw.feature
def kind(shop: str) -> str:
    """The shop's kind."""
    return shop.strip().lower()[:8]


@sw.feature
def words(note: str | None) -> int:
    """How long the note is."""
    return 0 if note is None else len(note.strip())


features = sw.FeatureSet(recent, bank, hour, size, each, kind, words, "items", "shop")


@sw.step
def train(rows: pl.DataFrame, rounds: int = 6) -> sw.Model:
    """Trees on all features."""
    return fitted(rows, rounds)


def fitted(rows: pl.DataFrame, rounds: int) -> sw.Model:
    """The same for rows that were altered on the way."""
    inputs = sw.inputs(rows, features, label="late")
    data = lgb.Dataset(inputs.matrix, inputs.labels, categorical_feature=inputs.categorical)
    settings = {
        "objective": "binary",
        "num_leaves": 7,
        "min_data_in_leaf": 5,
        "num_threads": 1,
        "deterministic": True,
        "verbose": -1,
    }
    return sw.Model(lgb.train(settings, data, num_boost_round=rounds), inputs=inputs)


@sw.step
def altered(rows: pl.DataFrame, how: str) -> pl.DataFrame:
    """What a notebook does to its rows between the features and the fit."""
    number = pl.col("each")
    ways = {
        "scaled": [(number - number.mean()) / number.std()],
        "swapped": [pl.col("bank_rate").alias("bank_refund"), pl.col("bank_refund").alias("bank_rate")],
        "filled": [number.fill_null(0.0)],
        "narrowed": [number.cast(pl.Float32).cast(pl.Float64)],
        "shifted": [pl.col("bank_rate").shift(-1).fill_null(strategy="forward")],
        "lower": [pl.col("shop").str.to_lowercase()],
        "": [],
    }
    return rows.with_columns(ways[how])


@sw.pipeline
def release(how: str = "", rounds: int = 6, share: int = 70) -> sw.Model:
    """From the tables to an evaluated model."""
    rows = altered(features.training_set("orders", label="late", at="placed_at"), how)
    cut = rows.height * share // 100
    return sw.evaluate(train(rows[:cut], rounds), rows[cut:], label="late")


endpoint = sw.Endpoint("zoo-orders", pipeline=release, features=features, key=["order_id"])
