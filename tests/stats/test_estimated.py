"""Metrics without labels: expectations against every possible labelling, intervals against simulated ones."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from slipway.errors import InvalidInput
from slipway.stats.classification import auc, brier, log_loss
from slipway.stats.estimated import CLASSIFICATION, Calibration, calibrate, confusion, expected
from slipway.stats.estimated_loss import expected_loss, fit_loss
from slipway.stats.metrics import CostMatrix, costs
from slipway.stats.profiles import profile
from slipway.stats.regression import mae, rmse
from slipway.stats.splines import Spline, correlation_within, spread_within
from slipway.stats.support import effective_rows, expected_outside, outside

RIGHT = Calibration(
    basis=Spline(knots=(), centre=0.0, scale=1.0), weights=np.zeros(2), covariance=np.zeros((2, 2)), low=0.0, high=1.0, rows=1000
)  # fmt: skip
MATRIX = CostMatrix(true_positive=1.0, false_positive=2.0, false_negative=5.0)


def drawn(seed: int, rows: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and scores that are too sure of themselves, of a mix of inputs that may have moved."""
    random = np.random.default_rng(seed)
    odds = random.normal(-0.5 + shift, 1.2, rows)
    labels = random.random(rows) < 1 / (1 + np.exp(-odds))
    return labels.astype(float), 1 / (1 + np.exp(-1.7 * odds - 0.3))


@pytest.mark.parametrize("scores", [[0.1, 0.4, 0.4, 0.7, 0.9], [0.2, 0.3, 0.55, 0.8]])
def test_expectations_are_those_over_every_possible_labelling(scores: list[float]) -> None:
    values = np.array(scores)
    totals, mass, pairs, ordered = dict.fromkeys(("brier", "log_loss", "cost"), 0.0), 0.0, 0.0, 0.0
    for told in itertools.product([0.0, 1.0], repeat=values.size):
        labels = np.array(told)
        chance = float(np.prod(np.where(labels == 1, values, 1 - values)))
        mass += chance
        totals["brier"] += chance * brier(labels, values)
        totals["log_loss"] += chance * log_loss(labels, values)
        totals["cost"] += chance * float(costs(labels, values, 0.5, MATRIX).mean())
        found = labels.sum() * (1 - labels).sum()
        pairs += chance * found
        ordered += chance * (auc(labels, values) * found if found else 0.0)
    assert mass == pytest.approx(1.0)
    for metric, total in totals.items():
        assert expected(metric, values, RIGHT, costs=MATRIX).value == pytest.approx(total)
    assert expected("auc", values, RIGHT).value == pytest.approx(ordered / pairs)


def test_the_confusion_matrix_is_expected_rows_and_says_precision_and_recall() -> None:
    values = np.array([0.1, 0.4, 0.6, 0.9])
    found = confusion(values, RIGHT)
    assert (found.true_positive, found.false_positive) == pytest.approx((1.5, 0.5))
    assert (found.true_negative, found.false_negative) == pytest.approx((1.5, 0.5))
    assert [expected(name, values, RIGHT).value for name in ("precision", "recall", "f1", "accuracy")] == pytest.approx(
        [0.75, 0.75, 0.75, 0.75]
    )
    assert np.isnan(expected("precision", np.array([0.1, 0.2]), RIGHT).value)


@pytest.mark.parametrize("metric", [name for name in CLASSIFICATION if name != "positive_rate"])
def test_the_interval_is_as_wide_as_labels_drawn_from_the_chances_make_the_metric(metric: str) -> None:
    random = np.random.default_rng(3)
    values = np.round(random.beta(1.5, 3.0, 600), 2).clip(0.01, 0.99)
    realised: dict[str, Callable[[np.ndarray], float]] = {
        "accuracy": lambda y: float(((values >= 0.5) == (y == 1)).mean()),
        "auc": lambda y: auc(y, values),
        "brier": lambda y: brier(y, values),
        "calibration_in_the_large": lambda y: float((values - y).mean()),
        "cost": lambda y: float(costs(y, values, 0.4, MATRIX).mean()),
        "f1": lambda y: float(2 * y[values >= 0.4].sum() / ((values >= 0.4).sum() + y.sum())),
        "log_loss": lambda y: log_loss(y, values),
        "precision": lambda y: float(y[values >= 0.4].mean()),
        "recall": lambda y: float(y[values >= 0.4].sum() / y.sum()),
    }
    found = expected(metric, values, RIGHT, threshold=0.4, costs=MATRIX)
    told = [realised[metric]((random.random(values.size) < values).astype(float)) for _ in range(600)]
    assert np.mean(told) == pytest.approx(found.value, abs=0.15 * np.std(told))
    assert np.std(told) == pytest.approx((found.high - found.low) / (2 * 1.96), rel=0.1)


