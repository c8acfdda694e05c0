"""Boundaries of planned looks: published figures, simulation, and how past looks stand."""

import math

import numpy as np
import pytest

from slipway.errors import InvalidInput
from slipway.stats.evidence import crossing_chances, planned_boundaries, spent_alpha


@pytest.mark.parametrize(
    ("spending", "looks", "alpha", "expected"),
    [
        # Lan and DeMets' two spending functions, equally spaced looks: at each of these bounds SciPy's multivariate normal
        # distribution gives the alpha that is spent by then.
        ("obrien_fleming", 3, 0.025, [3.7103, 2.5114, 1.9930]),
        ("obrien_fleming", 5, 0.025, [4.8769, 3.3570, 2.6803, 2.2898, 2.0310]),
        ("pocock", 5, 0.025, [2.4380, 2.4268, 2.4102, 2.3966, 2.3860]),
        # SeqBounds.jl, its README.
        ("obrien_fleming", 4, 0.05, [3.7496, 2.5399, 2.0160, 1.7201]),
    ],
)
def test_boundaries_are_those_that_are_published(
    spending: str, looks: int, alpha: float, expected: list[float]
) -> None:
    found = planned_boundaries(np.arange(1, looks + 1) / looks, alpha=alpha, spending=spending)  # type: ignore[arg-type]
    assert found == pytest.approx(expected, abs=2e-4)


def test_one_look_is_the_ordinary_test() -> None:
    assert planned_boundaries([1.0], alpha=0.025, spending="pocock")[0] == pytest.approx(1.959964, abs=1e-6)


def test_all_looks_together_err_alpha_and_find_what_is_there() -> None:
    random, fractions = np.random.default_rng(1), np.array([0.1, 0.35, 0.4, 0.8, 1.0])
    bounds = planned_boundaries(fractions, alpha=0.05, spending="pocock")
    walks = np.cumsum(random.normal(size=(100_000, 5)) * np.sqrt(np.diff(fractions, prepend=0)), axis=1)
    for drift in (0.0, 2.5):
        crossed = (walks + drift * fractions) / np.sqrt(fractions) >= bounds
        first = [(crossed[:, look] & ~crossed[:, :look].any(axis=1)).mean() for look in range(5)]
        assert crossing_chances(bounds, fractions, drift=drift) == pytest.approx(first, abs=0.006)
    assert crossing_chances(bounds, fractions).sum() == pytest.approx(0.05, abs=1e-7)
    assert spent_alpha(1.0, alpha=0.05, spending="obrien_fleming") == pytest.approx(0.05)


def test_what_is_past_does_not_depend_on_what_is_to_come() -> None:
    whole = planned_boundaries([0.2, 0.5, 0.7, 1.0], alpha=0.025, spending="obrien_fleming")
    assert planned_boundaries([0.2, 0.5], alpha=0.025, spending="obrien_fleming") == pytest.approx(whole[:2])


def test_a_look_that_is_too_early_can_show_nothing_and_wrong_plans_are_refused() -> None:
    assert planned_boundaries([0.001, 1.0], alpha=0.025, spending="obrien_fleming")[0] == math.inf
    with pytest.raises(InvalidInput, match="no information fractions"):
        planned_boundaries([0.5, 0.5], alpha=0.025, spending="pocock")
    with pytest.raises(InvalidInput, match="nothing left to spend"):
        planned_boundaries([0.5, 1.1], alpha=0.025, spending="pocock")
    with pytest.raises(InvalidInput, match="'pocok'"):
        planned_boundaries([1.0], alpha=0.025, spending="pocok")  # type: ignore[arg-type]
