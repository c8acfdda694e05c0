"""Which rows lie outside what a reference profile saw: about them nothing was learnt."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slipway.stats.profiles import Column, Profile, has_category

__all__ = ["effective_rows", "expected_outside", "outside"]

_BINS = 20


def effective_rows(scores: ArrayLike, labelled: ArrayLike) -> float:
    """How many rows of the mix of some scores tell as much as labelled rows of another mix do.

    Args:
        scores: Of the rows in question, shape `(n_rows,)`, at least one.
        labelled: Of the labelled rows, shape `(n_labelled,)`, at least one.

    Source: L. Kish, Survey Sampling, 1965: the effective number of weighed rows.
    """
    known = np.asarray(labelled, dtype=np.float64)
    edges = np.unique(np.quantile(known, np.arange(1, _BINS) / _BINS))
    theirs = np.bincount(np.searchsorted(edges, known, side="right"), minlength=edges.size + 1)
    asked = np.bincount(np.searchsorted(edges, scores, side="right"), minlength=edges.size + 1)
    shares = asked / asked.sum()
    return float(1 / (shares**2 / np.maximum(theirs, 1)).sum())


def outside(columns: Mapping[str, Any], reference: Profile) -> NDArray[np.bool_]:
    """For each row whether one of its values was never seen: beyond a range, of a new category, or newly missing.

    Args:
        columns: By name: a float array of shape `(n_rows,)`, NaN where missing, or a sequence of texts and None; those that
            the reference does not know are passed over.
        reference: Of the rows that were learnt from.
    """
    known = [column for column in reference.columns if column.name in columns]
    rows = len(columns[known[0].name]) if known else 0
    found = np.zeros(rows, dtype=bool)
    for column in known:
        found |= _outside(column, columns[column.name])
    return found


def expected_outside(reference: Profile, names: Collection[str] | None = None) -> float:
    """The share of rows that lie outside without any change: new rows go beyond the ends of a sample now and then.

    A continuous value lies beyond both ends of `n` earlier ones with chance `2 / (n + 1)`; a category that comes for the
    first time is as likely as those that came once (I. Good, Biometrika 40, 1953).

    Args:
        reference: Of the rows that were learnt from.
        names: The columns that are looked at, None for all.
    """
    inside = 1.0
    for column in reference.columns:
        if names is None or column.name in names:
            rows = max(1, column.present)
            inside *= 1 - min(1.0, 2 / (rows + 1) if column.is_numeric else column.singles / rows)
    return 1 - inside


def _outside(column: Column, values: Any) -> NDArray[np.bool_]:
    may_miss = column.missing > 0
    if column.is_numeric:
        numbers = np.asarray(values, dtype=np.float64)
        absent = np.isnan(numbers)
        beyond = (numbers < column.low) | (numbers > column.high)
        return np.asarray(beyond | (absent & (not may_miss)))
    new = {value: not may_miss if value is None else not has_category(column, value) for value in set(values)}
    return np.fromiter((new[value] for value in values), dtype=bool, count=len(values))
