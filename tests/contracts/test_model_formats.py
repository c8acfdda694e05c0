"""Each model format against the port's suite."""

import pickle
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from slipway.backends import sealed_files
from slipway.backends.lightgbm_format import LightgbmFormat
from slipway.backends.pandas_frames import build, layout_of
from slipway.backends.pickle_format import PickleFormat
from slipway.backends.skops_format import SkopsFormat
from slipway.conformance.model_formats import Fitted, ModelFormatSuite
from slipway.errors import Corrupt, InvalidInput
from slipway.ports.model_format import ModelFormat

N = 150
RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(N, 3))
MATRIX[::9, 1] = np.nan
YES = (MATRIX[:, 0] + RNG.normal(size=N) > 0).astype(int)
FRAME = pd.DataFrame(
    {
        "object": pd.Series(RNG.choice(["a", "b", None], N).tolist(), dtype=object),
        "text": pd.Series(RNG.choice(["a", "b", None], N).tolist(), dtype="str"),
        "category": pd.Categorical(RNG.choice(["a", "b", None], N).tolist()),
        "yes": RNG.random(N) < 0.5,
        "count": RNG.integers(0, 9, N),
        "share": RNG.random(N).astype(np.float32),
    }
)


def rows_of(frame: pd.DataFrame) -> list[list[object]]:
    return frame.astype(object).where(frame.notna(), None).to_numpy().tolist()


def pipeline(estimator: object) -> Pipeline:
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = [("texts", encode, ["object", "text", "category"]), ("numbers", StandardScaler(), ["count", "share"])]
    return make_pipeline(ColumnTransformer(columns, remainder="passthrough"), estimator)


