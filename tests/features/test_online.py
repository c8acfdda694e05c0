from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import feature_histories as fh
import msgspec
import polars as pl
import pytest
import test_views as tv

import slipway.features.windows as w
from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.errors import InvalidInput
from slipway.features.online import Received, build_receiver, build_resolver
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec

SPEC = build_spec(
    FeatureSet(
        w.windows("events", time="known_at", by={"o": "origin", "c": "carrier"}, m=w.mean("seats", "1h")), tv.weather
    ),
    fh.REQUEST,
    FrameTables(
        {"events": pl.DataFrame(schema=fh.EVENT_SCHEMA), "observations": pl.DataFrame(schema=tv.SCHEMA)},
        {"events": ("id",)},
    ),
    str,
)
EVENT = {"id": 1, "known_at": "2013-03-10T06:00:00Z", "origin": "EWR", "carrier": "UA", "seats": 3}
SEEN = dict.fromkeys(tv.VALUES) | {"origin": "EWR", "seen_at": fh.START, "temp": 3, "day": "2013-03-10"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteOnlineStore]:
    opened = SqliteOnlineStore(tmp_path / "online.db")
    yield opened
    opened.close()


def test_pushed_rows_are_counted(store: SqliteOnlineStore) -> None:
    receive = build_receiver(SPEC, store)
    assert receive("events", [EVENT, EVENT | {"origin": None, "id": 2}]) == Received(rows=2, changed=3, passed_over=1)
    assert receive("events", [EVENT, EVENT | {"known_at": None}]) == Received(rows=2, changed=0, passed_over=2)
    assert receive("weather", [SEEN, SEEN | {"seen_at": None}]) == Received(rows=2, changed=1, passed_over=1)
    answer = build_resolver(SPEC, {}, store)([{"origin": "EWR", "carrier": "UA"}], fh.START)[0]
    assert answer[:3] == [3.0, 3.0, 3.0]


@pytest.mark.parametrize("gust", ["PT90M", "-PT0.5S", "P1DT1H", timedelta(minutes=90), None])
def test_pushed_dates_and_durations_come_back(store: SqliteOnlineStore, gust: str | timedelta | None) -> None:
    build_receiver(SPEC, store)("weather", [SEEN | {"gust": gust}])
    answer = build_resolver(SPEC, {}, store)([{"origin": "EWR", "carrier": "UA"}], fh.START)[0]
    values = dict(zip((field.name for field in SPEC.features), answer, strict=True))
    expected = msgspec.convert(gust, timedelta) if isinstance(gust, str) else gust
    assert (values["weather_gust"], values["weather_day"]) == (expected, date(2013, 3, 10))


@pytest.mark.parametrize(
    ("name", "row", "sentence"),
    [
        ("event", EVENT, "Rows of 'event' were pushed.*Did you mean 'events'"),
        ("events", {"known_at": EVENT["known_at"]}, "A pushed row of 'events' has no 'id'"),
        ("events", EVENT | {"seats": "3"}, "has the value '3'. A whole number is expected"),
        ("events", EVENT | {"seats": 3.5}, "has the value 3.5"),
        ("events", EVENT | {"known_at": "2013-03-10T06:00:00"}, "an instant with its time zone is expected"),
        ("events", EVENT | {"known_at": "soon"}, "has 'soon' where an instant"),
        ("events", EVENT | {"known_at": 3}, "has 3 where an instant"),
        ("weather", SEEN | {"day": "10 March"}, "has '10 March' where a date is expected"),
        ("weather", SEEN | {"day": 15000}, "has 15000 where a date is expected"),
        ("weather", SEEN | {"day": fh.START}, "where a date is expected"),
        ("weather", SEEN | {"gust": "a while"}, "has 'a while' where a duration is expected"),
        ("weather", SEEN | {"gust": 90}, "has 90 where a duration is expected"),
        ("weather", SEEN | {"gust": "P99999999999D"}, "where a duration is expected"),
        ("weather", SEEN | {"gust": "P900000000D"}, "has 'P900000000D' where a duration"),
        ("weather", SEEN | {"temp": "warm"}, "has 'warm' where a float is expected"),
    ],
)
def test_what_does_not_fit_is_a_sentence(
    store: SqliteOnlineStore, name: str, row: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        build_receiver(SPEC, store)(name, [row])


def test_a_set_that_looks_back_needs_a_store() -> None:
    with pytest.raises(InvalidInput, match="no online store was given"):
        build_resolver(SPEC, {})


def test_an_instant_of_a_request_needs_a_time_zone() -> None:
    resolve = build_resolver(build_spec(FeatureSet("departs"), {"departs": "datetime"}, FrameTables({}), str), {})
    with pytest.raises(InvalidInput, match="field 'departs' is datetime"):
        resolve([[datetime(2013, 1, 1)]], fh.START)


def test_a_request_without_rows_has_no_answers(store: SqliteOnlineStore) -> None:
    assert build_resolver(SPEC, {}, store)([], fh.START) == []


def test_two_resolvers_share_what_their_sets_share(store: SqliteOnlineStore) -> None:
    build_receiver(SPEC, store)("events", [EVENT])
    other = build_spec(
        FeatureSet(w.windows("events", time="known_at", by={"place": "origin"}, total=w.sum_("seats", "9h"))),
        fh.REQUEST,
        fh.tables(pl.DataFrame(schema=fh.EVENT_SCHEMA)),
        str,
    )
    assert build_resolver(other, {}, store)([["EWR"]], fh.START) == [[3.0]]
