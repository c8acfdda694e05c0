"""A model answers rows exactly as its estimator answered training rows."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from model_flights import booster, labels, lightgbm_model, pandas_rows, pipeline, rows
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from slipway.errors import Corrupt, InvalidDeclaration, InvalidInput, RowRefused
from slipway.models.inputs import inputs
from slipway.models.model import Model, load


class Oracle:
    """Not of any framework."""

    def predict(self, x: pd.DataFrame) -> np.ndarray:
        return x["wind"].to_numpy() * 2


class Typed:
    """Answers by the type that a column happens to have."""

    def predict(self, x: pd.DataFrame) -> np.ndarray:
        return np.full(len(x), float(x["distance"].dtype.kind == "i"))


class Moody(LogisticRegression):
    """Answers otherwise each time."""

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        p = np.random.default_rng().random(len(x))
        return np.column_stack([1 - p, p])


def test_a_booster_answers_as_on_its_own_matrix() -> None:
    frame = rows()
    fixed = inputs(frame, label="late")
    trained = booster(fixed)
    model = Model(trained, inputs=fixed)
    assert model.task == "classification"
    assert [f.type for f in model.signature.inputs] == ["category", "int", "float", "bool"]
    assert model.signature.inputs[0].categories == ("AA", "DL", "UA")
    expected = trained.predict(fixed.matrix)
    assert (model.predict(frame) == expected).all()
    assert (model.predict(frame.select(reversed(frame.columns))) == expected).all()
    assert (model.predict(frame.to_pandas()) == expected).all()


def test_missing_and_unknown_categories_are_the_same_to_a_booster() -> None:
    model = lightgbm_model()
    one = pl.DataFrame({"carrier": [None, "ZZ"], "distance": [500, 500], "wind": [9.0, 9.0], "wet": [True, True]})
    missing, unknown = model.predict(one)
    assert missing == unknown


def test_columns_come_from_whatever_has_names() -> None:
    class FeatureSet:
        names = ("wind", "carrier")

    assert inputs(rows(), FeatureSet()).names == ["wind", "carrier"]
    assert inputs(rows(), ["wet"]).names == ["wet"]


def test_a_sample_may_say_when_its_rows_were_decided() -> None:
    x = pl.DataFrame({"a": [float(n) for n in range(60)]}).to_pandas()
    at = pl.Series("at", [datetime(2026, 1, 5, tzinfo=UTC) + timedelta(hours=n) for n in range(60)])
    fitted = LinearRegression().fit(x, x["a"])
    hours = Model(fitted, sample=x, at=at).profile.hours
    assert (sum(hours), hours[:60], hours[60:]) == (60, (1,) * 60, (0,) * 108)
    assert Model(fitted, sample=x, at=at.to_pandas()).profile.hours == hours
    assert Model(fitted, sample=x).profile.hours == ()
    with pytest.raises(InvalidInput, match="instants with a time zone"):
        Model(fitted, sample=x, at=at.dt.replace_time_zone(None))


def test_lightgbms_sklearn_estimators_keep_their_booster() -> None:
    frame = pandas_rows()[["class", "distance", "wind", "wet"]]
    estimator = lgb.LGBMClassifier(n_estimators=15, verbose=-1, n_jobs=1).fit(frame, labels())
    model = Model(estimator, sample=frame)
    assert (model.state.format, model.state.layout) == ("lightgbm", ())
    assert (model.predict(frame) == estimator.predict_proba(frame)[:, 1]).all()


@pytest.mark.parametrize("estimator", [LogisticRegression(max_iter=1000), HistGradientBoostingClassifier(max_iter=10)])
def test_a_pipeline_meets_missing_values_as_in_training(estimator: object) -> None:
    frame = pandas_rows()
    fitted = pipeline(estimator).fit(frame, labels())
    model = Model(fitted, sample=frame)
    expected = fitted.predict_proba(frame)[:, 1]
    assert frame["carrier"].isna().sum() > 20
    assert np.abs(model.predict(frame) - expected).max() < 1e-12
    # A request knows only null: pandas' NaN for None must not change the answer, as it does elsewhere.
    altered = frame.assign(carrier=frame["carrier"].where(frame["carrier"].notna(), np.nan))
    assert np.abs(model.predict(altered) - expected).max() < 1e-12
    polars_rows = pl.from_pandas(frame[list(reversed(frame.columns))])
    assert np.abs(model.predict(polars_rows) - expected).max() < 1e-12


def test_the_trap_is_real() -> None:
    """Without the layout, None read as NaN would change answers: the test above can fail."""
    frame = pandas_rows()
    fitted = pipeline().fit(frame, labels())
    careless = frame.assign(carrier=frame["carrier"].where(frame["carrier"].notna(), np.nan))
    gap = np.abs(fitted.predict_proba(careless)[:, 1] - fitted.predict_proba(frame)[:, 1])
    assert gap[frame["carrier"].isna()].max() > 1e-3


def test_a_null_beside_it_never_changes_a_rows_answer() -> None:
    frame = pandas_rows()
    fitted = pipeline(HistGradientBoostingClassifier(max_iter=10)).fit(frame, labels())
    scorer = Model(fitted, sample=frame)._scorer
    whole = ["AA", "AA", "AA", 500, 9.0, True]
    without = ["AA", None, "AA", None, 9.0, True]
    together = scorer.rows([whole, without, whole])
    assert together.tolist() == [scorer.rows([row])[0] for row in (whole, without, whole)]


def test_a_batch_never_changes_the_type_that_a_row_is_seen_in() -> None:
    model = Model(Typed(), sample=pandas_rows()[["distance"]], task="regression", trust_pickle=True)
    assert model._scorer.rows([[5], [None], [7]]).tolist() == [1.0, 0.0, 1.0]


def test_an_estimator_that_refuses_nulls_gets_inputs_that_do() -> None:
    frame = pandas_rows()
    model = Model(pipeline().fit(frame, labels()), sample=frame)
    nullable = {field.name: field.nullable for field in model.signature.inputs}
    assert nullable["carrier"]
    assert nullable["class"]
    assert not nullable["wind"]
    assert not nullable["distance"]
    with pytest.raises(InvalidInput, match="The model refuses the row"):
        model.predict(frame.head(1).assign(wind=np.nan))


def test_a_polars_frame_may_be_the_sample_of_a_pipeline() -> None:
    frame = pl.from_pandas(pandas_rows()).select("carrier", "distance", "wind", "wet")
    encode = pipeline().steps[0][1]
    encode.transformers = [("texts", encode.transformers[0][1], ["carrier"]), *encode.transformers[1:]]
    fitted = make_pipeline(encode, LogisticRegression(max_iter=1000)).fit(frame, labels())
    model = Model(fitted, sample=frame)
    assert np.abs(model.predict(frame) - fitted.predict_proba(frame)[:, 1]).max() < 1e-12


def test_two_kinds_of_missing_in_one_column_are_refused_by_name() -> None:
    frame = pandas_rows()
    where = np.flatnonzero(frame["carrier"].isna())
    frame.loc[where[:2], "carrier"] = np.nan  # the encoder now learns None and NaN as two categories
    fitted = pipeline().fit(frame, labels())
    with pytest.raises(
        InvalidInput, match=rf"training row {where[0]}\b.*'carrier' was nan in training and is None"
    ) as e:
        Model(fitted, sample=frame)
    assert e.value.field == "carrier"


def test_answers_that_do_not_repeat_are_refused() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(InvalidInput, match="not repeatable"):
        Model(Moody().fit(x, x[:, 0] > 0), sample=x)


def test_an_array_and_a_regression() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3))
    fitted = LinearRegression().fit(x, x @ [1.0, 2.0, 3.0])
    model = Model(fitted, sample=x)
    assert model.task == "regression"
    assert [field.name for field in model.signature.inputs] == ["x0", "x1", "x2"]
    assert not model.signature.inputs[0].nullable
    forest = Model(RandomForestRegressor(3, random_state=0).fit(x, x[:, 0]), sample=x)
    assert forest.state.format == "skops"


def test_an_estimator_may_be_trained_on_the_matrix() -> None:
    fixed = inputs(rows(), ["wet", "distance"], label="late")
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(fixed.matrix, fixed.labels)
    model = Model(fitted, inputs=fixed)
    assert (model.predict(rows()) == fitted.predict_proba(fixed.matrix)[:, 1]).all()


def test_what_only_a_pickle_can_keep_needs_a_word() -> None:
    frame = pandas_rows()[["wind"]]
    with pytest.raises(InvalidInput, match=r"Oracle is of no framework.*trust=\['.*Oracle'\].*trust_pickle=True"):
        Model(Oracle(), sample=frame, task="regression")
    model = Model(Oracle(), sample=frame, task="regression", trust_pickle=True)
    assert model.state.format == "pickle"
    assert model.predict(frame)[0] == frame["wind"][0] * 2
    with pytest.raises(InvalidInput, match="does not say what it predicts"):
        Model(Oracle(), sample=frame, trust_pickle=True)


def test_own_types_in_a_pipeline_are_not_trusted_silently(tmp_path: Path) -> None:
    class_name = f"{Doubler.__module__}.Doubler"
    x = np.random.default_rng(0).normal(size=(60, 2))
    fitted = make_pipeline(Doubler(), LogisticRegression()).fit(x, x[:, 0] > 0)
    with pytest.raises(InvalidInput, match="types that nobody trusted") as e:
        Model(fitted, sample=x).slipway_save(tmp_path)
    assert class_name in str(e.value)
    (tmp_path / "trusted").mkdir()
    Model(fitted, sample=x, trust=[class_name]).slipway_save(tmp_path / "trusted")
    assert (load(tmp_path / "trusted").predict(pl.DataFrame(x, schema=["x0", "x1"])) >= 0).all()


class Doubler(StandardScaler):
    """A transformer of the project's own."""