def booster(objective: str, target: np.ndarray) -> lgb.Booster:
    params = {"objective": objective, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    return lgb.train(params, lgb.Dataset(MATRIX, target), num_boost_round=8)


class TestLightgbm(ModelFormatSuite):
    def make(self) -> ModelFormat:
        return LightgbmFormat()

    def estimators(self) -> list[Fitted]:
        sklearn_api = lgb.LGBMRegressor(n_estimators=4, verbose=-1, n_jobs=1).fit(MATRIX, MATRIX[:, 0])
        rows = MATRIX.tolist()
        return [
            Fitted(estimator=booster("binary", YES), x=MATRIX, rows=rows, task="classification"),
            Fitted(estimator=booster("regression_l1", MATRIX[:, 0]), x=MATRIX, rows=rows, task="regression"),
            Fitted(estimator=sklearn_api, x=MATRIX, rows=rows, task="regression"),
        ]


class TestSkops(ModelFormatSuite):
    def make(self) -> ModelFormat:
        return SkopsFormat()

    def estimators(self) -> list[Fitted]:
        rows, target = rows_of(FRAME), FRAME["share"].to_numpy()
        linear = pipeline(LogisticRegression(max_iter=500)).fit(FRAME, YES)
        trees = pipeline(HistGradientBoostingClassifier(max_iter=5)).fit(FRAME, YES)
        forest = pipeline(RandomForestRegressor(3, random_state=0)).fit(FRAME, target)
        boosted = pipeline(lgb.LGBMClassifier(n_estimators=4, verbose=-1, n_jobs=1)).fit(FRAME, YES)
        own = FRAME[["category", "share"]]  # its encoder holds a function with some arguments
        categories = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype").fit(own, YES)
        return [
            Fitted(estimator=linear, x=FRAME, rows=rows, task="classification"),
            Fitted(estimator=boosted, x=FRAME, rows=rows, task="classification"),
            Fitted(estimator=categories, x=own, rows=rows_of(own), task="classification"),
            Fitted(estimator=trees, x=FRAME, rows=rows, task="classification"),
            Fitted(estimator=forest, x=FRAME, rows=rows, task="regression"),
        ]


class TestPickle(TestSkops):
    content_survives_loading = False

    def make(self) -> ModelFormat:
        return PickleFormat()


def test_skops_loads_only_what_was_trusted(tmp_path: Path) -> None:
    class_name = f"{Own.__module__}.Own"
    fitted = make_pipeline(Own(), LinearRegression()).fit(MATRIX[:, :1], MATRIX[:, 0])
    with pytest.raises(InvalidInput, match="types that nobody trusted"):
        SkopsFormat().save(fitted, tmp_path)
    SkopsFormat().save(fitted, tmp_path, trust=[class_name])
    assert SkopsFormat().load(tmp_path).predict(MATRIX[:1, :1]).shape == (1,)
    sealed_files.write(tmp_path / "trusted.json", b"[]")
    with pytest.raises(Corrupt, match="not trusted when it was saved"):
        SkopsFormat().load(tmp_path)


class Own(StandardScaler):
    """A transformer from outside the framework."""


def test_skops_files_are_read_by_skops_itself(tmp_path: Path) -> None:
    fitted = LinearRegression().fit(MATRIX[:, :1], MATRIX[:, 0])
    SkopsFormat().save(fitted, tmp_path)
    assert skops.io.load(tmp_path / "model.skops").coef_ == fitted.coef_


def test_what_cannot_be_kept_is_said(tmp_path: Path) -> None:
    fitted = LinearRegression().fit(MATRIX[:, :1], MATRIX[:, 0])
    fitted.callback = lambda: 1
    with pytest.raises(InvalidInput, match="cannot be pickled"):
        PickleFormat().save(fitted, tmp_path)
    sealed_files.write(tmp_path / "model.pkl", pickle.dumps(fitted.coef_).replace(b"numpy", b"nunpy"))
    with pytest.raises(Corrupt, match=r"needs code that is not here.*nunpy"):
        PickleFormat().load(tmp_path)
    with pytest.raises(InvalidInput, match=r"has no booster.*Fit it"):
        LightgbmFormat().task(lgb.LGBMClassifier())


@pytest.mark.parametrize(
    ("dtype", "values", "nulls"),
    [
        ("int64", [1, 2], "float64"),
        ("uint8", [1, 2], "float64"),
        ("bool", [True, False], "object"),
        ("float32", [1.5, 2.0], "float32"),
        ("Int64", [1, 2], "Int64"),
        ("boolean", [True, False], "boolean"),
        ("str", ["a", "b"], "str"),
        ("string", ["a", "b"], "string"),
        ("object", ["a", "b"], "object"),
        ("category", ["a", "b"], "category"),
    ],
)
def test_a_column_comes_back_with_its_type(dtype: str, values: list, nulls: str) -> None:
    frame = pd.DataFrame({"x": pd.Series(values, dtype=dtype)})
    layout = layout_of(frame)
    pd.testing.assert_frame_equal(build(layout, [[value] for value in values]), frame)
    with_null = build(layout, [[values[0]], [None]])
    assert str(with_null["x"].dtype) == nulls
    assert with_null["x"].isna().tolist() == [False, True]


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_what_was_missing_is_missing_in_the_same_way(missing: object) -> None:
    frame = pd.DataFrame({"x": pd.Series(["a", missing], dtype=object)})
    rebuilt = build(layout_of(frame), [["a"], [None]])["x"].iloc[1]
    assert type(rebuilt) is type(missing)


def test_an_unknown_category_is_missing_and_an_unknown_text_stays() -> None:
    rebuilt = build(layout_of(FRAME), [["z", "z", "z", True, 1, 0.5]])
    assert rebuilt["object"].tolist() == ["z"]
    assert rebuilt["category"].isna().tolist() == [True]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (["a", "a", "a", True, 1.5, 0.5], "count"),
        (["a", "a", "a", True, "1", 0.5], "count"),
        (["a", 3, "a", True, 1, 0.5], "text"),
        (["a", "a", "a", True, 1, "x"], "share"),
        (["a", "a", "a", True, 2**70, 0.5], "count"),
    ],
)
def test_a_value_that_does_not_fit_is_named(row: list, name: str) -> None:
    good = ["a", "a", "a", True, 1, 0.5]
    with pytest.raises(InvalidInput, match=rf"Row 1 gives .* for '{name}'") as e:
        build(layout_of(FRAME), [good, row])
    assert e.value.field == name


def test_types_that_no_request_carries_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'at' is of type datetime64.*Derive a feature"):
        layout_of(pd.DataFrame({"at": pd.to_datetime(["2013-01-01"])}))
    with pytest.raises(InvalidInput, match="categories of 'x' are not texts"):
        layout_of(pd.DataFrame({"x": pd.Categorical([1, 2])}))


def test_rows_of_floats_are_the_frame_that_columns_one_by_one_are() -> None:
    layout = layout_of(pd.DataFrame(np.zeros((2, 4)), columns=["a", "b", "c", "d"]))
    rows = [[0.1, None, 7, 2**70], [float("inf"), 1e-320, -0.0, None], [1.5, 2.5, None, 3]]
    found = build(layout, rows)
    expected = pd.DataFrame(
        {name: pd.Series([float("nan") if one is None else float(one) for one in held], dtype=np.float64)
         for name, held in zip("abcd", zip(*rows, strict=True), strict=True)}
    )  # fmt: skip
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    assert found.to_numpy().tobytes() == expected.to_numpy().tobytes()
    assert found.to_numpy().flags.f_contiguous == expected.to_numpy().flags.f_contiguous, "sums depend on the order"
    assert found.columns.dtype == expected.columns.dtype
    for row in ([1.0, "x", 2.0, 3.0], [1.0, 10**400, 2.0, 3.0]):
        with pytest.raises(InvalidInput, match="for 'b'"):
            build(layout, [row])
