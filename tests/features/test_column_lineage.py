"""From features back to the columns they are computed from."""

from datetime import datetime

import polars as pl

import slipway as sw
from slipway.features.column_lineage import columns_of_features, columns_of_view
from slipway.features.specs import FrameTables, build_spec

UTC = pl.Datetime("us", "UTC")
TABLES = FrameTables(
    {
        "flights": pl.DataFrame(
            schema={"id": pl.String, "origin": pl.String, "known_at": UTC, "delay": pl.Float64, "gate": pl.String}
        ),
        "weather": pl.DataFrame(
            schema={"origin": pl.String, "seen_at": UTC, "wind": pl.Float64, "rain": pl.Float64, "broken": pl.Boolean}
        ),
        "airports": pl.DataFrame(schema={"code": pl.String, "height": pl.Float64, "name": pl.String}),
    },
    keys={"flights": ("id",)},
)


@sw.feature_view(entity="origin", time="seen_at")
def sky(weather: pl.LazyFrame, airports: pl.LazyFrame) -> pl.LazyFrame:
    joined = weather.filter(~pl.col("broken")).join(airports, left_on="origin", right_on="code")
    return joined.select("origin", "seen_at", "rain", gust=pl.col("wind") * pl.col("height"))


@sw.feature
def hour(departure: datetime) -> int:
    return departure.hour


@sw.feature
def rough(sky_gust: float, hour: int) -> float:
    return sky_gust * hour


def test_a_view_names_what_it_reads_and_what_decides_its_rows() -> None:
    shared = {"weather.origin", "weather.seen_at", "weather.broken", "airports.code"}
    found = {name: set(columns) for name, columns in columns_of_view(sky, TABLES).items()}
    assert found == {
        "rain": shared | {"weather.rain"},
        "gust": shared | {"weather.wind", "airports.height"},
    }


def test_every_feature_of_a_set_is_traced_through_other_features() -> None:
    recent = sw.windows("flights", time="known_at", by="origin", delay=sw.mean("delay", "6h"), seen=sw.count("6h"))
    features = sw.FeatureSet(recent, sky, hour, rough, "distance")
    spec = build_spec(
        features, {"origin": "string", "departure": "datetime", "distance": "int"}, TABLES, lambda function: "x"
    )
    found = columns_of_features(spec, features.views, TABLES)
    assert found["origin_delay"] == ("flights.delay", "flights.known_at", "flights.origin", "request.origin")
    assert found["origin_seen"] == ("flights.known_at", "flights.origin", "request.origin")
    assert found["hour"] == ("request.departure",)
    assert found["distance"] == ("request.distance",)
    assert set(found["rough"]) == set(found["sky_gust"]) | {"request.departure"}
    assert "weather.rain" not in found["rough"]