@pytest.mark.parametrize("kind", ["lightgbm", "skops", "pickle"])
def test_a_kept_model_is_the_same_model(tmp_path: Path, kind: str) -> None:
    frame = pandas_rows()
    if kind == "lightgbm":
        model = lightgbm_model()
        frame = rows().to_pandas()
    else:
        fitted = pipeline().fit(frame, labels())
        model = Model(fitted, sample=frame, trust_pickle=kind == "pickle")
    model.slipway_save(tmp_path)
    again = load(tmp_path)
    assert again.state == model.state
    assert again.slipway_fingerprint() == model.slipway_fingerprint()
    assert (again.predict(frame) == model.predict(frame)).all()


def test_fingerprints_differ_with_the_estimator_and_the_decision() -> None:
    fixed = inputs(rows(), label="late")
    prints = {
        Model(booster(fixed), inputs=fixed).slipway_fingerprint(),
        Model(booster(fixed), inputs=fixed).slipway_fingerprint(),
        Model(booster(fixed, rounds=21), inputs=fixed).slipway_fingerprint(),
        lightgbm_model().slipway_fingerprint(),
    }
    assert len(prints) == 3


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="does not hold a model"):
        load(tmp_path)


def test_more_than_two_classes_are_refused() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    with pytest.raises(InvalidInput, match="predicts 3 classes"):
        Model(LogisticRegression().fit(x, np.arange(60) % 3), sample=x)
    with pytest.raises(InvalidInput, match=r"without probabilities.*CalibratedClassifierCV"):
        Model(LinearSVC().fit(x, np.arange(60) % 2), sample=x)
    fixed = inputs(pl.DataFrame({"a": x[:, 0], "y": np.arange(60) % 3}), label="y")
    many = lgb.train(
        {"objective": "multiclass", "num_class": 3, "verbose": -1}, lgb.Dataset(fixed.matrix, fixed.labels), 2
    )
    with pytest.raises(InvalidInput, match="objective is 'multiclass'"):
        Model(many, inputs=fixed)


