"""Are probabilities calibrated within a tolerance? By logistic recalibration: what would have to be done to them?"""

from __future__ import annotations

from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from slipway.stats.calibration import calibration_in_the_large, reliability
from slipway.stats.estimate import Estimate, cannot_tell

__all__ = ["CalibrationTest", "calibration_test"]

MIN_ROWS = 50
MIN_OF_A_CLASS = 5
_TINY = 1e-9
_POINTS = 200
_STEPS = 50


class CalibrationTest(Struct, frozen=True, kw_only=True):
    """What the labels say about the probabilities.

    Args:
        in_the_large: Mean prediction minus the share of true rows.
        slope: Of the logistic recalibration: 1 is right, below 1 the model is too sure of itself.
        intercept: Of the same: 0 is right, above 0 the model predicts too little.
        gap: Mean distance, in probability, of the predictions from their recalibration.
        tolerance: The largest gap that does not matter.
        verdict: "calibrated" when the whole interval of the gap lies within the tolerance and no bins contradict it.
        sentence: The same in words.
    """

    in_the_large: Estimate
    slope: Estimate
    intercept: Estimate
    gap: Estimate
    tolerance: float
    verdict: Literal["calibrated", "miscalibrated", "cannot tell"]
    sentence: str


class _Fit(NamedTuple):
    """Intercept and slope, and their covariance."""

    at: NDArray[np.float64]
    covariance: NDArray[np.float64]


def calibration_test(
    labels: ArrayLike, scores: ArrayLike, tolerance: float = 0.02, confidence: float = 0.95
) -> CalibrationTest:
    """Test probabilities against what happened.

    Args:
        labels: The truth, shape `(n_rows,)`.
        scores: Probabilities, shape `(n_rows,)`.
        tolerance: The largest mean gap, in probability, that does not matter.
        confidence: Of the intervals and so of the verdict.

    Source: D. Cox, Biometrika 45, 1958, for slope and intercept; the gap's interval is the range of the gap over their
        joint confidence ellipse (H. Scheffe's projection). A curve that no slope mends shows in bins: their distances
        less what chance allows each of them are a lower bound of the gap as well.
    """
    truth = np.asarray(labels, dtype=np.float64)
    values = np.asarray(scores, dtype=np.float64)
    large = calibration_in_the_large(truth, values)
    few = min(int(truth.sum()), int((1 - truth).sum())) if truth.size else 0
    if truth.size < MIN_ROWS or few < MIN_OF_A_CLASS:
        why = f"{truth.size} rows, {few} of the rarer class: at least {MIN_ROWS} and {MIN_OF_A_CLASS} are needed"
        nothing = cannot_tell(truth.size, why)
        return CalibrationTest(
            in_the_large=large, slope=nothing, intercept=nothing, gap=nothing, tolerance=tolerance,
            verdict="cannot tell", sentence=f"Calibration cannot be told: {why}.",
        )  # fmt: skip
    odds = _log_odds(values)
    fit = _fitted(truth, odds)
    gap = _gap(values, fit, confidence)
    binned = _bins_bound(truth, values, confidence)
    low = binned if np.isnan(gap.low) else max(gap.low, binned)
    verdict: Literal["calibrated", "miscalibrated", "cannot tell"] = "cannot tell"
    if low > tolerance:
        verdict = "miscalibrated"
    elif gap.high <= tolerance:
        verdict = "calibrated"
    return CalibrationTest(
        in_the_large=large,
        intercept=_coefficient(fit, 0, truth.size, confidence),
        slope=_coefficient(fit, 1, truth.size, confidence),
        gap=gap,
        tolerance=tolerance,
        verdict=verdict,
        sentence=_told(verdict, gap, low, tolerance),
    )


def _told(verdict: str, gap: Estimate, low: float, tolerance: float) -> str:
    rows = f"{gap.n:,} rows"
    if verdict == "miscalibrated":
        return f"Predictions are off by at least {low:.3f} on average; {tolerance:g} is tolerated ({rows})."
    if np.isnan(gap.value):
        return f"Calibration cannot be told: {gap.note} ({rows})."
    found = f"Predictions are off by {gap.value:.3f} on average ({gap.low:.3f} to {gap.high:.3f}; {rows})"
    if verdict == "calibrated":
        return f"{found}, within the tolerance of {tolerance:g}."
    return f"{found}: too few rows to tell whether that is within {tolerance:g}."


