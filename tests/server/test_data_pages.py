"""Pages of data and features: what differs in words, where a column leads, what a feature is."""

from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest

from filled_store import NASTY, fill
from server_desk import Ask, asker
from slipway.data.browse import profile_table
from slipway.features.definitions import in_use
from slipway.operations.catalog import Trace, TracedFeature, TracedModel
from slipway.operations.table_checks import GetProfile
from slipway.ports.workspace import Workspace
from slipway.records.features import Aggregate, RequestField, Scalar, View, Windows
from slipway.records.people import Actor
from slipway.records.tables import AboutTable
from slipway.server.features import in_words_of
from slipway.server.traces import left_out, picture
from slipway.tables.commits import Origin
from slipway.tables.versions import overwrite

HOME = "/projects/flights"
CHANGES = f"{HOME}/tables/orders/changes"
HOUR = 3_600_000_000


@pytest.fixture
def ordered(workspace: Workspace) -> Workspace:
    """Two versions of a table: rows, a column, a range, nulls and categories differ."""
    fill(workspace)
    first = pl.DataFrame({"id": range(400), "price": [10.0, 20.0] * 200, "city": ["Oslo", "Rome"] * 200})
    second = pl.DataFrame(
        {
            "id": range(10, 430),
            "price": [10.0, None, 500.0] * 140,
            "city": ["Oslo", NASTY, "Oslo"] * 140,
            "colour": ["red"] * 420,
        }
    )
    origin = Origin(about=AboutTable(personal=("city",)))
    overwrite(workspace, "orders", first, key=("id",), origin=origin)
    overwrite(workspace, "orders", second, key=("id",), origin=origin)
    return workspace


def test_two_versions_differ_in_words(ordered: Workspace) -> None:
    text = asker(ordered)("GET", CHANGES).text
    assert NASTY not in text
    for words in (
        "version 1 to 2",
        "<b>30</b>",
        "<b>10</b>",
        "<b>colour</b> was added",
        "Without a value: 0.0% of the rows before, 33.3% now.",
        "Range: 10 to 20 before, 10 to 500 now.",
        "New: &lt;script&gt;",
        "Gone: Rome (200 rows).",
        "It is not in version 1.",
    ):
        assert words in text, words
    back = asker(ordered)("GET", f"{CHANGES}?before=2&after=1").text
    assert "<b>colour</b> was dropped" in back
    same = asker(ordered)("GET", f"{CHANGES}?before=2&after=2").text
    assert "Both are the same version." in same
    assert asker(ordered)("GET", f"{CHANGES}?before=nix").status_code == 404


def test_values_of_people_are_in_no_sentence_for_who_may_not_see_them(ordered: Workspace) -> None:
    bob = replace(ordered, actor=Actor("bob", roles=("data scientist",)))
    found = profile_table(bob, GetProfile(name="orders", version="2", against="1"))
    city = next(one for one in found.columns if one.name == "city")
    assert (city.differences, city.bars_before) == ((), ())
    text = asker(bob)("GET", CHANGES).text
    assert "Gone: Rome" not in text
    assert "Range: 10 to 20 before, 10 to 500 now." in text


def test_a_table_that_is_old_is_late_where_freshness_was_promised(ordered: Workspace) -> None:
    text = asker(ordered)("GET", f"{HOME}/tables").text
    assert "Are they fresh?" in text
    assert "sw.fresh(...)" in text


def test_features_say_what_they_are_and_what_proves_them(ordered: Workspace) -> None:
    ask: Ask = asker(ordered)
    text = ask("GET", f"{HOME}/features").text
    assert "a function of scheduled_departure" in text
    one = ask("GET", f"{HOME}/features/hour").text
    assert "in use" in one
    assert "Definitions" in one
    assert ask("GET", f"{HOME}/features/%3Cscript%3E").status_code == 404
    with ordered.ledger.read() as tx:
        assert set(in_use(tx, "flights")) == {"hour"}


def test_each_kind_of_feature_has_its_words() -> None:
    mean = Aggregate(name="delay", kind="mean", column="late", width_us=6 * HOUR)
    count = Aggregate(name="seen", kind="count", column="", width_us=HOUR)
    decayed = Aggregate(name="d", kind="decayed_mean", column="late", width_us=HOUR, half_life_us=HOUR)
    median = Aggregate(name="q", kind="quantile", column="late", width_us=HOUR, quantile=0.5)
    windows = Windows(name="w", source="flights", time="known_at", by=("origin", "carrier"), aggregates=(mean, count))
    assert in_words_of(windows) == (
        "mean of flights.late over 6 hours; count of rows of flights over 1 hour by origin, carrier, each row once it was "
        "known (known_at)"
    )
    two = in_words_of(Windows(name="w", source="f", time="t", by=("o",), aggregates=(decayed, median)))
    assert "decayed mean of f.late over 1 hour (half as much after 1 hour)" in two
    assert "quantile 0.5 of f.late" in two
    view = View(
        name="v", entity=("origin",), time="at", ttl_us=timedelta(hours=3) // timedelta(microseconds=1), sources=("w",)
    )
    assert in_words_of(view) == "the latest row known by then (at) of a query over w, by origin, at most 3 hours old"
    assert in_words_of(Scalar(name="s", arguments=(), returns="int", module="")) == "a function of nothing"
    assert in_words_of(RequestField(name="x", type="int")) == "the request's field x as it stands"


def feature(name: str, *columns: str) -> TracedFeature:
    return TracedFeature(project="flights", name=name, type="float", sort="windows", columns=columns)


def model(*features: str) -> TracedModel:
    return TracedModel(
        project="flights", name=NASTY, number=2, run_id="", data=(), endpoints=("late",), features=features, beside=("flights.late",)
    )  # fmt: skip


def test_a_picture_leads_from_column_to_endpoint() -> None:
    trace = Trace(
        what="the column flights.delay",
        columns=("flights.delay", "request.origin"),
        features=(feature("delay_6h", "flights.delay", "request.origin", "flights.known_at"),),
        models=(model("delay_6h"),),
    )
    drawn = picture(trace, "flights")
    assert NASTY not in drawn
    assert "flights.known_at" not in drawn, "only what was asked for"
    for address in (
        "lineage?what=flights.delay",
        "lineage?what=delay_6h",
        "endpoints/late",
        "lineage?what=flights.late",
    ):
        assert f'href="{HOME}/{address}"' in drawn
    assert not left_out(trace)
    assert picture(Trace(what="x", columns=(), features=(), models=()), "flights") == ""


def test_a_picture_of_too_much_shows_tables_and_kinds() -> None:
    names = [f"f{number}" for number in range(70)]
    trace = Trace(
        what="the model", columns=("flights.delay",), features=tuple(feature(name, "flights.delay") for name in names), models=(model(*names),)
    )  # fmt: skip
    drawn = picture(trace, "flights")
    assert left_out(trace)
    assert drawn.count("<rect") == 4
    assert f'href="{HOME}/tables/flights"' in drawn