def test_calibration_mends_scores_that_are_too_sure_and_follows_another_mix() -> None:
    labels, scores = drawn(1, 20_000)
    calibration = calibrate(labels, scores)
    assert calibration is not None
    for shift in (0.0, 1.0):
        later, theirs = drawn(2, 10_000, shift)
        for metric, measure in (("auc", auc), ("log_loss", log_loss), ("brier", brier)):
            found = expected(metric, theirs, calibration)
            assert found.low <= measure(later, theirs) <= found.high
    assert abs(brier(later, theirs) - float(np.mean(theirs * (1 - theirs)))) > 0.01, "the plain scores say otherwise"


def test_intervals_cover_what_labels_then_show() -> None:
    hits = []
    for seed in range(150):
        labels, scores = drawn(1000 + seed, 2_000)
        later, theirs = drawn(5000 + seed, 2_000, 0.5)
        calibration = calibrate(labels, scores)
        assert calibration is not None
        found = expected("auc", theirs, calibration)
        hits.append(found.low <= auc(later, theirs) <= found.high)
    assert 0.89 <= np.mean(hits) <= 0.99


def moved(random: np.random.Generator, rows: int, shift: float) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Rows of a model that is too sure of itself where an input is great, and not sure enough where it is small."""
    odds, size = random.normal(0.0, 1.0, rows), random.normal(shift, 1.0, rows)
    labels = (random.random(rows) < 1 / (1 + np.exp(-odds * (1 - 0.25 * size)))).astype(float)
    inputs = {"size": np.where(random.random(rows) < 0.05, np.nan, size), "alike": np.ones(rows)}
    return labels, 1 / (1 + np.exp(-odds)), inputs


def test_the_mix_of_inputs_is_in_the_estimate_and_in_its_interval() -> None:
    random, hits, errors = np.random.default_rng(6), [], []
    for _ in range(60):
        labels, scores, inputs = moved(random, 3_000, 0.0)
        later, theirs, new = moved(random, 3_000, 0.8)
        calibration, plain = calibrate(labels, scores, inputs=inputs), calibrate(labels, scores)
        assert calibration is not None
        assert plain is not None
        found, realised = expected("auc", theirs, calibration, inputs=new), auc(later, theirs)
        hits.append(found.low <= realised <= found.high)
        errors.append([abs(found.value - realised), abs(expected("auc", theirs, plain).value - realised)])
    assert 0.88 <= np.mean(hits) <= 1.0
    own, of_scores_alone = np.mean(errors, axis=0)
    assert own < 0.4 * of_scores_alone


def test_the_further_the_inputs_move_the_wider_is_the_interval() -> None:
    random = np.random.default_rng(7)
    labels, scores, inputs = moved(random, 3_000, 0.0)
    calibration = calibrate(labels, scores, inputs=inputs)
    assert calibration is not None
    assert list(calibration.inputs) == ["size"]
    widths = []
    for shift in (0.0, 1.0, 2.0):
        found = expected("auc", scores, calibration, inputs={**inputs, "size": inputs["size"] + shift})
        widths.append(found.high - found.low)
    assert widths[0] < widths[1] < widths[2]


def test_few_labelled_rows_leave_the_inputs_out() -> None:
    random = np.random.default_rng(8)
    labels, scores, inputs = moved(random, 260, 0.0)
    many = {f"x{place}": random.normal(size=260) for place in range(30)} | inputs
    calibration = calibrate(labels, scores, inputs=many)
    assert calibration is not None
    assert len(calibration.inputs) < 5


def test_rows_of_one_day_widen_the_interval() -> None:
    random = np.random.default_rng(4)
    days = np.repeat(np.arange(40), 200)
    odds = random.normal(-0.5, 1.0, days.size)
    labels = (random.random(days.size) < 1 / (1 + np.exp(-odds - random.normal(0, 0.6, 40)[days]))).astype(float)
    scores = 1 / (1 + np.exp(-odds))
    alone, by_days = calibrate(labels, scores), calibrate(labels, scores, days)
    assert alone is not None
    assert by_days is not None
    assert by_days.within > 0.02
    one, other = expected("log_loss", scores, alone), expected("log_loss", scores, by_days, blocks=days)
    assert other.high - other.low > 1.5 * (one.high - one.low)


def test_too_few_rows_calibrate_nothing() -> None:
    labels, scores = drawn(1, 150)
    assert calibrate(labels, scores) is None
    assert calibrate(np.zeros(1000), np.full(1000, 0.2)) is None
    assert fit_loss("mae", labels, scores) is None


def test_unknown_metrics_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="'acu' cannot be estimated without labels"):
        expected("acu", [0.5], RIGHT)
    with pytest.raises(InvalidInput, match="cost was asked for without costs"):
        expected("cost", [0.5], RIGHT)
    with pytest.raises(InvalidInput, match="'r2' cannot be estimated"):
        fit_loss("r2", [1.0], [1.0])


def prices(seed: int, rows: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """A regression whose error grows with an input that may move."""
    random = np.random.default_rng(seed)
    size, other = random.normal(shift, 1.0, rows), random.normal(size=rows)
    scores = 10 + 2 * other
    labels = scores + random.normal(size=rows) * np.exp(0.4 * size)
    return labels, scores, {"size": np.where(random.random(rows) < 0.02, np.nan, size)}


@pytest.mark.parametrize(("metric", "measure"), [("mae", mae), ("rmse", rmse)])
def test_the_error_of_a_regression_follows_the_input_that_it_depends_on(
    metric: str, measure: Callable[[np.ndarray, np.ndarray], float]
) -> None:
    hits, errors = [], []
    for seed in range(60):
        labels, scores, inputs = prices(seed, 4_000)
        model = fit_loss(metric, labels, scores, inputs)
        assert model is not None
        later, theirs, moved = prices(900 + seed, 3_000, 0.7)
        found = expected_loss(model, theirs, moved)
        hits.append(found.low <= measure(later, theirs) <= found.high)
        errors.append(abs(found.value - measure(later, theirs)) / abs(measure(labels, scores) - measure(later, theirs)))
    assert np.mean(hits) >= 0.85
    assert np.mean(errors) < 0.3, "most of the growth is foreseen"


def test_rows_outside_what_was_seen_are_counted() -> None:
    random = np.random.default_rng(1)
    known = profile({"wind": random.uniform(0, 10, 999), "carrier": ["AA", "UA"] * 499 + ["DL"]})
    found = outside({"wind": np.array([5.0, 11.0, np.nan, 5.0]), "carrier": ["AA", "AA", "AA", "9E"]}, known)
    assert found.tolist() == [False, True, True, True]
    assert expected_outside(known) == pytest.approx(1 - (1 - 2 / 1000) * (1 - 1 / 999))
    assert expected_outside(known, {"wind"}) == pytest.approx(0.002)
    fresh = outside({"wind": random.uniform(0, 10, 50_000)}, known)
    assert fresh.mean() < 5 * expected_outside(known, {"wind"})


def test_what_goes_together_within_blocks() -> None:
    random = np.random.default_rng(2)
    codes = np.repeat(np.arange(300), 20)
    together = (random.normal(size=300)[codes] * 0.5**0.5 + random.normal(size=codes.size) * 0.5**0.5) * 1.0
    assert correlation_within(together, codes) == pytest.approx(0.5, abs=0.05)
    assert correlation_within(random.normal(size=codes.size), codes) < 0.01
    assert correlation_within(together, None) == 0.0
    even = np.full((40, 1), 1 / 40)
    assert spread_within(even, np.ones(40), 0.3, np.zeros(40, dtype=int))[0, 0] == pytest.approx(0.7 / 40 + 0.3)


def test_labelled_rows_of_other_scores_tell_less() -> None:
    random = np.random.default_rng(3)
    labelled = random.uniform(size=4_000)
    assert effective_rows(random.uniform(size=5_000), labelled) > 3_900
    assert effective_rows(random.uniform(0.9, 1.0, 5_000), labelled) == pytest.approx(400, rel=0.15)
