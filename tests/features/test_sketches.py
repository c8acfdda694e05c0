"""Sketches: equal offline and online to the last bit, whatever the order; and within what they declare."""

import math
import random
import tempfile
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import feature_histories as fh
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import redis_here
import slipway.features.windows as w
from slipway import plugins
from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.features.offline import History, compute
from slipway.features.online import build_receiver, build_resolver
from slipway.features.sets import FeatureSet
from slipway.features.sketch_windows import buckets, registers
from slipway.features.sketches import bucket_bits, bucket_of, register_bits, register_of, sketch_of
from slipway.features.skew import certify
from slipway.features.specs import build_spec
from slipway.ports.online_store import OnlineStore
from slipway.ports.workspace import Workspace
from slipway.records.features import Aggregate

_slow = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def sketched() -> w.DeclaredWindows:
    made: dict[str, w.DeclaredAggregate] = {}
    for width in fh.WIDTHS:
        for column in ("carrier", "seats", "late", "known_at"):
            made[f"distinct_{column}_{width}"] = w.approx_distinct(column, width)
        for column in ("delay", "seats", "late"):
            made[f"median_{column}_{width}"] = w.quantile(column, 0.5, width)
            made[f"most_{column}_{width}"] = w.quantile(column, 1, width, tolerance=0.05, default=-1)
            made[f"decayed_{column}_{width}"] = w.decayed_mean(column, half_life="40m", width=width)
    made["mean"] = w.mean("delay", "6h", default=0.5)
    made["rough"] = w.approx_distinct("seats", "6h", tolerance=0.1)
    return w.windows("events", time="known_at", by={"origin": "origin", "both": ["origin", "carrier"]}, **made)


SET = FeatureSet("distance", sketched())
SPEC = build_spec(SET, fh.REQUEST, fh.tables(pl.DataFrame(schema=fh.EVENT_SCHEMA)), str)


def offline(events: pl.DataFrame, labels: pl.DataFrame) -> list[list[object]]:
    found = compute(SPEC, labels, "at", History(events={"events": events}), {}).frame
    return fh.all_bits([list(row) for row in found.iter_rows()])


@_slow
@given(fh.events(), fh.labels(), st.lists(st.integers(1, 9), max_size=4))
def test_offline_and_online_give_the_same_bits(events: pl.DataFrame, labels: pl.DataFrame, batches: list[int]) -> None:
    names = [field.name for field in SPEC.request]
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteOnlineStore(Path(folder) / "online.db")
        receive, rows, start = build_receiver(SPEC, store), events.to_dicts(), 0
        for size in [*batches, len(rows)]:
            receive("events", rows[start : start + size])
            start += size
        resolve = build_resolver(SPEC, {}, store)
        found = [
            resolve([[label[name] for name in names]], label["at"].astimezone(UTC))[0] for label in labels.to_dicts()
        ]
        store.close()
    assert fh.all_bits(found) == offline(events, labels)


@pytest.mark.full
@_slow
@given(fh.events(), fh.labels(), st.randoms(use_true_random=False))
def test_the_order_of_events_and_repetitions_change_no_bit(
    events: pl.DataFrame, labels: pl.DataFrame, made: random.Random
) -> None:
    rows = events.to_dicts() * 2
    made.shuffle(rows)
    assert offline(pl.DataFrame(rows, schema=fh.EVENT_SCHEMA, orient="row"), labels) == offline(events, labels)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("redis", marks=pytest.mark.full)])
def test_the_certificate_holds_for_sketches_and_defaults(kind: str, tmp_path: Path, workspace: Workspace) -> None:
    with redis_here.cleaned(f"test:{tmp_path}") if kind == "redis" else nullcontext():

        def opened(name: str) -> OnlineStore:
            store: OnlineStore = plugins.load("online", kind)(
                *([redis_here.URL, f"test:{tmp_path}:{name}"] if kind == "redis" else [tmp_path / name / "online.db"])
            )
            return store

        found = certify(SPEC, {}, opened, tables=workspace, rows=300)
    assert found.first == ()
    assert [check.path for check in found.paths] == ["online", "stream", "back-fill"]
    assert found.paths[0].compared == 3 * 300 * len(SPEC.features)