def test_inputs_or_a_sample_is_due() -> None:
    fixed = inputs(rows(), label="late")
    with pytest.raises(InvalidDeclaration, match="no inputs and no sample"):
        Model(booster(fixed))
    with pytest.raises(InvalidDeclaration, match="inputs, and a sample or times"):
        Model(booster(fixed), inputs=fixed, sample=rows())
    with pytest.raises(InvalidInput, match=r"The sample is a builtins\.list"):
        Model(booster(fixed), sample=[1])


def test_what_cannot_be_an_input_is_named() -> None:
    frame = rows(50).with_columns(day=pl.date(2013, 1, 1))
    with pytest.raises(InvalidInput, match=r"column 'day' is of type Date.*Derive a feature"):
        inputs(frame, ["wind", "day"])
    with pytest.raises(InvalidInput, match=r"no column 'winds'\. Did you mean 'wind'"):
        inputs(frame, ["winds"])
    with pytest.raises(InvalidInput, match="The label 'late' is among the inputs"):
        inputs(frame, ["wind", "late"], label="late")
    with pytest.raises(InvalidInput, match=r"missing in 1 of 50 rows.*not known yet"):
        inputs(frame.with_columns(late=pl.when(pl.int_range(50) > 0).then("late")), ["wind"], label="late")
    with pytest.raises(InvalidInput, match="Collect a LazyFrame first"):
        inputs(frame.lazy(), ["wind"])


def test_what_an_estimator_cannot_take_is_refused_whatever_it_raises() -> None:
    frame = pl.DataFrame({"text": ["down again", "all is well", "down once more", "very well"] * 9})
    words = make_pipeline(make_column_transformer((TfidfVectorizer(), "text")), LogisticRegression())
    model = Model(words.fit(frame, [1, 0, 1, 0] * 9), sample=frame)
    with pytest.raises(RowRefused, match="has no attribute 'lower'"):
        model.predict(pl.DataFrame({"text": ["down", None]}))
