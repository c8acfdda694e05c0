import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import feature_histories as fh
import msgspec
import polars as pl
import pytest

import slipway.features.windows as w
from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.errors import InvalidInput
from slipway.features.materialise import events_between, materialise
from slipway.features.offline import compute
from slipway.features.online import build_receiver, build_resolver, stored_definitions
from slipway.features.sets import FeatureSet
from slipway.features.training import PinnedTables, history_of
from slipway.features.views import feature_view
from slipway.flows.erase import erase
from slipway.operations.erasures import Erase
from slipway.ports.workspace import Workspace
from slipway.records.features import FeatureSetSpec
from slipway.tables import versions
from slipway.tables.compaction import compact

H = fh.HOUR
INSTANT = pl.Datetime("us", "UTC")


@feature_view(entity="origin", time="observed_at", ttl="5h")
def weather_at(weather: pl.LazyFrame) -> pl.LazyFrame:
    return weather.select("origin", "observed_at", "temp", day=pl.col("observed_at").dt.date(), again="observed_at")


@feature_view(entity="carrier")
def airline(airlines: pl.LazyFrame) -> pl.LazyFrame:
    return airlines


FEATURES = FeatureSet(
    w.windows(
        "flights",
        time="known_at",
        by={"origin": "origin", "both": ["origin", "carrier"]},
        delay=w.mean("delay", "3h"),
        spread=w.std("delay", "9h"),
        last=w.last("seats", "9h"),
        seen=w.count("3h"),
    ),
    weather_at,
    airline,
)


def flights(first: int, count: int) -> pl.DataFrame:
    rows = [
        {"id": n, "known_at": fh.START + n * H / 3, "origin": ["EWR", "JFK", None][n % 3], "carrier": "UA|\\"[n % 4 :],
         "delay": n * 0.3, "seats": None if n % 5 == 0 else n, "late": True}
        for n in range(first, first + count)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=fh.EVENT_SCHEMA, orient="row")


@pytest.fixture
def tables(workspace: Workspace) -> Workspace:
    versions.overwrite(workspace, "flights", flights(0, 40), key=("id",))
    seen = [{"origin": "EWR", "observed_at": fh.START + n * 2 * H, "temp": float(n)} for n in range(6)]
    versions.overwrite(workspace, "weather", pl.DataFrame(seen, schema_overrides={"observed_at": INSTANT}))
    versions.overwrite(workspace, "airlines", pl.DataFrame({"carrier": ["UA|\\", "A|\\"], "fleet": [700, None]}))
    return workspace


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteOnlineStore]:
    opened = SqliteOnlineStore(tmp_path / "online.db")
    yield opened
    opened.close()


def spec() -> FeatureSetSpec:
    return FEATURES.spec({"origin": "string", "carrier": "string"})


def load(workspace: Workspace, store: SqliteOnlineStore, until: datetime) -> int:
    return materialise(workspace, spec(), store, until=until, views=FEATURES.views).rows


def agree(workspace: Workspace, store: SqliteOnlineStore, hours: range) -> bool:
    """Whether the store answers as the tables do, at these hours."""
    made = spec()
    history = history_of(made, FEATURES.views, PinnedTables(workspace))
    resolve = build_resolver(made, {}, store)
    asked = [["EWR", "UA|\\"], ["JFK", "A|\\"], [None, "UA|\\"], ["LGA", None]]
    for hour in hours:
        at = fh.START + hour * H
        rows = pl.DataFrame(asked, schema=["origin", "carrier"], orient="row")
        dated = rows.with_columns(pl.lit(at).cast(INSTANT).alias("at"))
        offline = [list(row) for row in compute(made, dated, "at", history, {}).frame.iter_rows()]
        if fh.all_bits(resolve(asked, at)) != fh.all_bits(offline):
            return False
    return True


def test_a_loaded_store_answers_as_the_tables(tables: Workspace, store: SqliteOnlineStore, said: list[str]) -> None:
    assert load(tables, store, fh.START + 12 * H) == 58
    assert agree(tables, store, range(-1, 13))
    assert not agree(tables, store, range(13, 14))
    assert said[-1] == "Online store: 58 rows loaded, known up to 2013-03-10T18:00:00+00:00."


def test_loading_again_loads_only_what_is_new(tables: Workspace, store: SqliteOnlineStore) -> None:
    load(tables, store, fh.START + 6 * H)
    assert load(tables, store, fh.START + 6 * H) == 0
    assert 0 < load(tables, store, fh.START + 9 * H) < 25
    assert load(tables, store, fh.START + 4 * H) == 0
    assert agree(tables, store, range(-1, 10))


def test_erased_rows_leave_the_store_with_the_next_load(tables: Workspace, store: SqliteOnlineStore) -> None:
    load(tables, store, fh.START + 12 * H)
    gone = [n for n in range(40) if n % 3 == 0][:3]
    for n in gone:
        assert erase(tables, Erase(table="flights", key=(str(n),), reason="a request")).left == 0
    assert not agree(tables, store, range(-1, 13))
    assert load(tables, store, fh.START + 12 * H) > 0
    assert agree(tables, store, range(-1, 13))
    assert load(tables, store, fh.START + 12 * H) == 0
    versions.append(tables, "flights", flights(40, 5))
    load(tables, store, fh.START + 16 * H)
    assert agree(tables, store, range(-1, 17))


