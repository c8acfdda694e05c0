"""The registry of metrics, and evaluation over all rows and over slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
from msgspec import Struct, structs
from numpy.typing import ArrayLike, NDArray

from slipway.errors import InvalidInput, near
from slipway.stats import regression
from slipway.stats.blocks import estimate_by_blocks
from slipway.stats.calibration import (
    calibration_error,
    calibration_in_the_large,
    debiased_calibration_error,
    reliability,
)
from slipway.stats.classification import log_losses
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.intervals import (
    auc_interval,
    average_precision_interval,
    mean_interval,
    r2_interval,
    share_interval,
)
from slipway.stats.ratio_metrics import ratio_estimate
from slipway.stats.ratios import RATIOS, parameter_of

__all__ = [
    "METRICS",
    "MIN_SLICE_ROWS",
    "OF_PROBABILITIES",
    "CostMatrix",
    "Metric",
    "Sliced",
    "costs",
    "default_metrics",
    "estimate",
    "evaluate",
    "metric",
]

MIN_SLICE_ROWS = 50
OF_PROBABILITIES = ("log_loss", "brier", "calibration", "calibration_error", "calibration_in_the_large")


class Metric(Struct, frozen=True, kw_only=True):
    """A metric as the registry knows it.

    Args:
        name: "auc".
        task: For which kind of model.
        better: Which way is better.
        meaning: One line for a business reader.
        interval: Labels and scores to an estimate.
    """

    name: str
    task: Literal["classification", "regression", "ranking"]
    better: Literal["higher", "lower", "zero"]
    meaning: str
    interval: Callable[[ArrayLike, ArrayLike], Estimate]


class CostMatrix(Struct, frozen=True, kw_only=True):
    """What each outcome of a decision costs; a gain is a negative cost."""

    true_positive: float = 0.0
    false_positive: float = 0.0
    true_negative: float = 0.0
    false_negative: float = 0.0


class Sliced(Struct, frozen=True, kw_only=True):
    """A metric overall (`slice` "") or on a slice (`column=value`)."""

    metric: str
    slice: str
    estimate: Estimate


def costs(labels: ArrayLike, scores: ArrayLike, threshold: float, matrix: CostMatrix) -> NDArray[np.float64]:
    """The cost of each row's decision, in the matrix's unit, shape `(n_rows,)`."""
    truth = np.asarray(labels).astype(bool)
    yes = np.asarray(scores, dtype=np.float64) >= threshold
    when_yes = np.where(truth, matrix.true_positive, matrix.false_positive)
    when_no = np.where(truth, matrix.false_negative, matrix.true_negative)
    return np.where(yes, when_yes, when_no).astype(np.float64)


def metric(name: str) -> Metric:
    """A metric by name; some take a number behind it: "ndcg@5", "pinball@0.9", "precision@0.3".

    Raises:
        InvalidInput: There is none of this name.
    """
    plain = name.partition("@")[0]
    if plain not in METRICS:
        raise InvalidInput(f"There is no metric {name!r}.", fix=near(name, METRICS, what="metrics"), field="metric")
    if plain == name:
        return METRICS[name]
    parameter_of(name)
    return structs.replace(METRICS[plain], name=name, interval=partial(ratio_estimate, name))


def default_metrics(task: str) -> tuple[str, ...]:
    """The metrics of an evaluation that names none."""
    if task == "regression":
        return ("mae", "rmse", "bias", "r2")
    return ("auc", "log_loss", "brier", "accuracy", "calibration", "calibration_in_the_large", "positive_rate")


def estimate(
    name: str,
    labels: ArrayLike,
    scores: ArrayLike,
    blocks: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Estimate:
    """One metric with its interval; "cannot tell" without rows, and where a label or score is missing.

    Args:
        name: The metric.
        labels: The truth, shape `(n_rows,)`.
        scores: The predictions, shape `(n_rows,)`.
        blocks: Where rows are not independent, the block of each, such as its day: the interval is then one by blocks.
        groups: For a ranking the request of each row, for "mase" its series; in the order of time.

    Raises:
        InvalidInput: An unknown metric, one that has no interval by blocks, or another number of scores than of labels.
    """
    found = metric(name)
    truth, values = _same_length(labels, scores)
    if not truth.size:
        return cannot_tell(0, "no rows")
    missing = int((~np.isfinite(truth) | ~np.isfinite(values)).sum())
    if missing:
        return cannot_tell(truth.size, f"{missing:,} of {truth.size:,} rows have no finite label or score")
    if name in OF_PROBABILITIES and (values.min() < 0.0 or values.max() > 1.0):
        return cannot_tell(truth.size, "scores outside 0 to 1 are no probabilities")
    if name.partition("@")[0] in RATIOS:
        return ratio_estimate(name, truth, values, blocks, groups)
    if name == "calibration_error":
        return debiased_calibration_error(truth, values, blocks)
    if blocks is not None:
        return estimate_by_blocks(name, truth, values, blocks)
    return found.interval(truth, values)


def evaluate(
    labels: ArrayLike,
    scores: ArrayLike,
    names: Sequence[str],
    slices: Mapping[str, Sequence[object]] | None = None,
) -> list[Sliced]:
    """Metrics overall, then by slice; a slice of fewer than 50 rows says that it cannot tell.

    Args:
        labels: The truth, shape `(n_rows,)`.
        scores: The predictions, shape `(n_rows,)`.
        names: Which metrics.
        slices: By column, the value of each row.

    Raises:
        InvalidInput: An unknown metric, or a slice's column, labels and scores of different lengths.
    """
    truth, values = _same_length(labels, scores)
    found = [Sliced(metric=name, slice="", estimate=estimate(name, truth, values)) for name in names]
    for column, members in (slices or {}).items():
        if len(members) != truth.size:
            raise InvalidInput(
                f"The slice {column!r} has {len(members)} values for {truth.size} rows.",
                fix="Give one value a row.",
                field=column,
            )
        for member, inside in _places(members):
            found += [
                Sliced(metric=name, slice=f"{column}={member}", estimate=_slice(name, truth[inside], values[inside]))
                for name in names
            ]
    return found


def _same_length(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise InvalidInput(
            f"Labels of shape {truth.shape} and scores of shape {values.shape} do not belong together.",
            fix="Give one label and one score a row.",
            field="scores",
        )
    return truth, values


def _places(members: Sequence[object]) -> list[tuple[str, NDArray[np.intp]]]:
    """The rows of each value, values ascending; one sort, however many values there are."""
    texts = ["" if member is None else str(member) for member in members]
    number = {text: index for index, text in enumerate(sorted(set(texts)))}
    codes = np.fromiter((number[text] for text in texts), dtype=np.intp, count=len(texts))
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(number)))
    return list(zip(number, np.split(order, ends[:-1]), strict=True)) if texts else []


def _slice(name: str, labels: NDArray[np.float64], scores: NDArray[np.float64]) -> Estimate:
    if labels.size < MIN_SLICE_ROWS:
        return cannot_tell(labels.size, f"{labels.size} rows are too few: at least {MIN_SLICE_ROWS} are needed")
    return estimate(name, labels, scores)


def _accuracy(labels: ArrayLike, scores: ArrayLike) -> Estimate:
    truth = np.asarray(labels).astype(bool)
    right = (np.asarray(scores) >= 0.5) == truth
    return share_interval(int(right.sum()), truth.size)


def _positive_rate(labels: ArrayLike, scores: ArrayLike) -> Estimate:
    truth = np.asarray(labels, dtype=np.float64)
    return share_interval(int(truth.sum()), truth.size)


def _brier(labels: ArrayLike, scores: ArrayLike) -> Estimate:
    return mean_interval((np.asarray(scores) - np.asarray(labels)) ** 2)


def _mae(labels: ArrayLike, scores: ArrayLike) -> Estimate:
    return mean_interval(np.abs(np.asarray(scores) - np.asarray(labels)))


def _rmse(labels: ArrayLike, scores: ArrayLike) -> Estimate:
    squares = mean_interval((np.asarray(scores) - np.asarray(labels)) ** 2)
    # The root is monotonic, so the interval of the mean square maps onto one of its root.
    low, high = max(0.0, squares.low) ** 0.5, squares.high**0.5
    return structs.replace(squares, value=regression.rmse(labels, scores), low=low, high=high)


def _bias(labels: ArrayLike, scores: ArrayLike) -> Estimate:
    return mean_interval(np.asarray(scores) - np.asarray(labels))


def _calibration(labels: ArrayLike, scores: ArrayLike) -> Estimate:
    return Estimate(value=calibration_error(reliability(labels, scores)), n=np.asarray(labels).size)


_OF_RATIOS: tuple[
    tuple[str, Literal["classification", "regression", "ranking"], Literal["higher", "lower"], str], ...
] = (
    ("precision", "classification", "higher", "of what is decided yes, the share that is true"),
    ("recall", "classification", "higher", "of what is true, the share that is decided yes"),
    ("f1", "classification", "higher", "precision and recall in one figure, their harmonic mean"),
    ("mape", "regression", "lower", "the mean distance from the truth, as a share of each truth"),
    ("smape", "regression", "lower", "the same, as a share of the middle of truth and prediction"),
    ("wape", "regression", "lower", "all distances from the truth, as a share of all truths"),
    ("pinball", "regression", "lower", "how well a quantile is met: the loss of too low and too high differ"),
    (
        "mase",
        "regression",
        "lower",
        "the distance from the truth over that of last time's value: below 1 is better than it",
    ),
    ("ndcg", "ranking", "higher", "how near the order of each request is to the best one: 1 is perfect"),
    ("map", "ranking", "higher", "how high the relevant rows of each request stand"),
)
METRICS: dict[str, Metric] = {
    found.name: found
    for found in (
        Metric(
            name="auc", task="classification", better="higher", interval=auc_interval,
            meaning="how often a true case is ranked above a false one: 0.5 is guessing, 1 is perfect",
        ),
        Metric(
            name="average_precision", task="classification", better="higher",
            interval=average_precision_interval,
            meaning="how pure the top of the ranking is",
        ),
        Metric(
            name="log_loss", task="classification", better="lower",
            interval=lambda labels, scores: mean_interval(log_losses(labels, scores)),
            meaning="how surprised the model is by what happens: lower is better",
        ),
        Metric(
            name="brier", task="classification", better="lower", interval=_brier,
            meaning="the mean squared distance of probability and truth",
        ),
        Metric(
            name="accuracy", task="classification", better="higher", interval=_accuracy,
            meaning="the share of cases on the right side of one half",
        ),
        Metric(
            name="calibration", task="classification", better="lower", interval=_calibration,
            meaning="how far predicted shares are from what happens",
        ),
        Metric(
            name="calibration_in_the_large", task="classification", better="zero", interval=calibration_in_the_large,
            meaning="mean prediction minus what happened on average",
        ),
        Metric(
            name="positive_rate", task="classification", better="zero", interval=_positive_rate,
            meaning="how often the answer was yes",
        ),
        Metric(name="mae", task="regression", better="lower", interval=_mae, meaning="the mean distance from the truth"),
        Metric(
            name="rmse", task="regression", better="lower", interval=_rmse,
            meaning="the typical distance from the truth, large errors weighing more",
        ),
        Metric(name="bias", task="regression", better="zero", interval=_bias, meaning="prediction minus truth on average"),
        Metric(
            name="r2", task="regression", better="higher", interval=r2_interval,
            meaning="the share of the ups and downs that is explained",
        ),
        Metric(
            name="calibration_error", task="classification", better="lower", interval=debiased_calibration_error,
            meaning="how far predicted shares are from what happens, less what chance makes of it",
        ),
        *(
            Metric(name=name, task=task, better=better, interval=partial(ratio_estimate, name), meaning=meaning)
            for name, task, better, meaning in _OF_RATIOS
        ),
    )
}  # fmt: skip
