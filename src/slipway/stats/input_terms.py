"""What a calibration knows of a row beside its score: a few curves of the inputs, each of mean 0 and variance 1.

A model that is wrong for some inputs is calibrated on the mix of rows that it was evaluated on, and on no other. With the
inputs in the calibration another mix has other chances; and how uncertain their coefficients are is how uncertain the
calibration becomes, the further a mix lies from the one that taught it. What an input adds may grow with the score: that
is what ranks rows otherwise, where a plain addition moves all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slipway.stats.splines import Spline, spline

__all__ = ["InputTerms", "input_terms"]

_KNOTS = 4
_FEW = 20
_TAIL = 0.001

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class InputTerms:
    """The terms of one input: its value and bends, its value times the score, and where that occurs, that it is missing.

    Args:
        basis: Of the value.
        low: A smaller value counts as this one: of a long tail nothing was learnt, and a curve goes far astray there.
        high: A greater one as this.
        means: Of the terms over the rows that taught, shape `(n_terms,)`.
        scales: Their standard deviations.
        tells_missing: Whether the last term says that the value is missing.
    """

    basis: Spline
    low: float
    high: float
    means: Floats
    scales: Floats
    tells_missing: bool

    def __call__(self, values: ArrayLike, scores: Floats) -> Floats:
        """The terms of values, shape `(n_rows, n_terms)`; a missing value is as the mean one.

        Args:
            values: Shape `(n_rows,)`, NaN where missing.
            scores: The standardised score of each row.
        """
        kept = np.clip(np.asarray(values, dtype=np.float64), self.low, self.high)
        raw = _raw(self.basis, kept, scores, self.tells_missing)
        terms = (raw - self.means) / self.scales
        return np.where(np.isnan(terms), 0.0, terms)


def input_terms(inputs: Mapping[str, ArrayLike], scores: Floats, most: int) -> dict[str, InputTerms]:
    """By name the terms of inputs, those given first before others.

    Args:
        inputs: Numbers of shape `(n_rows,)`, NaN where missing. One that does not vary has no terms.
        scores: The standardised score of each row.
        most: How many terms all have together at most.
    """
    found: dict[str, InputTerms] = {}
    for name, column in inputs.items():
        values = np.asarray(column, dtype=np.float64)
        known = values[np.isfinite(values)]
        if known.size < 2 * _FEW:
            continue
        low, high = np.quantile(known, [_TAIL, 1 - _TAIL]).tolist()
        values, known = np.clip(values, low, high), np.clip(known, low, high)
        if low == high:
            continue
        basis, tells_missing = spline(known, knots=_KNOTS), values.size - known.size >= _FEW
        raw = _raw(basis, values, scores, tells_missing)
        means, scales = np.nanmean(raw, axis=0), np.nanstd(raw, axis=0)
        most -= means.size
        if most < 0:
            break
        found[name] = InputTerms(basis, low, high, means, np.where(scales > 0.0, scales, 1.0), tells_missing)
    return found


def _raw(basis: Spline, values: Floats, scores: Floats, tells_missing: bool) -> Floats:
    """NaN where the value is missing."""
    known = np.isfinite(values)
    terms = basis(np.where(known, values, basis.centre))[:, 1:]
    terms = np.where(known[:, None], np.column_stack([terms, terms[:, 0] * scores]), np.nan)
    return np.column_stack([terms, (~known).astype(np.float64)]) if tells_missing else terms
