"""How good a model probably is on rows whose labels are not in yet: expected metrics under calibrated probabilities.

A score that is calibrated says how often it is right, so that the labels are not needed to say what a metric can be
expected to be: the confidence-based estimation of performance. It holds as long as what was learnt still holds: inputs
may come in another mix (a covariate shift), their relation to the label may not change. About that no estimate without
labels can say anything.

Each metric is a function of the labels; its expectation is taken at the calibrated chances, and its variance by the
delta method: once for the labels themselves, Bernoulli draws with these chances (a Poisson-binomial sum), and once for
the coefficients of the calibration. Rows of one day share its weather: how much residuals of a day go together is
measured on the labelled rows, and counted in both.

Sources: NannyML's documentation, "Confidence-based performance estimation", for the expected confusion matrix; Y. Wang,
Statistica Sinica 3, 1993, for the Poisson-binomial distribution; F. Harrell, Regression Modeling Strategies, 2015, 2.4.5
for restricted cubic splines; L. Kish, Survey Sampling, 1965, 5.4 for the correlation within a block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from slipway.errors import InvalidInput, near
from slipway.stats.classification import log_losses
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.input_terms import InputTerms, input_terms
from slipway.stats.metrics import CostMatrix
from slipway.stats.splines import Spline, correlation_within, spline, spread_within

__all__ = [
    "CLASSIFICATION",
    "MIN_OF_A_CLASS",
    "MIN_ROWS",
    "Calibration",
    "Confusion",
    "calibrate",
    "confusion",
    "expected",
]

MIN_ROWS = 200
"""Fewer labelled rows than this calibrate nothing."""
MIN_OF_A_CLASS = 20
_TINY = 1e-6
_STEPS = 60
_RIDGE = 1e-3
_MANY, _SOME = 400, 100
_MOST_TERMS, _OF_A_TERM = 60, 10
_ROUNDS, _NEAR = 8, 0.2
# What a term of the inputs may well add to the log-odds by a standard deviation, before the rows say.
_USUAL_TERM = 0.1

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What labelled rows say about scores: the log-odds of the truth are those of the score and a smooth correction.

    Args:
        basis: The correction's spline over the log-odds of scores.
        weights: Its coefficients, the constant first, shape `(k,)`.
        covariance: Theirs, shape `(k, k)`.
        low: The smallest score that was seen with a label.
        high: The greatest.
        rows: How many labelled rows.
        within: How much residuals of one block go together, 0 where rows are independent or nobody knows.
        inputs: By name what an input adds to the correction.
        alone: Coefficients of the spline where inputs are not looked at, shape of the spline's.
    """

    basis: Spline
    weights: Floats
    covariance: Floats
    low: float
    high: float
    rows: int
    within: float = 0.0
    inputs: Mapping[str, InputTerms] = field(default_factory=dict)
    alone: Floats | None = None

    def chances(self, scores: ArrayLike, inputs: Mapping[str, ArrayLike] | None = None) -> Floats:
        """The calibrated chance of each score that the label is true, with the inputs that it was calibrated with."""
        return _chances(_log_odds(scores) + self.design(scores, inputs) @ self.weights)

    def design(self, scores: ArrayLike, inputs: Mapping[str, ArrayLike] | None = None) -> Floats:
        """What the weights weigh, shape `(n_rows, k)`."""
        curve = self.basis(_log_odds(scores))
        return np.hstack([curve, *(terms((inputs or {})[name], curve[:, 1]) for name, terms in self.inputs.items())])


class Confusion(Struct, frozen=True, kw_only=True):
    """The expected confusion matrix, in rows."""

    true_positive: float
    false_positive: float
    true_negative: float
    false_negative: float


@dataclass(frozen=True, slots=True)
class _Rows:
    """What a metric's expectation is made of."""

    scores: Floats
    chances: Floats
    threshold: float
    costs: CostMatrix

    @property
    def yes(self) -> Floats:
        return (self.scores >= self.threshold).astype(np.float64)


_Expected = tuple[float, Floats]
"""A metric's expectation, and how much it grows with each row's label."""


