"""Shapley values of one answer, by sampling: what each input adds, over all orders in which inputs may become known.

A coalition's worth is the mean answer to the row with the other inputs taken from background rows (the interventional
form: Štrumbelj and Kononenko 2014; Lundberg and Lee 2017). Orders are drawn by chance (Castro, Gómez and Tejada 2009),
each beside its reverse, whose errors go the other way (antithetic sampling: Mitchell, Cooper, Frank and Holmes 2022). The
background rows lie evenly among their own answers, so that few of them have the mean of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Sampled", "sampled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """What came of sampling.

    Args:
        values: One an input, shape `(n_inputs,)`: they add up to the answer less the mean answer to the rows drawn.
        calls: How many rows the model was asked.
    """

    values: NDArray[np.float64]
    calls: int


def sampled(
    ask: Callable[[list[list[Any]]], NDArray[np.float64]],
    row: Sequence[Any],
    score: float,
    background: Sequence[Sequence[Any]],
    answers: NDArray[np.float64],
    *,
    calls: int,
    seed: int,
) -> Sampled:
    """Sample the Shapley values of one answer.

    Args:
        ask: The model: rows to answers, one a row.
        row: The row's inputs.
        score: The answer to it.
        background: Rows that stand for what is not known, at least one.
        answers: The answers to these, shape `(n_background,)`.
        calls: At most so many rows are asked, but two orders at least: `2 * (n_inputs - 1)` rows.
        seed: The same seed draws the same orders.
    """
    width, known = len(row), len(background)
    random = np.random.default_rng(seed)
    pairs = known if width == 1 else max(1, calls // (2 * (width - 1)))
    if pairs > known:  # each background row as often as every other: then their mean is the mean of all
        pairs -= pairs % known
    ranked = np.argsort(answers, kind="stable")
    places = ranked[((np.arange(pairs) + random.random()) * known / pairs).astype(np.intp) % known]
    orders = [order for _ in range(pairs) for order in _with_reverse(random.permutation(width))]
    asked = [
        made for order, place in zip(orders, np.repeat(places, 2).tolist(), strict=True)
        for made in _between(row, background[place], order)
    ]  # fmt: skip
    found = ask(asked).reshape(len(orders), width - 1) if asked else np.empty((len(orders), 0))
    whole = np.column_stack([np.repeat(answers[places], 2), found, np.full(len(orders), score)])
    values = np.zeros(width)
    for order, steps in zip(orders, np.diff(whole, axis=1), strict=True):
        values[order] += steps
    return Sampled(values=values / len(orders), calls=len(asked))


def _with_reverse(order: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return order, order[::-1]


def _between(row: Sequence[Any], other: Sequence[Any], order: NDArray[np.intp]) -> list[list[Any]]:
    """The rows on the way from another row to this one, both left out, one input after the other."""
    made, found = list(other), []
    for place in order[:-1].tolist():
        made[place] = row[place]
        found.append(list(made))
    return found
