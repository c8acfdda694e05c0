"""Means over blocks: days are the trials, however many rows each has."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.stats.blocks import block_mean, t_quantile
from slipway.stats.intervals import mean_interval

# From published tables of Student's t, two-sided 95 % and 99 %.
TABLE = [
    (1, 12.706, 63.657), (2, 4.303, 9.925), (5, 2.571, 4.032), (10, 2.228, 3.169), (30, 2.042, 2.750),
    (60, 2.000, 2.660), (120, 1.980, 2.617),
]  # fmt: skip


@pytest.mark.parametrize(("degrees", "of_95", "of_99"), TABLE)
def test_quantiles_are_those_of_the_tables(degrees: int, of_95: float, of_99: float) -> None:
    assert t_quantile(0.975, degrees) == pytest.approx(of_95, abs=6e-4)
    assert t_quantile(0.995, degrees) == pytest.approx(of_99, abs=6e-4)
    assert t_quantile(0.025, degrees) == -t_quantile(0.975, degrees)


def test_the_middle_is_zero_and_many_degrees_are_the_normal_law() -> None:
    assert t_quantile(0.5, 7) == pytest.approx(0.0, abs=1e-12)
    assert t_quantile(0.975, 10**6) == pytest.approx(1.959966, abs=1e-5)


def test_a_mean_over_blocks_by_hand() -> None:
    found = block_mean([1.0, 3.0, 5.0, 7.0, 2.0], [10, 10, 20, 20, 30])
    mean = 18 / 5
    away = [(4 - mean * 2) / (5 / 3), (12 - mean * 2) / (5 / 3), (2 - mean) / (5 / 3)]
    error = math.sqrt(sum(one**2 for one in away) / 2 / 3)
    assert (found.value, found.n) == (pytest.approx(mean), 5)
    assert found.high - mean == pytest.approx(4.302653 * error, rel=1e-6)
    assert mean - found.low == pytest.approx(4.302653 * error, rel=1e-6)


def test_one_row_a_block_is_the_interval_of_rows_with_students_t() -> None:
    values = np.random.default_rng(1).normal(size=400)
    by_rows, by_blocks = mean_interval(values), block_mean(values, np.arange(400))
    assert by_blocks.value == pytest.approx(by_rows.value)
    assert by_blocks.high - by_blocks.low == pytest.approx((by_rows.high - by_rows.low) * 1.96593 / 1.95996, rel=1e-4)


def test_rows_that_go_together_are_no_more_evidence_than_their_blocks() -> None:
    days = np.repeat(np.arange(30), 100)
    values = np.repeat(np.random.default_rng(2).normal(size=30), 100)
    by_rows, by_blocks = mean_interval(values), block_mean(values, days)
    assert (by_blocks.high - by_blocks.low) / (by_rows.high - by_rows.low) == pytest.approx(10, rel=0.1)


def test_an_interval_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    days = np.repeat(np.arange(20), 15)
    hits = 0
    for _ in range(600):
        values = random.normal(0.3, 1, 20)[days] + random.normal(0, 1, 300)
        found = block_mean(values, days)
        hits += found.low <= 0.3 <= found.high
    assert 0.92 <= hits / 600 <= 0.975


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_rows_and_the_names_of_blocks_do_not_matter(blocks: list[int], random: object) -> None:
    values = [float(place % 7) for place in range(len(blocks))]
    order = list(range(len(blocks)))
    random.shuffle(order)  # type: ignore[attr-defined]
    one = block_mean(values, blocks)
    other = block_mean([values[at] for at in order], [blocks[at] * 9 - 5 for at in order])
    assert one.value == pytest.approx(other.value)
    assert (one.low, one.high) == (
        pytest.approx(other.low, nan_ok=True, abs=1e-12),
        pytest.approx(other.high, nan_ok=True, abs=1e-12),
    )


def test_what_cannot_be_told_says_why() -> None:
    assert block_mean([], []).note == "no rows"
    assert "missing" in block_mean([1.0, math.nan], [1, 2]).note
    alone = block_mean([1.0, 2.0], [1, 1])
    assert (alone.value, math.isnan(alone.low)) == (1.5, True)
    assert "one block" in alone.note