def calibrate(
    labels: ArrayLike,
    scores: ArrayLike,
    blocks: ArrayLike | None = None,
    inputs: Mapping[str, ArrayLike] | None = None,
) -> Calibration | None:
    """Fit a calibration on labelled rows that the model was not trained on.

    A logistic regression on a restricted cubic spline of the score's log-odds, which stand as an offset: with few rows it
    stays near what the model says. Curves of the inputs stand beside it, drawn towards nothing as much as the rows advise;
    the covariance is that of the coefficients given the rows, so that what the rows leave open is in it.

    Args:
        labels: The truth, 0 or 1, shape `(n_rows,)`.
        scores: Probabilities, shape `(n_rows,)`.
        blocks: The block of each row, such as its day; None where rows are independent.
        inputs: By name what the model was asked with, numbers of shape `(n_rows,)`, NaN where missing; the first ones where
            the rows are too few for all.

    Returns:
        None where there are fewer than 200 rows, or than 20 of one class.

    Source: D. MacKay, Neural Computation 4, 1992, for how much coefficients are drawn towards nothing; D. Nychka, Journal
    of the American Statistical Association 83, 1988, for why such a covariance covers what it promises.
    """
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    few = min(int(truth.sum()), int((1 - truth).sum())) if truth.size else 0
    if truth.size < MIN_ROWS or few < MIN_OF_A_CLASS:
        return None
    odds = _log_odds(values)
    basis = spline(odds, knots=5 if few >= _MANY else 4 if few >= _SOME else 2)
    curve = basis(odds)
    terms = input_terms(inputs or {}, curve[:, 1], min(_MOST_TERMS, few // _OF_A_TERM))
    design = np.hstack([curve, *(known((inputs or {})[name], curve[:, 1]) for name, known in terms.items())])
    weights, penalty, bend = _shrunk(truth, odds, design, curve.shape[1])
    chances = _chances(odds + design @ weights)
    spread = chances * (1 - chances)
    codes = None if blocks is None else np.unique(np.asarray(blocks), return_inverse=True)[1]
    within = correlation_within((truth - chances) / np.sqrt(np.maximum(spread, 1e-12)), codes)
    return Calibration(
        basis=basis,
        weights=weights,
        covariance=bend @ (spread_within(design, spread, within, codes) + penalty) @ bend,
        low=float(values.min()),
        high=float(values.max()),
        rows=truth.size,
        within=within,
        inputs=terms,
        alone=_shrunk(truth, odds, curve, curve.shape[1])[0] if terms else None,
    )


def _shrunk(truth: Floats, odds: Floats, design: Floats, curve: int) -> tuple[Floats, Floats, Floats]:
    """Weights, the penalty on them and the inverse of the curvature; terms after the curve's have one common penalty."""
    terms, strength = design.shape[1] - curve, _USUAL_TERM**-2
    at = np.zeros(design.shape[1])
    for _ in range(_ROUNDS):
        penalty = np.diag(np.concatenate([[0.0], np.full(curve - 1, _RIDGE), np.full(terms, strength)]))
        at = _fitted(truth, odds, design, penalty, at)
        chances = _chances(odds + design @ at)
        bend = np.linalg.inv(design.T @ (design * (chances * (1 - chances))[:, None]) + penalty)
        told = terms - strength * float(np.trace(bend[curve:, curve:]))
        better = (told + 1) / (float(at[curve:] @ at[curve:]) + _USUAL_TERM**2)
        if not terms or abs(math.log(better / strength)) < _NEAR:
            break
        strength = better
    return at, penalty, np.asarray(bend, dtype=np.float64)


def confusion(
    scores: ArrayLike,
    calibration: Calibration,
    threshold: float = 0.5,
    inputs: Mapping[str, ArrayLike] | None = None,
) -> Confusion:
    """How many rows can be expected to be decided rightly and wrongly, each way.

    Args:
        scores: Probabilities, shape `(n_rows,)`.
        calibration: Of the same model.
        threshold: A score at or above it decides "yes".
        inputs: By name, those that it was calibrated with.
    """
    values = np.asarray(scores, dtype=np.float64)
    chances, yes = calibration.chances(values, inputs), values >= threshold
    return Confusion(
        true_positive=float(chances[yes].sum()),
        false_positive=float((1 - chances[yes]).sum()),
        true_negative=float((1 - chances[~yes]).sum()),
        false_negative=float(chances[~yes].sum()),
    )


def expected(
    metric: str,
    scores: ArrayLike,
    calibration: Calibration,
    *,
    threshold: float = 0.5,
    costs: CostMatrix | None = None,
    blocks: ArrayLike | None = None,
    inputs: Mapping[str, ArrayLike] | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """What a metric will be on these rows once their labels are in, if what was learnt still holds.

    The interval is one for the figure itself, not for its expectation: it is as wide as the chance in the labels and the
    uncertainty of the calibration make it.

    Args:
        metric: "accuracy", "auc", "brier", "cost", "f1", "log_loss", "calibration_in_the_large", "positive_rate",
            "precision" or "recall".
        scores: Probabilities, shape `(n_rows,)`.
        calibration: Of the same model.
        threshold: For precision, recall, F1 and cost: a score at or above it decides "yes".
        costs: For "cost": what each outcome costs.
        blocks: The block of each row, such as its day; None where rows are independent.
        inputs: By name, those that it was calibrated with.
        confidence: Of the interval.

    Raises:
        InvalidInput: There is no such metric, or "cost" comes without costs.
    """
    if metric not in CLASSIFICATION:
        raise InvalidInput(
            f"{metric!r} cannot be estimated without labels.",
            fix=near(metric, CLASSIFICATION, what="metrics"),
            field="metric",
        )
    if metric == "cost" and costs is None:
        raise InvalidInput("The cost was asked for without costs.", fix="Give a cost matrix.", field="costs")
    values = np.asarray(scores, dtype=np.float64)
    if not values.size:
        return cannot_tell(0, "no rows")
    if not np.isfinite(values).all():
        return cannot_tell(values.size, "some of the scores are missing or infinite")
    design = calibration.design(values, inputs)
    chances = _chances(_log_odds(values) + design @ calibration.weights)
    value, gradient = CLASSIFICATION[metric](_Rows(values, chances, threshold, costs or CostMatrix()))
    if not np.isfinite(value):
        return cannot_tell(values.size, "no row is decided as it would have to be for this metric")
    spread = chances * (1 - chances)
    towards = design.T @ (gradient * spread)
    codes = None if blocks is None else np.unique(np.asarray(blocks), return_inverse=True)[1]
    by_labels = float(spread_within(gradient[:, None], spread, calibration.within, codes)[0, 0])
    by_calibration = float(towards @ calibration.covariance @ towards)
    variance = by_labels + by_calibration + _between(metric, value, values, calibration, threshold, costs)
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * variance**0.5
    low, high = value - half, value + half
    if metric in _SHARES:
        low, high = max(0.0, low), min(1.0, high)
    return Estimate(value=value, low=low, high=high, n=values.size, confidence=confidence)


def _between(
    metric: str, value: float, scores: Floats, calibration: Calibration, threshold: float, costs: CostMatrix | None
) -> float:
    """What the choice of the calibration adds: the variance between it and the one by scores alone, if both may be right.

    Nobody knows what else of the inputs matters; where this much changed nothing, more will hardly.

    Source: S. Buckland, K. Burnham, N. Augustin, Biometrics 53, 1997, with two models of the same weight.
    """
    if calibration.alone is None:
        return 0.0
    odds = _log_odds(scores)
    chances = _chances(odds + calibration.basis(odds) @ calibration.alone)
    other, _ = CLASSIFICATION[metric](_Rows(scores, chances, threshold, costs or CostMatrix()))
    return ((value - other) / 2) ** 2


def _fitted(truth: Floats, offset: Floats, design: Floats, penalty: Floats, at: Floats) -> Floats:
    """Newton's iteration for the penalised likelihood, halving steps that lose."""

    def likelihood(weights: Floats) -> float:
        odds = offset + design @ weights
        return float(np.sum(truth * odds - np.logaddexp(0.0, odds)) - weights @ penalty @ weights / 2)

    best = likelihood(at)
    for _ in range(_STEPS):
        chances = _chances(offset + design @ at)
        slope = design.T @ (truth - chances) - penalty @ at
        spread = np.maximum(chances * (1 - chances), 1e-9)
        step = np.linalg.solve(design.T @ (design * spread[:, None]) + penalty, slope)
        share = 1.0
        while (found := likelihood(at + share * step)) < best - 1e-9 and share > 1e-6:
            share /= 2
        at, best = at + share * step, max(found, best)
        if float(slope @ step) < 1e-9:
            break
    return np.asarray(at)


def _log_odds(scores: ArrayLike) -> Floats:
    kept = np.clip(np.asarray(scores, dtype=np.float64), _TINY, 1 - _TINY)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def _chances(odds: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(odds / 2)))


def _of_losses(when_true: Floats, when_false: Floats, chances: Floats) -> _Expected:
    """A mean of losses a row is linear in the labels."""
    value = float(np.mean(chances * when_true + (1 - chances) * when_false))
    return value, (when_true - when_false) / chances.size


def _accuracy(rows: _Rows) -> _Expected:
    right = (rows.scores >= 0.5).astype(np.float64)
    return _of_losses(right, 1 - right, rows.chances)


def _brier(rows: _Rows) -> _Expected:
    return _of_losses((1 - rows.scores) ** 2, rows.scores**2, rows.chances)


def _log_loss(rows: _Rows) -> _Expected:
    true, false = (log_losses(np.full(rows.scores.size, label), rows.scores) for label in (1.0, 0.0))
    return _of_losses(true, false, rows.chances)


def _cost(rows: _Rows) -> _Expected:
    yes, costs = rows.yes, rows.costs
    when_true = np.where(yes == 1.0, costs.true_positive, costs.false_negative)
    when_false = np.where(yes == 1.0, costs.false_positive, costs.true_negative)
    return _of_losses(when_true, when_false, rows.chances)


def _rate(rows: _Rows) -> _Expected:
    return _of_losses(np.ones(rows.scores.size), np.zeros(rows.scores.size), rows.chances)


def _bias(rows: _Rows) -> _Expected:
    return _of_losses(rows.scores - 1, rows.scores, rows.chances)


def _precision(rows: _Rows) -> _Expected:
    decided = rows.yes.sum()
    if not decided:
        return float("nan"), rows.yes
    return float(rows.chances @ rows.yes / decided), rows.yes / decided


def _recall(rows: _Rows) -> _Expected:
    true = rows.chances.sum()
    value = float(rows.chances @ rows.yes / true)
    return value, (rows.yes - value) / true


def _f1(rows: _Rows) -> _Expected:
    both = rows.yes.sum() + rows.chances.sum()
    value = float(2 * (rows.chances @ rows.yes) / both)
    return value, (2 * rows.yes - value) / both


def _auc(rows: _Rows) -> _Expected:
    """Expected pairs in order over expected pairs of a true and a false row; a row is no pair with itself."""
    chances, others = rows.chances, 1 - rows.chances
    _, places = np.unique(rows.scores, return_inverse=True)
    true, false = np.bincount(places, weights=chances), np.bincount(places, weights=others)
    below = np.cumsum(false) - false
    above = chances.sum() - np.cumsum(true)
    false_below = below[places] + (false[places] - others) / 2
    true_above = above[places] + (true[places] - chances) / 2
    pairs = float(chances.sum() * others.sum() - chances @ others)
    if pairs <= 0.0:
        return float("nan"), chances
    value = float(chances @ false_below) / pairs
    return value, (false_below - true_above - value * (others.sum() - chances.sum())) / pairs


CLASSIFICATION: dict[str, Callable[[_Rows], _Expected]] = {
    "accuracy": _accuracy,
    "auc": _auc,
    "brier": _brier,
    "calibration_in_the_large": _bias,
    "cost": _cost,
    "f1": _f1,
    "log_loss": _log_loss,
    "positive_rate": _rate,
    "precision": _precision,
    "recall": _recall,
}
"""By metric of a classifier: its expectation, and how much it grows with each row's label."""
_SHARES = frozenset({"accuracy", "auc", "f1", "positive_rate", "precision", "recall"})
