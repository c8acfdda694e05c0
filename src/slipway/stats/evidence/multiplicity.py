"""Several hypotheses at once, guardrails or arms: which are shown, and what they say together.

All take logarithms of e-values. Which one to take: `bonferroni` where one guardrail shown is enough to roll back;
`benjamini_hochberg_e` where many are reported, and a share of false ones is bearable; `averaged` where they are views of
one question.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from slipway.errors import InvalidInput

__all__ = ["averaged", "benjamini_hochberg_e", "bonferroni"]


def bonferroni(log_e: ArrayLike, *, alpha: float) -> NDArray[np.bool_]:
    """Which of several hypotheses are rejected such that a single false rejection has a chance of at most alpha.

    Each needs e >= m / alpha, m being how many there are. The largest values so far may be given, each reached at a time
    of its own: Ville's inequality holds for each alone.

    Args:
        log_e: One a hypothesis, shape `(n_hypotheses,)`.
        alpha: Of all together.

    Source: V. Vovk and R. Wang, E-values: calibration, combination and applications, Annals of Statistics 49, 2021.
    """
    given = _checked(log_e, alpha)
    return np.asarray(given >= math.log(max(given.size, 1) / alpha))


def benjamini_hochberg_e(log_e: ArrayLike, *, alpha: float) -> NDArray[np.bool_]:
    """Which of several hypotheses are rejected such that the expected share of false ones among them is at most alpha.

    The k largest are rejected, k being the greatest for which the k-th largest e is at least m / (k alpha). It holds
    whatever depends on what. Give the values at one time, that of the look: with largest values so far, reached at
    different times, the promise is lost.

    Args:
        log_e: One a hypothesis, at one time, shape `(n_hypotheses,)`.
        alpha: The false discovery rate.

    Source: R. Wang and A. Ramdas, False discovery rate control with e-values, Journal of the Royal Statistical Society B
        84, 2022.
    """
    given = _checked(log_e, alpha)
    order = np.argsort(-given, kind="stable")
    needed = math.log(max(given.size, 1) / alpha) - np.log(np.arange(1, given.size + 1))
    enough = np.flatnonzero(given[order] >= needed)
    rejected = np.zeros(given.size, dtype=np.bool_)
    if enough.size:
        rejected[order[: enough[-1] + 1]] = True
    return rejected


def averaged(log_e: ArrayLike, *, weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """The logarithm of the mean of e-values: evidence against all their hypotheses being true, whatever depends on what.

    The mean of e-processes of one time is an e-process: give whole sequences, and take the largest mean so far; the mean
    of the largest values so far is none.

    Args:
        log_e: Shape `(n_hypotheses,)`, or `(n_hypotheses, n_looks)` for sequences.
        weights: Fixed before the data, at least 0, together 1; equal ones where none are given. Shape `(n_hypotheses,)`.

    Returns:
        Shape `()` or `(n_looks,)`.

    Raises:
        InvalidInput: Weights that are no weights, or nothing to average.

    Source: V. Vovk and R. Wang, E-values: calibration, combination and applications, Annals of Statistics 49, 2021.
    """
    given = np.asarray(log_e, dtype=np.float64)
    if not given.ndim or not given.shape[0]:
        raise InvalidInput("There are no e-values to average.", why="An average is of at least one.", field="log_e")
    w = np.full(given.shape[0], 1 / given.shape[0]) if weights is None else np.asarray(weights, dtype=np.float64)
    if w.shape != given.shape[:1] or (w < 0).any() or abs(float(w.sum()) - 1) > 1e-9:
        raise InvalidInput(
            f"{w.tolist()} are no weights of {given.shape[0]} e-values.",
            why="Each e-value has one of at least 0, and together they are 1.",
            field="weights",
        )
    most = given.max(axis=0)
    steady = np.where(np.isfinite(most), most, 0.0)
    with np.errstate(divide="ignore", over="ignore"):  # e-values of 0 and of infinity are such
        return np.asarray(steady + np.log(np.tensordot(w, np.exp(given - steady), axes=1)))


def _checked(log_e: ArrayLike, alpha: float) -> NDArray[np.float64]:
    given = np.asarray(log_e, dtype=np.float64)
    if given.ndim != 1 or np.isnan(given).any():
        raise InvalidInput(
            f"E-values of shape {given.shape} are not one a hypothesis.",
            why="One logarithm is needed for each, and none may be NaN.",
            field="log_e",
        )
    if not 0 < alpha < 1:
        raise InvalidInput(f"{alpha!r} is no chance of an error.", why="It is above 0 and below 1.", field="alpha")
    return given
