"""Metrics that are one sum over another: of decisions, of forecasts, of rankings; each with numbers a row of its spread.

Each is a ratio of sums over rows. It spreads as the mean of numbers linear in both, by the delta method.

Source: W. Cochran, Sampling Techniques, 1977, section 6 on ratio estimates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slipway.errors import InvalidInput

__all__ = ["AT_DECISION", "GROUPED", "RATIOS", "linear_terms", "parameter_of", "ratio_terms"]

_Values = NDArray[np.float64]
AT_DECISION = ("f1", "precision", "recall")
"""Metrics of what is decided: a score of one half or more, or of `@threshold`, says yes."""
GROUPED = ("map", "ndcg")
"""Metrics of rankings: rows of one request are ranked together."""


class _Ratio(NamedTuple):
    parts: Callable[[_Values, _Values, float, NDArray[np.intp]], tuple[_Values, _Values]]
    parameter: float
    least: float
    most: float


def parameter_of(name: str) -> tuple[str, float]:
    """A metric's plain name and the number behind its "@": "ndcg@5" is the NDCG of the first five.

    Raises:
        InvalidInput: It takes none, or not this one.
    """
    plain, mark, said = name.partition("@")
    known = RATIOS.get(plain)
    try:
        value = float(said) if mark else known.parameter if known else float("nan")
    except ValueError:
        value = float("nan")
    if mark and (known is None or known.least > known.most):
        raise InvalidInput(f"The metric {plain!r} takes no number.", fix=f"Write {plain!r}.", field="metric")
    if mark and known is not None and not known.least <= value <= known.most:
        fix = f"Give one from {known.least:g} to {known.most:g}: '{plain}@{known.parameter:g}'."
        raise InvalidInput(f"{said!r} is no number for the metric {plain!r}.", fix=fix, field="metric")
    return plain, value


def ratio_terms(
    name: str, labels: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None
) -> tuple[float, _Values, str]:
    """One of `RATIOS`; numbers a row whose mean is it, and whose spread is its spread; and why it cannot be told, or "".

    Args:
        name: The metric, with its number: "pinball@0.9".
        labels: The truth, finite, shape `(n_rows,)`; of a ranking how relevant each row is.
        scores: The predictions, shape `(n_rows,)`.
        groups: The request of each row, or its series, in whose order of time the rows are; None for one series.
    """
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    plain, parameter = parameter_of(name)
    nothing = float("nan"), np.empty(0)
    if plain in GROUPED and groups is None:
        return *nothing, "a ranking is judged by request, and nobody said which rows are one"
    codes = np.zeros(truth.size, dtype=np.intp) if groups is None else np.unique(groups, return_inverse=True)[1]
    over, under = RATIOS[plain].parts(truth, values, parameter, codes)
    if not np.isfinite(over).all():
        return *nothing, f"{int((~np.isfinite(over)).sum()):,} rows have a truth of 0, by which it divides"
    if not truth.size or float(under.mean()) == 0.0:
        return *nothing, "no row counts for it"
    return *linear_terms(over, under), ""


def linear_terms(over: _Values, under: _Values) -> tuple[float, _Values]:
    """One sum over another, and numbers a row whose mean is it, and whose spread is its spread.

    Args:
        over: What each row adds above the line, shape `(n_rows,)`.
        under: What it adds below, whose sum is not 0.
    """
    value = float(over.sum() / under.sum())
    return value, value + (over - value * under) / float(under.mean())


def _precision(truth: _Values, scores: _Values, at: float, groups: NDArray[np.intp]) -> tuple[_Values, _Values]:
    yes = (scores >= at).astype(np.float64)
    return yes * (truth == 1.0), yes


def _recall(truth: _Values, scores: _Values, at: float, groups: NDArray[np.intp]) -> tuple[_Values, _Values]:
    is_true = (truth == 1.0).astype(np.float64)
    return is_true * (scores >= at), is_true


def _f1(truth: _Values, scores: _Values, at: float, groups: NDArray[np.intp]) -> tuple[_Values, _Values]:
    yes, is_true = (scores >= at).astype(np.float64), (truth == 1.0).astype(np.float64)
    return 2 * yes * is_true, yes + is_true


def _mape(truth: _Values, scores: _Values, _: float, groups: NDArray[np.intp]) -> tuple[_Values, _Values]:
    size = np.abs(truth)
    return np.where(size > 0, np.abs(scores - truth) / np.where(size > 0, size, 1.0), np.nan), np.ones(truth.size)


def _smape(truth: _Values, scores: _Values, _: float, groups: NDArray[np.intp]) -> tuple[_Values, _Values]:
    size = np.abs(truth) + np.abs(scores)
    return 2 * np.abs(scores - truth) / np.where(size > 0, size, 1.0), np.ones(truth.size)


def _wape(truth: _Values, scores: _Values, _: float, groups: NDArray[np.intp]) -> tuple[_Values, _Values]:
    return np.abs(scores - truth), np.abs(truth)


def _pinball(truth: _Values, scores: _Values, q: float, groups: NDArray[np.intp]) -> tuple[_Values, _Values]:
    away = truth - scores
    return np.maximum(q * away, (q - 1) * away), np.ones(truth.size)


def _mase(truth: _Values, scores: _Values, lag: float, groups: NDArray[np.intp]) -> tuple[_Values, _Values]:
    """The error over that of the truth of `lag` rows before, in each series; the first rows of a series do not count.

    Source: R. Hyndman, A. Koehler, International Journal of Forecasting 22, 2006; the scale is that of the same rows.
    """
    over, under, step = np.zeros(truth.size), np.zeros(truth.size), int(lag)
    order = np.argsort(groups, kind="stable")
    if truth.size > step:
        later, before = order[step:], order[:-step]
        same = groups[later] == groups[before]
        later, before = later[same], before[same]
        over[later] = np.abs(scores[later] - truth[later])
        under[later] = np.abs(truth[later] - truth[before])
    return over, under


def _ranked(groups: NDArray[np.intp], scores: _Values) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Rows by request and falling score, the rank of each from 0, and where each request begins; ties keep their order."""
    order = np.lexsort((-scores, groups))
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    rank = np.arange(order.size) - np.repeat(starts, np.diff(np.append(starts, order.size)))
    return order, rank, starts


