"""What a model's answers rest on, over many rows: losses with one input exchanged, partial dependence, interactions.

Sources: permutation importance as model reliance (Breiman 2001; Fisher, Rudin and Dominici 2019); partial dependence
(Friedman 2001); the H statistic of interactions (Friedman and Popescu 2008). All of them put values together that may
never have stood together: where inputs depend on each other, they tell what the model does there, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.stats.estimate import Estimate
from slipway.stats.intervals import mean_interval

__all__ = ["Ask", "interaction", "partial", "permuted"]

Ask = Callable[[list[list[Any]]], NDArray[np.float64]]
"""Rows of inputs to the model's answers, one a row."""


def permuted(
    ask: Ask,
    rows: Sequence[Sequence[Any]],
    losses: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    place: int,
    *,
    times: int,
    seed: int,
) -> Estimate:
    """How much greater the mean loss is with one input's values exchanged among the rows, with its interval over rows.

    Args:
        ask: The model.
        rows: The rows.
        losses: Answers to the loss of each row.
        place: Which input.
        times: How often it is exchanged anew.
        seed: The same seed exchanges alike.
    """
    random = np.random.default_rng(seed)
    before = losses(ask([list(row) for row in rows]))
    more = np.zeros(len(rows))
    for _ in range(times):
        others = random.permutation(len(rows)).tolist()
        more += losses(ask([_with(row, place, rows[o][place]) for row, o in zip(rows, others, strict=True)])) - before
    return mean_interval(more / times)


def partial(
    ask: Ask, rows: Sequence[Sequence[Any]], places: Sequence[int], values: Sequence[Sequence[Any]]
) -> NDArray[np.float64]:
    """The mean answer with some inputs set to values, over the rows as they are otherwise.

    Args:
        ask: The model.
        rows: The rows.
        places: Which inputs.
        values: To what: each has one value a place.

    Returns:
        One mean a set of values, float64 of shape `(len(values),)`.
    """
    asked = []
    for given in values:
        for row in rows:
            made = list(row)
            for place, value in zip(places, given, strict=True):
                made[place] = value
            asked.append(made)
    return np.asarray(ask(asked).reshape(len(values), len(rows)).mean(axis=1), dtype=np.float64)


def interaction(
    ask: Ask, rows: Sequence[Sequence[Any]], one: int, other: int, single: Callable[[int], NDArray[np.float64]]
) -> float:
    """Friedman's H of two inputs: the share (0 to 1) of their common effect's spread that is no sum of their own effects.

    Args:
        ask: The model, on a scale on which effects might add up.
        rows: The rows, at whose values it is looked and over which means are taken: it asks `len(rows)` squared of them.
        one: The first input.
        other: The second.
        single: An input's own partial dependence at each row's value, shape `(n_rows,)`.
    """
    both = _centred(partial(ask, rows, (one, other), [(row[one], row[other]) for row in rows]))
    left = both - _centred(single(one)) - _centred(single(other))
    whole = float((both**2).sum())
    return float(np.sqrt(min(1.0, (left**2).sum() / whole))) if whole > _NOTHING * len(rows) else 0.0


_NOTHING = 1e-16
"""A mean square below this is rounding: of nothing there is no share."""


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(values - values.mean(), dtype=np.float64)


def _with(row: Sequence[Any], place: int, value: Any) -> list[Any]:
    return [*row[:place], value, *row[place + 1 :]]
