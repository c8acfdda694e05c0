"""Training from batches of a stored table: the very model that the frame gives, whatever the batches are."""

import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import lightgbm as lgb
import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_flights import rows as flights
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from slipway.errors import InvalidInput
from slipway.models.batch_inputs import encoding
from slipway.models.inputs import inputs
from slipway.models.model import Model
from slipway.ports.workspace import Workspace
from slipway.records.schema import Signature
from slipway.schema.encoding import Encoder
from slipway.stats import profiles
from slipway.tables import versions
from slipway.tables.row_batches import Batches, batches_of

SETTINGS = {"objective": "binary", "num_leaves": 7, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1, "seed": 1,
            "deterministic": True, "force_col_wise": True}  # fmt: skip


def stored(workspace: Workspace, frame: pl.DataFrame, batch_rows: int = 333, name: str = "rows") -> Batches:
    return batches_of(workspace, versions.overwrite(workspace, name, frame), batch_rows=batch_rows)


def boosted(fixed: Any) -> Model:
    data = lgb.Dataset(fixed.matrix, fixed.labels, categorical_feature=fixed.categorical)
    return Model(lgb.train(SETTINGS, data, num_boost_round=10), inputs=fixed)


@pytest.mark.parametrize("batch_rows", [61, 333, 5000])
def test_a_booster_is_the_same_bit_for_bit(workspace: Workspace, batch_rows: int) -> None:
    frame = flights(2000)
    here, there = (
        boosted(inputs(frame, label="late")),
        boosted(inputs(stored(workspace, frame, batch_rows), label="late")),
    )
    assert here.slipway_fingerprint() == there.slipway_fingerprint()
    assert here.state == there.state
    assert msgspec.msgpack.encode(here.profile) == msgspec.msgpack.encode(there.profile)


def test_a_validation_set_stops_it_early_alike(workspace: Workspace) -> None:
    frame, other = flights(2000), flights(800, seed=5)

    def rounds(make: Callable[[pl.DataFrame, str], Any]) -> tuple[int, str]:
        fixed = inputs(make(frame, "rows"), label="late")
        held_out = fixed.encode(make(other, "other"))
        data = lgb.Dataset(fixed.matrix, fixed.labels, categorical_feature=fixed.categorical)
        watched = lgb.Dataset(held_out.matrix, held_out.labels, reference=data)
        stop = lgb.early_stopping(3, verbose=False)
        booster = lgb.train(SETTINGS, data, num_boost_round=200, valid_sets=[watched], callbacks=[stop])
        return booster.best_iteration, booster.model_to_string()

    assert rounds(lambda rows, name: rows) == rounds(lambda rows, name: stored(workspace, rows, 100, name))
    assert rounds(lambda rows, name: rows)[0] < 200


@pytest.mark.parametrize("rows", [None, 64])
def test_an_estimator_with_partial_fit_learns_batch_by_batch(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, rows: int | None
) -> None:
    frame = flights(2000).drop_nulls()
    monkeypatch.setattr("slipway.models.inputs.BATCH_ROWS", 333)

    def fitted(fixed: Any) -> Model:
        scale, line = MinMaxScaler(), SGDClassifier(loss="log_loss", random_state=1)
        for x, _ in fixed.batches(rows=rows):
            scale.partial_fit(x)
        for epoch in range(3):
            for x, y in fixed.batches(seed=epoch, rows=rows):
                line.partial_fit(scale.transform(x), y, classes=[0.0, 1.0])
        return Model(make_pipeline(scale, line), inputs=fixed)

    here, there = fitted(inputs(frame, label="late")), fitted(inputs(stored(workspace, frame), label="late"))
    assert here.slipway_fingerprint() == there.slipway_fingerprint()


