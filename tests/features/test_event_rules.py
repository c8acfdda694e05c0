"""The rules for late, repeated, shuffled and future events, as docs/features.md states them: stream == batch, always."""

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import feature_histories as fh
import polars as pl
import pytest
import test_views as tv
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import slipway.features.windows as w
from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.features.offline import History, compute
from slipway.features.online import Receiver, Resolver, build_receiver, build_resolver
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec

_slow = settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

SET = FeatureSet(
    w.windows(
        "events",
        time="known_at",
        by={"origin": "origin", "carrier": "carrier"},
        n=w.count("1h"),
        total=w.sum_("delay", "6h"),
        spread=w.std("delay", "6h", default=0.0),
        newest=w.last("seats", "6h"),
        least=w.min_("seats", "1h"),
        kinds=w.approx_distinct("carrier", "6h"),
        usual=w.quantile("delay", 0.5, "6h"),
        fading=w.decayed_mean("seats", half_life="1h", width="6h"),
    ),
    tv.weather,
)
SPEC = build_spec(
    SET,
    fh.REQUEST,
    FrameTables(
        {"events": pl.DataFrame(schema=fh.EVENT_SCHEMA), "observations": pl.DataFrame(schema=tv.SCHEMA)},
        {"events": ("id",)},
    ),
    lambda function: function.__name__,
)
NAMES = [field.name for field in SPEC.request]
NOBODY = pl.DataFrame(schema=tv.SCHEMA)
EVENT: dict[str, Any] = {
    "id": 1, "known_at": fh.START, "origin": "EWR", "carrier": "UA", "delay": 2.0, "seats": 10, "late": True,
}  # fmt: skip


@contextmanager
def opened() -> Iterator[tuple[Receiver, Resolver]]:
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteOnlineStore(Path(folder) / "online.db")
        yield build_receiver(SPEC, store), build_resolver(SPEC, {}, store)
        store.close()


def batch(events: list[dict[str, Any]], seen: list[dict[str, Any]], labels: pl.DataFrame) -> list[list[object]]:
    history = History(
        events={"events": pl.DataFrame(events, schema=fh.EVENT_SCHEMA, orient="row")},
        views={"weather": pl.DataFrame(seen, schema=tv.SCHEMA, orient="row").drop("carrier")},
    )
    return fh.all_bits([list(row) for row in compute(SPEC, labels, "at", history, {}).frame.iter_rows()])


def stream(resolve: Resolver, labels: pl.DataFrame) -> list[list[object]]:
    rows = labels.to_dicts()
    return fh.all_bits([resolve([[row[name] for name in NAMES]], row["at"].astimezone(UTC))[0] for row in rows])


