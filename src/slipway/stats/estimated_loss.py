"""What a regression's error probably is on rows whose labels are not in yet: a small model of the loss of each row.

The loss on labelled rows is regressed on the prediction and on chosen inputs, each by a restricted cubic spline; the mean
of what it says over new rows is the estimate: the direct estimation of the loss. As for classes, it holds as long as
what was learnt still holds.

Sources: NannyML's documentation, "Direct loss estimation"; H. White, Econometrica 48, 1980, for the covariance of the
coefficients where the spread differs from row to row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slipway.errors import InvalidInput, near
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.splines import Spline, correlation_within, spline, spread_within

__all__ = ["REGRESSION", "LossModel", "expected_loss", "fit_loss"]

REGRESSION = ("bias", "mae", "rmse")
MIN_ROWS = 200
_RIDGE = 1e-6
_ROWS_A_COLUMN = 50

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LossModel:
    """How the loss of a row depends on its prediction and on some of its inputs.

    Args:
        metric: Of which loss.
        bases: By column, "" for the prediction: its spline.
        weights: Coefficients of the loss, shape `(k,)`.
        spreads: Coefficients of the squared residual, shape `(k,)`.
        floor: The least variance of a row's loss.
        covariance: Of the weights, shape `(k, k)`.
        low: The smallest prediction that was seen with a label.
        high: The greatest.
        rows: How many labelled rows.
        within: How much residuals of one block go together.
    """

    metric: str
    bases: Mapping[str, Spline]
    weights: Floats
    spreads: Floats
    floor: float
    covariance: Floats
    low: float
    high: float
    rows: int
    within: float = 0.0


def fit_loss(
    metric: str,
    labels: ArrayLike,
    scores: ArrayLike,
    inputs: Mapping[str, ArrayLike] | None = None,
    blocks: ArrayLike | None = None,
) -> LossModel | None:
    """Fit a model of the loss on labelled rows that the model was not trained on.

    Args:
        metric: "mae", "rmse" or "bias".
        labels: The truth, shape `(n_rows,)`.
        scores: The predictions, shape `(n_rows,)`.
        inputs: By name the chosen inputs, numbers of shape `(n_rows,)`, NaN where missing.
        blocks: The block of each row, such as its day; None where rows are independent.

    Returns:
        None where there are fewer than 200 rows. Inputs beyond one for each 100 rows are left out.

    Raises:
        InvalidInput: The metric has no such estimate.
    """
    if metric not in REGRESSION:
        raise InvalidInput(
            f"{metric!r} cannot be estimated without labels.",
            fix=near(metric, REGRESSION, what="metrics"),
            field="metric",
        )
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if truth.size < MIN_ROWS:
        return None
    errors = values - truth
    loss = {"bias": errors, "mae": np.abs(errors), "rmse": errors**2}[metric]
    bases = {"": spline(values, knots=4)}
    for name, column in (inputs or {}).items():
        known = np.asarray(column, dtype=np.float64)
        known = known[np.isfinite(known)]
        if known.size and np.ptp(known) > 0.0 and (3 + 2 * len(bases)) * _ROWS_A_COLUMN <= truth.size:
            bases[name] = spline(known, knots=3)
    design = _design(bases, values, inputs or {})
    bend = np.linalg.inv(design.T @ design + _RIDGE * truth.size * np.eye(design.shape[1]))
    weights = bend @ (design.T @ loss)
    residuals = loss - design @ weights
    squares, floor = residuals**2, 0.1 * float((residuals**2).mean())
    spreads = bend @ (design.T @ squares)
    spread = np.maximum(design @ spreads, floor)
    codes = None if blocks is None else np.unique(np.asarray(blocks), return_inverse=True)[1]
    within = correlation_within(residuals / np.sqrt(np.maximum(spread, 1e-300)), codes)
    return LossModel(
        metric=metric,
        bases=bases,
        weights=weights,
        spreads=spreads,
        floor=floor,
        covariance=bend @ spread_within(design, np.maximum(squares, spread), within, codes) @ bend,
        low=float(values.min()),
        high=float(values.max()),
        rows=truth.size,
        within=within,
    )


def expected_loss(
    model: LossModel,
    scores: ArrayLike,
    inputs: Mapping[str, ArrayLike] | None = None,
    blocks: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """What the metric will be on these rows once their labels are in, if what was learnt still holds.

    Args:
        model: Of the same predictions, from `fit_loss`.
        scores: The predictions, shape `(n_rows,)`.
        inputs: By name the inputs that the model was fitted with, and others.
        blocks: The block of each row; None where rows are independent.
        confidence: Of the interval: one for the figure itself, not for its expectation.
    """
    values = np.asarray(scores, dtype=np.float64)
    if not values.size:
        return cannot_tell(0, "no rows")
    if not np.isfinite(values).all():
        return cannot_tell(values.size, "some of the predictions are missing or infinite")
    design = _design(model.bases, values, inputs or {})
    mean = design.mean(axis=0)
    value = float(mean @ model.weights)
    spread = np.maximum(design @ model.spreads, model.floor)
    codes = None if blocks is None else np.unique(np.asarray(blocks), return_inverse=True)[1]
    even = np.full((values.size, 1), 1 / values.size)
    by_labels = float(spread_within(even, spread, model.within, codes)[0, 0])
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * (by_labels + float(mean @ model.covariance @ mean)) ** 0.5
    low, high = value - half, value + half
    if model.metric != "bias":
        value, low, high = max(value, 0.0), max(low, 0.0), max(high, 0.0)
    if model.metric == "rmse":  # the root is monotonic, so the interval of the mean square maps onto one of its root
        value, low, high = value**0.5, low**0.5, high**0.5
    return Estimate(value=value, low=low, high=high, n=values.size, confidence=confidence)


def _design(bases: Mapping[str, Spline], scores: Floats, inputs: Mapping[str, ArrayLike]) -> Floats:
    columns = [bases[""](scores)]
    for name, basis in bases.items():
        if name:
            raw = np.asarray(inputs[name], dtype=np.float64)
            known = np.isfinite(raw)
            part = basis(np.where(known, raw, basis.centre))[:, 1:]
            columns.append(np.where(known[:, None], part, 0.0))  # what is missing says nothing of the loss
    return np.hstack(columns)
