"""Metrics that are one sum over another, with intervals by rows or by blocks."""

from __future__ import annotations

import numpy as np
from msgspec import structs
from numpy.typing import ArrayLike

from slipway.stats.blocks import mean_by_blocks
from slipway.stats.estimate import Estimate, cannot_tell
from slipway.stats.intervals import mean_interval
from slipway.stats.ratios import ratio_terms

__all__ = ["ratio_estimate"]


def ratio_estimate(
    name: str,
    labels: ArrayLike,
    scores: ArrayLike,
    blocks: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Estimate:
    """One of `ratios.RATIOS` with its interval.

    Args:
        name: The metric, with its number: "pinball@0.9".
        labels: The truth, finite, shape `(n_rows,)`; of a ranking how relevant each row is.
        scores: The predictions, shape `(n_rows,)`.
        blocks: The block of each row, such as its day; None takes rows, or requests, for independent.
        groups: The request of each row, or its series, in whose order of time the rows are; None for one series.
    """
    value, terms, why = ratio_terms(name, labels, scores, groups)
    if why:
        return cannot_tell(np.asarray(labels).size, why)
    found = mean_interval(terms) if blocks is None else mean_by_blocks(terms, blocks)
    return found if np.isnan(found.value) else structs.replace(found, value=value)
