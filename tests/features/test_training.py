from datetime import UTC, date, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import feature_histories as fh
import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import slipway.features.windows as w
from slipway.errors import InvalidInput, NotFound
from slipway.features.scalars import feature
from slipway.features.sets import FeatureSet
from slipway.features.views import feature_view
from slipway.ledger import run_log
from slipway.ledger.step_scope import StepCall, step_scope
from slipway.ports.workspace import Workspace
from slipway.records.features import TrainingSet
from slipway.records.schema import Field
from slipway.tables import versions

T = datetime(2013, 1, 1, tzinfo=UTC)
H = timedelta(hours=1)


@feature_view(entity="origin", time="observed_at", ttl="3h")
def weather_at(weather: pl.LazyFrame) -> pl.LazyFrame:
    return weather.select("origin", "observed_at", (pl.col("temp") * 2).alias("double"))


@feature
def haul(distance: int) -> str:
    return "long" if distance > 1000 else "short"


@pytest.fixture
def flights(workspace: Workspace) -> SimpleNamespace:
    rows = [
        {"flight_id": n, "decided_at": None if n == 7 else T + n * H, "known_at": T + (n + 2) * H, "origin": "EWR",
         "distance": 500 * n, "delay": None if n == 2 else float(n), "late": None if n in (3, 6) else n % 2 == 0}
        for n in range(8)
    ]  # fmt: skip
    instant = pl.Datetime("us", "UTC")
    frame = pl.DataFrame(rows, schema_overrides={"decided_at": instant, "known_at": instant})
    versions.overwrite(workspace, "flights", frame, key=("flight_id",), time="decided_at")
    seen = pl.DataFrame({"origin": ["EWR", "EWR"], "observed_at": [T, T + 5 * H], "temp": [1.0, 2.0]})
    versions.overwrite(workspace, "weather", seen.with_columns(pl.col("observed_at").cast(instant)))
    return SimpleNamespace(name="flights", time="decided_at")


def a_set() -> FeatureSet:
    recent = w.windows("flights", time="known_at", by="origin", delay=w.mean("delay", "3h"), seen=w.count("3h"))
    return FeatureSet("distance", recent, weather_at, haul)


def test_one_row_per_labelled_row_as_it_was_known(
    flights: SimpleNamespace, workspace: Workspace, said: list[str]
) -> None:
    features = a_set()
    rows = features.training_set(flights, label="late")
    names = ["distance", "origin_delay", "origin_seen", "weather_at_double", "haul"]
    assert rows.columns == ["flight_id", "decided_at", "origin", *names, "late"]
    assert features.names == names
    assert rows["flight_id"].to_list() == [0, 1, 2, 4, 5]
    # The flight n is known two hours after it was decided about; flight 2 has no delay.
    assert rows["origin_seen"].to_list() == [0, 0, 1, 3, 3]
    assert rows["origin_delay"].to_list() == [None, None, 0.0, 0.5, 2.0]
    assert rows["weather_at_double"].to_list() == [2.0, 2.0, 2.0, None, 4.0]
    assert rows["haul"].to_list() == ["short", "short", "short", "long", "long"]
    assert said == [
        "Rows of flights without decided_at, left out of the training set: 1.",
        "Rows of flights without late, left out of the training set: 2 of 7.",
        "Rows of flights that found nothing in weather_at: 1 of 5 (20.0 %).",
        "Training set of flights: 5 rows, 5 features.",
    ]


def test_bounds_are_on_the_decision(flights: SimpleNamespace) -> None:
    rows = a_set().training_set("flights", label="late", at="decided_at", since=T + H, until=T + 5 * H)
    assert rows["flight_id"].to_list() == [1, 2, 4]
    assert a_set().training_set("flights", label="late", until=date(2013, 1, 1)).height == 0
    with pytest.raises(InvalidInput, match="no time zone"):
        a_set().training_set("flights", label="late", until=datetime(2013, 1, 1))


