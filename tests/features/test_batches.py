"""What comes batch by batch is what comes at once, bit for bit, wherever the rows lay meanwhile."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import feature_histories as fh
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import slipway.features.windows as w
from slipway.features import batches, offline
from slipway.features.batches import Batches, Limits
from slipway.features.offline import History, Offline, compute
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec
from slipway.features.views import feature_view
from slipway.schema.fingerprints import of_frame

FUNCTIONS = {"is_far": fh.is_far, "busy": fh.busy}


@feature_view(entity="origin", time="known_at", ttl="2h")
def weather(events: pl.LazyFrame) -> pl.LazyFrame:
    return events.select("origin", "known_at", "delay", "seats")


@feature_view(entity=["origin", "carrier"], time="known_at")
def pair(events: pl.LazyFrame) -> pl.LazyFrame:
    return events.select("origin", "carrier", "known_at", "late", at=pl.col("known_at").dt.date())


FEATURES = fh.a_set(weather, pair)
SPEC = build_spec(
    FEATURES, fh.REQUEST, fh.tables(pl.DataFrame(schema=fh.EVENT_SCHEMA)), lambda function: function.__name__
)


def history_of(events: pl.DataFrame) -> History:
    views = {view.name: view.function(events.lazy()) for view in (weather, pair)}
    return History(events={"events": events}, views=views)


def in_batches(
    labels: pl.DataFrame, events: pl.DataFrame, sizes: Sequence[int], limits: Limits, folder: Path
) -> Offline:
    def rows(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        start = 0
        for size in [*sizes, labels.height]:
            yield labels[start : start + size].select(list(dict.fromkeys(columns)))
            start += size

    made = Batches(SPEC, rows, "at", history_of(events), FUNCTIONS, folder=folder, limits=limits)
    frames = [features for _, features in made]
    return Offline(frame=pl.concat(frames), notes=made.notes, unmatched=made.unmatched)


@pytest.mark.full
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    events=fh.events(),
    labels=fh.labels(),
    sizes=st.lists(st.integers(0, 4), max_size=5),
    history_bytes=st.sampled_from([0, 600, 1 << 30]),
    rows=st.integers(1, 9),
)
def test_batches_of_any_size_give_the_bits_of_the_whole(
    events: pl.DataFrame,
    labels: pl.DataFrame,
    sizes: list[int],
    history_bytes: int,
    rows: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    whole = compute(SPEC, labels, "at", history_of(events), FUNCTIONS)
    folder = tmp_path_factory.mktemp("aside")
    limits = Limits(history_bytes=history_bytes, read_rows=rows, part_rows=rows, partitions=3)
    made = in_batches(labels, events, sizes, limits, folder)
    assert of_frame(made.frame) == of_frame(whole.frame)
    assert set(made.notes) == set(whole.notes)
    assert made.unmatched == whole.unmatched
    assert list(folder.iterdir()) == []


def test_windows_and_a_view_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    @feature_view(entity="origin", time="known_at")
    def origin(events: pl.LazyFrame) -> pl.LazyFrame:
        return events.select("origin", "known_at", gust="x")

    declared = w.windows("events", time="known_at", by="origin", mean=w.mean("x", "6h"))
    features = FeatureSet(declared, origin)
    hours = [datetime(2013, 1, 1, hour, tzinfo=UTC) for hour in range(4)]
    events = pl.DataFrame(
        {"id": range(4), "origin": ["EWR"] * 4, "known_at": hours, "x": [1.0, 2.0, 3.0, 4.0]},
        schema_overrides={"known_at": pl.Datetime("us", "UTC")},
    )
    tables = FrameTables({"events": events}, {"events": ("id",)})
    spec = build_spec(features, {"origin": "string"}, tables, lambda function: function.__name__)
    asked = events.select("origin", at="known_at")
    history = History(events={"events": events}, views={"origin": origin.function(events.lazy())})
    batches = Batches(spec, lambda columns: iter([asked]), "at", history, {}, folder=tmp_path)
    ((_, found),) = list(batches)
    assert found["origin_mean"].to_list() == [1.0, 1.5, 2.0, 2.5]
    assert found["origin_gust"].to_list() == [1.0, 2.0, 3.0, 4.0]
    assert batches.unmatched == {"origin": 0}


@pytest.mark.parametrize("is_ordered", [True, False])
def test_a_long_history_is_looked_back_on_by_reach(
    is_ordered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = datetime(2013, 1, 1, tzinfo=UTC)
    times = [None if n == 7 else start + timedelta(hours=n) for n in range(400)]
    events = pl.DataFrame(
        {"id": range(400), "origin": ["EWR"] * 400, "known_at": times, "x": [n * n % 17 / 3 for n in range(400)]},
        schema_overrides={"known_at": pl.Datetime("us", "UTC")},
    )
    declared = w.windows("events", time="known_at", by="origin", mean=w.mean("x", "5h"), n=w.count("30h"))
    tables = FrameTables({"events": events}, {"events": ("id",)})
    spec = build_spec(FeatureSet(declared), {"origin": "string"}, tables, lambda function: function.__name__)
    asked = pl.DataFrame(
        {"origin": ["EWR"] * 100, "at": [start + timedelta(hours=4 * n, minutes=30) for n in range(100)]}
    )
    if not is_ordered:
        asked = asked.sample(fraction=1.0, shuffle=True, seed=1)
    asked = asked.with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))
    prepared: list[int] = []

    def prepare(part: Any, history: pl.DataFrame, notes: Any) -> Any:
        prepared.append(history.height)
        return offline.prepare(part, history, notes)

    monkeypatch.setattr(batches, "prepare", prepare)
    limits = Limits(history_bytes=0, read_rows=60, part_rows=10, partitions=2)
    history = History(events={"events": events}, views={})
    made = Batches(
        spec, lambda columns: iter([asked[:33], asked[33:]]), "at", history, {}, folder=tmp_path, limits=limits
    )
    found = pl.concat([features for _, features in made])
    whole = compute(spec, asked, "at", history, {})
    assert of_frame(found) == of_frame(whole.frame)
    assert made.notes == whole.notes
    assert len(made.notes) == 1
    long = [height for height in prepared if height]
    assert max(long) < 100 if is_ordered else max(long) > 350, long
