"""Ordinary pipelines of scikit-learn and LightGBM: encoders times models times types of columns, each fitted on few rows.

A row of `CORPUS` is a name, the frame's kind, the pipeline and whether it predicts a class.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import calibration, decomposition, dummy, ensemble, feature_selection, linear_model, naive_bayes, svm, tree
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_transformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from slipway.models.model import Model

N = 240
NUMBERS = ["distance", "delay", "seats"]
WORDS = ["carrier", "origin"]


def frame(kind: str) -> pd.DataFrame:
    """Flights whose columns are of one kind of types."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame({
        "distance": rng.gamma(2.0, 400.0, N),
        "delay": np.where(rng.random(N) < 0.15, np.nan, rng.normal(5, 20, N)),
        "seats": rng.integers(20, 400, N),
        "carrier": pd.Series(rng.choice(["AA", "UA", "DL", "B6", "9E"], N, p=[0.4, 0.3, 0.2, 0.08, 0.02]), dtype=object),
        "origin": pd.Series(rng.choice(["JFK", "LGA", "EWR"], N), dtype=object),
        "night": rng.random(N) < 0.3,
    })  # fmt: skip
    if kind == "plain":
        return data
    if kind == "missing":
        data.loc[rng.random(N) < 0.1, "carrier"] = None
        data.loc[rng.random(N) < 0.1, "origin"] = None
        return data
    if kind == "category":
        data.loc[rng.random(N) < 0.1, "carrier"] = None
        return data.astype({"carrier": "category", "origin": "category"})
    if kind == "strings":
        data.loc[rng.random(N) < 0.1, "carrier"] = None
        return data.astype({"carrier": "str", "origin": "str"})
    if kind == "nullable":
        data["seats"] = data["seats"].astype("Int64").mask(rng.random(N) < 0.1)
        return data.astype({"night": "boolean", "carrier": "string", "delay": "Float64"})
    if kind == "single":
        return data.astype({"distance": "float32", "delay": "float32", "seats": "float32"})
    if kind == "small":
        data = data.astype({"distance": "float32", "seats": "int16"})
        return data.assign(
            gate=rng.integers(0, 9, N).astype("int8"), floor=pd.Series(rng.integers(0, 4, N), dtype="Int8")
        )
    if kind == "objects":
        night = pd.Series([None if i % 9 == 0 else bool(i % 2) for i in range(N)], dtype=object)
        seats = pd.Series([None if i % 7 == 0 else int(n) for i, n in enumerate(data["seats"])], dtype=object)
        return data[["distance", "delay"]].astype(object).assign(night=night, seats=seats)
    if kind == "numbers":
        return data[NUMBERS].assign(codes=rng.integers(0, 5, N))
    if kind == "full numbers":
        return data[["distance", "seats"]].assign(gate=rng.integers(0, 5, N), pressure=rng.normal(1013.0, 8.0, N))
    raise AssertionError(kind)


def truth(rows: pd.DataFrame, *, classes: bool) -> Any:
    """What is learned: from distance and one more column, with noise."""
    rng = np.random.default_rng(4)
    words = rows["carrier"].isin(["AA", "DL"]).to_numpy(dtype=bool, na_value=False) if "carrier" in rows else 0
    value = rows["distance"].to_numpy(dtype=float) / 800 + words + rng.normal(0, 0.4, len(rows))
    return (value > np.median(value)).astype(int) if classes else np.exp(value / 3)


def usual(*, scale: bool = True, words: Any = None, missing: Any = None, **options: Any) -> ColumnTransformer:
    """What most projects write: numbers filled in and scaled, words one-hot."""
    filled = missing if missing is not None else SimpleImputer(strategy="median")
    numbers = make_pipeline(filled, StandardScaler()) if scale else filled
    encoder = words if words is not None else OneHotEncoder(handle_unknown="ignore")
    return make_column_transformer((numbers, NUMBERS), (encoder, WORDS), **options)