def test_an_interrupted_load_is_finished_by_the_next(tables: Workspace, store: SqliteOnlineStore) -> None:
    until = fh.START + 12 * H

    class Stopped(Exception):
        pass

    class Halfway(SqliteOnlineStore):
        def set_mark(self, name: str, value: str) -> None:
            raise Stopped

    halfway = Halfway(store._path)
    with pytest.raises(Stopped):
        load(tables, halfway, until)
    halfway.close()
    load(tables, store, until)
    assert agree(tables, store, range(-1, 13))


def test_appended_rows_are_loaded_late_ones_too(tables: Workspace, store: SqliteOnlineStore) -> None:
    load(tables, store, fh.START + 12 * H)
    versions.append(tables, "flights", flights(-9, 9).with_columns(pl.col("id") + 1000))
    assert load(tables, store, fh.START + 12 * H) == 12
    assert agree(tables, store, range(-3, 13))


def test_an_overwritten_table_is_loaded_afresh(tables: Workspace, store: SqliteOnlineStore) -> None:
    load(tables, store, fh.START + 12 * H)
    versions.overwrite(tables, "flights", flights(3, 9).with_columns(pl.col("delay") - 7), key=("id",))
    versions.overwrite(tables, "airlines", pl.DataFrame({"carrier": ["A|\\"], "fleet": [3]}))
    load(tables, store, fh.START + 12 * H)
    assert agree(tables, store, range(-1, 13))


def test_what_was_pushed_after_an_overwritten_tables_last_row_stays(
    tables: Workspace, store: SqliteOnlineStore
) -> None:
    load(tables, store, fh.START + 12 * H)
    later = flights(60, 3)
    build_receiver(spec(), store)("flights", later.to_dicts())
    versions.overwrite(tables, "flights", flights(3, 9), key=("id",))
    load(tables, store, fh.START + 30 * H)
    versions.append(tables, "flights", pl.concat([flights(0, 40).slice(12), later]))
    assert agree(tables, store, range(22, 24))


def test_a_missing_feature_view_is_a_sentence(tables: Workspace, store: SqliteOnlineStore) -> None:
    with pytest.raises(InvalidInput, match="'weather_at' was not given"):
        materialise(tables, spec(), store, until=fh.START)


def test_what_arrives_can_be_pushed_as_json(tables: Workspace, store: SqliteOnlineStore) -> None:
    middle, end = fh.START + 5 * H, fh.START + 12 * H
    load(tables, store, middle)
    arrivals = list(events_between(tables, spec(), middle, end, views=FEATURES.views))
    assert [a.at for a in arrivals] == sorted(a.at for a in arrivals)
    assert {a.name for a in arrivals} == {"flights", "weather_at"}
    assert all(middle < a.at <= end and a.at.tzinfo is UTC for a in arrivals)
    receive = build_receiver(spec(), store)
    for arrival in arrivals:
        receive(arrival.name, [json.loads(msgspec.json.encode(arrival.row))])
    assert agree(tables, store, range(-1, 13))
    assert load(tables, store, end) > 0
    assert agree(tables, store, range(-1, 13))
    assert list(events_between(tables, spec(), end, end, views=FEATURES.views)) == []


def test_streams_that_windows_share_are_loaded_once(tables: Workspace, store: SqliteOnlineStore) -> None:
    twice = FeatureSet(
        w.windows("flights", time="known_at", by={"a": "origin", "b": "origin"}, seen=w.mean("delay", "3h")),
        w.windows("flights", time="known_at", by={"c": "origin"}, seen=w.sum_("delay", timedelta(days=9))),
    ).spec({"origin": "string"})
    assert len(stored_definitions(twice)[0]) == 1
    assert materialise(tables, twice, store, until=fh.START + 30 * H).rows == 27


def test_time_that_steps_back_loses_no_rows(tables: Workspace, store: SqliteOnlineStore) -> None:
    load(tables, store, fh.START + 9 * H)
    versions.append(tables, "flights", flights(0, 27).with_columns(pl.col("id") + 1000, pl.col("delay") + 3))
    seen = [{"origin": "EWR", "observed_at": fh.START + n * H, "temp": 50.0 + n} for n in range(9)]
    versions.append(tables, "weather", pl.DataFrame(seen, schema_overrides={"observed_at": INSTANT}))
    load(tables, store, fh.START + 2 * H)
    assert agree(tables, store, range(-1, 10))
    load(tables, store, fh.START + 12 * H)
    assert agree(tables, store, range(-1, 13))
    versions.overwrite(tables, "flights", flights(3, 30).with_columns(pl.col("delay") - 7), key=("id",))
    load(tables, store, fh.START + 2 * H)
    assert agree(tables, store, range(-1, 13))


def test_a_compaction_forgets_nothing_that_was_pushed(tables: Workspace, store: SqliteOnlineStore) -> None:
    versions.append(tables, "flights", flights(40, 2))
    load(tables, store, fh.START + 20 * H)
    late = {**flights(99, 1).row(0, named=True), "known_at": fh.START + 2 * H}  # pushed, and not in the table yet
    build_receiver(spec(), store)("flights", [late])
    before = compact(tables, "flights")
    assert before.change == "compact"
    versions.append(tables, "flights", flights(42, 2))
    assert load(tables, store, fh.START + 20 * H) < 10
    versions.append(tables, "flights", pl.DataFrame([late], schema=fh.EVENT_SCHEMA))
    assert agree(tables, store, range(-1, 21))
