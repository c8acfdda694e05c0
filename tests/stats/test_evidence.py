"""Bounds and e-values that hold at every look: their algebra, and how often they err in simulation."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from slipway.errors import InvalidInput
from slipway.stats.evidence import (
    difference_bound,
    log_e_not_worse_by,
    mean_radius,
    mean_sequence,
    rows_factor,
    two_sample_bernoulli,
)

Blocks = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
NEEDED = math.log(100)


def traffic(random: np.random.Generator, *, blocks: int, rows: int, share: float, a: Any, b: Any) -> Blocks:
    """Failures and rows of both arms by block."""
    n_b = random.binomial(rows, share, blocks)
    n_a = rows - n_b
    return random.binomial(n_a, a), n_a, random.binomial(n_b, b), n_b


def days(random: np.random.Generator, runs: int, blocks: int, effect: NDArray[np.float64]) -> tuple[Any, Any]:
    """Sums and counts of days of unequal size whose mean difference is 0."""
    counts = random.poisson(900 * (1 + 0.2 * np.cos(np.arange(blocks) * 2 * np.pi / 7)), (runs, blocks))
    return 0.02 * counts * effect + 0.1 * np.sqrt(counts) * random.normal(size=(runs, blocks)), counts


def errors(sums: Any, counts: Any, alpha: float, looks: range) -> tuple[float, float]:
    """The share of sequences whose lower, and whose upper, bound was wrong at some look."""
    low, high = np.zeros(len(sums), dtype=bool), np.zeros(len(sums), dtype=bool)
    for t in looks:
        s, n = sums[:, :t], counts[:, :t]
        value = s.sum(axis=1) / n.sum(axis=1)
        spread = ((s - value[:, None] * n) / n.mean(axis=1)[:, None]).std(axis=1, ddof=1)
        half = spread * mean_radius(t, alpha=alpha)
        low |= value - half > 0
        high |= value + half < 0
    return float(low.mean()), float(high.mean())


# --- a mean -----------------------------------------------------------------------------------------------------------


def test_the_mean_is_that_of_all_rows_and_the_bounds_lie_around_it() -> None:
    sums, counts = [5.0, -3.0, 2.0, 4.0, 0.0, 1.0, -1.0, 3.0], [10, 20, 10, 40, 10, 10, 20, 10]
    found = mean_sequence(sums, counts, alpha=0.05)
    assert found.value == pytest.approx(sum(sums) / sum(counts))
    assert (found.blocks, found.rows) == (8, 130)
    assert found.high - found.value == pytest.approx(found.value - found.low)
    assert found.high - found.value == pytest.approx(found.spread * mean_radius(8, alpha=0.05))
    moved = mean_sequence(np.array(sums) + 0.5 * np.array(counts), counts, alpha=0.05)
    assert (moved.low, moved.spread) == pytest.approx((found.low + 0.5, found.spread))


def test_fewer_than_seven_blocks_cannot_tell() -> None:
    found = mean_sequence([1.0] * 6, [1] * 6, alpha=0.05)
    assert (found.value, found.low, found.high) == (1.0, -math.inf, math.inf)
    assert "at least 7" in found.note
    assert mean_sequence([], [], alpha=0.05).note == "no rows"


def test_blocks_without_rows_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 1"):
        mean_sequence([0.0], [0], alpha=0.05)


def test_the_radius_falls_with_blocks_and_rises_with_certainty_and_tends_to_the_normal_one() -> None:
    radii = [mean_radius(t, alpha=0.05) for t in range(7, 200)]
    assert radii == sorted(radii, reverse=True)
    assert all(mean_radius(t, alpha=0.01) > mean_radius(t, alpha=0.05) for t in (7, 14, 40))
    assert mean_radius(3, alpha=0.001) == math.inf
    assert mean_radius(100_000, alpha=0.05) == pytest.approx(normal_radius(100_000, 0.05), rel=1e-3)


def normal_radius(t: int, alpha: float) -> float:
    twice = 2 * math.log(1 / (2 * alpha))
    rho2 = (twice + math.log(1 + twice)) / 21
    return math.sqrt(2 * (t * rho2 + 1) / (t * t * rho2) * math.log(1 + math.sqrt(t * rho2 + 1) / (2 * alpha)))


def test_bounds_of_days_hold_at_every_look() -> None:
    random = np.random.default_rng(1)
    for effect in (random.normal(size=(3000, 40)), random.standard_t(3, (3000, 40)) / 3**0.5):
        assert max(errors(*days(random, 3000, 40, effect), 0.05, range(7, 41))) <= 0.025


@pytest.mark.full
@pytest.mark.parametrize(
    ("shape", "at_most"), [("normal", 1.0), ("t5", 1.0), ("t3", 1.0), ("skewed", 2.0), ("unequal days", 1.0)]
)
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_how_often_bounds_of_days_err_is_what_is_said(shape: str, at_most: float, alpha: float) -> None:
    random, size = np.random.default_rng(2), (20_000, 40)
    effect = {
        "normal": lambda: random.normal(size=size),
        "t5": lambda: random.standard_t(5, size) / (5 / 3) ** 0.5,
        "t3": lambda: random.standard_t(3, size) / 3**0.5,
        "skewed": lambda: (random.gamma(4, size=size) - 4) / 2,
        "unequal days": lambda: random.standard_t(5, size) / (5 / 3) ** 0.5,
    }[shape]()
    sums, counts = days(random, *size, effect)
    if shape == "unequal days":
        scale = np.exp(0.7 * random.normal(size=size))
        sums, counts = sums * scale, counts * scale
    assert max(errors(sums, counts, alpha, range(7, 41))) <= at_most * alpha


# --- "fails more often" -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_a", "n_b"), [(1, 1), (9, 1), (5, 5), (0, 4), (4, 0), (12, 3)])
def test_the_mean_of_a_block_s_evidence_is_at_most_one_under_every_rate_that_it_denies(n_a: int, n_b: int) -> None:
    outcomes = [(i, j) for i in range(n_a + 1) for j in range(n_b + 1)]
    fa, fb = (np.array(column) for column in zip(*outcomes, strict=True))
    worse = np.exp([two_sample_bernoulli(i, n_a, j, n_b)[0] for i, j in outcomes])
    within = np.exp([log_e_not_worse_by(i, n_a, j, n_b, margin=0.1)[0] for i, j in outcomes])
    for rate in (0.0, 0.001, 0.02, 0.3, 0.9):
        for less in (0.0, 0.01, 0.2):
            assert mean(worse, fa, n_a, fb, n_b, rate, max(0.0, rate - less)) <= 1 + 1e-9
            assert mean(within, fa, n_a, fb, n_b, rate, min(1.0, rate + 0.1 + less)) <= 1 + 1e-9


def mean(e: Any, fa: Any, n_a: int, fb: Any, n_b: int, rate_a: float, rate_b: float) -> float:
    return float((e * chance(fa, n_a, rate_a) * chance(fb, n_b, rate_b)).sum())


def chance(failures: NDArray[np.int64], n: int, rate: float) -> NDArray[np.float64]:
    ways = np.array([math.comb(n, k) for k in failures])
    return np.asarray(ways * np.power(rate, failures) * np.power(1 - rate, n - failures))


def test_evidence_multiplies_over_blocks_in_any_order_and_a_lone_arm_says_nothing() -> None:
    random = np.random.default_rng(3)
    blocks = traffic(random, blocks=20, rows=50, share=0.3, a=0.02, b=0.2)
    back: Any = tuple(each[::-1] for each in blocks)
    assert two_sample_bernoulli(*blocks)[-1] == pytest.approx(two_sample_bernoulli(*back)[-1])
    assert two_sample_bernoulli(*blocks)[-1] > NEEDED
    assert two_sample_bernoulli([0, 0], [0, 0], [30, 30], [40, 40]) == pytest.approx([0.0, 0.0])
    assert two_sample_bernoulli([30, 30], [40, 40], [0, 0], [0, 0]) == pytest.approx([0.0, 0.0])
    assert two_sample_bernoulli([], [], [], []).size == 0


def test_blocks_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidInput, match="Block 1 has 3 failures in 2 rows of arm b"):
        two_sample_bernoulli([0, 0], [5, 5], [0, 3], [2, 2])
    with pytest.raises(InvalidInput, match="four numbers"):
        two_sample_bernoulli([0, 0], [5, 5], [0], [2])


@pytest.mark.parametrize(("rows", "blocks"), [(20, 100), (100, 40), (1000, 12)])
def test_a_tenfold_rate_is_found_within_about_a_hundred_rows(rows: int, blocks: int) -> None:
    random = np.random.default_rng(4)
    found = []
    for _ in range(100):
        drawn = traffic(random, blocks=blocks, rows=rows, share=0.1, a=0.01, b=0.1)
        crossed = np.flatnonzero(two_sample_bernoulli(*drawn) >= NEEDED)
        found.append(drawn[3][: crossed[0] + 1].sum() if crossed.size else math.inf)
    assert np.median(found) <= 110


@pytest.mark.parametrize(("rows", "blocks", "share"), [(20, 150, 0.1), (100, 60, 0.1), (200, 30, 0.5)])
@pytest.mark.parametrize("truth", ["alike", "outage"])
def test_equal_arms_are_rarely_called_worse_however_often_one_looks(
    rows: int, blocks: int, share: float, truth: str
) -> None:
    assert false_alarms(200, rows, blocks, share, truth) <= 0.02


@pytest.mark.full
@pytest.mark.parametrize(
    ("rows", "blocks", "share"), [(20, 300, 0.1), (100, 100, 0.1), (1000, 50, 0.1), (200, 60, 0.5)]
)
@pytest.mark.parametrize("truth", ["alike", "outage"])
def test_equal_arms_are_called_worse_in_at_most_one_of_a_hundred_roll_outs(
    rows: int, blocks: int, share: float, truth: str
) -> None:
    assert false_alarms(2000, rows, blocks, share, truth) <= 0.01


def false_alarms(runs: int, rows: int, blocks: int, share: float, truth: str) -> float:
    """With looks after every block; in an outage both arms' rate rises half way, tenfold and more."""
    random, wrong = np.random.default_rng(5), 0
    rate = np.where(np.arange(blocks) < blocks // 2, 0.01, 0.01 if truth == "alike" else 0.3)
    for _ in range(runs):
        wrong += two_sample_bernoulli(
            *traffic(random, blocks=blocks, rows=rows, share=share, a=rate, b=rate)
        ).max() >= (NEEDED)
    return wrong / runs


# --- "not worse by a margin" ------------------------------------------------------------------------------------------


def test_without_failures_a_margin_of_three_points_is_excluded_after_two_hundred_rows() -> None:
    assert difference_bound(0, 9 * 197, 0, 197, alpha=0.01) >= 0.03
    assert difference_bound(0, 9 * 200, 0, 200, alpha=0.01) < 0.03
    assert 190 < rows_factor(0, 9, 0, 1, margin=0.03, alpha=0.01) < 205


def test_the_bound_knows_what_it_does_not_know() -> None:
    assert difference_bound(0, 0, 0, 0, alpha=0.01) == 1.0
    assert difference_bound([], [], [], [], alpha=0.01) == 1.0
    assert difference_bound(0, 100, 100, 100, alpha=0.01) == 1.0
    assert difference_bound(0, 900, 30, 100, alpha=0.01) > 0.3
    # Without a champion beside it, only that a share is at least 0 is known of the champion.
    assert 0.03 < difference_bound(0, 0, 30, 1000, alpha=0.01) < 0.08


def test_the_bound_narrows_with_rows_and_widens_with_certainty_and_failures() -> None:
    assert difference_bound(90, 9000, 10, 1000, alpha=0.01) < difference_bound(9, 900, 1, 100, alpha=0.01)
    assert difference_bound(9, 900, 1, 100, alpha=0.1) < difference_bound(9, 900, 1, 100, alpha=0.01)
    assert difference_bound(9, 900, 1, 100, alpha=0.01) < difference_bound(9, 900, 6, 100, alpha=0.01)


def test_what_is_excluded_at_one_margin_is_excluded_at_every_greater_one() -> None:
    random = np.random.default_rng(6)
    for _ in range(8):
        a, b = random.uniform(0, 0.3, 2)
        blocks = traffic(random, blocks=8, rows=200, share=0.2, a=a, b=b)
        excluded = [log_e_not_worse_by(*blocks, margin=m)[-1] >= NEEDED for m in np.linspace(0.01, 0.9, 20)]
        assert excluded == sorted(excluded)


def test_a_rate_that_moves_in_both_arms_while_traffic_shifts_does_not_move_the_bound() -> None:
    """An outage while the challenger had a tenth of the rows: pooled shares would make it look better than it is."""
    outage, calm = (270, 900, 33, 100), (5, 500, 20, 500)
    fa, na, fb, nb = (list(column) for column in zip(outage, calm, strict=True))
    assert sum(fb) / sum(nb) < sum(fa) / sum(na) - 0.05
    assert difference_bound(fa, na, fb, nb, alpha=0.01) > 0.03


def test_how_many_more_rows_would_do() -> None:
    factor = rows_factor(20, 2000, 3, 200, margin=0.03, alpha=0.01)
    more = [round(factor * each * 1.001) for each in (20_000, 2_000_000, 3_000, 200_000)]
    assert factor > 1
    assert log_e_not_worse_by(*(each / 1000 for each in more), margin=0.03)[-1] >= NEEDED
    assert rows_factor(20, 2000, 20, 200, margin=0.03, alpha=0.01) == math.inf


@pytest.mark.parametrize(("share", "rate"), [(0.1, 0.0), (0.1, 0.02), (0.5, 0.1)])
def test_a_challenger_that_is_worse_by_the_margin_is_rarely_let_through(share: float, rate: float) -> None:
    assert wrongly_through(150, share, rate) <= 0.03


@pytest.mark.full
@pytest.mark.parametrize(
    ("share", "rate"),
    [
        (0.1, 0.02),
        *(pytest.param(*each, marks=pytest.mark.long) for each in ((0.1, 0.0), (0.5, 0.02), (0.5, 0.1), (0.9, 0.05))),
    ],
)
def test_a_challenger_that_is_worse_by_the_margin_is_let_through_in_at_most_one_of_a_hundred(
    share: float, rate: float
) -> None:
    assert wrongly_through(2000, share, rate) <= 0.01


def wrongly_through(runs: int, share: float, rate: float) -> float:
    """The difference is just the margin; the rate of both moves by block; looks after every block."""
    random, wrong = np.random.default_rng(7), 0
    for _ in range(runs):
        base = np.where(random.random(60) < 0.2, 3 * rate, rate)
        blocks = traffic(random, blocks=60, rows=100, share=share, a=base, b=base + 0.03)
        wrong += log_e_not_worse_by(*blocks, margin=0.03).max() >= NEEDED
    return wrong / runs