def test_labels_that_were_not_known_by_then_are_left_out_and_reported(
    flights: SimpleNamespace, said: list[str]
) -> None:
    def ids(**bounds: date | datetime) -> list[int]:
        said.clear()
        found = a_set().training_set(flights, label="late", known="known_at", **bounds)
        return found["flight_id"].to_list()

    # Flight n is decided about at n and known two hours later; what is known at the instant itself is known.
    assert ids(until=T + 5 * H) == [0, 1, 2]
    assert said[2] == (
        "Rows of flights whose label was not known by 2013-01-01T05:00:00+00:00, left out of the training set: 1 of 5."
    )
    assert ids(until=T + 6 * H, since=T + 2 * H) == [2, 4]
    assert ids(until=date(2013, 1, 2)) == [0, 1, 2, 4, 5]
    assert not any("not known by" in line for line in said)
    assert ids() == [0, 1, 2, 4, 5]
    new_york = timezone(-5 * H)
    assert ids(until=datetime(2013, 1, 1, 2, tzinfo=new_york) - 5 * H) == [0]
    assert "not known by 2013-01-01T02:00:00+00:00" in said[1]


def test_a_label_that_nobody_knows_when_it_was_known_was_not_known(workspace: Workspace, said: list[str]) -> None:
    instant = pl.Datetime("us", "UTC")
    rows = {"x": [1, 2], "at": [T, T], "known_at": [None, T + H], "y": [1.0, 0.0]}
    schema = {"at": instant, "known_at": instant}
    versions.overwrite(workspace, "bare", pl.DataFrame(rows, schema_overrides=schema), time="at")
    kept = FeatureSet("x").training_set("bare", label="y", known="known_at", until=date(2013, 1, 2))
    assert kept["x"].to_list() == [2]
    assert "not known by 2013-01-02, left out of the training set: 1 of 2" in said[0]
    assert FeatureSet("x").training_set("bare", label="y", known="known_at").height == 2


def test_who_says_when_labels_are_known_asks_for_another_result_and_has_it_recorded(
    flights: SimpleNamespace, workspace: Workspace
) -> None:
    calls: list[StepCall] = []

    def scope(call: StepCall) -> object:
        calls.append(call)
        return call.compute()

    log = run_log.start(workspace, name="release")
    with run_log.current_run.filled(log), step_scope.filled(scope):
        a_set().training_set(flights, label="late", until=T + 5 * H)
        a_set().training_set(flights, label="late", until=T + 5 * H, known="known_at")
    inputs = [{**call.inputs} for call in calls]
    assert [given.pop("known") for given in inputs] == ["", "known_at"]
    assert inputs[0] == inputs[1]
    kept = [artifact for artifact in log.finish().artifacts if artifact.name == "training_set.json"]
    assert msgspec.json.decode(workspace.blobs.get(kept[-1].digest), type=TrainingSet).known == "known_at"


_hours = st.integers(0, 12)
_happened = st.lists(
    st.tuples(_hours, st.one_of(st.none(), st.integers(1, 9)), st.sampled_from([True, False, None]), st.floats(-9, 9)),
    max_size=12,
)


@pytest.mark.full
@settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(_happened, st.lists(_hours, max_size=6), _hours)
def test_as_of_then_is_what_a_table_of_then_gives(
    workspace: Workspace, happened: list[tuple[int, int | None, bool | None, float]], seen: list[int], hour: int
) -> None:
    then, instant = T + hour * H, pl.Datetime("us", "UTC")
    rows = [
        {"id": number, "at": T + at * H, "known_at": None if took is None else T + (at + took) * H, "late": late,
         "delay": delay, "origin": "EWR"}
        for number, (at, took, late, delay) in enumerate(happened)
    ]  # fmt: skip
    schema = {"id": pl.Int64, "at": instant, "known_at": instant, "late": pl.Boolean, "delay": pl.Float64}
    full = pl.DataFrame(rows, schema={**schema, "origin": pl.String})
    was_known = (pl.col("known_at") <= then).fill_null(value=False)
    outcome = pl.when(was_known).then(pl.col("known_at", "late", "delay"))
    weather = pl.DataFrame(
        {"origin": ["EWR"] * len(seen), "observed_at": [T + n * H for n in seen], "temp": [float(n) for n in seen]},
        schema={"origin": pl.String, "observed_at": instant, "temp": pl.Float64},
    )
    found = []
    for table, sky in (
        (full, weather),
        (full.filter(pl.col("at") < then).with_columns(outcome), weather.filter(pl.col("observed_at") <= then)),
    ):
        versions.overwrite(workspace, "flights", table, key=("id",), time="at")
        versions.overwrite(workspace, "weather", sky)
        recent = w.windows("flights", time="known_at", by="origin", delay=w.mean("delay", "5h"), seen=w.count("5h"))
        made = FeatureSet(recent, weather_at).training_set("flights", label="late", known="known_at", until=then)
        found.append(made)
    assert found[0].equals(found[1], null_equal=True)
    assert found[0].columns == found[1].columns