def test_each_seed_is_an_order_of_all_rows(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.models.inputs.BATCH_ROWS", 7)
    frame = pl.DataFrame({"x": np.arange(50.0), "y": np.arange(50.0)})
    for fixed in (inputs(frame, label="y"), inputs(stored(workspace, frame, 7), label="y")):
        orders = [np.concatenate([y for _, y in fixed.batches(seed)]).tolist() for seed in (None, 1, 1, 2)]
        assert orders[0] == list(range(50))
        assert orders[1] == orders[2] != orders[3]
        assert sorted(orders[1]) == sorted(orders[3]) == orders[0] != orders[1]
        assert all(x[0] == y[0] for x, y in zip(*zip(*fixed.batches(3), strict=True), strict=True))
        for rows in (1, 3, 7, 20, 50, 99):
            some = list(fixed.batches(1, rows=rows))
            assert [len(y) for _, y in some] == [rows] * (50 // rows) + [50 % rows] * bool(50 % rows)
            assert np.concatenate([y for _, y in some]).tolist() == orders[1]
            assert np.concatenate([x for x, _ in some])[:, 0].tolist() == orders[1]
        with pytest.raises(InvalidInput, match="Batches of 0 rows"):
            next(fixed.batches(1, rows=0))


KINDS = {
    "int": (pl.Int64, st.integers(-(2**60), 2**60)),
    "small": (pl.UInt8, st.integers(0, 255)),
    "float": (pl.Float64, st.floats()),
    "single": (pl.Float32, st.floats(width=32)),
    "bool": (pl.Boolean, st.booleans()),
    "text": (pl.String, st.text(max_size=3)),
    "category": (pl.Categorical, st.sampled_from(["a", "b", ""])),
    "choice": (pl.Enum(["z", "a"]), st.sampled_from(["z", "a"])),
}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), rows=st.integers(0, 12))
def test_columns_are_encoded_as_values_are(data: st.DataObject, rows: int) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, unique=True))
    held = {name: st.lists(st.none() | KINDS[name][1], min_size=rows, max_size=rows) for name in names}
    frame = pl.DataFrame({name: pl.Series(data.draw(held[name]), dtype=KINDS[name][0]) for name in names})
    signature = inputs(frame).signature
    fewer = Signature(
        tuple(msgspec.structs.replace(one, categories=one.categories[:1]) for one in signature.inputs),
        signature.outputs,
    )
    for one in (signature, fewer):
        found, known = encoding(one, frame.schema)(frame), Encoder(one).frame(frame)
        assert found.shape == known.shape
        np.testing.assert_array_equal(found, known)


def test_matrix_gives_rows_as_an_array_does(workspace: Workspace) -> None:
    frame = flights(100)
    whole, matrix = inputs(frame, label="late").matrix, inputs(stored(workspace, frame, 7), label="late").matrix
    assert (len(matrix), matrix.shape, matrix.batch_size) == (100, whole.shape, 7)
    for index in (
        0,
        6,
        7,
        99,
        -1,
        slice(0, 7),
        slice(3, 40),
        slice(95, 200),
        slice(5, 5),
        slice(0, 50, 9),
        [],
        [3, 50, 99],
    ):
        np.testing.assert_array_equal(matrix[index], whole[index if index != [] else np.array([], dtype=int)])
    with pytest.raises(IndexError):
        matrix[100]


def test_rows_are_chosen_as_a_frame_chooses_them(workspace: Workspace) -> None:
    start = datetime(2013, 1, 1, tzinfo=UTC)
    frame = pl.DataFrame(
        {"n": range(1000), "at": [start + timedelta(hours=n * 7 % 1000) for n in range(1000)], "k": ["a", None] * 500}
    )
    batches = stored(workspace, frame, 64)
    late = pl.col("at") >= pl.col("at").max() - timedelta(days=10)
    for conditions in (
        [late],
        [~late],
        [pl.col("k") == "a"],
        [pl.col("n") > 2000],
        [late, pl.col("n") % 3 == 0],
        [pl.col("n") >= 0],
    ):
        found, known = batches.filter(*conditions), frame.filter(*conditions)
        assert found.rows == known.height
        assert [one.height for one in found] == [64] * (known.height // 64) + [known.height % 64] * bool(
            known.height % 64
        )
        assert pl.concat([frame.clear(), *found]).equals(known)
        assert found.lazy().collect().equals(known)
        again = found.filter(pl.col("n") % 2 == 0)
        assert pl.concat([frame.clear(), *again]).equals(known.filter(pl.col("n") % 2 == 0))
        assert pickle.loads(pickle.dumps(found)).slipway_fingerprint() == found.slipway_fingerprint()
    assert batches.filter(pl.col("n") >= 0).fingerprint == batches.fingerprint
    assert (
        batches.filter(pl.col("n") < 10).fingerprint
        == batches.filter(pl.col("n") <= 9).fingerprint
        != batches.fingerprint
    )
    with pytest.raises(InvalidInput, match="cannot be filtered"):
        batches.filter(pl.col("nothing") > 1)


