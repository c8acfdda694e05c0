"""Splits, differences, quantiles, bounded means, several hypotheses: how often they err, and what others compute."""

import math
from typing import Any

import numpy as np
import pytest

from slipway.errors import InvalidInput
from slipway.stats.evidence import (
    averaged,
    benjamini_hochberg_e,
    bonferroni,
    bounded_mean_sequence,
    difference_sequence,
    quantile_ranks,
    quantile_sequence,
    sample_ratio,
)


def most(runs: int, alpha: float) -> float:
    """The share of errors that a promise of alpha keeps to in all but one of a thousand tests."""
    return alpha + 3.1 * math.sqrt(alpha * (1 - alpha) / runs)


# --- the split --------------------------------------------------------------------------------------------------------


def test_a_split_is_the_bayes_factor_of_a_dirichlet_where_shares_stay() -> None:
    """Computed here in one piece, from all counts; the function goes block by block."""
    counts, share = np.array([[30, 10, 5], [20, 25, 8], [60, 3, 1]]), np.array([0.6, 0.3, 0.1])
    n = counts.sum(axis=0)
    factors = []
    for size in (10.0, 100.0, 1e3, 1e4, 1e5):
        a = size * share
        of_arms = sum(
            math.lgamma(x + k) - math.lgamma(x) - k * math.log(p) for x, k, p in zip(a, n, share, strict=True)
        )
        factors.append(of_arms + math.lgamma(size) - math.lgamma(size + n.sum()))
    assert sample_ratio(counts, share)[-1] == pytest.approx(math.log(np.mean(np.exp(factors))))


def test_the_mean_of_a_split_s_evidence_is_one_under_the_declared_shares() -> None:
    steps = [[0.8, 0.2], [0.5, 0.5]]
    mean = 0.0
    for i in range(7):
        for j in range(7):
            chance = math.comb(6, i) * 0.2**i * 0.8 ** (6 - i) * math.comb(6, j) * 0.5**6
            mean += chance * math.exp(sample_ratio([[6 - i, i], [6 - j, j]], steps)[-1])
    assert mean == pytest.approx(1.0)


def test_a_right_split_is_rarely_called_broken_and_a_broken_one_is_found_across_steps() -> None:
    random, wrong = np.random.default_rng(1), 0
    shares = np.repeat([[0.9, 0.1], [0.5, 0.5]], 15, axis=0)
    for _ in range(300):
        b = random.binomial(200, shares[:, 1])
        wrong += sample_ratio(np.stack([200 - b, b], axis=1), shares).max() >= math.log(20)
    assert wrong / 300 <= most(300, 0.05)
    b = random.binomial(2000, [0.115] * 5 + [0.536] * 5)
    apart = [
        sample_ratio(np.stack([2000 - b, b], 1)[part], [p, 1 - p])[-1]
        for part, p in ((slice(5), 0.9), (slice(5, 10), 0.5))
    ]
    joint = sample_ratio(np.stack([2000 - b, b], 1), [[0.9, 0.1]] * 5 + [[0.5, 0.5]] * 5)[-1]
    assert joint > max(math.log(1000), *apart)


def test_an_arm_that_should_get_nothing_and_does_is_certain_and_a_lone_arm_says_nothing() -> None:
    assert sample_ratio([[5, 0], [5, 1], [5, 0]], [1.0, 0.0]).tolist() == [0.0, math.inf, math.inf]
    assert sample_ratio(np.zeros((0, 2)), [0.5, 0.5]).size == 0
    with pytest.raises(InvalidInput, match="no shares of one whole"):
        sample_ratio([[1, 2]], [0.5, 0.6])
    with pytest.raises(InvalidInput, match="no split"):
        sample_ratio([[1, 2]], [0.5, 0.3, 0.2])


# --- differences of means ---------------------------------------------------------------------------------------------


def errors_of_differences(runs: int, share: int, kind: str) -> float:
    random, wrong = np.random.default_rng(2), np.zeros(2)
    for _ in range(runs):
        a, b = (random.normal(size=(size, 2)) for size in (share * 1500, 1500))
        if kind == "exponential":
            a, b = (random.exponential(size=each.shape) for each in (a, b))
        ever = np.zeros(2, dtype=bool)
        for n in (50, 100, 200, 400, 800, 1500):
            x = {"covariates_a": a[: share * n, 1], "covariates_b": b[:n, 1]}
            found = difference_sequence(a[: share * n].sum(axis=1), b[:n].sum(axis=1), alpha=0.05, **x)
            ever |= (found.low > 0, found.high < 0)
        wrong += ever
    return float(wrong.max()) / runs


