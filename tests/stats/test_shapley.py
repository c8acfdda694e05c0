"""Sampled Shapley values against those over all orders, and what must hold of any of them."""

from itertools import permutations
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from slipway.stats.shapley import sampled


def crossed(rows: list[list[Any]]) -> np.ndarray:
    found = np.asarray(rows, dtype=float)
    return found[:, 0] * found[:, 1] + np.abs(found[:, 2]) + 0.5 * found[:, -1]


def over_all_orders(row: list[float], background: list[list[float]]) -> np.ndarray:
    values = np.zeros(len(row))
    orders = list(permutations(range(len(row))))
    for order in orders:
        for other in background:
            made = list(other)
            for place in order:
                before = crossed([made])[0]
                made[place] = row[place]
                values[place] += crossed([made])[0] - before
    return values / len(orders) / len(background)


def test_sampling_comes_to_the_values_over_all_orders() -> None:
    random = np.random.default_rng(1)
    background = random.normal(size=(20, 4)).tolist()
    row = [2.0, -1.5, 3.0, 1.0]
    found = sampled(crossed, row, crossed([row])[0], background, crossed(background), calls=24_000, seed=0)
    np.testing.assert_allclose(found.values, over_all_orders(row, background), atol=0.05)


def test_of_a_sum_any_order_is_exact_and_each_background_row_counts_once() -> None:
    random = np.random.default_rng(2)
    weights = random.normal(size=5)
    background = random.normal(size=(10, 5))
    row = random.normal(size=5)
    found = sampled(
        lambda rows: np.asarray(rows) @ weights, row.tolist(), float(row @ weights), background.tolist(),
        background @ weights, calls=100, seed=3,
    )  # fmt: skip
    assert found.calls <= 100
    np.testing.assert_allclose(found.values, (row - background.mean(axis=0)) * weights, atol=1e-12)


def test_few_background_rows_have_the_mean_of_all_but_for_little() -> None:
    background = [[float(i), 0.0, 0.0, 0.0] for i in range(100)]
    row, answers = [5.0, 1.0, 2.0, 3.0], crossed(background) + np.arange(100.0)
    found = sampled(
        lambda rows: crossed(rows) + np.asarray(rows)[:, 0], row, 13.5, background, answers, calls=60, seed=5
    )
    assert abs(13.5 - found.values.sum() - answers.mean()) < 10  # ten rows: one of each tenth


@given(width=st.integers(1, 6), known=st.integers(1, 7), calls=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_values_add_up_and_calls_stay_within_their_budget(width: int, known: int, calls: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    background, row = random.normal(size=(known, width)).tolist(), random.normal(size=width).tolist()
    asked = 0

    def ask(rows: list[list[Any]]) -> np.ndarray:
        nonlocal asked
        asked += len(rows)
        return np.sin(np.asarray(rows)).prod(axis=1)

    score, answers = float(np.sin(row).prod()), np.sin(background).prod(axis=1)
    found = sampled(ask, row, score, background, answers, calls=calls, seed=seed)
    assert found.calls == asked <= max(calls, 2 * (width - 1))
    assert answers.min() - 1e-9 <= score - found.values.sum() <= answers.max() + 1e-9
    again = sampled(ask, row, score, background, answers, calls=calls, seed=seed)
    assert again.values.tolist() == found.values.tolist()
