"""The claim on which everything rests: offline and online give the same bits, and they are right."""

import math
import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import feature_histories as fh
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import slipway.features.windows as w
from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.features.offline import History, compute
from slipway.features.online import build_receiver, build_resolver
from slipway.features.scalars import feature
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec
from slipway.features.views import feature_view

FUNCTIONS = {"is_far": fh.is_far, "busy": fh.busy}
_slow = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def offline(events: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    return compute(fh.SPEC, labels, "at", History(events={"events": events}), FUNCTIONS).frame


def online(events: pl.DataFrame, labels: pl.DataFrame, batches: list[int]) -> list[list[object]]:
    """Each label's row on its own, after the events were pushed in batches as they lie."""
    names = [field.name for field in fh.SPEC.request]
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteOnlineStore(Path(folder) / "online.db")
        receive = build_receiver(fh.SPEC, store)
        rows = events.to_dicts()
        start = 0
        for size in [*batches, len(rows)]:
            receive("events", rows[start : start + size])
            start += size
        resolve = build_resolver(fh.SPEC, FUNCTIONS, store)
        found = [
            resolve([[label[name] for name in names]], label["at"].astimezone(UTC))[0] for label in labels.to_dicts()
        ]
        store.close()
    return found


@_slow
@given(fh.events(), fh.labels(), st.lists(st.integers(1, 9), max_size=4))
def test_offline_and_online_give_the_same_bits(events: pl.DataFrame, labels: pl.DataFrame, batches: list[int]) -> None:
    together = offline(events, labels)
    assert together.columns == [field.name for field in fh.SPEC.features]
    expected = [list(row) for row in together.iter_rows()]
    assert fh.all_bits(online(events, labels, batches)) == fh.all_bits(expected)


@_slow
@given(fh.events(), fh.labels(), st.randoms(use_true_random=False))
def test_the_order_of_events_and_repetitions_change_no_bit(
    events: pl.DataFrame, labels: pl.DataFrame, random: object
) -> None:
    rows = events.to_dicts() * 2
    random.shuffle(rows)  # type: ignore[attr-defined]
    shuffled = pl.DataFrame(rows, schema=fh.EVENT_SCHEMA, orient="row")
    assert _bits_of(offline(shuffled, labels)) == _bits_of(offline(events, labels))


@_slow
@given(fh.events(), fh.labels(most=4))
def test_windows_are_what_looking_at_every_event_gives(events: pl.DataFrame, labels: pl.DataFrame) -> None:
    found = offline(events, labels)
    assert found.height == labels.height
    for name, by in (("origin", ["origin"]), ("both", ["origin", "carrier"])):
        for row, label in zip(found.iter_rows(named=True), labels.iter_rows(named=True), strict=True):
            for width in fh.WIDTHS:
                assert row[f"{name}_count_{width}"] == fh.oracle(events, label, by, "count", "", width)
                for kind in fh.KINDS:
                    for column in ("delay", "seats", "late"):
                        expected = fh.oracle(events, label, by, kind, column, width)
                        _close(row[f"{name}_{kind}_{column}_{width}"], expected)


def _close(found: object, expected: object) -> None:
    assert type(found) is type(expected), (found, expected)
    if isinstance(found, float) and isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-300), (found, expected)
    else:
        assert found == expected


def _bits_of(frame: pl.DataFrame) -> list[list[object]]:
    return fh.all_bits([list(row) for row in frame.iter_rows()])


def test_a_window_holds_its_end_and_not_its_beginning() -> None:
    at = datetime(2013, 3, 10, 12, tzinfo=UTC)
    events = pl.DataFrame(
        [
            {
                "id": 1,
                "known_at": at - fh.HOUR,
                "origin": "EWR",
                "carrier": "UA",
                "delay": 100.0,
                "seats": 1,
                "late": True,
            },
            {"id": 2, "known_at": at, "origin": "EWR", "carrier": "UA", "delay": 7.5, "seats": 2, "late": False},
        ],
        schema=fh.EVENT_SCHEMA,
        orient="row",
    )
    labels = pl.DataFrame(
        [{"key": 1, "at": at, "origin": "EWR", "carrier": "UA", "distance": 200}], schema=fh.LABEL_SCHEMA, orient="row"
    )
    (row,) = offline(events, labels).to_dicts()
    assert (row["origin_count_1h"], row["origin_mean_delay_1h"], row["origin_count_6h"]) == (1, 7.5, 2)
    assert (row["is_far"], row["busy"]) == (True, 1 / 3)
    assert fh.all_bits(online(events, labels, [])) == fh.all_bits([list(row.values())])