@pytest.mark.parametrize(("share", "kind"), [(1, "normal"), (1, "exponential"), (9, "exponential")])
def test_arms_that_are_alike_are_rarely_called_different(share: int, kind: str) -> None:
    assert errors_of_differences(200, share, kind) <= most(200, 0.05)


def test_covariates_take_the_variance_away_that_they_explain_and_leave_the_difference() -> None:
    random = np.random.default_rng(3)
    x_a, x_b = random.normal(size=(2, 4000))
    a, b = 3 * x_a + random.normal(size=4000), 0.3 + 3 * x_b + random.normal(size=4000)
    plain = difference_sequence(a, b, alpha=0.025)
    found = difference_sequence(a, b, alpha=0.025, covariates_a=x_a, covariates_b=x_b)
    assert found.low < 0.3 < found.high
    assert found.saved == pytest.approx(0.9, abs=0.02)
    assert found.high - found.low == pytest.approx((plain.high - plain.low) * math.sqrt(1 - found.saved), rel=0.02)
    assert (found.mean_a, found.mean_b) == (plain.mean_a, plain.mean_b)
    useless = difference_sequence(a, b, alpha=0.025, covariates_a=random.normal(size=4000), covariates_b=a * 0 + 1)
    assert useless.saved == pytest.approx(0, abs=0.01)


def test_the_adjusted_difference_is_unbiased_with_few_units_and_a_bent_relation() -> None:
    random, found = np.random.default_rng(4), []
    for _ in range(1500):
        x = random.exponential(size=(2, 60))
        y = x**3 + random.normal(size=(2, 60))
        found.append(difference_sequence(y[0], y[1], alpha=0.05, covariates_a=x[0], covariates_b=x[1]).value)
    assert abs(np.mean(found)) < 3.3 * np.std(found) / math.sqrt(1500)


def test_what_cannot_be_told_of_a_difference_is_said() -> None:
    assert "50 of each" in difference_sequence([1.0] * 49, range(100), alpha=0.05).note
    assert "same value" in difference_sequence([0.0] * 60, range(60), alpha=0.05).note
    assert "too uneven" in difference_sequence(range(60), [0.0] * 59 + [1e3], alpha=0.05).note
    with pytest.raises(InvalidInput, match="covariate of arm b"):
        difference_sequence([1.0], [2.0], alpha=0.05, covariates_a=[1.0], covariates_b=[math.nan])
    with pytest.raises(InvalidInput, match="not those of 1 and 1 units"):
        difference_sequence([1.0], [2.0], alpha=0.05, covariates_a=[1.0])


# --- quantiles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "q", "below", "above"),
    [
        (1000, 0.5, 47.962511355393644, 47.962511355393644),
        (10000, 0.5, 162.15842699594418, 162.15842699594418),
        (1000, 0.95, 22.292084943389767, 19.42093877756863),
        (10000, 0.95, 72.01900982626874, 69.33653129118517),
    ],
)
def test_ranks_are_those_of_the_authors_own_boundary(n: int, q: float, below: float, above: float) -> None:
    """confseq 0.0.11, `beta_binomial_mixture_bound(n q (1 - q), 0.025, v_opt=1000 q (1 - q), alpha_opt=0.025)`."""
    # Within one rank: the authors' mixture is as much as one value less concentrated.
    authors = [math.floor(n * q - below) + 1, math.ceil(n * q + above)]
    assert quantile_ranks(n, q=q, alpha=0.025) == pytest.approx(authors, abs=1)


def test_a_quantile_is_rarely_outside_its_bounds_with_ties_too() -> None:
    random, wrong = np.random.default_rng(5), np.zeros(2)
    for _ in range(250):
        values = np.ceil(random.exponential(size=2000) * 5)  # whole numbers: the 0.9 quantile is 12
        ever = np.zeros(2, dtype=bool)
        for n in (20, 50, 100, 200, 500, 1000, 2000):
            low, high = quantile_sequence(values[:n], q=0.9, alpha=0.05)
            ever |= (low > 12, high < 12)
        wrong += ever
    assert wrong.max() / 250 <= most(250, 0.05)


