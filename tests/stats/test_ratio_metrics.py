"""Metrics of decisions, forecasts and rankings: equal to scikit-learn's or to the slow definition, with intervals that hold."""

import math

import numpy as np
import pytest
import sklearn.metrics as oracle

from slipway.errors import InvalidInput
from slipway.stats.metrics import METRICS, estimate, metric

RANDOM = np.random.default_rng(3)
TRUTH = (RANDOM.random(400) < 0.3).astype(float)
SCORES = np.clip(TRUTH * 0.3 + RANDOM.random(400) * 0.7, 0, 1)
WANTED = RANDOM.gamma(2, 5, 400) + 1
GUESSED = WANTED * RANDOM.normal(1, 0.2, 400)


def test_decisions_and_quantiles_equal_scikit_learns() -> None:
    for threshold in (0.5, 0.3):
        yes = threshold <= SCORES
        for name in ("precision", "recall", "f1"):
            expected = getattr(oracle, f"{name}_score")(TRUTH, yes)
            assert estimate(f"{name}@{threshold}", TRUTH, SCORES).value == pytest.approx(expected)
    assert estimate("precision", TRUTH, SCORES) == estimate("precision@0.5", TRUTH, SCORES)
    for q in (0.1, 0.9):
        assert estimate(f"pinball@{q}", WANTED, GUESSED).value == pytest.approx(
            oracle.mean_pinball_loss(WANTED, GUESSED, alpha=q)
        )
    assert estimate("mape", WANTED, GUESSED).value == pytest.approx(
        oracle.mean_absolute_percentage_error(WANTED, GUESSED)
    )


def test_forecasts_equal_their_definitions() -> None:
    away = np.abs(WANTED - GUESSED)
    assert estimate("wape", WANTED, GUESSED).value == pytest.approx(away.sum() / WANTED.sum())
    smape = np.mean(2 * away / (WANTED + GUESSED))
    assert estimate("smape", WANTED, GUESSED).value == pytest.approx(smape)
    assert estimate("smape", [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]).value == 0.0
    series = np.arange(400) % 4
    over = under = 0.0
    for one in range(4):
        truth, guess = WANTED[series == one], GUESSED[series == one]
        over += np.abs(guess[7:] - truth[7:]).sum()
        under += np.abs(truth[7:] - truth[:-7]).sum()
    assert estimate("mase@7", WANTED, GUESSED, groups=series).value == pytest.approx(over / under)
    assert "have a truth of 0" in estimate("mape", [0.0, 1.0], [1.0, 1.0]).note


def test_rankings_equal_scikit_learns() -> None:
    queries = np.repeat(np.arange(40), 10)
    relevance = RANDOM.integers(0, 4, 400).astype(float)
    relevance[:10] = 0.0  # one request without anything relevant does not count
    scores = RANDOM.random(400)
    order = RANDOM.permutation(400)
    for k in (3, 10):
        expected = oracle.ndcg_score(np.exp2(relevance).reshape(40, 10)[1:] - 1, scores.reshape(40, 10)[1:], k=k)
        found = estimate(f"ndcg@{k}", relevance[order], scores[order], groups=queries[order])
        assert found.value == pytest.approx(expected)
        assert found.low < found.value < found.high
    each = [
        oracle.average_precision_score(relevance[queries == q] > 0, scores[queries == q])
        for q in range(1, 40)
        if (relevance[queries == q] > 0).any()
    ]
    assert estimate("map@10", relevance, scores, groups=queries).value == pytest.approx(np.mean(each))
    assert "judged by request" in estimate("ndcg", relevance, scores).note


@pytest.mark.parametrize("name", ["precision", "f1", "wape", "pinball@0.8", "ndcg@5", "calibration_error", "mase"])
def test_each_has_an_interval_by_rows_and_by_days(name: str) -> None:
    truth, scores = (TRUTH, SCORES) if METRICS[name.partition("@")[0]].task == "classification" else (WANTED, GUESSED)
    truth = np.minimum(truth, 5) if name.startswith("ndcg") else truth
    groups = np.arange(400) // 8
    for blocks in (None, np.arange(400) // 20):
        found = estimate(name, truth, scores, blocks, groups)
        assert found.low <= found.value <= found.high
        assert found.high > found.low
    assert "too few" in estimate(name, truth, scores, np.zeros(400), groups).note


def test_the_interval_by_days_of_a_precision_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(300):
        day = np.repeat(np.arange(20), 30)
        chance = np.clip(0.6 + np.repeat(random.normal(0, 0.1, 20), 30), 0, 1)
        truth, scores = (random.random(600) < chance).astype(float), random.random(600)
        found = estimate("precision", truth, scores, day)
        covered += found.low <= 0.6 <= found.high
    assert 0.91 <= covered / 300 <= 0.985


def test_the_debiased_calibration_error_is_near_zero_where_the_model_is_calibrated() -> None:
    random = np.random.default_rng(6)
    found = []
    for shift in (0.0, 0.1):
        scores = random.uniform(0.1, 0.9, 3000)
        truth = (random.random(3000) < scores + shift).astype(float)
        found.append(estimate("calibration_error", truth, scores))
    assert found[0].low == 0.0
    assert found[0].value < 0.02
    assert found[1].low < 0.1 < found[1].high
    assert found[1].value == pytest.approx(0.1, abs=0.02)
    assert estimate("calibration", truth, scores).value >= found[1].value - 0.01


def test_a_number_that_does_not_fit_is_refused() -> None:
    assert metric("ndcg@5").name == "ndcg@5"
    for name, words in (
        ("auc@3", "takes no number"),
        ("wape@1", "takes no number"),
        ("ndcg@0", "from 1 to"),
        ("f1@x", "no number"),
    ):
        with pytest.raises(InvalidInput, match=words):
            estimate(name, TRUTH, SCORES)
    assert math.isnan(estimate("precision", [1.0, 0.0], [0.1, 0.2]).value)