def test_numbers_that_json_has_not_are_null_on_both_paths(tmp_path: Path) -> None:
    @feature
    def seen(ratio: float | None, desk_temp: float | None) -> str:
        return f"{ratio} {desk_temp}"

    @feature_view(entity="origin")
    def desk(observations: pl.LazyFrame) -> pl.LazyFrame:
        return observations

    values = [math.nan, math.inf, -math.inf, None, 0.5]
    temps = pl.DataFrame({"origin": list("abcde"), "temp": values})
    features = FeatureSet("ratio", desk, seen)
    spec = build_spec(
        features, {"ratio": "float", "origin": "string"}, FrameTables({"observations": temps}), lambda f: f.__name__
    )
    at = datetime(2013, 3, 10, 12, tzinfo=UTC)
    rows = pl.DataFrame({"ratio": values, "origin": list("abcde")}).with_columns(
        pl.lit(at).cast(pl.Datetime("us", "UTC")).alias("at")
    )
    found = compute(spec, rows, "at", History(views={"desk": temps}), features.functions).frame
    assert found["seen"].to_list() == ["None None"] * 4 + ["0.5 0.5"]
    store = SqliteOnlineStore(tmp_path / "online.db")
    build_receiver(spec, store)("desk", temps.to_dicts())
    asked = [[row[f.name] for f in spec.request] for row in rows.to_dicts()]
    assert build_resolver(spec, features.functions, store)(asked, at) == [list(row) for row in found.rows()]
    store.close()


AT = datetime(2013, 3, 10, 12, tzinfo=UTC)
DATED = {"known_at": pl.Datetime("us", "UTC"), "at": pl.Datetime("us", "UTC")}


def test_decimals_are_floats_on_both_paths(tmp_path: Path) -> None:
    # 25 digits: beyond what a float's own division would round rightly.
    prices = [Decimal("1234567.12345678901234567"), Decimal("0.1"), None]
    kind = pl.Decimal(30, 17)
    events = pl.DataFrame(
        {"id": [1, 2, 3], "known_at": [AT] * 3, "shop": ["a"] * 3, "price": prices},
        schema_overrides=DATED | {"price": kind},
    )
    names = pl.DataFrame({"shop": ["a"], "rent": prices[:1]}, schema_overrides={"rent": kind})

    @feature_view(entity="shop")
    def desk(names: pl.LazyFrame) -> pl.LazyFrame:
        return names

    features = FeatureSet(
        "amount", w.windows("events", time="known_at", by="shop", paid=w.sum_("price", "1h", scale=2**33)), desk
    )
    frames = FrameTables({"events": events, "names": names}, {"events": ("id",)})
    spec = build_spec(features, {"amount": "float", "shop": "string"}, frames, lambda f: f.__name__)
    rows = pl.DataFrame(
        {"amount": prices, "shop": ["a"] * 3, "at": [AT] * 3}, schema_overrides=DATED | {"amount": kind}
    )
    found = compute(spec, rows, "at", History(events={"events": events}, views={"desk": names}), {}).frame
    assert found["desk_rent"].to_list() == [float(prices[0])] * 3  # type: ignore[arg-type]
    store = SqliteOnlineStore(tmp_path / "online.db")
    receive = build_receiver(spec, store)
    receive("events", events.to_dicts())
    receive("desk", names.to_dicts())
    asked = [[row[f.name] for f in spec.request] for row in rows.to_dicts()]
    answers = build_resolver(spec, {}, store)(asked, AT)
    store.close()
    assert fh.all_bits(answers) == fh.all_bits([list(row) for row in found.rows()])


def test_whole_numbers_beyond_64_bits_are_a_sentence() -> None:
    far = pl.Series("card", [2**63, 1, None], dtype=pl.UInt64)
    events = pl.DataFrame({"id": [1, 2, 3], "known_at": [AT] * 3, "paid": [1, 2, 3]}, schema_overrides=DATED)
    events = events.with_columns(far)
    asked = pl.DataFrame({"card": [1], "at": [AT]}, schema_overrides=DATED)
    windows = FeatureSet(w.windows("events", time="known_at", by="card", seen=w.count("1h"), most=w.max_("paid", "1h")))
    spec = build_spec(windows, {"card": "int"}, FrameTables({"events": events}, {"events": ("id",)}), str)

    def seen(rows: pl.DataFrame) -> list[object]:
        return list(compute(spec, asked, "at", History(events={"events": rows}), {}).frame.row(0))

    with pytest.raises(InvalidInput, match=r"column 'card' of the table 'events' has whole .* 9223372036854775808"):
        seen(events)
    assert seen(events.slice(1)) == [1, 2]
    large = events.slice(1).with_columns(pl.lit(2**63, dtype=pl.UInt64).alias("paid"))
    assert seen(large) == [1, None]

    @feature_view(entity="card")
    def desk(cards: pl.LazyFrame) -> pl.LazyFrame:
        return cards

    cards = pl.DataFrame({"card": [1], "limit": pl.Series([2**64 - 1], dtype=pl.UInt64)})
    spec = build_spec(FeatureSet(desk), {"card": "int"}, FrameTables({"cards": cards}), str)
    with pytest.raises(InvalidInput, match="'limit' of the feature view 'desk' has whole numbers"):
        compute(spec, asked, "at", History(views={"desk": cards}), {})
    with pytest.raises(InvalidInput, match="do not fit the request's fields"):
        compute(spec, asked.with_columns(far.head(1)), "at", History(views={"desk": cards.clear()}), {})


def test_a_key_may_not_be_called_like_a_feature() -> None:
    @feature
    def origin(distance: int) -> str:
        return str(distance)

    windows = w.windows("events", time="known_at", by="origin", seen=w.count("1h"))
    with pytest.raises(InvalidDeclaration, match="look up by 'origin', which is also the name of a feature"):
        build_spec(FeatureSet(windows, origin), fh.REQUEST, fh.tables(pl.DataFrame(schema=fh.EVENT_SCHEMA)), str)