@pytest.mark.full
@_slow
@given(fh.events(), tv.observations(), fh.labels(most=5), st.randoms(use_true_random=False))
def test_at_every_moment_the_stream_is_the_batch_of_what_has_come(
    events: pl.DataFrame, seen: pl.DataFrame, labels: pl.DataFrame, made: random.Random
) -> None:
    """Events come shuffled, twice and late, some ahead of their time; each answer is that of a batch over the same ones."""
    arrivals = [("events", row) for row in events.to_dicts()] + [("weather", row) for row in seen.to_dicts()]
    arrivals += made.sample(arrivals, len(arrivals) // 3)
    made.shuffle(arrivals)
    come: dict[str, list[dict[str, Any]]] = {"events": [], "weather": []}
    with opened() as (receive, resolve):
        while arrivals:
            size = made.randrange(1, 9)
            taken, arrivals = arrivals[:size], arrivals[size:]
            for name in ("events", "weather"):
                rows = [row for place, row in taken if place == name]
                come[name] += rows
                receive(name, rows)
            assert stream(resolve, labels) == batch(come["events"], come["weather"], labels)


def answer(resolve: Resolver, at: datetime, **request: Any) -> dict[str, Any]:
    (values,) = resolve([{"origin": "EWR", "carrier": "UA", **request}], at)
    return dict(zip((field.name for field in SPEC.features), values, strict=True))


def test_an_event_of_the_future_counts_once_its_time_has_come() -> None:
    with opened() as (receive, resolve):
        receive("events", [EVENT | {"known_at": fh.START + fh.HOUR}])
        receive("weather", [dict.fromkeys(tv.VALUES) | {"origin": "EWR", "seen_at": fh.START + fh.HOUR, "temp": 3.0}])
        before = answer(resolve, fh.START + fh.HOUR - timedelta(microseconds=1))
        assert (before["origin_n"], before["origin_kinds"], before["origin_usual"], before["weather_temp"]) == (
            0,
            0,
            None,
            None,
        )
        then = answer(resolve, fh.START + fh.HOUR)
        assert (then["origin_n"], then["origin_kinds"], then["origin_fading"], then["weather_temp"]) == (
            1,
            1,
            10.0,
            3.0,
        )


def test_a_late_event_counts_where_its_time_lies() -> None:
    with opened() as (receive, resolve):
        receive("events", [EVENT | {"id": 2, "known_at": fh.START + 3 * fh.HOUR, "seats": 20}])
        receive("events", [EVENT])
        at_start, later = answer(resolve, fh.START), answer(resolve, fh.START + 3 * fh.HOUR)
        assert (at_start["origin_n"], at_start["origin_newest"]) == (1, 10)
        assert (later["origin_n"], later["origin_newest"], later["origin_total"]) == (1, 20, 4.0)


def test_an_event_that_comes_twice_counts_once_and_a_corrected_one_by_its_greater_values() -> None:
    with opened() as (receive, resolve):
        assert receive("events", [EVENT, EVENT]).changed == 2  # one for each key set
        assert receive("events", [EVENT]).changed == 0
        for values in ({"seats": 30}, {"seats": None}, {"seats": 20}):
            receive("events", [EVENT | values])
        found = answer(resolve, fh.START)
        assert (found["origin_n"], found["origin_newest"]) == (1, 30)
        # The time belongs to what identifies an event: the same id at another time is another event.
        receive("events", [EVENT | {"known_at": fh.START - timedelta(minutes=1)}])
        assert answer(resolve, fh.START)["origin_n"] == 2


@pytest.mark.parametrize("missing", ["id", "known_at", "origin"])
def test_an_event_without_key_time_or_id_never_counts(missing: str) -> None:
    with opened() as (receive, resolve):
        assert receive("events", [EVENT | {missing: None}]).passed_over >= 1
        assert answer(resolve, fh.START)["origin_n"] == 0
        assert answer(resolve, fh.START, origin=None)["origin_n"] == 0
    labels = pl.DataFrame({"key": [1], "at": [fh.START], "origin": ["EWR"], "carrier": ["UA"], "distance": [1]})
    history = History(
        events={"events": pl.DataFrame([EVENT | {missing: None}], schema=fh.EVENT_SCHEMA)},
        views={"weather": NOBODY.drop("carrier")},
    )
    found = compute(SPEC, labels, "at", history, {})
    assert found.frame["origin_n"].to_list() == [0]
    if missing != "origin":
        assert any("which never count: 1" in note for note in found.notes)


def test_zones_do_not_matter_and_naive_instants_are_refused() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    with opened() as (receive, resolve):
        receive("events", [EVENT | {"known_at": fh.START.astimezone(east)}])
        receive("events", [EVENT | {"known_at": fh.START.astimezone(east).isoformat()}, EVENT | {"known_at": fh.START}])
        assert answer(resolve, fh.START.astimezone(east))["origin_n"] == 1
        for naive in ("2013-03-10T06:00:00", fh.START.replace(tzinfo=None)):
            with pytest.raises(InvalidInput, match="an instant with its time zone is expected"):
                receive("events", [EVENT | {"known_at": naive}])
        with pytest.raises(InvalidInput, match="has no time zone"):
            answer(resolve, fh.START.replace(tzinfo=None))
        assert answer(resolve, fh.START)["origin_n"] == 1  # nothing was lost, and nothing half taken
    naive_table = pl.DataFrame(schema=fh.EVENT_SCHEMA | {"known_at": pl.Datetime("us")})
    with pytest.raises(InvalidDeclaration, match=r"Where it holds UTC without saying so"):
        build_spec(
            FeatureSet(w.windows("events", time="known_at", by="origin", n=w.count("1h"))),
            fh.REQUEST, FrameTables({"events": naive_table}, {"events": ("id",)}), str,
        )  # fmt: skip
