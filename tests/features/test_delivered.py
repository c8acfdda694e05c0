"""Offline as delivered: equal to the online path that was asked while rows came late, or never, or were not in the table."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import feature_histories as fh
import polars as pl
import pytest
import test_views as tv

import slipway.features.windows as w
from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.features.delivered import Moments, compute_as_delivered, pushed_frames, with_pushed
from slipway.features.offline import History, compute
from slipway.features.online import build_receiver, build_resolver
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec
from slipway.features.states import to_us

FEATURES = FeatureSet(
    "distance",
    w.windows(
        "events",
        time="known_at",
        by={"origin": "origin", "both": ["origin", "carrier"]},
        seen=w.count("1h"),
        delay=w.mean("delay", "6h"),
        seats=w.last("seats", "1h"),
    ),
    fh.is_far,
    tv.weather,
)
SPEC = build_spec(
    FEATURES,
    fh.REQUEST,
    FrameTables(
        {"events": pl.DataFrame(schema=fh.EVENT_SCHEMA), "observations": pl.DataFrame(schema=tv.SCHEMA)},
        {"events": ("id",)},
    ),
    str,
)
START = datetime(2013, 3, 10, 6, tzinfo=UTC)


def drawn(made: random.Random) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    def minute() -> datetime:
        return START + timedelta(minutes=made.randrange(600))

    events = [
        {
            "id": number,
            "known_at": minute(),
            "origin": made.choice(["EWR", "JFK", "a|b"]),
            "carrier": made.choice(["UA", "b|", None]),
            "delay": made.choice([1.5, -2.0, None, 7.25]),
            "seats": made.choice([100, None, 7]),
            "late": True,
        }
        for number in range(150)
    ]
    nothing = dict.fromkeys(tv.VALUES)
    seen = [
        {"origin": made.choice(["EWR", "JFK"]), "seen_at": minute(), **nothing, "temp": made.random()}
        for _ in range(40)
    ]
    return events, list({(row["origin"], row["seen_at"]): row for row in seen}.values())


@pytest.mark.parametrize("seed", range(4))
def test_what_had_come_by_each_request_is_what_it_was_served(seed: int, tmp_path: Path) -> None:
    made = random.Random(seed)
    events, seen = drawn(made)
    pushed: dict[str, list[tuple[int, Any]]] = {"events": [], "weather": []}
    in_table = {"events": [row for row in events if made.random() < 0.9], "weather": seen}
    waiting = [("events", row, row["known_at"]) for row in events] + [("weather", row, row["seen_at"]) for row in seen]
    # Some are pushed with other contents than the table has: another value, or another key.
    for row in made.sample(events, 40):
        other = {**row, "seats": made.choice([None, 3, 300])} if made.random() < 0.5 else {**row, "origin": "x"}
        waiting.append(("events", other, row["known_at"]))
    waiting += [("weather", {**row, "temp": row["temp"] + made.choice([-1, 1])}, row["seen_at"]) for row in seen[::5]]
    due = []
    for name, row, known in waiting:
        delay = made.choice([0, 0, 0, 45, 200])
        never = delay == 200 and row in in_table.get(name, ()) and made.random() < 0.5
        due.append((known + timedelta(minutes=delay + (9000 if never else 0)), name, row, known))
    due.sort(key=lambda one: one[0])
    asked, answers, at_us, answered_us = [], [], [], []
    store = SqliteOnlineStore(tmp_path / "online.db")
    receive, resolve = build_receiver(SPEC, store), build_resolver(SPEC, FEATURES.functions, store)
    clock_us = 1_000_000_000
    for step in range(0, 700, 20):
        at = START + timedelta(minutes=step)
        while due and due[0][0] <= at:
            _, name, row, _ = due.pop(0)
            clock_us += 10
            sent = {key: value.isoformat() if isinstance(value, datetime) else value for key, value in row.items()}
            receive(name, [sent])
            pushed[name].append((clock_us, sent))
        request = {
            "origin": made.choice(["EWR", "JFK", "a|b", "x"]),
            "carrier": made.choice(["UA", "b|"]),
            "distance": step,
        }
        clock_us += 10
        asked.append(request)
        answers.append(resolve([request], at)[0])
        at_us.append(to_us(at))
        answered_us.append(clock_us)
    store.close()
    schema = {name: kind for name, kind in tv.SCHEMA.items() if name != "carrier"}
    found = compute_as_delivered(
        SPEC,
        pl.DataFrame(asked),
        Moments(at_us=at_us, answered_us=answered_us, filled_us=[-(2**62)] * len(asked)),
        History(
            events={"events": pl.DataFrame(in_table["events"], schema=fh.EVENT_SCHEMA, orient="row")},
            views={"weather": pl.DataFrame(in_table["weather"], schema=schema, orient="row")},
        ),
        pushed_frames(SPEC, pushed),
        FEATURES.functions,
    )
    assert fh.all_bits([list(row) for row in found.frame.rows()]) == fh.all_bits(answers)
    assert any(found.late)
    assert not all(found.late)
    assert max(found.lateness_us) >= 45 * 60 * 1_000_000 / 2


def test_what_was_known_at_the_last_back_fill_had_come() -> None:
    row = {"id": 1, "known_at": START, "origin": "EWR", "carrier": "UA", "delay": 1.0, "seats": 1, "late": True}
    history = History(
        events={"events": pl.DataFrame([row], schema=fh.EVENT_SCHEMA, orient="row")},
        views={"weather": pl.DataFrame(schema={n: k for n, k in tv.SCHEMA.items() if n != "carrier"})},
    )
    at = to_us(START + timedelta(minutes=10))
    asked = pl.DataFrame([{"origin": "EWR", "carrier": "UA", "distance": 5}] * 2)
    moments = Moments(at_us=[at, at], answered_us=[1, 1], filled_us=[to_us(START), to_us(START) - 1])
    found = compute_as_delivered(SPEC, asked, moments, history, pushed_frames(SPEC, {}), FEATURES.functions)
    assert found.frame["origin_seen"].to_list() == [1, 0]
    assert found.late == [False, True]
    assert found.lateness_us == [10 * 60 * 1_000_000]


def test_of_facts_without_time_the_content_that_was_pushed_last_had_come() -> None:
    """The table has one content of an entity, and others were pushed, before and after the answer."""
    features = FeatureSet(tv.airline)
    tables = FrameTables({"observations": pl.DataFrame(schema=tv.SCHEMA)})
    spec = build_spec(features, fh.REQUEST, tables, str)
    (view,) = features.views.values()
    kept = view(pl.DataFrame([{"carrier": "UA", "level": 1}], schema=tv.SCHEMA).lazy())
    pushed = [
        (came, {"carrier": "UA", "level": level, "sky": None}) for came, level in ((10, 5), (20, 4), (20, 2), (30, 9))
    ]
    asked = pl.DataFrame([{"carrier": "UA"}] * 4)
    moments = Moments(at_us=[to_us(START)] * 4, answered_us=[5, 15, 25, 35], filled_us=[0] * 4)
    found = compute_as_delivered(
        spec, asked, moments, History(views={"airline": kept}), pushed_frames(spec, {"airline": pushed}), {}
    )
    assert found.frame["airline_level"].to_list() == [1, 5, 2, 9]
    assert found.late == [True, True, True, False]
    now = with_pushed(spec, History(views={"airline": kept}), pushed_frames(spec, {"airline": pushed}))
    frame = compute(spec, asked.head(1).with_columns(at=pl.lit(START)), "at", now, {}).frame
    assert frame["airline_level"].to_list() == [9]