def _ndcg(truth: _Values, scores: _Values, k: float, groups: NDArray[np.intp]) -> tuple[_Values, _Values]:
    """Of each request with a relevant row.

    Source: K. Jarvelin, J. Kekalainen, ACM Transactions on Information Systems 20, 2002; gains are 2**relevance - 1.
    """

    def gained(by: _Values) -> _Values:
        order, rank, starts = _ranked(groups, by)
        each = np.where(rank < k, (np.exp2(truth[order]) - 1) / np.log2(rank + 2), 0.0)
        return np.asarray(np.add.reduceat(each, starts))

    best = gained(truth)
    return _at_first(groups, gained(scores) / np.where(best > 0, best, 1.0), best > 0)


def _map(truth: _Values, scores: _Values, k: float, groups: NDArray[np.intp]) -> tuple[_Values, _Values]:
    """The average precision of the first k, of each request with a relevant row (a label over 0)."""
    order, rank, starts = _ranked(groups, scores)
    hit = (truth[order] > 0).astype(np.float64)
    hits = np.cumsum(hit)
    before = np.repeat(hits[starts] - hit[starts], np.diff(np.append(starts, order.size)))
    precision = np.where(rank < k, hit * (hits - before) / (rank + 1), 0.0)
    relevant = np.add.reduceat(hit, starts)
    found = np.add.reduceat(precision, starts) / np.where(relevant > 0, np.minimum(relevant, k), 1.0)
    return _at_first(groups, found, relevant > 0)


def _at_first(groups: NDArray[np.intp], values: _Values, counts: NDArray[np.bool_]) -> tuple[_Values, _Values]:
    """A value a request, written at its first row, so that each request counts once, in the block of that row."""
    first = np.unique(groups, return_index=True)[1]
    over, under = np.zeros(groups.size), np.zeros(groups.size)
    over[first], under[first] = np.where(counts, values, 0.0), counts
    return over, under


RATIOS: dict[str, _Ratio] = {
    "precision": _Ratio(_precision, 0.5, 0.0, 1.0),
    "recall": _Ratio(_recall, 0.5, 0.0, 1.0),
    "f1": _Ratio(_f1, 0.5, 0.0, 1.0),
    "mape": _Ratio(_mape, 0.0, 1.0, 0.0),
    "smape": _Ratio(_smape, 0.0, 1.0, 0.0),
    "wape": _Ratio(_wape, 0.0, 1.0, 0.0),
    "pinball": _Ratio(_pinball, 0.5, 0.0, 1.0),
    "mase": _Ratio(_mase, 1.0, 1.0, 10_000.0),
    "ndcg": _Ratio(_ndcg, 10.0, 1.0, 10_000.0),
    "map": _Ratio(_map, 10.0, 1.0, 10_000.0),
}
"""By name: the two numbers a row, the number behind "@" where none is given, and its bounds (none where they cross)."""
