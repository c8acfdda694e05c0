"""A figure in each group of rows, with its interval: what fairness compares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from slipway.errors import InvalidInput, near
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.intervals import mean_interval, share_interval
from slipway.stats.metrics import METRICS, MIN_SLICE_ROWS, CostMatrix, costs, estimate

__all__ = ["RATES", "Group", "by_group"]

RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "cost")
"""Figures of decisions, besides the metrics of scores."""


class Group(Struct, frozen=True, kw_only=True):
    """One group: its value as text ("" for null), how many rows, and the figure."""

    name: str
    rows: int
    figure: Estimate


def by_group(
    name: str,
    labels: ArrayLike,
    scores: ArrayLike,
    members: Sequence[object],
    *,
    threshold: float | None,
    matrix: CostMatrix | None,
) -> list[Group]:
    """A figure in each group; of a group with fewer than 50 rows that count it cannot tell.

    Args:
        name: One of `RATES`, or a metric.
        labels: The truth, shape `(n_rows,)`.
        scores: The predictions, shape `(n_rows,)`.
        members: The group of each row.
        threshold: From which score on the decision is yes, None where nothing is decided.
        matrix: What each outcome of a decision costs, None where nobody said.

    Returns:
        In the order of their names. `Estimate.n` counts the rows that the figure is about: of a true positive rate those
        that are true.

    Raises:
        InvalidInput: There is no such figure, or the model decides nothing or has no costs where that is needed.
    """
    if name not in RATES and name not in METRICS:
        raise InvalidInput(f"There is no metric {name!r}.", fix=near(name, [*RATES, *METRICS], what="metrics"))
    if name in RATES and (threshold is None or (name == "cost" and matrix is None)):
        raise InvalidInput(
            f"The model {'has no costs' if threshold is not None else 'decides nothing'}, so that it has no {name}.",
            fix="Say what is done with a score: sw.Model(..., decision=sw.threshold(costs={...})).",
        )
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    texts = np.asarray(["" if one is None else str(one) for one in members], dtype=object)
    return [
        Group(
            name=group, rows=int(inside.sum()), figure=_figure(name, truth[inside], values[inside], threshold, matrix)
        )
        for group in sorted(set(texts))
        for inside in [texts == group]
    ]


def _figure(
    name: str, truth: NDArray[np.float64], scores: NDArray[np.float64], at: float | None, matrix: CostMatrix | None
) -> Estimate:
    if at is not None and name in ("true_positive_rate", "false_positive_rate"):
        count = truth == (1.0 if name == "true_positive_rate" else 0.0)
        truth, scores = truth[count], scores[count]
    if truth.size < MIN_SLICE_ROWS:
        about = {"true_positive_rate": " that are true", "false_positive_rate": " that are not true"}.get(name, "")
        few = f"{truth.size} rows{about} are too few: at least {MIN_SLICE_ROWS} are needed"
        return cannot_tell(truth.size, few)
    if name == "cost" and at is not None and matrix is not None:
        return mean_interval(costs(truth, scores, at, matrix))
    if at is not None and name in RATES:
        return share_interval(int((scores >= at).sum()), truth.size)
    return estimate(name, truth, scores)