def _log_odds(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    kept = np.clip(scores, _TINY, 1 - _TINY)
    return np.asarray(np.log(kept) - np.log1p(-kept))


def _chances(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1 + np.tanh(odds / 2)))


def _fitted(truth: NDArray[np.float64], odds: NDArray[np.float64]) -> _Fit | None:
    """Newton's iteration for intercept and slope, halving steps that lose likelihood; None where there is no maximum."""
    design = np.column_stack([np.ones_like(odds), odds])
    if np.ptp(odds) < _TINY:
        return None
    at = np.array([0.0, 1.0])
    likelihood = _likelihood(truth, design @ at)
    for _ in range(_STEPS):
        chances = _chances(design @ at)
        slope = design.T @ (truth - chances)
        bend = design.T @ (design * (chances * (1 - chances))[:, None])
        # Labels that the scores separate push the slope to infinity, where the likelihood is flat.
        if np.abs(truth - chances).max() < 1e-4 or np.linalg.cond(bend) > 1e12:
            return None
        step = np.linalg.solve(bend, slope)
        share = 1.0
        while (found := _likelihood(truth, design @ (at + share * step))) < likelihood - _TINY and share > 1e-6:
            share /= 2
        at, likelihood = at + share * step, found
        if float(slope @ step) < 1e-10:
            return _Fit(at, np.asarray(np.linalg.inv(bend), dtype=np.float64))
    return None


def _likelihood(truth: NDArray[np.float64], odds: NDArray[np.float64]) -> float:
    return float(np.sum(truth * odds - np.logaddexp(0.0, odds)))


def _coefficient(fit: _Fit | None, place: int, n: int, confidence: float) -> Estimate:
    if fit is None:
        return cannot_tell(n, "scores that do not vary, or separate the labels, have no recalibration")
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * float(fit.covariance[place, place]) ** 0.5
    value = float(fit.at[place])
    return Estimate(value=value, low=value - half, high=value + half, n=n, confidence=confidence)


def _gap(scores: NDArray[np.float64], fit: _Fit | None, confidence: float) -> Estimate:
    n = scores.size
    if fit is None:
        return cannot_tell(n, "scores that do not vary, or separate the labels, have no recalibration")
    # Few hundred quantiles stand for all rows: the gap is a smooth mean over them.
    points = np.quantile(scores, (np.arange(_POINTS) + 0.5) / _POINTS) if n > _POINTS else scores
    odds = _log_odds(points)
    angles = np.linspace(0.0, 2 * np.pi, 72, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    # The quantile of chi-square with two degrees of freedom, in closed form.
    reach = (-2 * np.log(1 - confidence)) ** 0.5
    shape = np.linalg.cholesky(fit.covariance)
    radii = np.linspace(0.0, 1.0, 9)[:, None, None]
    inside = (fit.at[:, None] + reach * radii * (shape @ circle)).swapaxes(0, 1).reshape(2, -1)
    recalibrated = _chances(inside[0][:, None] + inside[1][:, None] * odds)
    gaps = np.abs(recalibrated - points).mean(axis=1)
    value = float(np.abs(_chances(fit.at[0] + fit.at[1] * odds) - points).mean())
    return Estimate(value=value, low=float(gaps.min()), high=float(gaps.max()), n=n, confidence=confidence)


def _bins_bound(truth: NDArray[np.float64], scores: NDArray[np.float64], confidence: float) -> float:
    """A lower bound of the mean distance over bins: in each what remains after the error that chance allows all of them."""
    points = reliability(truth, scores)
    z = NormalDist().inv_cdf(1 - (1 - confidence) / (2 * len(points)))
    total = 0.0
    for point in points:
        # The spread at the prediction, which is what the rows would have if it were right, with one row of each kind.
        p = (max(point.predicted, point.observed.value) * point.n + 1) / (point.n + 2)
        q = (min(point.predicted, point.observed.value) * point.n + 1) / (point.n + 2)
        error = z * (max(p * (1 - p), q * (1 - q)) / point.n) ** 0.5
        total += point.n * max(0.0, abs(point.predicted - point.observed.value) - error)
    return total / truth.size