@given(st.lists(st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 5e-324, 2.2250738585072014e-308, 1.7e308]))))
def test_buckets_of_a_column_are_those_of_its_values(values: list[float]) -> None:
    assert buckets(pl.Series(values, dtype=pl.Float64), 6).to_list() == [bucket_of(value, 6) for value in values]


@given(st.lists(st.one_of(st.none(), st.text())))
def test_registers_of_a_column_are_those_of_its_values(values: list[str | None]) -> None:
    texts = pl.Series(values, dtype=pl.String)
    assert registers(texts, 12).to_list() == [None if v is None else register_of(v, 12) for v in values]


def aggregate(kind: str, **more: Any) -> Aggregate:
    return Aggregate(name="x", kind=kind, column="c", width_us=1, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("tolerance", [0.01, 0.02, 0.1])
def test_distinct_counts_keep_to_their_tolerance(tolerance: float) -> None:
    bits = register_bits(tolerance)
    made = sketch_of(aggregate("approx_distinct", tolerance=tolerance))
    errors = []
    for count in (1, 3, 50, 1000, 10_000, 30_000):
        for seed in range(5):
            sketch = made()
            for number in range(count):
                sketch.add(register_of(f"{seed}/{number}", bits), 1, 0)
            found = sketch.value()
            assert isinstance(found, int)
            errors.append((found - count) / count)
            if count == 1:
                assert found == 1
    assert max(map(abs, errors)) < 3 * tolerance
    assert math.sqrt(sum(error * error for error in errors) / len(errors)) < tolerance


@given(
    st.lists(st.one_of(st.floats(-1e9, 1e9), st.floats(1e-300, 1e300)), min_size=1, max_size=60),
    st.floats(0, 1),
    st.sampled_from([0.001, 0.01, 0.1]),
)
def test_quantiles_keep_to_their_tolerance(values: list[float], q: float, tolerance: float) -> None:
    bits = bucket_bits(tolerance)
    sketch = sketch_of(aggregate("quantile", quantile=q, tolerance=tolerance))()
    for value in values:
        bucket = bucket_of(value, bits)
        assert bucket is not None
        sketch.add(bucket, 1, 0)
    exact = sorted(values)[math.floor(q * (len(values) - 1))]
    found = sketch.value()
    assert found is not None
    assert abs(found - exact) <= tolerance * abs(exact) + 2.3e-308


ages = st.lists(st.tuples(st.integers(0, 40 * 3600), st.integers(-1000, 1000)), min_size=1, max_size=30)


@given(ages)
def test_decayed_means_keep_to_their_tolerance(events: list[tuple[int, int]]) -> None:
    half_life = 3600
    made = aggregate("decayed_mean", half_life_us=half_life * 10**6, scale=1)
    sketch = sketch_of(made)()
    for age, value in sorted(events, reverse=True):
        sketch.add(-age * 32 // half_life, 1, value)
    weights = [0.5 ** (age / half_life) for age, _ in events]
    exact = sum(x * v for x, (_, v) in zip(weights, events, strict=True)) / sum(weights)
    spread = max(v for _, v in events) - min(v for _, v in events)
    found = sketch.value()
    assert found is not None
    assert abs(found - exact) <= w.DECAY_TOLERANCE * spread + 1e-9


def test_states_merge_and_give_back() -> None:
    """Groups that are taken up and given back leave what was never there; a merge is the same as one state of all."""
    made = random.Random(5)
    for kind, group in (
        (aggregate("approx_distinct", tolerance=0.02), lambda: register_of(str(made.randrange(500)), 12)),
        (aggregate("quantile", tolerance=0.01, quantile=0.9), lambda: bucket_of(made.uniform(-9, 9), 6)),
    ):
        groups = [group() for _ in range(400)]
        whole, slid = sketch_of(kind)(), sketch_of(kind)()
        for item in groups[100:]:
            whole.add(item, 1, 0)
        for item in groups:
            slid.add(item, 1, 0)
        for item in groups[:100]:
            slid.add(item, -1, 0)
        assert slid.value() == whole.value()


def test_a_decayed_mean_stays_exact_over_a_long_history() -> None:
    """One state slides over ten thousand half-lives; it gives what a fresh one gives of the same events."""
    made = random.Random(6)
    steps = sorted(made.randrange(0, 320_000) for _ in range(3000))
    events = [(step, made.randrange(-(2**60), 2**60)) for step in steps]
    make = sketch_of(aggregate("decayed_mean", scale=1))
    slid, first = make(), 0
    for last, (step, value) in enumerate(events):
        while events[first][0] <= step - 64 * 32:
            slid.add(events[first][0], -1, -events[first][1])
            first += 1
        slid.add(step, 1, value)
        if last % 37 == 0:
            fresh = make()
            for place in range(first, last + 1):
                fresh.add(events[place][0], 1, events[place][1])
            assert slid.value() == fresh.value()


def test_a_decayed_mean_halves_by_its_half_life() -> None:
    at = datetime(2013, 3, 10, 12, tzinfo=UTC)
    features = FeatureSet(
        w.windows("events", time="known_at", by="origin", m=w.decayed_mean("seats", half_life="1h", width="12h"))
    )
    spec = build_spec(features, fh.REQUEST, fh.tables(pl.DataFrame(schema=fh.EVENT_SCHEMA)), str)
    rows = [
        {"id": n, "known_at": at - n * fh.HOUR, "origin": "EWR", "carrier": "UA", "delay": 0.0, "seats": 80 * n, "late": True}
        for n in (0, 1, 3, 12)
    ]  # fmt: skip
    events = pl.DataFrame(rows, schema=fh.EVENT_SCHEMA, orient="row")
    label = pl.DataFrame({"origin": ["EWR"], "at": [at]}).with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))
    found = compute(spec, label, "at", History(events={"events": events}), {}).frame.item()
    assert found == float(Fraction(80 * 4 + 240 * 1, 8 + 4 + 1))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: w.quantile("x", 1.5, "1h"), "q of quantile"),
        (lambda: w.quantile("x", 0.5, "1h", tolerance=0), "tolerance of quantile"),
        (lambda: w.approx_distinct("x", "1h", tolerance=0.5), "tolerance of approx_distinct"),
        (lambda: w.decayed_mean("x", half_life="1h", width="65h"), "has the half-life '1h' and the width '65h'"),
        (lambda: w.decayed_mean("x", half_life=timedelta(milliseconds=5), width="1h"), "has the half-life"),
    ],
)
def test_declarations_that_do_not_fit_are_sentences(make: Any, sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        make()


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (w.approx_distinct("delay", "1h"), "floats that look alike differ"),
        (w.quantile("origin", 0.5, "1h"), "which is of type string"),
        (w.mean("delay", "1h", default="none"), "The default of x of the windows over 'events' is 'none'"),  # type: ignore[arg-type]
        (w.last("seats", "1h", default=0.5), "is of type int"),
    ],
)
def test_aggregates_that_do_not_fit_their_column_are_sentences(made: w.DeclaredAggregate, sentence: str) -> None:
    declared = w.windows("events", time="known_at", by="origin", x=made)
    with pytest.raises(InvalidDeclaration, match=sentence):
        build_spec(FeatureSet(declared), fh.REQUEST, fh.tables(pl.DataFrame(schema=fh.EVENT_SCHEMA)), str)


def test_pushed_values_that_do_not_fit_are_sentences(tmp_path: Path) -> None:
    store = SqliteOnlineStore(tmp_path / "online.db")
    receive = build_receiver(SPEC, store)
    event = {"id": 1, "known_at": fh.START, "origin": "EWR", "carrier": "UA", "delay": 1.0, "seats": 2, "late": True}
    receive("events", [event | {"seats": 2.0}])
    for wrong in ({"seats": 2.5}, {"seats": "2"}, {"delay": "late"}):
        with pytest.raises(InvalidInput, match="A pushed row of 'events' has the value"):
            receive("events", [event | wrong])
    store.close()
