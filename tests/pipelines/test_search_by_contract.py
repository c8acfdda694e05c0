"""A search by a metric contract: its utility is what trials are ranked by, what evaluation says and what the threshold makes the best of."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

import slipway as sw
from slipway.errors import StepFailed
from slipway.pipelines.search import search
from slipway.ports.workspace import Workspace
from slipway.records.models import MetricValue
from slipway.stats.kpi import best_threshold, decided

INPUTS = ["a", "b", "c"]
SAVED = sw.MetricContract("saved", value="(price * label - 15) if decision else 0", unit="EUR", metric="log_loss")
PAID = sw.MetricContract("paid", costs={"false_positive": 1, "false_negative": 5}, unit="EUR")


def rows(seed: int, n: int = 600) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    columns = {name: random.normal(size=n) for name in INPUTS}
    chance = 1 / (1 + np.exp(-(columns["a"] + 0.5 * columns["b"])))
    return pl.DataFrame({**columns, "price": random.gamma(4, 10, n), "late": random.random(n) < chance})


@sw.step
def train(inputs: int, strength: float, contract: sw.MetricContract) -> sw.Model:
    fit, tune, test = (rows(seed) for seed in (1, 2, 3))
    names = INPUTS[:inputs]
    fitted = LogisticRegression(C=strength).fit(fit.select(names).to_pandas(), fit["late"].to_numpy())
    model = sw.Model(fitted, sample=fit.select(names))
    tuned = sw.tuned_threshold(model, tune, contract, label="late")
    return sw.evaluate(tuned, test, label="late", contract=contract)


def told(model: sw.Model, contract: sw.MetricContract) -> MetricValue:
    assert model.evaluation is not None
    return next(one for one in model.evaluation.metrics if one.metric == contract.kpi)


@pytest.mark.parametrize("contract", [SAVED, PAID], ids=lambda one: one.kpi)
def test_search_evaluation_and_threshold_go_by_one_utility(workspace: Workspace, contract: sw.MetricContract) -> None:
    space = {"inputs": [1, 2, 3], "strength": [0.001, 1.0]}
    found = search(workspace, train, space, contract, 6, fixed={"contract": contract}, sampler="grid")
    assert (found.metric, found.direction) == (contract.kpi, contract.direction)
    by_hand = {}
    for trial in found.trials:
        model = train(**trial.params, contract=contract)
        names = INPUTS[: trial.params["inputs"]]
        test, tune = rows(3), rows(2)
        scores = model.predict(test.select(names))
        yes, late, price = scores >= model.decision.threshold, test["late"].to_numpy(), test["price"].to_numpy()
        earned = np.where(yes, price * late - 15, 0.0) if contract is SAVED else np.where(yes, ~late * 1.0, late * 5.0)
        by_hand[trial.number] = float(earned.mean())
        assert trial.value == told(model, contract).value == pytest.approx(by_hand[trial.number], abs=1e-12)
        # What the threshold was chosen by on its own rows is what evaluation says of these rows.
        again = sw.evaluate(model, tune, label="late", contract=contract)
        at, best, _ = best_threshold(
            decided(tune, model.predict(tune.select(names)), tune["late"].to_numpy(), None), contract.terms()
        )
        assert at == model.decision.threshold
        assert told(again, contract).value == pytest.approx(best, abs=1e-12)
    pick = max if contract.direction == "maximize" else min
    assert found.best.value == pytest.approx(pick(by_hand.values()), abs=1e-12)
    assert told(found.result, contract).value == found.best.value
    assert len(set(by_hand.values())) > 3, "the trials differ"


@sw.step
def forgets(inputs: int) -> sw.Model:
    fit = rows(1)
    fitted = LogisticRegression().fit(fit.select(INPUTS[:inputs]).to_pandas(), fit["late"].to_numpy())
    return sw.evaluate(sw.Model(fitted, sample=fit.select(INPUTS[:inputs])), rows(2), label="late")


@sw.step
def broken(inputs: int) -> sw.Model:
    test = rows(2).with_columns(price=pl.lit(0.0))
    fit = rows(1)
    fitted = LogisticRegression().fit(fit.select(INPUTS[:inputs]).to_pandas(), fit["late"].to_numpy())
    by_price = sw.MetricContract("saved", value="label / price")
    return sw.evaluate(sw.Model(fitted, sample=fit.select(INPUTS[:inputs])), test, label="late", contract=by_price)


@pytest.mark.parametrize(
    ("step", "why"),
    [(forgets, "gave no 'saved'"), (broken, "'saved' cannot be told: 600 of 600 predictions give no finite")],
)
def test_a_training_without_the_contract_s_figure_is_told(workspace: Workspace, step: Any, why: str) -> None:
    with pytest.raises(StepFailed, match=why):
        search(workspace, step, {"inputs": [1, 2]}, SAVED, 2)
