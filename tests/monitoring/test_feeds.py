"""Broken feeds and seasons: what changes from one day to the next is told from what comes step by step."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.monitoring import feeds
from slipway.monitoring.feeds import BrokenFeed, Feeds, Sign, looks_back_to
from slipway.records.features import Aggregate, FeatureSetSpec, RequestField, View, Windows
from slipway.records.schema import Field
from slipway.stats.profiles import Profile, profile

NOW = datetime(2013, 8, 1, tzinfo=UTC)
DAY = timedelta(days=1)
A_DAY = 200
FEATURES = FeatureSetSpec(
    name="f",
    parts=(
        View(name="weather", entity=("o",), time="t", ttl_us=1, fields=(Field("temp", "float"), Field("visib", "float"))),
        Windows(name="plane", source="flights", time="t", by=("p",), aggregates=(Aggregate(name="delay", kind="mean", column="d", width_us=1),)),
        RequestField(name="carrier", type="string"),
    ),
)  # fmt: skip


def rows_of(rows: int, seed: int, *, season: Any = 0.0) -> dict[str, Any]:
    """Temperatures about `season`; visibility is 10 on most days; a plane's delay is unknown in four of five rows."""
    random = np.random.default_rng(seed)
    return {
        "weather_temp": random.uniform(20, 50, rows) + season,
        "weather_visib": np.where(random.random(rows) < 0.8, 10.0, random.uniform(0, 10, rows)),
        "plane_delay": np.where(random.random(rows) < 0.8, np.nan, random.normal(10, 30, rows)),
        "carrier": random.choice(["AA", "UA", "DL"], rows).tolist(),
    }


WINTER: Profile = profile(rows_of(5000, 1))


def live(days: int = 29, *, step: float = 1.0, ends: datetime = NOW, rows: int = A_DAY) -> pl.DataFrame:
    """As many days up to `ends`, which get warmer by `step` degrees a day from far beyond the winter."""
    count = days * rows
    ages = np.arange(count - 1, -1, -1) / rows
    at = pl.Series([ends - age * DAY for age in ages], dtype=pl.Datetime("us", "UTC"))
    season = 40 + step * np.floor(np.arange(count) / rows)
    return pl.DataFrame(rows_of(count, 2, season=season)).with_columns(at=at)


def broken_from(frame: pl.DataFrame, since: datetime, until: datetime = NOW + DAY, **columns: pl.Expr) -> pl.DataFrame:
    during = (pl.col("at") > since) & (pl.col("at") <= until)
    return frame.with_columns(pl.when(during).then(e).otherwise(name).alias(name) for name, e in columns.items())


def looked(frame: pl.DataFrame, now: datetime = NOW, **more: Any) -> Feeds:
    return feeds.look(frame, now=now, reference=WINTER, features=FEATURES, **more)


def only(found: Feeds) -> BrokenFeed:
    (feed,) = found.broken
    return feed


def signs(found: Feeds) -> dict[str, str]:
    return {sign.column: sign.question for feed in found.broken for sign in feed.signs}


METRIC = {"weather_visib": pl.col("weather_visib") * 1.609, "weather_temp": (pl.col("weather_temp") - 32) / 1.8}
NULLS = {"weather_visib": pl.lit(None), "weather_temp": pl.lit(None)}


def test_a_season_far_beyond_training_is_no_broken_feed() -> None:
    assert looked(live(step=1.5)) == Feeds(rows=A_DAY, days=28)


def test_other_units_are_found_and_the_feed_is_named_with_all_that_moved() -> None:
    feed = only(looked(broken_from(live(), NOW - DAY, **METRIC)))
    assert feed.feed == "feature view weather"
    assert [(sign.column, sign.question) for sign in feed.signs] == [("weather_visib", "far")]
    assert feed.beside == ("weather_temp",)
    assert feed.signs[0].examples[0] == "16.09"
    assert feed.sentence.startswith("feature view weather, since 2013-07-31 00:")
    assert "weather_visib far outside all that was seen (16.09" in feed.sentence
    assert "of the last day's rows, usual 0.0" in feed.sentence
    assert "weather_temp left the range of the weeks before with it" in feed.sentence


def test_values_that_are_gone_are_one_incident_of_their_feed() -> None:
    feed = only(looked(broken_from(live(), NOW - DAY, **NULLS)))
    assert {sign.column: sign.question for sign in feed.signs} == dict.fromkeys(NULLS, "missing")
    assert "weather_temp and weather_visib missing in 100% of the last day's rows, 0% on the worst day" in feed.sentence


def test_two_feeds_are_told_apart() -> None:
    gone = broken_from(live(), NOW - DAY, **NULLS, plane_delay=pl.lit(None))
    assert {feed.feed for feed in looked(gone).broken} == {"feature view weather", "windows over flights"}


def test_a_column_that_is_mostly_missing_is_found_when_it_is_wholly() -> None:
    assert signs(looked(broken_from(live(), NOW - DAY, plane_delay=pl.lit(None)))) == {"plane_delay": "missing"}


def test_a_category_that_nobody_ever_saw() -> None:
    feed = only(looked(broken_from(live(), NOW - DAY, carrier=pl.lit("ZZ"))))
    assert (feed.feed, feed.signs[0].question, feed.signs[0].share) == ("request", "unseen", 1.0)
    assert "carrier never seen before ('ZZ') in 100% of the last day's rows" in feed.sentence


