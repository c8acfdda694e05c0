"""Feature views: the latest known row, by three readings (naive, DuckDB, Polars) and on both paths."""

import math
import tempfile
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import feature_histories as fh
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.backends.sqlite_online import SqliteOnlineStore
from slipway.errors import InvalidDeclaration, InvalidInput, StepFailed
from slipway.features.offline import History, compute
from slipway.features.online import build_receiver, build_resolver
from slipway.features.point_in_time import Instants, latest
from slipway.features.sets import FeatureSet
from slipway.features.specs import FrameTables, build_spec
from slipway.features.training import PinnedTables
from slipway.features.views import feature_view
from slipway.features.windows import count, windows
from slipway.flows.feed import keep_view
from slipway.ports.workspace import Workspace
from slipway.tables import versions

SCHEMA = {
    "origin": pl.String,
    "carrier": pl.String,
    "seen_at": pl.Datetime("us", "UTC"),
    "temp": pl.Float64,
    "sky": pl.String,
    "visible": pl.Boolean,
    "level": pl.Int64,
    "sunrise": pl.Datetime("us", "UTC"),
    "day": pl.Date,
    "gust": pl.Duration("us"),
}
VALUES = list(SCHEMA)[3:]
_slow = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@feature_view(entity="origin", time="seen_at", ttl="3h")
def weather(observations: pl.LazyFrame) -> pl.LazyFrame:
    return observations.drop("carrier")


@feature_view(entity=["origin", "carrier"], time="seen_at")
def desk(observations: pl.LazyFrame) -> pl.LazyFrame:
    return observations.select("origin", "carrier", "seen_at", "temp", "level")


@feature_view(entity="carrier")
def airline(observations: pl.LazyFrame) -> pl.LazyFrame:
    return observations.group_by("carrier").agg(pl.col("level").max(), first=pl.col("day").min())


@st.composite
def observations(draw: st.DrawFn) -> pl.DataFrame:
    rows = [
        {
            "origin": draw(fh.origins),
            "carrier": draw(fh.carriers),
            "seen_at": draw(st.one_of(fh.instants, fh.instants, st.none())),
            "temp": draw(fh.floats),
            "sky": draw(st.sampled_from(["", "clear", "é", None])),
            "visible": draw(st.sampled_from([True, False, None])),
            "level": draw(fh.integers),
            "sunrise": draw(st.one_of(st.none(), fh.instants)),
            "day": draw(st.sampled_from([date(2013, 3, 10), date(1900, 1, 1), None])),
            "gust": draw(st.sampled_from([timedelta(0), timedelta(days=-1, microseconds=3), None])),
        }
        for _ in range(draw(st.integers(0, 15)))
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


SPEC = build_spec(
    FeatureSet(weather, desk, airline),
    fh.REQUEST,
    FrameTables({"observations": pl.DataFrame(schema=SCHEMA)}),
    lambda function: function.__name__,
)


def history_of(seen: pl.DataFrame) -> History:
    return History(views={view.name: view(seen.lazy()).collect() for view in (weather, desk, airline)})


@_slow
@given(observations(), fh.labels())
def test_offline_and_online_give_the_same_bits(seen: pl.DataFrame, labels: pl.DataFrame) -> None:
    history = history_of(seen)
    found = compute(SPEC, labels, "at", history, {}).frame
    assert found.height == labels.height
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteOnlineStore(Path(folder) / "online.db")
        receive = build_receiver(SPEC, store)
        for name, frame in history.views.items():
            rows = frame.to_dicts()
            receive(name, rows[::-1])
            receive(name, rows)
        resolve = build_resolver(SPEC, {}, store)
        online = [resolve([label], label["at"])[0] for label in labels.to_dicts()]
        store.close()
    assert fh.all_bits(online) == fh.all_bits([list(row) for row in found.iter_rows()])


@_slow
@given(observations(), fh.labels())
def test_the_latest_row_within_its_ttl_counts(seen: pl.DataFrame, labels: pl.DataFrame) -> None:
    history = history_of(seen)
    computed = compute(SPEC, labels, "at", history, {})
    found, without = computed.frame, 0
    for row, label in zip(found.to_dicts(), labels.to_dicts(), strict=True):
        known = [
            other
            for other in seen.to_dicts()
            if other["origin"] == label["origin"] is not None
            and other["seen_at"] is not None
            and timedelta(0) <= label["at"] - other["seen_at"] <= timedelta(hours=3)
        ]
        when = max((other["seen_at"] for other in known), default=None)
        candidates = [[other[name] for name in VALUES] for other in known if other["seen_at"] == when]
        values = [row[f"weather_{name}"] for name in VALUES]
        assert fh.bits(None) not in candidates
        without += not candidates
        if not candidates:
            assert values == [None] * len(VALUES)
        else:
            plain = [[_as_carried(value) for value in c] for c in candidates]
            assert fh.all_bits([values])[0] in fh.all_bits(plain)
            assert _order(values) == max(map(_order, plain))
    assert computed.unmatched["weather"] == without


def _as_carried(value: object) -> object:
    """NaN and infinities are null, and -0.0 is 0.0."""
    if not isinstance(value, float):
        return value
    return value + 0.0 if math.isfinite(value) else None


def _order(values: list[object]) -> list[tuple[object, ...]]:
    return [(0,) if value is None else (1, value) if value == value else (2,) for value in values]


@_slow
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=40),
    st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 10)), max_size=20),
)
def test_duckdb_finds_the_same_rows(rows: list[tuple[int, int]], labels: list[tuple[int, int]]) -> None:
    right = pl.DataFrame(list(dict.fromkeys(rows)), schema={"k": pl.Int64, "t": pl.Int64}, orient="row")
    left = pl.DataFrame(labels, schema={"k": pl.Int64, "t": pl.Int64}, orient="row").with_row_index("row")
    found = latest(left.select("k"), Instants(left["t"].to_numpy()), right, ["k"], "t")
    placed = right.with_row_index("place")
    connection = duckdb.connect()
    connection.register("l", left.to_pandas())
    connection.register("r", placed.to_pandas())
    referee = connection.execute(
        "SELECT coalesce(r.place, -1) FROM l ASOF LEFT JOIN r ON l.k = r.k AND l.t >= r.t ORDER BY l.row"
    ).fetchall()
    connection.close()
    assert found.tolist() == [place for (place,) in referee]


