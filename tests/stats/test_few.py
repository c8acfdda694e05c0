"""Intervals from few values: exact Poisson limits, and medians by the order of the values."""

import numpy as np
import pytest

from slipway.stats.medians import median_interval
from slipway.stats.poisson import mean_interval


@pytest.mark.parametrize(
    ("events", "low", "high"), [(0, 0, 3.6889), (1, 0.0253, 5.5716), (3, 0.6187, 8.7673), (10, 4.7954, 18.3904)]
)
def test_poisson_limits_are_those_of_the_tables(events: int, low: float, high: float) -> None:
    assert mean_interval(events) == pytest.approx((low, high), abs=1e-3)


def test_a_poisson_interval_holds_the_mean_as_often_as_it_says() -> None:
    draws = np.random.default_rng(4).poisson(3.0, 2000)
    held = np.mean([low <= 3.0 <= high for low, high in map(mean_interval, map(int, draws))])
    assert held >= 0.95


@pytest.mark.parametrize(("count", "places"), [(6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (20, (6, 15))])
def test_a_median_lies_between_two_of_its_values(count: int, places: tuple[int, int]) -> None:
    found = median_interval([float(n) for n in range(count, 0, -1)])
    assert found is not None
    assert found[1:] == places


def test_too_few_values_tell_no_median() -> None:
    assert median_interval([]) is None
    assert median_interval([1.0] * 5) is None
