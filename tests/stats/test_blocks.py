"""Intervals by blocks: equal to the slow definition, wider where days differ, and as often right as they claim."""

import numpy as np
import pytest

from slipway.errors import InvalidInput
from slipway.stats.blocks import auc_by_blocks, estimate_by_blocks, mean_by_blocks, student_quantile
from slipway.stats.classification import auc
from slipway.stats.metrics import estimate


@pytest.mark.parametrize(
    ("share", "freedom", "table"),
    [(0.975, 1, 12.7062), (0.975, 2, 4.3027), (0.975, 6, 2.4469), (0.975, 27, 2.0518), (0.95, 9, 1.8331)],
)
def test_students_quantiles_are_those_of_the_tables(share: float, freedom: int, table: float) -> None:
    assert student_quantile(share, freedom) == pytest.approx(table, abs=5e-5)


def days(k: int = 28, *, spread: float = 0.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores and days; `spread` is how much a day by itself moves the chance that a label is true."""
    random = np.random.default_rng(seed)
    sizes = random.integers(20, 60, k)
    blocks = np.repeat(np.arange(k), sizes)
    scores = random.uniform(0.05, 0.95, blocks.size)
    chance = np.clip(scores + np.repeat(random.normal(0, spread, k), sizes), 0, 1)
    return (random.random(blocks.size) < chance).astype(float), scores, blocks


def test_one_row_a_block_is_the_mean_with_students_interval() -> None:
    values = np.random.default_rng(1).normal(3, 2, 30)
    found = mean_by_blocks(values, np.arange(30))
    half = student_quantile(0.975, 29) * values.std(ddof=1) / 30**0.5
    assert (found.value, found.low, found.high) == pytest.approx(
        (values.mean(), values.mean() - half, found.value + half)
    )


def test_the_jackknife_of_an_auc_equals_leaving_each_block_out() -> None:
    labels, scores, blocks = days(9)
    scores = np.round(scores, 1)  # ties
    found = auc_by_blocks(labels, scores, blocks)
    without = np.array([auc(labels[blocks != day], scores[blocks != day]) for day in range(9)])
    deviation = (8 / 9 * ((without - without.mean()) ** 2).sum()) ** 0.5
    assert found.value == pytest.approx(auc(labels, scores))
    assert found.high - found.value == pytest.approx(student_quantile(0.975, 8) * deviation)


@pytest.mark.parametrize("metric", ["log_loss", "calibration_in_the_large"])
def test_days_that_differ_make_the_interval_wider(metric: str) -> None:
    labels, scores, blocks = days(spread=0.3)
    by_rows, by_days = estimate(metric, labels, scores), estimate(metric, labels, scores, blocks)
    assert by_days.value == pytest.approx(by_rows.value)
    assert by_days.high - by_days.low > 1.5 * (by_rows.high - by_rows.low)


@pytest.mark.parametrize("metric", ["calibration_in_the_large", "auc"])
def test_intervals_cover_the_truth_about_as_often_as_they_say(metric: str) -> None:
    labels, scores, blocks = days(4000, spread=0.2, seed=99)
    truth = estimate_by_blocks(metric, labels, scores, blocks).value
    found = [estimate_by_blocks(metric, *days(14, spread=0.2, seed=seed)) for seed in range(300)]
    assert 0.91 < np.mean([one.low <= truth <= one.high for one in found]) < 0.99


def test_a_block_with_one_class_only_is_no_trouble() -> None:
    labels, scores, blocks = days(9)
    labels[blocks == 3] = 1.0
    assert np.isfinite(auc_by_blocks(labels, scores, blocks).low)


def test_what_cannot_be_told() -> None:
    _, scores, blocks = days(9)
    assert "1 blocks" in mean_by_blocks(scores, np.zeros(scores.size)).note
    assert "fewer than two blocks" in auc_by_blocks((blocks == 2).astype(float), scores, blocks).note
    assert "missing" in mean_by_blocks([1.0, np.nan], [1, 2]).note
    assert estimate("log_loss", [], [], []).note == "no rows"


def test_a_metric_without_blocks_names_those_with() -> None:
    with pytest.raises(InvalidInput, match="no interval by blocks"):
        estimate("average_precision", *days(9))