def test_of_ties_the_later_position_is_found() -> None:
    rows = pl.DataFrame({"k": [1, 1, 1, 1], "t": [5, 3, 5, 5]})
    assert latest(pl.DataFrame({"k": [1, 1]}), Instants(np.array([5, 4])), rows, ["k"], "t").tolist() == [3, 1]


def test_two_rows_of_an_entity_without_time_are_refused() -> None:
    @feature_view(entity="carrier")
    def twice(observations: pl.LazyFrame) -> pl.LazyFrame:
        return observations.select("carrier", "level")

    seen = pl.DataFrame({"carrier": ["UA", "UA"], "level": [1, 2]})
    spec = build_spec(FeatureSet(twice), fh.REQUEST, FrameTables({"observations": seen}), lambda f: "")
    labels = pl.DataFrame(
        [{"at": fh.START, "carrier": "UA"}], schema={"at": fh.LABEL_SCHEMA["at"], "carrier": pl.String}
    )
    with pytest.raises(InvalidInput, match=r"several rows of one entity, for example of \('UA',\)"):
        compute(spec, labels, "at", History(views={"twice": seen}), {})


def test_rows_without_time_are_reported() -> None:
    seen = pl.DataFrame([{"origin": "EWR", "level": 1}], schema=SCHEMA)
    history = history_of(seen)
    labels = pl.DataFrame([{"key": 1, "at": fh.START, "origin": "EWR"}], schema=fh.LABEL_SCHEMA)
    notes = compute(SPEC, labels, "at", history, {}).notes
    assert "Rows of the feature view 'weather' without seen_at, which never count: 1." in notes


