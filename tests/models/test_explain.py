"""Every explanation adds up to the answer, is the same for the same row, and says what it rests on."""

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_flights import booster, labels, lightgbm_model, pandas_rows, pipeline, rows
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.linear_model import PoissonRegressor, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from slipway.errors import InvalidInput
from slipway.models import bundle as bundles
from slipway.models.explain import CALLS, Explainer
from slipway.models.inputs import inputs
from slipway.models.model import Model
from slipway.models.packing import pack
from slipway.ports.workspace import Workspace
from slipway.records.explanations import Explanation

N = 300
NUMBERS = np.random.default_rng(4).normal(size=(N, 4))
VALUE = 3 * NUMBERS[:, 0] - NUMBERS[:, 1] + NUMBERS[:, 2] * NUMBERS[:, 3]
NAMED = pd.DataFrame(NUMBERS, columns=list("abcd"))


def numbers_model(estimator: Any, target: np.ndarray = VALUE) -> Model:
    return Model(estimator.fit(NAMED, target), sample=NAMED)


def boosted(objective: str, target: np.ndarray, **params: Any) -> Model:
    fixed = inputs(pd.DataFrame(NUMBERS, columns=list("abcd")).assign(y=target), label="y")
    given = {"objective": objective, "verbose": -1, "num_threads": 1, **params}
    return Model(lgb.train(given, lgb.Dataset(fixed.matrix, fixed.labels), num_boost_round=15), inputs=fixed)


def doubled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(a2=frame["a"] * 2).drop(columns="b")


MODELS: dict[str, tuple[Callable[[], Model], str, str]] = {
    "trees": (lightgbm_model, "log-odds", "exact, by the trees"),
    "trees of values": (lambda: boosted("regression", VALUE), "value", "exact, by the trees"),
    "trees of counts": (lambda: boosted("poisson", np.abs(VALUE)), "log of the value", "exact, by the trees"),
    "linear leaves": (lambda: boosted("regression", VALUE, linear_tree=True), "value", "sampled"),
    "another sigmoid": (lambda: boosted("binary", (VALUE > 0).astype(float), sigmoid=2.0), "probability", "sampled"),
    "logistic, one-hot": (
        lambda: Model(pipeline().fit(pandas_rows(), labels()), sample=pandas_rows()), "log-odds", "exact, as a sum"
    ),
    "ridge": (lambda: numbers_model(make_pipeline(StandardScaler(), Ridge())), "value", "exact, as a sum"),
    "counts": (lambda: numbers_model(PoissonRegressor(), np.abs(VALUE)), "log of the value", "exact, as a sum"),
    "mixed columns": (lambda: numbers_model(make_pipeline(PCA(3), Ridge())), "value", "sampled"),
    "machine": (lambda: numbers_model(SVC(kernel="linear", probability=True), VALUE > 0), "probability", "sampled"),
    "network": (lambda: numbers_model(MLPClassifier((4,), max_iter=40, random_state=0), VALUE > 0), "probability", "sampled"),
    "forest": (lambda: numbers_model(RandomForestRegressor(5, random_state=0)), "value", "sampled"),
    "histograms": (
        lambda: numbers_model(HistGradientBoostingClassifier(max_iter=5), VALUE > 0), "probability", "sampled"
    ),
}  # fmt: skip


@cache
def made(name: str) -> Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MODELS[name][0]()


