"""What features do: the same where a model learns and where it answers."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from conformance_journey.world import NAME, ROW, World
from slipway.errors import NotFound

UNTIL = date(2013, 3, 12)


def _training(world: World, until: date = UNTIL) -> pl.DataFrame:
    module = world.module
    found: pl.DataFrame = module.features.training_set(
        module.orders, label="late", at="asked_at", known="known_at", until=until
    )
    return found


def _inputs(world: World, **changed: Any) -> dict[str, Any]:
    """What the endpoint's model was given for a request, as its explanation tells it."""
    answer = world.ask({**ROW, **changed}, query="?explain=6")
    assert answer.status_code == 200, answer.text
    told = answer.json()["predictions"][0]["explanation"]["contributions"]
    return {one["input"]: one["value"] for one in told}


def _pushed(world: World, **body: Any) -> dict[str, int]:
    sent = world.endpoint.post(f"/endpoints/{NAME}/events", json=body)
    assert sent.status_code == 200, sent.text
    return dict(sent.json())


def one_row_a_label(world: World) -> None:
    """A training set has one row for each order whose label was known."""
    _ = world.stored
    rows = _training(world)
    known = world.module.orders.read().filter(pl.col("known_at") <= datetime(2013, 3, 12, tzinfo=UTC)).collect()
    assert sorted(rows["order_id"].to_list()) == sorted(known["order_id"].to_list())


def nothing_later(world: World) -> None:
    """Until an earlier day, the same rows come out as were there then."""
    early, all_rows = _training(world, date(2013, 2, 20)), _training(world)
    both = all_rows.filter(pl.col("order_id").is_in(early["order_id"].to_list()))
    assert early.sort("order_id").equals(both.sort("order_id"))


def window_mean(world: World) -> None:
    """A window's mean is that of the rows that were known within a day before the request."""
    row = _training(world).row(500, named=True)
    orders = world.module.orders.read().filter(
        pl.col("region") == row["region"],
        pl.col("known_at") <= row["asked_at"],
        pl.col("known_at") > row["asked_at"] - timedelta(days=1),
    )
    sizes = orders.collect()["size"].to_list()
    assert row["region_seen_1d"] == len(sizes) > 5
    assert row["region_size_1d"] == pytest.approx(sum(sizes) / len(sizes))


def empty_window(world: World) -> None:
    """A window that nothing is known of yet counts 0 and has no mean."""
    first = _training(world).sort("asked_at").row(0, named=True)
    assert (first["region_seen_1d"], first["region_size_1d"]) == (0, None)


def view(world: World) -> None:
    """A feature view gives the last row that was known at the request."""
    row = _training(world).row(700, named=True)
    then = world.module.load.read().filter(pl.col("region") == row["region"], pl.col("observed_at") <= row["asked_at"])
    assert row["load_now_load"] == then.sort("observed_at").collect()["load"][-1]


def ttl(world: World) -> None:
    """A row of a view that is older than its time to live is not given."""
    module = world.module
    rows = module.fresh_features.training_set(module.orders, label="late", at="asked_at", known="known_at", until=UNTIL)
    ages = [(one["asked_at"].hour % 6 * 60 + one["asked_at"].minute, one["load_fresh_load"]) for one in rows.to_dicts()]
    assert all((load is None) == (minutes >= 60) for minutes, load in ages if minutes != 60)
    assert any(load is not None for _, load in ages)


def scalar(world: World) -> None:
    """A scalar feature is its function of the row."""
    rows = _training(world)
    assert rows["is_large"].to_list() == [size > 0 for size in rows["size"].to_list()]


def examples(world: World) -> None:
    """The examples of a scalar feature are tried by command."""
    done = world.slipway("features", "test")
    assert done.exit_code == 0
    assert done.output.strip().startswith("holds        is_large: 2 examples")


def listed(world: World) -> None:
    """Features are listed with the kind and the table they come from, once a model learnt from them."""
    assert world.first.version
    found = {one.name for one in world.call("features.list").features}
    assert found >= {"is_large", "load_now", "region_seen_1d", "region_size_1d"}


def unknown_feature(world: World) -> None:
    """A feature that does not exist is told with the one that is nearest."""
    with pytest.raises(NotFound, match="Did you mean 'region_size_1d'"):
        world.call("features.get", name="region")


def certified(world: World) -> None:
    """A model's features are proven equal offline, online, in a stream and back-filled, bit for bit."""
    found = world.call("features.certify", model=NAME, version="1")
    assert found.holds
    assert (found.certificate.rows, found.certificate.mismatches) == (1000, 0)


def online_is_offline(world: World) -> None:
    """What an endpoint looked up is computed again from the tables, and equal."""
    for region in ("east", "north", "west"):
        _inputs(world, region=region, order_id=f"C-{region}")

    def logged() -> Any:
        found = world.call("endpoints.consistency", name=NAME, sample=1.0)
        return found if found.rows >= 3 else None

    report = world.until(logged)
    assert [one.feature for one in report.features if one.mismatches] == []


PUSHED = {"order_id": "P1", "region": "east", "known_at": "2013-03-12T23:00:00Z", "size": 50.0}


def pushed_event(world: World) -> None:
    """A pushed row of a table is in the window of the next request."""
    before = _inputs(world)
    assert _pushed(world, source="orders", rows=[PUSHED]) == {"accepted": 1, "new": 1, "passed_over": 0}
    after, seen = _inputs(world), before["region_seen_1d"]
    assert after["region_seen_1d"] == seen + 1
    assert after["region_size_1d"] == pytest.approx((before["region_size_1d"] * seen + 50.0) / (seen + 1))


def pushed_twice(world: World) -> None:
    """A row that is pushed a second time is not counted again."""
    before = _inputs(world)
    assert _pushed(world, source="orders", rows=[PUSHED])["new"] == 0
    assert _inputs(world) == before


def pushed_view(world: World) -> None:
    """A pushed row of a view is what the next request looks up."""
    row = {"region": "north", "observed_at": "2013-03-12T23:30:00Z", "load": 9.0}
    assert _pushed(world, view="load_now", rows=[row])["new"] == 1
    assert _inputs(world, region="north")["load_now_load"] == 9.0
    assert _inputs(world)["load_now_load"] != 9.0


def push_unknown(world: World) -> None:
    """A push to a table that the endpoint does not read is refused with those that it does."""
    sent = world.endpoint.post(f"/endpoints/{NAME}/events", json={"source": "nothing", "rows": []})
    assert sent.status_code in (404, 422)
    assert "orders" in sent.text


def traced(world: World) -> None:
    """The columns that an endpoint's answers depend on are told."""
    found = world.call("catalog.lineage", what=NAME)
    assert {"load.load", "orders.size", "request.size"} <= set(found.columns)


def found_in_catalog(world: World) -> None:
    """The catalog finds a table by a word of its description."""
    assert [one.name for one in world.call("catalog.search", text="written").hits] == ["notes"]


BEHAVIOURS = (
    one_row_a_label,
    nothing_later,
    window_mean,
    empty_window,
    view,
    ttl,
    scalar,
    examples,
    listed,
    unknown_feature,
    certified,
    online_is_offline,
    pushed_event,
    pushed_twice,
    pushed_view,
    push_unknown,
    traced,
    found_in_catalog,
)