@pytest.mark.parametrize(
    ("view", "sentence"),
    [
        (lambda observations: 3, "returned a int"),
        (lambda observations: observations.drop("origin"), "has no column 'origin'"),
        (lambda observations: observations.with_columns(pl.col("seen_at").dt.replace_time_zone(None)), "'seen_at'"),
        (lambda observations: observations.with_columns(pl.lit([1]).alias("listed")), "'listed'"),
        (lambda observations: observations.select("origine"), "'wrong' does not fit its tables: .*origine"),
    ],
)
def test_results_that_do_not_fit_are_refused(view: object, sentence: str) -> None:
    view.__name__ = "wrong"  # type: ignore[attr-defined]
    declared = feature_view(entity="origin", time="seen_at")(view)  # type: ignore[arg-type]
    with pytest.raises(InvalidDeclaration, match=sentence):
        build_spec(FeatureSet(declared), fh.REQUEST, FrameTables({"observations": pl.DataFrame(schema=SCHEMA)}), str)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"entity": []}, "names columns"),
        ({"entity": "origin", "ttl": "3h"}, "a ttl and no time"),
        ({"entity": "origin", "time": "seen_at", "ttl": "soon"}, "'soon'"),
        ({"entity": "origin", "time": 5}, "time=5"),
        ({"entity": "origin", "time": ""}, "time=''"),
    ],
)
def test_declarations_that_do_not_fit_are_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidDeclaration, match=sentence):
        feature_view(**options)  # type: ignore[arg-type]


def test_a_view_without_tables_is_refused() -> None:
    def nothing() -> None: ...

    with pytest.raises(InvalidDeclaration, match="reads no table"):
        feature_view(entity="origin")(nothing)


def test_a_view_has_a_name_and_names_its_tables() -> None:
    def all_of(*tables: pl.LazyFrame) -> pl.LazyFrame:
        return tables[0]

    with pytest.raises(InvalidDeclaration, match="A lambda cannot be a feature view"):
        feature_view(entity="origin")(lambda observations: observations)
    with pytest.raises(InvalidDeclaration, match="takes 'tables' as variadic positional"):
        feature_view(entity="origin")(all_of)


def test_a_query_that_fails_is_a_sentence(workspace: Workspace) -> None:
    """Where the user's code raises, and where a row does not fit: the view is named."""

    @feature_view(entity="origin", time="seen_at")
    def raising(observations: pl.LazyFrame) -> pl.LazyFrame:
        raise KeyError("wind")

    @feature_view(entity="origin", time="seen_at")
    def strict(observations: pl.LazyFrame) -> pl.LazyFrame:
        return observations.select("origin", "seen_at", pl.col("sky").cast(pl.Int64))

    rows = pl.DataFrame([{"origin": "EWR", "seen_at": fh.START, "sky": "clear"}], schema=SCHEMA)
    tables = FrameTables({"observations": rows})
    with pytest.raises(StepFailed, match="feature view 'raising' raised KeyError: 'wind'") as failed:
        build_spec(FeatureSet(raising), fh.REQUEST, tables, str)
    assert "in raising" in failed.value.trace
    assert "specs.py" not in failed.value.trace
    spec = build_spec(FeatureSet(strict), fh.REQUEST, tables, str)
    labels = pl.DataFrame([{"key": 1, "at": fh.START, "origin": "EWR"}], schema=fh.LABEL_SCHEMA)
    with pytest.raises(InvalidInput, match="query of the feature view 'strict' fails over its tables' rows"):
        compute(spec, labels, "at", History(views={"strict": strict(rows.lazy())}), {})
    versions.overwrite(workspace, "observations", rows, key=("origin", "seen_at"), time="seen_at")
    with pytest.raises(InvalidInput, match="query of the feature view 'strict' fails over its tables' rows"):
        keep_view(workspace, strict, PinnedTables(workspace))


def test_a_view_is_not_called_as_a_table_whose_rows_are_counted(tmp_path: Path) -> None:
    """Rows of both are pushed by name, and would be taken for each other."""

    @feature_view(entity="origin", time="seen_at")
    def events(observations: pl.LazyFrame) -> pl.LazyFrame:
        return observations.select("origin", "seen_at", "temp")

    tables = FrameTables(
        {"events": pl.DataFrame(schema=fh.EVENT_SCHEMA), "observations": pl.DataFrame(schema=SCHEMA)},
        {"events": ("id",)},
    )
    counted = windows("events", time="known_at", by="origin", seen=count("1h"))
    assert build_spec(FeatureSet(events), fh.REQUEST, tables, str).parts
    with pytest.raises(InvalidDeclaration, match="'events' is called as the table 'events'"):
        build_spec(FeatureSet(events, counted), fh.REQUEST, tables, str)


def test_a_view_is_its_function() -> None:
    frame = pl.DataFrame(schema=SCHEMA).lazy()
    assert weather(frame).collect_schema().names() == [name for name in SCHEMA if name != "carrier"]
    assert weather.__wrapped__ is weather.function
    assert weather.sources == ("observations",)
    assert isinstance(fh.START, datetime)