def test_of_few_values_a_far_quantile_has_no_upper_bound() -> None:
    assert quantile_sequence(range(10), q=0.99, alpha=0.05)[1] == math.inf
    assert quantile_sequence([], q=0.5, alpha=0.05) == (-math.inf, math.inf)
    low, high = quantile_sequence(range(1000), q=0.5, alpha=0.025)
    assert (low, high) == (452, 547)
    with pytest.raises(InvalidInput, match="quantile 1"):
        quantile_sequence([1.0], q=1, alpha=0.05)


# --- bounded means ----------------------------------------------------------------------------------------------------


def won(values: Any, m: float, alpha: float) -> float:
    """The bettor's wealth by the letter of the source, one value after another."""
    total, squares, wealth, variance = 0.5, 0.25, 1.0, 0.25
    for t, x in enumerate(values, 1):
        bet = math.sqrt(2 * math.log(1 / alpha) / (variance * t * math.log(1 + t)))
        wealth *= 1 + min(bet, 0.5 / m) * (x - m)
        total += x
        squares += (x - total / (t + 1)) ** 2
        variance = squares / (t + 1)
    return wealth


def test_the_bounds_of_scores_are_where_the_bettor_has_just_won() -> None:
    values = np.random.default_rng(6).beta(2, 5, 300)
    found = bounded_mean_sequence(2 * values - 1, low=-1, high=1, alpha=0.05)
    assert won(values, (found.low + 1) / 2, 0.05) == pytest.approx(20, rel=1e-3)
    assert won(1 - values, 1 - (found.high + 1) / 2, 0.05) == pytest.approx(20, rel=1e-3)


@pytest.mark.parametrize("kind", ["rare", "shifts"])
def test_a_mean_of_scores_is_rarely_outside_its_bounds(kind: str) -> None:
    random, wrong = np.random.default_rng(7), np.zeros(2)
    for _ in range(250):
        values = (random.random(500) < 0.05).astype(float) if kind == "rare" else random.beta(0.1, 0.9, 500)
        truth = 0.05 if kind == "rare" else 0.1
        ever = np.zeros(2, dtype=bool)
        for n in (5, 20, 50, 120, 250, 500):
            found = bounded_mean_sequence(values[:n], low=0, high=1, alpha=0.05)
            ever |= (found.low > truth, found.high < truth)
        wrong += ever
    assert wrong.max() / 250 <= most(250, 0.05)


def test_a_shift_of_paired_scores_is_found_and_values_beyond_the_ends_are_refused() -> None:
    random = np.random.default_rng(8)
    assert bounded_mean_sequence(random.normal(0.05, 0.05, 500).clip(-1, 1), low=-1, high=1, alpha=0.005).low > 0.02
    assert bounded_mean_sequence([], low=0, high=1, alpha=0.05).high == 1
    with pytest.raises(InvalidInput, match=r"value 1 is 1\.5"):
        bounded_mean_sequence([0.5, 1.5], low=0, high=1, alpha=0.05)


# --- several hypotheses -----------------------------------------------------------------------------------------------


def test_several_hypotheses_by_hand() -> None:
    e = np.log([39.0, 70.0, 2.0, 90.0])  # at alpha 5 %: 80 each; 80, 40, 26.7, 20 by rank
    assert bonferroni(e, alpha=0.05).tolist() == [False, False, False, True]
    assert benjamini_hochberg_e(e, alpha=0.05).tolist() == [True, True, False, True]
    assert benjamini_hochberg_e(np.log([19.0, 19.0]), alpha=0.05).tolist() == [False, False]
    assert benjamini_hochberg_e([], alpha=0.05).size == 0
    assert averaged(e) == pytest.approx(math.log(201 / 4))
    assert averaged([[0.0, 1.0], [0.0, -math.inf]], weights=[0.25, 0.75]) == pytest.approx([0.0, math.log(0.25) + 1])
    assert averaged([800.0, 0.0]) == pytest.approx(800 - math.log(2))
    with pytest.raises(InvalidInput, match="no weights"):
        averaged(e, weights=[1.0])
    with pytest.raises(InvalidInput, match="one a hypothesis"):
        bonferroni([[1.0]], alpha=0.05)


def test_the_share_of_false_findings_keeps_to_alpha_whatever_depends_on_what() -> None:
    random, shares = np.random.default_rng(9), []
    for _ in range(2000):
        z = random.normal() * 0.7 + random.normal(size=10) * math.sqrt(0.51)
        z[:3] += 4
        rejected = benjamini_hochberg_e(3 * z - 4.5, alpha=0.1)
        shares.append(rejected[3:].sum() / max(1, rejected.sum()))
    assert 0 < np.mean(shares) <= 0.1