def test_a_category_that_came_with_the_weeks_before_is_known() -> None:
    fresh = pl.when(pl.col("at").dt.hour() < 6).then(pl.lit("WN")).otherwise("carrier")
    assert signs(looked(broken_from(live(), NOW - DAY, carrier=fresh))) == {"carrier": "unseen"}
    # it came in few rows a day, which no sound day needs to explain
    rare = pl.when(pl.col("at").dt.hour() < 1).then(pl.lit("WN")).otherwise("carrier")
    grown = broken_from(live(), NOW - 20 * DAY, NOW - DAY, carrier=rare)
    assert not looked(broken_from(grown, NOW - DAY, carrier=fresh)).broken


@pytest.mark.parametrize("fault", [METRIC, NULLS, {"carrier": pl.lit("ZZ")}])
@pytest.mark.parametrize("hours", [1, 5, 13])
def test_a_fault_between_two_looks_does_not_become_the_usual(fault: dict[str, pl.Expr], hours: int) -> None:
    frame = broken_from(live(36, ends=NOW + 7 * DAY), NOW - timedelta(hours=hours), NOW + 8 * DAY, **fault)
    for day in range(1, 8):
        assert looked(frame, NOW + day * DAY).broken, f"{day} days after"
    first = only(looked(frame, NOW + 5 * DAY)).since
    assert NOW - timedelta(hours=hours) < first <= NOW + timedelta(hours=1)


def test_when_it_is_mended_the_next_day_is_well_and_the_fault_taught_nothing() -> None:
    ends = NOW + 12 * DAY
    frame = broken_from(live(45, ends=ends), NOW, NOW + 5 * DAY, **METRIC)
    assert looked(frame, NOW + 5 * DAY).broken
    assert not looked(frame, NOW + 6 * DAY).broken
    again = broken_from(frame, NOW + 11 * DAY, ends, **METRIC)
    assert signs(looked(again, ends)) == {"weather_visib": "far"}


def test_a_fault_of_two_months_is_compared_with_the_weeks_before_it() -> None:
    ends = NOW + 60 * DAY
    frame = broken_from(live(90, step=0.2, ends=ends), NOW, ends, weather_temp=pl.col("weather_temp") * 9)
    known = [(NOW, None)]
    assert looks_back_to(ends, known) == NOW - 28 * DAY
    assert signs(looked(frame, ends, faulty=known)) == {"weather_temp": "far"}
    assert not looked(frame, ends).broken, "whoever is told nothing of it takes eight weeks for the usual"


def test_a_fault_that_is_over_is_not_learnt_though_it_opens_the_window() -> None:
    frame = broken_from(live(), NOW - 29 * DAY, NOW - 20 * DAY, weather_visib=pl.col("weather_visib") * 1.609)
    again = broken_from(frame, NOW - DAY, weather_visib=pl.col("weather_visib") * 1.609)
    assert not looked(again).broken
    assert signs(looked(again, faulty=[(NOW - 29 * DAY, NOW - 20 * DAY)])) == {"weather_visib": "far"}


def test_outliers_of_every_day_do_not_widen_what_is_known() -> None:
    odd = (pl.col("at").dt.hour() == 3) & (pl.col("at").dt.minute() < 15)
    outliers = live().with_columns(weather_visib=pl.when(odd).then(500.0).otherwise("weather_visib"))
    assert not looked(outliers).broken
    assert signs(looked(broken_from(outliers, NOW - DAY, **METRIC))) == {"weather_visib": "far"}


@pytest.mark.parametrize("days", [1, 5])
def test_a_new_endpoint_knows_only_what_training_can_say(days: int) -> None:
    young = live(days)
    assert not looked(young).broken, "it may be the season"
    assert not looked(broken_from(young, NOW - DAY, **METRIC)).broken
    assert signs(looked(broken_from(young, NOW - DAY, **NULLS))) == dict.fromkeys(NULLS, "missing")
    assert signs(looked(broken_from(young, NOW - DAY, carrier=pl.lit("ZZ")))) == {"carrier": "unseen"}


def test_one_burst_of_rows_is_not_the_feed() -> None:
    burst = live(1, rows=300).with_columns(at=pl.lit(NOW - timedelta(hours=3)), carrier=pl.lit("ZZ"))
    both = pl.concat([live(), burst.select(live().columns)], how="vertical_relaxed")
    assert not looked(both).broken


def test_a_constant_has_no_scale() -> None:
    flag = profile({"flag": np.ones(1000)})
    frame = live().with_columns(flag=pl.when(pl.col("at") > NOW - DAY).then(2.0).otherwise(1.0))
    assert not feeds.look(frame, now=NOW, reference=flag).broken


def test_without_a_feature_set_everything_comes_with_the_request() -> None:
    gone = broken_from(live(), NOW - DAY, **NULLS)
    assert only(feeds.look(gone, now=NOW, reference=WINTER)).feed == "request"


@pytest.mark.parametrize("rows", [0, 99])
def test_a_quiet_day_cannot_tell(rows: int) -> None:
    before = live().filter(pl.col("at") <= NOW - DAY)
    found = looked(pl.concat([before, live().tail(rows)]))
    assert (found.can_tell, found.rows, found.broken) == (False, rows, ())


def test_nothing_answered_cannot_tell() -> None:
    assert not looked(live().clear()).can_tell


def test_many_columns_are_counted_not_listed() -> None:
    many = tuple(Sign(column=f"c{i}", question="missing", share=1.0, usual="0% in training") for i in range(9))
    told = BrokenFeed(feed="request", signs=many, beside=(), since=NOW).sentence
    assert "c0, c1, c2, c3, c4, c5 and 3 more missing in 100%" in told
