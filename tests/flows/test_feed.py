"""Feeding: an endpoint's online store knows what its features look back on, and no more than that."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from small_desk import BETTER, FIRST, Desk, tables

import slipway as sw
from slipway.errors import InvalidInput
from slipway.features.online import build_resolver
from slipway.features.training import definition_of
from slipway.flows.feed import feed, keep_views
from slipway.models import registry
from slipway.records.models import Bundle
from slipway.tables import versions

NOON = datetime(2013, 3, 20, 12, tzinfo=UTC)


def bundle(desk: Desk) -> Bundle:
    return registry.bundle_of(desk.workspace, desk.version(FIRST))


def looked_up(desk: Desk, folder: Path, at: datetime) -> list[object]:
    spec = bundle(desk).features
    assert spec is not None
    store = desk.workspace.open_online(folder)
    try:
        resolve = build_resolver(spec, desk.project.module().features.functions, store)
        return resolve([{"origin": "JFK", "distance": 1, "departure": at}], at)[0]
    finally:
        store.close()


def test_feeding_twice_changes_nothing(desk: Desk, tmp_path: Path, said: list[str]) -> None:
    import dataclasses

    loud = dataclasses.replace(desk.workspace, say=said.append)
    feed(loud, bundle(desk), tmp_path)
    feed(loud, bundle(desk), tmp_path)
    assert [int(line.split(" rows")[0].rpartition(" ")[2].replace(",", "")) > 0 for line in said] == [True, False]


def test_what_is_fed_is_what_training_saw(desk: Desk, tmp_path: Path) -> None:
    feed(desk.workspace, bundle(desk), tmp_path)
    features = desk.project.module().features
    rows = features.training_set("flights", label="late", at="asked_at", since=NOON, until=NOON + timedelta(hours=1))
    (offline,) = rows.filter(pl.col("origin") == "JFK").select("origin_delay_6h", "weather_now_wind").rows()
    assert offline[0] is not None
    assert set(offline) <= set(looked_up(desk, tmp_path, NOON))


def test_nothing_is_fed_before_it_is_known(desk: Desk, tmp_path: Path) -> None:
    feed(desk.workspace, bundle(desk), tmp_path)  # at the first of April
    seen = looked_up(desk, tmp_path, datetime(2013, 4, 1, 5, tzinfo=UTC))
    assert seen[_place(desk, "origin_seen_6h")] == 1  # what became known at midnight, not what did so after it
    assert looked_up(desk, tmp_path, datetime(2013, 4, 2, tzinfo=UTC))[_place(desk, "weather_now_wind")] is None


def _place(desk: Desk, name: str) -> int:
    spec = bundle(desk).features
    assert spec is not None
    return [field.name for field in spec.features].index(name)


def test_a_model_without_look_backs_needs_no_store(desk: Desk, tmp_path: Path) -> None:
    import msgspec

    feed(desk.workspace, msgspec.structs.replace(bundle(desk), features=None), tmp_path)
    assert list(tmp_path.glob("online*")) == []


def test_views_are_kept_anew_only_when_their_result_changes(desk: Desk) -> None:
    features = desk.project.module().features
    before = versions.head(desk.workspace, view_table(desk))
    keep_views(desk.workspace, features)
    assert versions.head(desk.workspace, view_table(desk)) == before


def view_table(desk: Desk) -> str:
    return f"view.weather_now.{definition_of(desk.project.module().weather_now.function)[:12]}"


def test_another_query_of_the_same_name_is_another_table(desk: Desk) -> None:
    @sw.feature_view(entity="origin", time="observed_at")
    def weather_now(weather: pl.LazyFrame) -> pl.LazyFrame:
        return weather.select("origin", "observed_at", wind=pl.col("wind") * 1.94)

    before = versions.head(desk.workspace, view_table(desk))
    keep_views(desk.workspace, sw.FeatureSet(weather_now))
    assert versions.head(desk.workspace, view_table(desk)) == before
    assert len([name for name in tables(desk) if name.startswith("view.weather_now.")]) == 2


def test_tables_that_lost_a_column_are_a_sentence(desk: Desk, tmp_path: Path) -> None:
    lose_a_column(desk)
    with pytest.raises(InvalidInput, match="features of 'small-delays' cannot be read from the tables") as refusal:
        feed(desk.workspace, bundle(desk), tmp_path)
    assert "delay" in refusal.value.what


def lose_a_column(desk: Desk) -> None:
    fewer = versions.read(desk.workspace, "flights").collect().drop("delay")
    versions.overwrite(desk.workspace, "flights", fewer, key=("flight_id",), time="asked_at")


@pytest.mark.full
def test_the_way_back_stays_open_when_the_tables_have_moved_on(desk: Desk) -> None:
    desk.approve(FIRST, BETTER)
    first = desk.ask(desk.deploy(FIRST))
    desk.deploy(BETTER)
    lose_a_column(desk)
    with pytest.raises(InvalidInput, match="cannot be read from the tables"):
        desk.deploy(BETTER)
    assert desk.ask(desk.rollback())["score"] == first["score"]