def total(found: Explanation) -> float:
    told = sum(one.contribution for one in found.contributions)
    return found.base + told + found.rest + found.residual


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=4, deadline=None)
@given(place=st.integers(0, 99), top=st.integers(1, 6))
def test_it_adds_up_to_the_answer(name: str, place: int, top: int) -> None:
    model = made(name)
    cases = [case for case in model.state.cases if not case.column]
    row = cases[place % len(cases)].row
    found, score = model.explain(row, top), model.predict_rows([row])[0]
    assert (found.scale, found.how[: len(MODELS[name][2])]) == (MODELS[name][1], MODELS[name][2])
    assert total(found) == pytest.approx(found.score, abs=1e-9)
    back = {"log-odds": lambda x: 1 / (1 + np.exp(-x)), "log of the value": np.exp}.get(found.scale, float)
    assert back(found.score) == pytest.approx(score, rel=1e-9)
    if found.how.startswith("exact"):
        assert abs(found.residual) < 1e-9
    assert len(found.contributions) == min(top, len(row))
    sizes = [abs(one.contribution) for one in found.contributions]
    assert sizes == sorted(sizes, reverse=True)
    assert model.explain(row, top) == found


def test_of_a_linear_model_it_is_coefficient_times_distance_from_the_mean() -> None:
    model = made("ridge")
    steps = model.estimator
    reference = np.asarray([case.row for case in model.state.cases if not case.column])
    row = reference[3]
    weights = steps[-1].coef_ / steps[0].scale_
    found = {one.input: one.contribution for one in model.explain(row.tolist(), 4).contributions}
    expected = (row - reference.mean(axis=0)) * weights
    np.testing.assert_allclose([found[name] for name in "abcd"], expected, rtol=1e-9)


def test_columns_of_one_input_are_told_together_and_a_category_of_no_reference_row_too() -> None:
    frame = pandas_rows().astype({"carrier": object})
    frame.loc[317, "carrier"] = "ZZ"  # no reference row: these lie evenly
    model = Model(pipeline().fit(frame, labels()), sample=frame)
    assert not any("ZZ" in case.row for case in model.state.cases)
    place = list(frame.columns).index("carrier")
    row = next(case.row for case in model.state.cases if case.row[place] == "AA")
    strange = [*row[:place], "ZZ", *row[place + 1 :]]
    usual, found = model.explain(row, 9), model.explain(strange, 9)
    assert {one.input for one in found.contributions} == set(frame.columns)
    assert found.how == "exact, as a sum"
    before, after = ({one.input: one.contribution for one in told.contributions} for told in (usual, found))
    change = after.pop("carrier") - before.pop("carrier")
    assert change == pytest.approx(found.score - usual.score)
    assert after == pytest.approx(before)


def test_prepared_columns_are_told_as_the_inputs_of_a_request() -> None:
    model = Model(Ridge().fit(doubled(NAMED), VALUE), sample=NAMED, prepare=doubled)
    row = NUMBERS[7].tolist()
    found = {one.input: one.contribution for one in model.explain(row, 4).contributions}
    assert found["b"] == 0
    assert model.explain(row).how == "exact, as a sum"
    fixed = inputs(doubled(NAMED).assign(y=VALUE), label="y")
    trees = lgb.train({"verbose": -1, "num_threads": 1}, lgb.Dataset(fixed.matrix, fixed.labels), num_boost_round=9)
    of_trees = Model(trees, sample=NAMED, prepare=doubled, task="regression").explain(row, 4)
    assert of_trees.how == "exact, by the trees"
    assert of_trees.contributions[0].input == "a"
    assert total(of_trees) == pytest.approx(of_trees.score)


