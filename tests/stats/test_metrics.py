"""Metrics against independent implementations, and their laws."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.errors import InvalidInput
from slipway.stats import classification, metrics, regression
from slipway.stats.bootstrap import bootstrap
from slipway.stats.calibration import calibration_error, calibration_in_the_large, reliability
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.intervals import auc_interval, mean_interval, paired_difference, share_interval

oracle = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle: pip install 'slipway[sklearn]'")

rows = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.50001, 0.9, 1.0])), min_size=2, max_size=60
).filter(lambda drawn: 0 < sum(label for label, _ in drawn) < len(drawn))


@given(rows)
@settings(deadline=None, max_examples=200)
def test_classification_metrics_equal_scikit_learns(drawn: list[tuple[bool, float]]) -> None:
    labels, scores = np.array([d[0] for d in drawn], dtype=int), np.array([d[1] for d in drawn])
    assert classification.auc(labels, scores) == pytest.approx(oracle.roc_auc_score(labels, scores))
    assert classification.brier(labels, scores) == pytest.approx(oracle.brier_score_loss(labels, scores))
    assert classification.average_precision(labels, scores) == pytest.approx(
        oracle.average_precision_score(labels, scores)
    )
    clipped = np.clip(scores, 1e-15, 1 - 1e-15)
    assert classification.log_loss(labels, scores) == pytest.approx(oracle.log_loss(labels, clipped), rel=1e-6)
    assert classification.accuracy(labels, scores) == pytest.approx(oracle.accuracy_score(labels, scores >= 0.5))


def test_regression_metrics_equal_scikit_learns() -> None:
    random = np.random.default_rng(1)
    truth, guess = random.normal(size=50), random.normal(size=50)
    assert regression.mae(truth, guess) == pytest.approx(oracle.mean_absolute_error(truth, guess))
    assert regression.rmse(truth, guess) == pytest.approx(oracle.root_mean_squared_error(truth, guess))
    assert regression.r2(truth, guess) == pytest.approx(oracle.r2_score(truth, guess))
    assert regression.bias(truth, guess) == pytest.approx(float(np.mean(guess - truth)))


def test_auc_of_one_class_cannot_be_told_and_does_not_raise() -> None:
    found = metrics.estimate("auc", [1, 1, 1], [0.1, 0.2, 0.3])
    assert math.isnan(found.value)
    assert found.note


def test_nothing_to_judge_is_said() -> None:
    assert metrics.estimate("log_loss", [], []).note == "no rows"
    assert reliability([], []) == ()


def test_auc_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(7)
    truth = 0.7602499  # P(N(1,1) > N(0,1)) = Phi(1/sqrt(2))
    covered = 0
    for _ in range(300):
        labels = np.repeat([0, 1], [150, 100])
        found = auc_interval(labels, random.normal(size=250) + labels)
        covered += found.low <= truth <= found.high
    assert 0.91 <= covered / 300 <= 0.985


def test_paired_difference_of_auc_is_narrower_than_unpaired() -> None:
    random = np.random.default_rng(3)
    labels = random.integers(0, 2, 500)
    one = labels + random.normal(size=500)
    other = one + random.normal(scale=0.05, size=500)
    paired = paired_difference(labels, one, other, "auc")
    alone = auc_interval(labels, one)
    assert paired.high - paired.low < (alone.high - alone.low) / 3
    assert paired.value == pytest.approx(classification.auc(labels, one) - classification.auc(labels, other))


def test_paired_difference_of_losses_is_the_mean_of_differences() -> None:
    labels, one, other = [0, 1, 1, 0], [0.2, 0.7, 0.6, 0.1], [0.3, 0.6, 0.9, 0.4]
    found = paired_difference(labels, one, other, "log_loss")
    assert found.value == pytest.approx(classification.log_loss(labels, one) - classification.log_loss(labels, other))
    assert found.low < found.value < found.high


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="log_loss"):
        metrics.metric("logloss")
    with pytest.raises(InvalidInput, match="pair by pair"):
        paired_difference([1], [1], [1], "accurracy")


def test_wilson_stays_inside_zero_and_one() -> None:
    assert all(share_interval(0, n).low == 0.0 and share_interval(n, n).high == 1.0 for n in (10, 47, 500))
    assert share_interval(3, 10).value == 0.3


def test_mean_interval_of_one_row_cannot_be_told() -> None:
    assert math.isnan(mean_interval([1.0]).low)


def test_reliability_keeps_equal_scores_together_and_counts_every_row() -> None:
    labels, scores = [0, 1, 0, 1, 1, 0, 1, 1], [0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.9]
    points = reliability(labels, scores, bins=4)
    assert [point.n for point in points] == [4, 4]
    assert points[0].observed.value == 0.5
    assert calibration_error(points) == pytest.approx((0.4 * 4 + 0.15 * 4) / 8)


def test_calibration_in_the_large_is_mean_prediction_minus_rate() -> None:
    assert calibration_in_the_large([0, 1, 0, 1], [0.5, 0.9, 0.5, 0.9]).value == pytest.approx(0.2)


def test_slices_sum_to_all_rows_and_small_ones_cannot_tell() -> None:
    random = np.random.default_rng(2)
    labels, scores = random.integers(0, 2, 300), random.random(300)
    found = metrics.evaluate(labels, scores, ["auc", "log_loss"], {"plan": ["a"] * 280 + ["b"] * 20})
    by_slice = {(item.metric, item.slice): item.estimate for item in found}
    assert by_slice["auc", "plan=a"].n + by_slice["auc", "plan=b"].n == by_slice["auc", ""].n == 300
    assert math.isnan(by_slice["auc", "plan=b"].value)
    assert "20 rows" in by_slice["auc", "plan=b"].note
    assert by_slice["auc", "plan=a"].value == pytest.approx(classification.auc(labels[:280], scores[:280]))


def test_costs_follow_the_matrix() -> None:
    matrix = metrics.CostMatrix(true_positive=1, false_positive=2, true_negative=3, false_negative=4)
    assert metrics.costs([1, 0, 0, 1], [0.9, 0.9, 0.1, 0.1], 0.5, matrix).tolist() == [1, 2, 3, 4]


def test_a_perfect_ranking_of_few_rows_is_no_certainty() -> None:
    found = auc_interval([0] * 5 + [1] * 5, [0.1] * 5 + [0.9] * 5)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low < 0.7


@pytest.mark.parametrize("name", ["auc", "log_loss", "brier", "accuracy", "average_precision", "calibration"])
def test_missing_scores_and_labels_cannot_tell(name: str) -> None:
    assert "1 of 60 rows" in metrics.estimate(name, [0, 1] * 30, [0.2] * 59 + [math.nan]).note
    assert math.isnan(metrics.estimate(name, [0.0, 1.0] * 29 + [0.0, math.nan], [0.2] * 60).value)


def test_scores_that_are_no_probabilities_have_a_ranking_but_no_log_loss() -> None:
    assert "no probabilities" in metrics.estimate("log_loss", [0, 1] * 30, [-3.0, 4.0] * 30).note
    assert metrics.estimate("auc", [0, 1] * 30, [-3.0, 4.0] * 30).value == 1.0


def test_lengths_that_do_not_fit_are_said() -> None:
    with pytest.raises(InvalidInput, match="do not belong together"):
        metrics.estimate("auc", [0, 1], [0.1, 0.2, 0.3])
    with pytest.raises(InvalidInput, match="1 values for 2 rows"):
        metrics.evaluate([0, 1], [0.1, 0.2], ["auc"], {"plan": ["a"]})


def test_an_estimate_that_cannot_be_told_survives_json() -> None:
    found = msgspec.json.decode(msgspec.json.encode(cannot_tell(3, "few")), type=Estimate)
    assert math.isnan(found.value)
    assert (found.n, found.note) == (3, "few")


# The distance over bins is biased, so that it has no interval: `calibration_test` judges calibration.
COMPARABLE = [
    found.name
    for found in metrics.METRICS.values()
    if found.better != "zero" and not found.name.startswith("calibration") and found.task != "ranking"
]


@pytest.mark.parametrize("name", COMPARABLE)
def test_every_metric_of_a_gate_has_an_interval_and_a_paired_difference(name: str) -> None:
    random = np.random.default_rng(4)
    if metrics.METRICS[name].task == "classification":
        one = random.random(400)
        labels = (random.random(400) < one).astype(float)
        other = np.clip(one + random.normal(scale=0.2, size=400), 0, 1)
    else:
        labels = random.normal(size=400)
        one, other = labels + random.normal(scale=0.5, size=400), labels + random.normal(scale=0.6, size=400)
    alone, second = metrics.estimate(name, labels, one), metrics.estimate(name, labels, other)
    assert alone.low < alone.value < alone.high
    paired = paired_difference(labels, one, other, name)
    assert paired.value == pytest.approx(alone.value - second.value)
    assert paired.low < paired.value < paired.high
    assert metrics.estimate(name, labels, one) == alone


@pytest.mark.parametrize("name", ["r2", "rmse", "average_precision"])
def test_intervals_without_a_classic_formula_cover_the_truth(name: str) -> None:
    random = np.random.default_rng(5)

    def drawn(rows: int) -> tuple[Any, Any]:
        if name == "average_precision":
            labels = random.random(rows) < 0.3
            return labels, random.normal(size=rows) + labels
        labels = random.normal(size=rows)
        return labels, labels + random.normal(scale=0.7, size=rows)

    truth = getattr(classification, name, None) or getattr(regression, name)
    target = truth(*drawn(1_000_000))
    found = [metrics.estimate(name, *drawn(300)) for _ in range(100)]
    assert 88 <= sum(one.low <= target <= one.high for one in found) <= 99


def test_the_bootstrap_of_many_rows_takes_a_part_and_scales_its_spread() -> None:
    values = np.random.default_rng(6).normal(size=80_000)
    found, exact = bootstrap(lambda x: float(x.mean()), values), mean_interval(values)
    assert found.high - found.low == pytest.approx(exact.high - exact.low, rel=0.25)
    assert bootstrap(lambda x: float(x.mean()), values) == found
