"""Metrics from batches: those of all rows at once, whatever the batches are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.stats import tallies
from slipway.stats.calibration import reliability
from slipway.stats.estimate import Estimate
from slipway.stats.intervals import mean_interval
from slipway.stats.metrics import METRICS, estimate
from slipway.stats.profiles import profile
from slipway.stats.ratios import RATIOS
from slipway.stats.tallies import Mean, Tally

AT_ONCE = ("calibration_error", *RATIOS)
EXACT = [name for name in METRICS if name not in ("average_precision", *AT_ONCE)]


def counted(labels: np.ndarray, scores: np.ndarray, size: int) -> Tally:
    found = Tally()
    for start in range(0, len(labels), size):
        found.add(labels[start : start + size], scores[start : start + size])
    return found


def same(found: Estimate, known: Estimate, tolerance: float = 1e-9) -> None:
    assert (found.n, found.note) == (known.n, known.note)
    for name in ("value", "low", "high"):
        assert getattr(found, name) == pytest.approx(getattr(known, name), rel=tolerance, abs=tolerance, nan_ok=True)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.integers(0, 60),
    size=st.integers(1, 70),
    seed=st.integers(0, 99),
    digits=st.integers(0, 3),
    task=st.booleans(),
)
def test_figures_are_those_of_all_rows(rows: int, size: int, seed: int, digits: int, task: bool) -> None:
    random = np.random.default_rng(seed)
    scores = random.random(rows).round(digits) if task else random.normal(3, 100, rows).round(digits)
    labels = (random.random(rows) < scores).astype(float) if task else scores + random.normal(0, 30, rows)
    found = counted(labels, scores, size)
    for name in EXACT:
        if METRICS[name].task == ("classification" if task else "regression"):
            same(found.estimate(name), estimate(name, labels, scores))
    if rows:
        assert found.column("score") == profile({"score": scores}).columns[0]
    if task:
        for mine, known in zip(found.reliability(), reliability(labels, scores), strict=True):
            assert (mine.n, mine.observed) == (known.n, known.observed)
            assert mine.predicted == pytest.approx(known.predicted)


@pytest.mark.full
def test_average_precision_has_the_value_and_about_the_interval() -> None:
    random = np.random.default_rng(1)
    for rows in (3000, 50_000):
        scores = random.random(rows)
        labels = (random.random(rows) < scores).astype(float)
        found, known = (
            counted(labels, scores, 700).estimate("average_precision"),
            estimate("average_precision", labels, scores),
        )
        assert found.value == pytest.approx(known.value, abs=1e-12)
        assert found.high - found.low == pytest.approx(known.high - known.low, rel=0.2)


def test_of_many_scores_those_that_are_nearly_equal_count_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "_SCORES", 4096)
    random = np.random.default_rng(2)
    scores = random.beta(2, 5, 60_000)
    labels = (random.random(60_000) < scores).astype(float)
    one, other = counted(labels, scores, 60_000), counted(labels, scores, 1000)
    for name in ("auc", "calibration", "log_loss"):
        same(one.estimate(name), other.estimate(name))
        same(one.estimate(name), estimate(name, labels, scores), tolerance=2e-4)
    assert one.column("score") == other.column("score")
    assert abs(one.estimate("auc").value - estimate("auc", labels, scores).value) < 1e-6


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 1.0], [1e9, 1e9 + 1, 1e9 + 2], list(range(100))])
def test_a_mean_is_that_of_all_numbers(values: list[float]) -> None:
    for size in (1, 3, 1000):
        found = Mean()
        for start in range(0, len(values), size):
            found.add(values[start : start + size])
        same(found.interval(), mean_interval(values))


def test_what_cannot_be_told_says_why() -> None:
    labels, scores = np.array([1.0, 0.0, 1.0]), np.array([0.5, np.nan, 2.0])
    for found, known in (
        (counted(labels, scores, 2), (labels, scores)),
        (counted(labels[::2], scores[::2], 1), (labels[::2], scores[::2])),
    ):
        for name in EXACT:
            if METRICS[name].task == "classification":
                same(found.estimate(name), estimate(name, *known))
    assert Tally().estimate("auc").note == "no rows"
    for name in AT_ONCE:
        assert "not kept of rows that come in batches" in counted(labels[:1], scores[:1], 1).estimate(name).note
