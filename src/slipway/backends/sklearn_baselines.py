"""The usual kinds of model by scikit-learn, all from the same prepared columns."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sklearn import dummy, ensemble, linear_model, neural_network
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from slipway.backends.pandas_frames import from_polars
from slipway.ports.model_format import Task

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["fitted_baseline"]

_MOST_CATEGORIES = 50


def fitted_baseline(
    algorithm: str,
    rows: pl.DataFrame,
    numbers: Sequence[str],
    words: Sequence[str],
    truth: NDArray[Any],
    *,
    task: Task,
    seed: int,
) -> tuple[Any, Any]:
    """Fit one kind of model.

    Args:
        algorithm: "constant", "linear", "trees", "boosting" or "neural".
        rows: The inputs: float columns and texts, gaps included.
        numbers: The names of the float columns.
        words: The names of the texts.
        truth: float64 of shape `(n_rows,)`.
        task: What is predicted.
        seed: Of whatever is left to chance.

    Returns:
        The fitted pipeline and the pandas frame that it was fitted on.
    """
    sample = from_polars(rows)
    prepared = make_column_transformer(
        (
            make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()),
            list(numbers),
        ),
        (
            OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=_MOST_CATEGORIES, sparse_output=False),
            list(words),
        ),
    )
    estimator = make_pipeline(prepared, _ESTIMATORS[task][algorithm](seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a baseline that did not converge is judged like any other
        estimator.fit(sample, truth.astype(int) if task == "classification" else truth)
    return estimator, sample


_ESTIMATORS: Mapping[str, Mapping[str, Callable[[int], Any]]] = {
    "classification": {
        "constant": lambda seed: dummy.DummyClassifier(strategy="prior"),
        "linear": lambda seed: linear_model.LogisticRegression(max_iter=1000),
        "trees": lambda seed: ensemble.RandomForestClassifier(200, min_samples_leaf=5, random_state=seed),
        "boosting": lambda seed: ensemble.HistGradientBoostingClassifier(random_state=seed),
        "neural": lambda seed: neural_network.MLPClassifier((64, 32), early_stopping=True, random_state=seed),
    },
    "regression": {
        "constant": lambda seed: dummy.DummyRegressor(strategy="median"),
        "linear": lambda seed: linear_model.Ridge(),
        "trees": lambda seed: ensemble.RandomForestRegressor(200, min_samples_leaf=5, random_state=seed),
        "boosting": lambda seed: ensemble.HistGradientBoostingRegressor(random_state=seed),
        "neural": lambda seed: neural_network.MLPRegressor(
            (64, 32), early_stopping=True, random_state=seed, max_iter=500
        ),
    },
}
