from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import feature_histories as fh
import polars as pl
import pytest

import slipway.features.windows as w
from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.features.offline import History, compute
from slipway.features.point_in_time import Instants, WindowRows
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec
from slipway.features.states import key_encoder, stream_of, to_grid, to_us
from slipway.records.features import Windows


def declared(**options: Any) -> w.DeclaredWindows:
    return w.windows("events", **({"time": "known_at", "by": ["origin"], "seen": w.count("1h")} | options))


def test_key_sets_name_the_features() -> None:
    made = w.windows(
        SimpleNamespace(name="flights"),
        time="known_at",
        by={"origin": "origin", "route": ["origin", "dest"]},
        mean_6h=w.mean("delay", "6h"),
        seen=w.count(timedelta(minutes=5)),
    )
    assert made.source == "flights"
    assert made.names == ("origin_mean_6h", "origin_seen", "route_mean_6h", "route_seen")
    assert declared(by=["origin", "carrier"]).names == ("origin_carrier_seen",)
    assert declared(by="origin").keys == {"origin": ("origin",)}


@pytest.mark.parametrize(
    ("width", "us"),
    [
        ("90s", 90_000_000),
        ("30m", 1_800_000_000),
        ("6h", 21_600_000_000),
        ("7d", 604_800_000_000),
        (timedelta(1), 86_400_000_000),
    ],
)
def test_widths(width: Any, us: int) -> None:
    assert w.mean("x", width).width_us == us


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: w.mean("x", "6 hours"), "'6 hours'"),
        (lambda: w.mean("x", "0h"), "positive number with a unit"),
        (lambda: w.mean("x", timedelta(-1)), "positive number with a unit"),
        (lambda: w.mean("x", "6h", scale=0), "scale=0"),
        (lambda: declared(by=[]), "names columns"),
        (lambda: declared(by={}), "declare no key"),
        (lambda: declared(by={"a b": "origin"}), "called 'a b'"),
        (lambda: declared(by=["origin", "origin"]), "each once"),
        (lambda: declared(seen="6h"), "seen='6h'"),
        (lambda: w.windows(3, time="t", by="a", seen=w.count("1h")), "was given 3 for a table"),
        (lambda: w.windows("events", time="t", by="a"), "declare no aggregate"),
        (lambda: declared(time=None), "have time=None"),
        (lambda: declared(time=""), "have time=''"),
        (lambda: w.mean("", "1h"), "mean was given '' for a column"),
        (lambda: w.last(None, "1h"), "last was given None for a column"),  # type: ignore[arg-type]
        (lambda: w.decayed_mean(5, half_life="1h", width="2h"), "was given 5 for a column"),  # type: ignore[arg-type]
        (lambda: w.mean("delay", "1h", scale=True), "scale=True"),
    ],
)
def test_declarations_that_do_not_fit_are_sentences(make: Any, sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        make()


@pytest.mark.parametrize(
    ("windows", "keys", "sentence"),
    [
        (declared(), {}, "declares no key"),
        (declared(time="seats"), {"events": ("id",)}, "'seats' of the windows over 'events' is of type int"),
        (declared(time="known"), {"events": ("id",)}, "name the column 'known'.*Did you mean 'known_at'"),
        (declared(by=["origine"]), {"events": ("id",)}, "Did you mean 'origin'"),
        (declared(by=["delay"]), {"events": ("id",)}, "key column 'delay' .* is of type float"),
        (declared(seen=w.mean("origin", "1h")), {"events": ("id",)}, "aggregates 'origin', which is of type string"),
        (declared(by=["id"]), {"events": ("id",)}, "needs 'id', which is neither a feature nor"),
    ],
)
def test_windows_that_do_not_fit_their_table_are_sentences(
    windows: w.DeclaredWindows, keys: dict[str, tuple[str, ...]], sentence: str
) -> None:
    tables = FrameTables({"events": pl.DataFrame(schema=fh.EVENT_SCHEMA)}, keys)
    with pytest.raises(InvalidDeclaration, match=sentence):
        build_spec(FeatureSet(windows), fh.REQUEST, tables, str)


def test_key_and_request_must_have_one_type() -> None:
    with pytest.raises(
        InvalidDeclaration, match=r"as string, and it comes as int.*Convert the column in one of the two"
    ):
        build_spec(FeatureSet(declared()), {"origin": "int"}, fh.tables(pl.DataFrame(schema=fh.EVENT_SCHEMA)), str)


def test_what_never_counts_is_reported() -> None:
    rows = [
        {"id": 1, "known_at": None, "origin": "EWR", "delay": 1.0},
        {"id": None, "known_at": fh.START, "origin": "EWR", "delay": 2.0},
        {"id": 3, "known_at": fh.START, "origin": "EWR", "delay": 1e300},
        {"id": 4, "known_at": fh.START, "origin": "EWR", "delay": float("nan")},
    ]
    events = pl.DataFrame(rows, schema=fh.EVENT_SCHEMA)
    spec = build_spec(FeatureSet(declared(mean=w.mean("delay", "1h"))), fh.REQUEST, fh.tables(events), str)
    labels = pl.DataFrame([{"key": 1, "at": fh.START, "origin": "EWR"}], schema=fh.LABEL_SCHEMA)
    found = compute(spec, labels, "at", History(events={"events": events}), {})
    assert found.frame.to_dicts() == [{"origin_seen": 2, "origin_mean": None}]
    assert found.notes == (
        "Rows of events without known_at, which never count: 1.",
        "Rows of events without its key, which never count: 1.",
        "Values of events.delay beyond 64 bits on the grid 1/1048576, which do not count: 1.",
    )


def test_values_below_a_step_of_the_grid_are_reported() -> None:
    rates = [0.0, -0.0, None, float("nan"), 2.0**-20, 1e-8, -7e-7]
    rows = [{"id": n, "known_at": fh.START, "origin": "EWR", "delay": rate} for n, rate in enumerate(rates)]
    events = pl.DataFrame(rows, schema=fh.EVENT_SCHEMA)
    labels = pl.DataFrame([{"key": 1, "at": fh.START, "origin": "EWR"}], schema=fh.LABEL_SCHEMA)

    def said(scale: int | None) -> tuple[str, ...]:
        features = FeatureSet(declared(mean=w.mean("delay", "1h", scale=scale)))
        spec = build_spec(features, fh.REQUEST, fh.tables(events), str)
        return compute(spec, labels, "at", History(events={"events": events}), {}).notes

    assert said(None) == (
        "Values of events.delay below a step of the grid 1/1048576, which count as 0 or as a step (a greater scale= keeps "
        "them): 2.",
    )
    assert said(2**40) == ()


def test_a_history_without_the_table_or_column_is_a_sentence() -> None:
    labels = pl.DataFrame(schema=fh.LABEL_SCHEMA)
    with pytest.raises(InvalidInput, match=r"no table 'events'.*Did you mean 'event'"):
        compute(fh.SPEC, labels, "at", History(events={"event": labels}), {})
    with pytest.raises(InvalidInput, match="no column 'known_at'"):
        compute(fh.SPEC, labels, "at", History(events={"events": labels}), {})
    with pytest.raises(InvalidInput, match="The rows have no column 'origin'"):
        compute(fh.SPEC, labels.drop("origin"), "at", History(), {})
    naive = labels.with_columns(pl.col("at").dt.replace_time_zone(None))
    with pytest.raises(InvalidInput, match="Knowledge time is an aware UTC instant"):
        compute(fh.SPEC, naive, "at", History(), {})


def test_streams_are_shared_by_names_and_widths_only() -> None:
    def stream(**changes: Any) -> str:
        options = {"by": ["origin"], "m": w.mean("delay", "1h")} | changes
        made = w.windows("events", time="known_at", **options)
        (windows,) = build_spec(
            FeatureSet(made), fh.REQUEST, fh.tables(pl.DataFrame(schema=fh.EVENT_SCHEMA)), str
        ).parts
        assert isinstance(windows, Windows)
        return stream_of(windows).name

    assert (
        stream() == stream(by={"other": "origin"}) == stream(m=w.mean("delay", "2h")) == stream(m=w.sum_("delay", "1h"))
    )
    others = [stream(m=w.std("delay", "1h")), stream(by=["carrier"]), stream(m=w.mean("delay", "1h", scale=8))]
    assert len({stream(), *others}) == 4
    assert stream().startswith("events_by_origin_")


def test_grid_and_keys() -> None:
    assert [to_grid(v, 2, integer=False) for v in (0.25, 0.75, -0.25, None, float("nan"), 1e19)] == [
        0,
        2,
        0,
        None,
        None,
        None,
    ]
    assert [to_grid(v, 1, integer=True) for v in (True, 2**63 - 1, 2**63)] == [1, 2**63 - 1, None]
    encode = key_encoder(("string", "int", "bool", "datetime"))
    at = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert encode(["a|\\", 3, True, at]) == "a\\|\\\\|3|true|1000000"
    assert encode(["a", None, True, at]) is None
    assert key_encoder(("int",))([7]) == "7"
    assert to_us(at) == 10**6


def test_exact_beyond_64_bits() -> None:
    rows = [{"id": n, "known_at": fh.START, "origin": "EWR", "seats": 2**63 - 1 - n} for n in range(5)]
    events = pl.DataFrame(rows, schema=fh.EVENT_SCHEMA)
    windows = declared(seen=w.std("seats", "1h"), total=w.sum_("seats", "1h"))
    (part,) = build_spec(FeatureSet(windows), fh.REQUEST, fh.tables(events), str).parts
    assert isinstance(part, Windows)
    prepared = WindowRows(part, events)
    labels = pl.DataFrame([{"key": 1, "at": fh.START, "origin": "EWR"}], schema=fh.LABEL_SCHEMA)
    keys, instants = labels.select("origin"), Instants(labels["at"].dt.epoch("us").to_numpy())
    high = prepared.upto(keys, instants)
    low = prepared.before(keys, instants, high, 10**6)
    assert prepared.sums(0, "s", low, high).tolist() == [5 * (2**63 - 1) - 10]
    found = compute(
        build_spec(FeatureSet(windows), fh.REQUEST, fh.tables(events), str),
        labels,
        "at",
        History(events={"events": events}),
        {},
    )
    assert found.frame.row(0)[0] == pytest.approx(2.5**0.5, rel=1e-15)