def test_a_choice_is_kept_with_the_reference(workspace: Workspace, tmp_path: Any) -> None:
    frame = pl.DataFrame({"n": range(100_000)})
    some = stored(workspace, frame).filter(pl.col("n") % 3 == 0)
    some.slipway_save(tmp_path)
    found = Batches.slipway_load(tmp_path)
    assert found.slipway_fingerprint() == some.slipway_fingerprint()
    assert found.slice(30_000, 3)["n"].to_list() == [90_000, 90_003, 90_006]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 10_000


def test_a_long_profile_counts_all_rows_over_the_edges_of_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "_SAMPLED", 100)
    values = np.random.default_rng(1).normal(size=5000)
    values[::7] = np.nan
    texts = ["a", "b", None, "b"] * 1250
    (number, text) = profiles.profile_in_batches(
        lambda: ({"x": values[at : at + 300], "t": texts[at : at + 300]} for at in range(0, 5000, 300)), 5000
    ).columns
    whole = profiles.profile({"x": values, "t": texts})
    assert text == whole.columns[1]
    assert (number.rows, number.missing, number.low, number.high) == (5000, 715, np.nanmin(values), np.nanmax(values))
    assert max(abs(count / 4285 - 0.1) for count in number.counts) < 0.1
    assert (
        profiles.profile({"x": values, "t": texts}, msgspec.structs.replace(whole, columns=(number, text))).columns[0]
        == number
    )


def test_the_reference_knows_when_rows_were_decided(workspace: Workspace) -> None:
    monday = datetime(2026, 1, 5, tzinfo=UTC)
    frame = flights(500).with_columns(at=pl.Series([monday + timedelta(hours=number % 50) for number in range(500)]))
    names = [name for name in frame.columns if name not in ("late", "at")]
    here = boosted(inputs(frame, names, label="late", at="at")).profile
    there = boosted(inputs(stored(workspace, frame), names, label="late", at="at")).profile
    of_pandas = boosted(inputs(frame.to_pandas(), names, label="late", at="at")).profile
    assert here.hours == there.hours == of_pandas.hours
    assert (here.hours[0], here.hours[49], here.hours[50]) == (10, 10, 0)
    assert sum(here.hours) == 500
    assert boosted(inputs(frame, names, label="late")).profile.hours == ()
    for rows in (frame, stored(workspace, frame)):
        with pytest.raises(InvalidInput, match="'when'"):
            inputs(rows, names, label="late", at="when")
        with pytest.raises(InvalidInput, match="The decision times 'distance' are "):
            inputs(rows, names, label="late", at="distance")
    naive = frame.with_columns(pl.col("at").dt.replace_time_zone(None))
    with pytest.raises(InvalidInput, match="instants with a time zone"):
        inputs(naive, names, label="late", at="at")


def test_what_is_missing_is_a_sentence(workspace: Workspace) -> None:
    frame = flights(20)
    batches = stored(workspace, frame)
    with pytest.raises(InvalidInput, match="no column 'nothing'"):
        inputs(batches, ["nothing"])
    with pytest.raises(InvalidInput, match="no column 'truth'"):
        inputs(batches, ["distance"], label="truth")
    with pytest.raises(InvalidInput, match="among the inputs"):
        inputs(batches, ["distance", "late"], label="late")
    for rows in (frame, batches):
        with pytest.raises(InvalidInput, match="have no label"):
            next(inputs(rows, ["distance"]).batches())
    missing = stored(workspace, frame.with_columns(late=pl.lit(None, pl.Boolean)), name="missing")
    with pytest.raises(InvalidInput, match="missing in 20"):
        _ = inputs(missing, ["distance"], label="late").labels
