"""The calibration test against scikit-learn's logistic regression, and its verdicts by simulation."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from slipway.stats.recalibration import calibration_test


def _logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(p / (1 - p)))


def _drawn(random: np.random.Generator, rows: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    scores = random.beta(2, 5, rows)
    return random.random(rows) < scores, scores


def test_slope_and_intercept_equal_an_independent_fit() -> None:
    linear = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is the oracle")
    labels, scores = _drawn(np.random.default_rng(1), 2_000)
    guess = 1 / (1 + np.exp(-(0.4 + 1.7 * _logit(scores))))
    found = calibration_test(labels, guess)
    oracle = linear.LogisticRegression(C=np.inf, tol=1e-10, max_iter=1_000).fit(_logit(guess)[:, None], labels)
    assert found.slope.value == pytest.approx(oracle.coef_[0, 0], abs=1e-4)
    assert found.intercept.value == pytest.approx(oracle.intercept_[0], abs=1e-4)
    assert found.slope.low < 1 / 1.7 < found.slope.high


def test_calibrated_probabilities_are_hardly_ever_called_miscalibrated() -> None:
    random = np.random.default_rng(2)
    verdicts = [calibration_test(*_drawn(random, rows)).verdict for rows in (60, 300, 2_000) for _ in range(80)]
    assert verdicts.count("miscalibrated") <= 5
    large = [calibration_test(*_drawn(random, 20_000)).verdict for _ in range(20)]
    assert large.count("calibrated") >= 19


@pytest.mark.parametrize("wrong", ["shifted", "too sure", "bent"])
def test_wrong_probabilities_are_found(wrong: str) -> None:
    random = np.random.default_rng(3)
    scores = random.uniform(0.05, 0.95, 6_000)
    truth = {
        "shifted": scores * 0.85,
        "too sure": 0.5 + 0.7 * (scores - 0.5),
        "bent": scores + 0.12 * np.sin(scores * 4 * np.pi) * np.minimum(1, 5 * np.minimum(scores, 1 - scores)),
    }[wrong]
    found = calibration_test(random.random(6_000) < truth, scores)
    assert found.verdict == "miscalibrated"
    assert "at least" in found.sentence
    if wrong == "too sure":
        assert found.slope.high < 1


def test_few_rows_cannot_tell() -> None:
    labels, scores = _drawn(np.random.default_rng(4), 20)
    assert calibration_test(labels, scores).verdict == "cannot tell"
    assert calibration_test([], []).verdict == "cannot tell"
    assert calibration_test([0] * 500, [0.1] * 500).verdict == "cannot tell"
    assert "too few rows" in calibration_test(*_drawn(np.random.default_rng(4), 200)).sentence


def test_separated_labels_and_constant_scores_have_no_slope_but_a_verdict() -> None:
    separated = calibration_test([0] * 400 + [1] * 400, [0.3] * 400 + [0.7] * 400)
    assert math.isnan(separated.slope.value)
    assert separated.slope.note
    assert separated.verdict == "miscalibrated"
    constant = calibration_test([0, 0, 0, 1] * 500, [0.6] * 2_000)
    assert constant.verdict == "miscalibrated"
    certain = calibration_test([0, 1] * 200, [0.0, 1.0] * 200)
    assert certain.verdict in ("cannot tell", "calibrated")