def test_a_compiled_sum_is_told_by_its_answers_alone_as_the_estimator_tells_it(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = pack(workspace, made("logistic, one-hot"), name="delays")
    bundles.unpack(workspace, packed.manifest, tmp_path / "b", signature=packed.signature)
    loaded = bundles.load(tmp_path / "b")
    assert loaded._scorer.is_compiled
    monkeypatch.setattr(loaded._scorer, "_original", None)  # whoever wanted the estimator would find none
    for case in (loaded.cases() or ())[:5]:
        assert case.answer is not None
        told, known = loaded.explain(case.row, case.answer, 9), made("logistic, one-hot").explain(case.row, 9)
        assert (told.scale, told.how) == (known.scale, known.how)
        found, expected = ({one.input: one.contribution for one in one_of.contributions} for one_of in (told, known))
        assert found == pytest.approx(expected, abs=1e-7)
        assert told.base == pytest.approx(known.base, abs=1e-7)


def test_a_compiled_booster_s_trees_are_told_as_lightgbm_tells_them(workspace: Workspace, tmp_path: Path) -> None:
    packed = pack(workspace, made("trees"), name="delays")
    bundles.unpack(workspace, packed.manifest, tmp_path / "b", signature=packed.signature)
    loaded = bundles.load(tmp_path / "b")
    case = made("trees").state.cases[3]
    assert case.answer is not None
    told, known = loaded.explain(case.row, case.answer, 3), made("trees").explain(case.row, 3)
    assert (told.scale, told.how) == (known.scale, known.how)
    assert [one.input for one in told.contributions] == [one.input for one in known.contributions]
    found, expected = ([one.contribution for one in one_of.contributions] for one_of in (told, known))
    assert found == pytest.approx(expected, abs=1e-9)
    assert (told.base, told.rest) == (pytest.approx(known.base, abs=1e-9), pytest.approx(known.rest, abs=1e-9))


def test_a_compiled_model_that_is_no_sum_is_sampled(workspace: Workspace, tmp_path: Path) -> None:
    packed = pack(workspace, made("network"), name="delays")
    bundles.unpack(workspace, packed.manifest, tmp_path / "b", signature=packed.signature)
    loaded = bundles.load(tmp_path / "b")
    assert loaded._scorer.is_compiled
    row = NUMBERS[5].tolist()
    found = loaded.explain(row, loaded.predict_rows([row])[0], 2)
    assert found.how.startswith("sampled")
    assert total(found) == pytest.approx(found.score)


def test_sampling_asks_no_more_rows_than_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = made("forest"), 0
    ask = model._scorer.rows

    def counted(given: Any) -> Any:
        nonlocal asked
        asked += len(given)
        return ask(given)

    row = NUMBERS[5].tolist()
    score = model.predict_rows([row])[0]
    monkeypatch.setattr(model._scorer, "rows", counted)
    Explainer(model._scorer, model.task, lambda: model.state.cases)(row, score, 2)
    assert 0 < asked <= CALLS


def test_trees_need_no_reference_rows_and_sampling_says_that_they_are_gone() -> None:
    row = NUMBERS[5].tolist()
    trees, forest = made("trees of values"), made("forest")
    score = trees.predict_rows([row])[0]
    assert Explainer(trees._scorer, "regression", lambda: None)(row, score, 1).how == "exact, by the trees"
    with pytest.raises(InvalidInput, match="no reference rows"):
        Explainer(forest._scorer, "regression", lambda: None)(row, 1.0, 1)


def only_alike(frame: pd.DataFrame) -> pd.DataFrame:
    if (frame["a"] != frame["b"]).any():
        raise ValueError(f"{frame['a'].iloc[0]} is not {frame['b'].iloc[0]}")
    return frame


def test_a_model_that_refuses_mixed_rows_is_not_explained_and_tells_no_value_of_them() -> None:
    alike = NAMED.assign(b=NAMED["a"])
    model = Model(RandomForestRegressor(2, random_state=0).fit(alike, VALUE), sample=alike, prepare=only_alike)
    with pytest.raises(InvalidInput, match="refuses rows that lie between") as caught:
        model.explain(alike.iloc[3].tolist())
    assert "is not" not in f"{caught.value} {caught.value.why}"


def test_near_certainty_there_is_no_residual_of_rounding() -> None:
    fixed = inputs(rows(400), label="late")
    sure = booster(fixed, rounds=20)
    model = Model(sure, inputs=fixed)
    found = Explainer(model._scorer, "classification", lambda: ())
    row = model.state.cases[0].row
    raw = float(sure.predict(model._scorer._encoder.rows([row]), raw_score=True)[0])  # type: ignore[union-attr]
    assert found(row, model.predict_rows([row])[0], 2).score == pytest.approx(raw, abs=1e-9)