def ordinal(**options: Any) -> OrdinalEncoder:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, **options)


def hist(*, classes: bool = True, **options: Any) -> Any:
    kind = ensemble.HistGradientBoostingClassifier if classes else ensemble.HistGradientBoostingRegressor
    return kind(max_iter=12, max_leaf_nodes=12, min_samples_leaf=5, random_state=0, **options)


def lgbm(*, classes: bool = True, **options: Any) -> Any:
    import lightgbm

    kind = lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor
    return kind(n_estimators=10, num_leaves=12, min_child_samples=5, n_jobs=1, verbose=-1, **options)


class Row(NamedTuple):
    name: str
    kind: str
    make: Callable[[], Any]
    classes: bool = True
    compiled: bool = True


def _logistic(**options: Any) -> Any:
    return linear_model.LogisticRegression(max_iter=300, **options)


CORPUS = [
    Row("logistic, one-hot", "missing", lambda: make_pipeline(usual(), _logistic())),
    Row("logistic, one-hot, no missing words", "plain", lambda: make_pipeline(usual(), _logistic())),
    Row("logistic, categories", "category", lambda: make_pipeline(usual(), _logistic())),
    Row("logistic, strings", "strings", lambda: make_pipeline(usual(), _logistic())),
    Row("logistic, nullable", "nullable", lambda: make_pipeline(usual(), _logistic())),
    Row("logistic, float32", "single", lambda: make_pipeline(usual(), _logistic())),
    Row("logistic, one-hot drops first", "plain", lambda: make_pipeline(usual(words=OneHotEncoder(drop="first")), _logistic())),
    Row("logistic, one-hot, infrequent", "missing", lambda: make_pipeline(usual(words=OneHotEncoder(min_frequency=20, handle_unknown="infrequent_if_exist")), _logistic())),
    Row("logistic, unknown refused", "plain", lambda: make_pipeline(usual(words=OneHotEncoder()), _logistic())),
    Row("logistic, filled words", "missing", lambda: make_pipeline(usual(words=make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), OneHotEncoder(handle_unknown="ignore"))), _logistic())),
    Row("logistic, most frequent words", "category", lambda: make_pipeline(usual(words=make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", sparse_output=False))), _logistic())),
    Row("logistic, indicators", "missing", lambda: make_pipeline(usual(missing=SimpleImputer(add_indicator=True)), _logistic())),
    Row("logistic, target encoder", "missing", lambda: make_pipeline(usual(words=TargetEncoder(cv=3)), _logistic())),
    Row("logistic, bins", "numbers", lambda: make_pipeline(SimpleImputer(), KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf"), _logistic())),
    Row("logistic, polynomial", "numbers", lambda: make_pipeline(SimpleImputer(), StandardScaler(), PolynomialFeatures(2), _logistic())),
    Row("logistic, pca", "numbers", lambda: make_pipeline(SimpleImputer(), StandardScaler(), decomposition.PCA(2, whiten=True), _logistic())),
    Row("logistic, svd of one-hot", "missing", lambda: make_pipeline(usual(), decomposition.TruncatedSVD(3), _logistic())),
    Row("logistic, selected", "missing", lambda: make_pipeline(usual(), feature_selection.SelectKBest(k=5), _logistic())),
    Row("logistic, union, min-max", "numbers", lambda: make_pipeline(SimpleImputer(), FeatureUnion([("a", MinMaxScaler(clip=True)), ("b", make_pipeline(FunctionTransformer(np.abs), FunctionTransformer(np.log1p)))]), _logistic())),
    Row("logistic, searched", "missing", lambda: GridSearchCV(make_pipeline(usual(), _logistic()), {"logisticregression__C": [0.1, 1.0]}, cv=2)),
    Row("sgd", "missing", lambda: make_pipeline(usual(), linear_model.SGDClassifier(loss="log_loss", random_state=0))),
    Row("sgd, modified huber", "plain", lambda: make_pipeline(usual(), linear_model.SGDClassifier(loss="modified_huber", random_state=0))),
    Row("calibrated linear svm", "missing", lambda: calibration.CalibratedClassifierCV(make_pipeline(usual(), svm.LinearSVC()), cv=2)),
    Row("calibrated forest, isotonic", "missing", lambda: make_pipeline(usual(scale=False), calibration.CalibratedClassifierCV(ensemble.RandomForestClassifier(6, random_state=0), method="isotonic", cv=2))),
    Row("calibrated hist, isotonic", "missing", lambda: make_pipeline(usual(scale=False), calibration.CalibratedClassifierCV(hist(), method="isotonic", cv=2))),
    Row("discriminant", "plain", lambda: make_pipeline(usual(words=OneHotEncoder(drop="first", sparse_output=False)), LinearDiscriminantAnalysis())),
    Row("gaussian bayes", "numbers", lambda: make_pipeline(SimpleImputer(), naive_bayes.GaussianNB())),
    Row("multinomial bayes", "full numbers", lambda: make_pipeline(MinMaxScaler(clip=True), naive_bayes.MultinomialNB())),
    Row("decision tree", "numbers", lambda: tree.DecisionTreeClassifier(max_depth=6, random_state=0)),
    Row("decision tree of an array", "array", lambda: tree.DecisionTreeClassifier(max_depth=6, random_state=0)),
    Row("forest, ordinal", "missing", lambda: make_pipeline(usual(scale=False, words=ordinal(encoded_missing_value=-2)), ensemble.RandomForestClassifier(8, random_state=0))),
    Row("forest with missing numbers", "numbers", lambda: ensemble.RandomForestClassifier(8, random_state=0)),
    Row("extra trees, nullable", "nullable", lambda: make_pipeline(usual(scale=False), ensemble.ExtraTreesClassifier(8, random_state=0))),
    Row("boosting", "missing", lambda: make_pipeline(usual(scale=False), ensemble.GradientBoostingClassifier(n_estimators=12, random_state=0))),
    Row("hist, one-hot", "missing", lambda: make_pipeline(usual(scale=False, missing="passthrough"), hist())),
    Row("hist, ordinal", "missing", lambda: make_pipeline(usual(scale=False, missing="passthrough", words=ordinal()), hist())),
    Row("hist, ordinal as categories", "missing", lambda: make_pipeline(make_column_transformer((OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), WORDS), remainder="passthrough"), hist(categorical_features=[0, 1]))),
    Row("hist, own categories", "category", lambda: hist(categorical_features="from_dtype")),
    Row("hist, numbers with missing", "numbers", hist),
    Row("hist, float32", "single", lambda: make_pipeline(usual(scale=False, missing="passthrough"), hist())),
    Row("hist, scaled", "missing", lambda: make_pipeline(usual(), hist())),
    Row("hist, nullable", "nullable", lambda: make_pipeline(usual(scale=False, remainder="passthrough"), hist())),
    Row("hist, small types", "small", lambda: make_pipeline(make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["gate", "origin"]), ("passthrough", ["distance", "seats", "floor", "night"])), hist())),
    Row("forest, float32 and small", "small", lambda: make_pipeline(make_column_transformer((StandardScaler(), ["distance", "seats", "gate"])), ensemble.RandomForestClassifier(8, random_state=0))),
    Row("hist, objects", "objects", hist),
    Row("logistic, one-hot of numbers", "small", lambda: make_pipeline(make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["gate", "night", "floor"]), (StandardScaler(), ["distance"])), _logistic())),
    Row("hist, as pandas", "missing", lambda: make_pipeline(usual(words=OneHotEncoder(sparse_output=False, handle_unknown="ignore")), hist()).set_output(transform="pandas")),
    Row("lightgbm", "numbers", lgbm),
    Row("lightgbm, categories", "category", lgbm),
    Row("lightgbm in a pipeline", "missing", lambda: make_pipeline(usual(scale=False, missing="passthrough"), lgbm())),
    Row("lightgbm in a pipeline, ordinal", "missing", lambda: make_pipeline(usual(scale=False, missing="passthrough", words=ordinal()), lgbm())),
    Row("network", "missing", lambda: make_pipeline(usual(), MLPClassifier(hidden_layer_sizes=(8,), max_iter=40, random_state=0))),
    Row("voting", "missing", lambda: make_pipeline(usual(), ensemble.VotingClassifier([("a", _logistic()), ("b", tree.DecisionTreeClassifier(max_depth=4, random_state=0))], voting="soft", weights=[2, 1]))),
    Row("prior", "missing", lambda: make_pipeline(usual(), dummy.DummyClassifier(strategy="prior"))),
    Row("neighbours", "missing", lambda: make_pipeline(usual(), KNeighborsClassifier()), compiled=False),
    Row("kernel svm, calibrated", "missing", lambda: make_pipeline(usual(), calibration.CalibratedClassifierCV(svm.SVC(), cv=2)), compiled=False),
    Row("filled by neighbours", "numbers", lambda: make_pipeline(KNNImputer(), _logistic()), compiled=False),
    Row("least squares", "missing", lambda: make_pipeline(usual(), linear_model.LinearRegression()), classes=False),
    Row("ridge, robust scaler", "numbers", lambda: make_pipeline(SimpleImputer(), RobustScaler(), linear_model.Ridge()), classes=False),
    Row("ridge, float32", "single", lambda: make_pipeline(usual(), linear_model.Ridge()), classes=False),
    Row("lasso, max-abs", "full numbers", lambda: make_pipeline(MaxAbsScaler(), linear_model.Lasso(0.001)), classes=False),
    Row("elastic net", "strings", lambda: make_pipeline(usual(), linear_model.ElasticNet(0.001)), classes=False),
    Row("poisson", "missing", lambda: make_pipeline(usual(), linear_model.PoissonRegressor()), classes=False),
    Row("log of the target", "missing", lambda: TransformedTargetRegressor(make_pipeline(usual(), linear_model.Ridge()), func=np.log1p, inverse_func=np.expm1), classes=False),
    Row("forest, regression", "category", lambda: make_pipeline(usual(scale=False), ensemble.RandomForestRegressor(8, random_state=0)), classes=False),
    Row("boosting, regression", "plain", lambda: make_pipeline(usual(scale=False, remainder="passthrough"), ensemble.GradientBoostingRegressor(n_estimators=12, random_state=0)), classes=False),
    Row("hist, regression", "missing", lambda: make_pipeline(usual(scale=False, missing="passthrough"), hist(classes=False)), classes=False),
    Row("hist, gamma", "category", lambda: hist(classes=False, loss="gamma", categorical_features="from_dtype"), classes=False),
    Row("lightgbm, regression", "missing", lambda: make_pipeline(usual(scale=False, missing="passthrough", words=ordinal()), lgbm(classes=False)), classes=False),
    Row("lightgbm, poisson", "numbers", lambda: lgbm(classes=False, objective="poisson"), classes=False),
    Row("network, regression", "missing", lambda: make_pipeline(usual(), MLPRegressor(hidden_layer_sizes=(8,), activation="tanh", max_iter=40, random_state=0)), classes=False),
    Row("neighbours' mean", "numbers", lambda: make_pipeline(SimpleImputer(), StandardScaler(), ensemble.AdaBoostRegressor(n_estimators=5, random_state=0)), classes=False, compiled=False),
]  # fmt: skip


def fitted(row: Row) -> Model:
    """The row's pipeline, fitted and made a model."""
    rows = frame("full numbers" if row.kind == "array" else row.kind)
    given: Any = rows.to_numpy(dtype=float) if row.kind == "array" else rows
    estimator = row.make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # forty iterations are few for a network
        estimator.fit(given, truth(rows, classes=row.classes))
        return Model(estimator, sample=given)