def test_the_spec_is_typed_by_the_tables(flights: SimpleNamespace) -> None:
    spec = a_set().spec(flights)
    assert spec.request == (Field("distance", "int", nullable=False), Field("origin", "string", nullable=False))
    assert [(f.name, f.type, f.nullable) for f in spec.features] == [
        ("distance", "int", True),
        ("origin_delay", "float", True),
        ("origin_seen", "int", False),
        ("weather_at_double", "float", True),
        ("haul", "string", True),
    ]
    assert spec == a_set().spec({"distance": "int", "origin": "string"})
    other = FeatureSet("distance", haul, weather_at).spec(flights)
    assert len(spec.definition) == 64
    assert spec.definition != other.definition
    assert FeatureSet("distance").spec({"distance": "int"}).request == (Field("distance", "int", nullable=False),)


def test_a_definition_follows_the_code(flights: SimpleNamespace) -> None:
    def named(limit: int) -> FeatureSet:
        def size(distance: int) -> bool:
            return distance > limit

        return FeatureSet(feature(size))

    request = {"distance": "int"}
    assert named(1).spec(request).definition == named(1).spec(request).definition
    assert named(1).spec(request).definition != named(2).spec(request).definition


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"label": "lat"}, "has no column 'lat'. Did you mean 'late'"),
        ({"label": "distance"}, "The label 'distance' is also a feature"),
        ({"label": "origin"}, "or an argument of one"),
        ({"label": "late", "at": "distance"}, "column 'distance' of the table 'flights' is of type Int64"),
        ({"label": "late", "at": pl.col("asked_at")}, "takes the name of one of the table's columns"),
        ({"label": "late", "known": "know_at"}, "has no column 'know_at'. Did you mean 'known_at'"),
        ({"label": "late", "known": "delay"}, "column 'delay' of the table 'flights' is of type Float64"),
    ],
)
def test_what_does_not_fit_is_a_sentence(flights: SimpleNamespace, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        a_set().training_set(flights, **options)


@pytest.mark.parametrize("bound", ["2013-04-01", 5])
def test_a_bound_that_is_no_date_is_a_sentence(flights: SimpleNamespace, bound: Any) -> None:
    with pytest.raises(InvalidInput, match="is no date"):
        a_set().training_set(flights, label="late", until=bound)


@pytest.mark.parametrize("rows", [0, -1, 1.5, True, "5"])
def test_batches_of_no_number_of_rows_are_refused_before_anything_is_made(
    flights: SimpleNamespace, workspace: Workspace, rows: Any
) -> None:
    with pytest.raises(InvalidInput, match="rows were asked for"):
        a_set().training_batches(flights, label="late", batch_rows=rows)
    with pytest.raises(NotFound):
        a_set().stored_training_set()


def test_a_feature_may_not_be_called_like_the_key(flights: SimpleNamespace) -> None:
    @feature
    def flight_id(distance: int) -> int:
        return distance

    with pytest.raises(InvalidInput, match="A feature is called 'flight_id'"):
        FeatureSet(flight_id).training_set(flights, label="late")


def test_without_time_or_versions_it_says_so(flights: SimpleNamespace, workspace: Workspace) -> None:
    with pytest.raises(NotFound):
        a_set().training_set("flight", label="late", at="decided_at")
    versions.overwrite(workspace, "bare", pl.DataFrame({"distance": [1], "late": [True]}))
    with pytest.raises(InvalidInput, match="declares no time column"):
        FeatureSet("distance").training_set("bare", label="late")


def test_labels_that_are_nan_are_no_labels(workspace: Workspace, said: list[str]) -> None:
    frame = pl.DataFrame({"at": [T, T], "x": [1, 2], "y": [float("nan"), 1.0]})
    versions.overwrite(workspace, "bare", frame.with_columns(pl.col("at").cast(pl.Datetime("us", "UTC"))), time="at")
    assert FeatureSet("x").training_set("bare", label="y").to_dicts() == [{"at": T, "x": 2, "y": 1.0}]
    assert "left out of the training set: 1 of 2" in said[0]
    assert fh.START.tzinfo is UTC


def test_rows_that_found_nothing_in_a_view_are_told_from_rows_that_found_nulls(
    workspace: Workspace, said: list[str]
) -> None:
    instant = pl.Datetime("us", "UTC")
    asked = pl.DataFrame(
        {
            "place": ["full", "null", "later", "stale", "unknown", None, "full"],
            "at": [T + 5 * H] * 7,
            "late": [True, False] * 3 + [None],
        },
        schema_overrides={"at": instant},
    )
    versions.overwrite(workspace, "asked", asked, time="at")
    seen = pl.DataFrame(
        {
            "place": ["full", "null", "later", "stale"],
            "seen_at": [T + 4 * H, T + 5 * H, T + 6 * H, T],
            "temp": [1.0, None, 1.0, 1.0],
        },
        schema_overrides={"seen_at": instant},
    )
    versions.overwrite(workspace, "weather", seen)

    @feature_view(entity="place", time="seen_at", ttl="3h")
    def now(weather: pl.LazyFrame) -> pl.LazyFrame:
        return weather

    @feature_view(entity="place")
    def ever(weather: pl.LazyFrame) -> pl.LazyFrame:
        return weather.select("place", "temp")

    rows = FeatureSet(now, ever).training_set("asked", label="late")
    assert rows["now_temp"].to_list() == [1.0] + [None] * 5
    assert said[1:3] == [
        "Rows of asked that found nothing in now: 4 of 6 (66.7 %).",
        "Rows of asked that found nothing in ever: 2 of 6 (33.3 %).",
    ]
    said.clear()
    FeatureSet(ever).training_set("asked", label="late", until=T)
    assert said == ["Training set of asked: 0 rows, 1 features."]


def test_a_row_that_would_count_itself_is_refused(workspace: Workspace) -> None:
    rows = pl.DataFrame(
        {
            "id": ["a", "b", "c"],
            "card": ["x", "x", "x"],
            "at": [T, T + timedelta(minutes=1), T + timedelta(minutes=2)],
            "fraud": [1, 0, 1],
        }
    ).with_columns(known_at=pl.col("at") + timedelta(seconds=5))
    versions.overwrite(workspace, "payments", rows, key=("id",), time="at")
    own = FeatureSet(
        w.windows("payments", time="at", by=["card"], seen=w.count("1h"), last_fraud=w.last("fraud", "30d"))
    )
    with pytest.raises(InvalidInput, match=r"3 of 3 rows .* would count itself .* the label among it") as caught:
        own.training_set("payments", label="fraud", at="at")
    assert "microseconds=1" in caught.value.fix
    later = FeatureSet(w.windows("payments", time="known_at", by=["card"], seen=w.count("1h")))
    assert later.training_set("payments", label="fraud", at="at")["card_seen"].to_list() == [0, 1, 2]


def test_only_chosen_rows_can_count_themselves(workspace: Workspace) -> None:
    known = [T, T + 2 * H, None, T + 3 * H, T + 9 * H]
    rows = pl.DataFrame(
        {"id": range(5), "card": ["x"] * 5, "at": [T + n * H for n in range(5)], "known_at": known, "fraud": [1] * 5},
        schema_overrides=dict.fromkeys(("at", "known_at"), pl.Datetime("us", "UTC")),
    )
    versions.overwrite(workspace, "payments", rows, key=("id",), time="at")
    own = FeatureSet(w.windows("payments", time="known_at", by=["card"], seen=w.count("9h")))
    with pytest.raises(InvalidInput, match=r"2 of 5 rows .* would count itself"):
        own.training_set("payments", label="fraud")
    with pytest.raises(InvalidInput, match=r"1 of 3 rows .* would count itself"):
        own.training_set("payments", label="fraud", until=T + 3 * H)
    with pytest.raises(InvalidInput, match=r"1 of 4 rows .* would count itself"):
        own.training_set("payments", label="fraud", since=T + H)
    # A row whose outcome never became known counts for nobody; what lies before `since` is history.
    inside = own.training_set("payments", label="fraud", since=T + H, until=T + 3 * H)
    assert inside["card_seen"].to_list() == [1, 2]
