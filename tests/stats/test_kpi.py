"""The KPI of a contract: one reckoning, and a sentence instead of a figure wherever there is none."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from slipway.errors import InvalidDeclaration, InvalidInput
from slipway.schema import metric_contract
from slipway.schema.metric_contract import Hypothesis, MetricContract
from slipway.stats import blocks
from slipway.stats.kpi import best_threshold, decided, kpi_figure, kpi_losses, kpi_values, with_business
from slipway.stats.metrics import METRICS, CostMatrix, costs

SEATS = MetricContract("revenue per seat", value="price * label / seats", unit="EUR", min_rows=2, between=(0, 100))
COSTS = {"true_positive": 10, "false_positive": 10, "false_negative": 50}


def test_a_cost_matrix_is_a_formula_with_the_same_figures() -> None:
    random = np.random.default_rng(1)
    labels, scores = random.integers(0, 2, 500), random.random(500)
    terms = MetricContract("cost of errors", costs=COSTS).terms()
    values = kpi_values(decided(pl.DataFrame({"x": scores}), scores, labels, 0.3), terms)
    assert values.to_numpy() == pytest.approx(costs(labels, scores, 0.3, CostMatrix(**COSTS)))
    assert (terms.better, terms.least, terms.most) == ("lower", 0.0, 50.0)
    assert kpi_losses(values, terms)[0].to_numpy() == pytest.approx(values.to_numpy() / 50)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"seats": [0, 1, 2]}, "1 of 3 predictions give no finite 'revenue per seat'"),
        ({"price": [math.nan, 1.0, 1.0]}, "no finite"),
        ({"price": [500.0, 1.0, 1.0]}, "yield less than 0 or more than 100"),
        ({"label": [None, None, 1.0]}, "1 predictions with a known value are too few; 2 are needed"),
    ],
)
def test_what_has_no_figure_says_why(change: dict[str, Any], why: str) -> None:
    rows = {"price": [10.0, 20.0, 30.0], "label": [1.0, 1.0, 0.0], "seats": [1, 2, 3], **change}
    found = kpi_figure(kpi_values(pl.DataFrame(rows, strict=False), SEATS.terms()), SEATS.terms())
    assert math.isnan(found.value)
    assert why in found.note


def test_a_missing_column_is_named() -> None:
    with pytest.raises(InvalidInput, match="no column 'seats', which 'revenue per seat' is reckoned from"):
        kpi_values(pl.DataFrame({"price": [1.0], "label": [1.0]}), SEATS.terms())


def test_business_columns_are_found_by_key_and_win() -> None:
    terms = MetricContract(
        "revenue per seat", value="price * label / seats", table="sales", key={"flight": "flight_id"}, min_rows=2
    ).terms()
    frame = pl.DataFrame({"flight_id": ["a", "b", "c", "a"], "label": [1.0] * 4, "seats": [9.0] * 4})
    sales = pl.LazyFrame({"flight": ["b", "a"], "price": [20.0, 10.0], "seats": [2, 5]})
    found = with_business(frame, terms, sales)
    assert kpi_values(found, terms).to_list() == [2.0, 10.0, None, 2.0]
    with pytest.raises(InvalidInput, match="several rows of one flight"):
        with_business(frame, terms, pl.concat([sales, sales]))
    with pytest.raises(InvalidInput, match="no field 'flight_id'"):
        with_business(frame.drop("flight_id"), terms, sales)
    with pytest.raises(InvalidInput, match="no column 'flight'"):
        with_business(frame, terms, sales.drop("flight"))


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_is_the_best_of_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    n = 60
    frame = pl.DataFrame({"amount": random.gamma(2, 50, n)})
    scores, labels = np.round(random.random(n), 1), random.integers(0, 2, n)
    contract = MetricContract(
        "saved", value="(amount if label == 1 else -30) if decision else 0", better=random.choice(["higher", "lower"]), min_rows=2
    )  # fmt: skip
    terms = contract.terms()
    rows = decided(frame, scores, labels, None)
    at, value, known = best_threshold(rows, terms)
    every = [
        float(kpi_values(decided(frame, scores, labels, cut), terms).mean())
        for cut in [*np.unique(scores), 1.1]  # type: ignore[arg-type]
    ]
    assert value == pytest.approx(max(every) if terms.better == "higher" else min(every))
    assert float(kpi_values(decided(frame, scores, labels, at), terms).mean()) == pytest.approx(value)  # type: ignore[arg-type]
    assert known == n


def test_a_formula_without_a_decision_has_no_threshold() -> None:
    rows = decided(pl.DataFrame({"price": [1.0] * 3, "seats": [1] * 3}), [0.1, 0.2, 0.3], [1, 0, 1], None)
    with pytest.raises(InvalidInput, match="does not depend on the decision"):
        best_threshold(rows, SEATS.terms())


@pytest.mark.parametrize(
    "given",
    [
        {"kpi": "Revenue"}, {"kpi": ""}, {"value": ""}, {"costs": COSTS}, {"better": "more"}, {"guard": -1}, {"guard": math.nan},
        {"between": (1, 1)}, {"between": 3}, {"metric": "aucc"}, {"owner": ""}, {"key": "x"}, {"min_rows": 0}, {"window": "3d"},
        {"delay": "soon"}, {"limit": "x"}, {"threshold": True}, {"table": "sales"}, {"hypothesis": 3}, {"table": 7, "key": "x"},
    ],
)  # fmt: skip
def test_a_contract_that_cannot_work_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidDeclaration) as caught:
        MetricContract(**{"kpi": "revenue", "value": "price", **given})
    assert caught.value.fix or caught.value.why


@pytest.mark.parametrize("given", [{"effect": 0}, {"effect": "much"}, {"by": "soon"}, {"by": None}])
def test_a_hypothesis_that_says_nothing_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidDeclaration):
        Hypothesis(**{"effect": 1.0, "by": "2030-01-01", **given})


def test_the_metrics_of_a_contract_are_those_with_an_interval_by_days() -> None:
    assert set(metric_contract.METRICS) == ({"auc", *blocks._TERMS} & set(METRICS)) - {"calibration_in_the_large"}


def test_the_digest_is_of_what_the_contract_says() -> None:
    same = MetricContract("revenue per seat", value="price*label/seats", unit="EUR", min_rows=2, between=(0, 100))
    assert same.terms().digest == SEATS.terms().digest
    for change in ({"guard": 0.1}, {"unit": "USD"}, {"value": "price / seats"}, {"owner": "mia"}, {"delay": "2d"}):
        plain: dict[str, Any] = {"value": "price*label/seats", "unit": "EUR", "min_rows": 2, "between": (0, 100)}
        assert MetricContract("revenue per seat", **{**plain, **change}).terms().digest != SEATS.terms().digest
