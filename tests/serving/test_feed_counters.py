"""Freshness and nulls of what is looked up: counted by all workers, told as one."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from slipway.features.online import build_receiver, build_resolver
from slipway.hosts.online_stores import open_online
from slipway.records.features import Aggregate, FeatureSetSpec, View, Windows
from slipway.records.feeds import AGE_MAX, feeds_of
from slipway.records.schema import Field
from slipway.serving.feed_counters import FeedCounters, forget_former, read_feeds

NOON = datetime(2013, 4, 1, 12, tzinfo=UTC)
HOUR_US = 3_600_000_000
WEATHER = View(
    name="weather",
    entity=("origin",),
    entity_types=("string",),
    time="seen_at",
    ttl_us=2 * HOUR_US,
    fields=(Field("wind", "float"), Field("sky", "string")),
)
RECENT = Windows(
    name="recent",
    source="flights",
    time="known_at",
    by=("origin",),
    key_types=("string",),
    aggregates=(
        Aggregate(name="seen", kind="count", column="", width_us=HOUR_US, returns="int"),
        Aggregate(name="delay", kind="mean", column="delay", width_us=3 * HOUR_US, scale=8),
    ),
    event_id=("id",),
    event_id_types=("string",),
)
SPEC = FeatureSetSpec(
    name="s",
    parts=(RECENT, WEATHER),
    request=(Field("origin", "string"),),
    features=(Field("weather_wind", "float"), Field("recent_delay", "float"), Field("recent_seen", "int")),
)


def asked(folder: Path, slot: int, origins: list[str | None], counters: FeedCounters | None) -> list[list[Any]]:
    store = open_online(folder)
    receive = build_receiver(SPEC, store)
    hour = timedelta(hours=1)
    receive(
        "weather",
        [
            {"origin": "JFK", "seen_at": NOON - hour, "wind": 3.0, "sky": None},
            {"origin": "EWR", "seen_at": NOON - 5 * hour, "wind": None, "sky": None},
        ],
    )
    receive("flights", [{"id": "1", "origin": "JFK", "known_at": NOON - 2 * hour, "delay": None}])
    found = build_resolver(SPEC, {}, store, cells=counters.cells if counters else None)(
        [[one] for one in origins], NOON
    )
    store.close()
    return found


def test_what_is_found_is_counted(tmp_path: Path) -> None:
    feeds = feeds_of(SPEC)
    assert read_feeds(tmp_path) == []
    first, second = FeedCounters(tmp_path, feeds, 0), FeedCounters(tmp_path, feeds, 5)
    origins = ["JFK", "EWR", "LGA", "JFK", None]
    plain = asked(tmp_path, 0, origins, None)
    assert asked(tmp_path, 0, origins, first) == plain  # counting changes no answer
    assert asked(tmp_path, 5, ["JFK"], second) == plain[:1]
    recent, weather = second.counts()
    assert (weather.looked_up, weather.not_found, weather.too_old) == (4, 1, 1)
    assert (weather.mean_age_s, weather.max_age_s) == ((1 + 5 + 1) * 3600 / 3, 5 * 3600)
    assert weather.nulls == {"weather_wind": 1, "weather_sky": 3}
    assert weather.found == 3
    assert (recent.looked_up, recent.not_found, recent.mean_age_s) == (4, 2, None)
    assert recent.nulls == {"recent_seen": 0, "recent_delay": 4}
    assert read_feeds(tmp_path) == first.counts() == second.counts()


def test_prometheus_reads_them(tmp_path: Path) -> None:
    counters = FeedCounters(None, feeds_of(SPEC))
    asked(tmp_path, 0, ["JFK", "LGA"], counters)
    text = counters.text("delays")
    assert 'slipway_feed_looked_up_total{endpoint="delays",kind="view",feed="weather"} 2' in text
    assert 'slipway_feed_not_found_total{endpoint="delays",kind="view",feed="weather"} 1' in text
    assert 'slipway_feed_age_seconds_max{endpoint="delays",kind="view",feed="weather"} 3600.0' in text
    assert 'slipway_feed_nulls_total{endpoint="delays",kind="view",feed="weather",feature="weather_sky"} 1' in text
    assert 'kind="windows",feed="recent"} ' not in text.partition("age_seconds_mean{")[2].partition("\n")[0]
    assert FeedCounters(None, ()).text("delays") == ""


def test_feeds_of_one_name_are_counted_apart(tmp_path: Path) -> None:
    spec = msgspec.structs.replace(
        SPEC,
        parts=tuple(
            msgspec.structs.replace(part, name="both") for part in SPEC.parts if isinstance(part, View | Windows)
        ),
    )
    feeds = feeds_of(spec)
    assert len({(feed.kind, feed.name) for feed in feeds}) == len(feeds)
    counters = FeedCounters(None, feeds)
    assert sorted(len(cells) for cells in counters.cells.values()) == sorted(feed.width for feed in feeds)


def test_the_mean_age_of_old_rows_stays_true(tmp_path: Path) -> None:
    """Rows of long ago, looked up as often as a busy endpoint does in a week: the mean is still their age."""
    counters = FeedCounters(tmp_path, feeds_of(SPEC))
    cells = counters.cells["weather_wind"]
    long_ago = datetime(1, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)
    with closing(open_online(tmp_path)) as store:
        build_receiver(SPEC, store)("weather", [{"origin": "JFK", "seen_at": long_ago, "wind": 1.0, "sky": None}])
        resolve = build_resolver(SPEC, {}, store, cells=counters.cells)
        resolve([["JFK"]], NOON)
        for place in range(len(cells)):
            if place != AGE_MAX:
                cells[place] *= 100_000_000
        resolve([["JFK"]], NOON)
    (weather,) = [one for one in counters.counts() if one.kind == "view"]
    assert weather.looked_up == 100_000_001
    assert weather.mean_age_s == weather.max_age_s == (NOON - long_ago).total_seconds()


def test_a_restart_loses_no_count_and_former_models_files_go(tmp_path: Path) -> None:
    feeds, former = feeds_of(SPEC), feeds_of(msgspec.structs.replace(SPEC, parts=SPEC.parts[:1]))
    FeedCounters(tmp_path, former)
    asked(tmp_path, 0, ["JFK"], FeedCounters(tmp_path, feeds, 0))
    assert len(list(tmp_path.glob("feeds-*.bin"))) == 2
    before = read_feeds(tmp_path)
    forget_former(tmp_path)
    assert len(list(tmp_path.glob("feeds-*.bin"))) == 1
    assert read_feeds(tmp_path) == before
    assert len({one.layout for one in before}) == 1
    asked(tmp_path, 0, ["JFK", "LGA"], FeedCounters(tmp_path, feeds, 0))
    assert [one.looked_up for one in read_feeds(tmp_path)] == [3, 3]
