"""The smallest change of a row that turns a model's decision: of one input, or of two where no one does.

A change is as large as the share of the known rows that it passes: of a number, those between its old and its new value;
of anything else, those that have another value than the new one. So a step to what is usual is a small one, whatever the
unit. Values are tried that rows have; a number is then brought as near to the old one as the decision allows. This is the
search for a counterfactual (Wachter, Mittelstadt and Russell 2018), over few values and without promise of the least.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.records.schema import Field

__all__ = ["Flip", "smallest_flip"]

Ask = Callable[[list[list[Any]]], NDArray[np.float64]]
_NUMBERS = ("int", "float")
_TRIED = 40
_IN_PAIRS = 8
_PAIRED = 8
_HALVINGS = 24
_FURTHER = 0.01
"""How much further than needed a change may be, so that its number has fewer digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A change that turns the decision.

    Args:
        values: The new values by the inputs' positions.
        row: The row with them.
        score: The answer to it.
        size: How large the change is: shares of rows, added.
    """

    values: dict[int, Any]
    row: list[Any]
    score: float
    size: float


def smallest_flip(
    ask: Ask, fields: Sequence[Field], row: Sequence[Any], threshold: float, known: Sequence[Sequence[Any]],
    *, keep: frozenset[int] = frozenset(),
) -> Flip | None:  # fmt: skip
    """Find it.

    Args:
        ask: The model: rows to answers, NaN where it refuses one.
        fields: The inputs.
        row: The row.
        threshold: An answer at or above it decides yes.
        known: Rows whose values are tried.
        keep: Inputs that stay as they are.

    Returns:
        None where no change of one or two inputs that was tried turns it.
    """
    columns = {place: [other[place] for other in known] for place in range(len(row)) if place not in keep}
    search = _Search(ask, fields, list(row), threshold, columns)
    return search.of_one() or search.of_two()


class _Search:
    def __init__(
        self, ask: Ask, fields: Sequence[Field], row: list[Any], threshold: float, columns: dict[int, list[Any]]
    ) -> None:
        self._ask, self._fields, self._row, self._columns = ask, fields, row, columns
        self._threshold = threshold
        self._before: float = ask([row]).tolist()[0]
        self._singles: dict[int, list[tuple[Any, float]]] = {}

    def of_one(self) -> Flip | None:
        tried = [(place, value) for place in self._columns for value in self._values(place, _TRIED)]
        scores = self._answers([{place: value} for place, value in tried])
        for (place, value), score in zip(tried, scores, strict=True):
            self._singles.setdefault(place, []).append((value, score))
        turning = [
            (self._size(place, value), place, value)
            for (place, value), score in zip(tried, scores, strict=True) if self._turns(score)
        ]  # fmt: skip
        # A number may have been overshot, and another input's come nearer: each input's best is brought near first.
        best: dict[int, tuple[float, int, Any]] = {}
        for one in sorted(turning, key=lambda one: one[0]):
            best.setdefault(one[1], one)
        return min(
            (self._near({place: value}) for _, place, value in best.values()), key=lambda f: f.size, default=None
        )

    def of_two(self) -> Flip | None:
        towards = 1.0 if self._before < self._threshold else -1.0
        reach = {
            place: max((towards * score for _, score in found if math.isfinite(score)), default=-math.inf)
            for place, found in self._singles.items()
        }
        places = sorted(reach, key=lambda place: -reach[place])[:_PAIRED]
        tried = [
            {one: a, other: b}
            for one, other in combinations(places, 2)
            for a in self._values(one, _IN_PAIRS)
            for b in self._values(other, _IN_PAIRS)
        ]
        turning = [given for given, score in zip(tried, self._answers(tried), strict=True) if self._turns(score)]
        if not turning:
            return None
        return self._near(min(turning, key=lambda given: sum(self._size(p, v) for p, v in given.items())))

    def _near(self, given: dict[int, Any]) -> Flip:
        """The change with its numbers brought as near to the old values as the decision allows."""
        values = dict(given)
        for place in given:
            old, new = self._row[place], values[place]
            if self._fields[place].type not in _NUMBERS or old is None or new is None:
                continue
            is_whole = self._fields[place].type == "int"
            for _ in range(_HALVINGS):
                middle = (old + new) // 2 if is_whole else (old + new) / 2
                if is_whole and new < old:
                    middle = -((-old - new) // 2)
                if middle in (old, new):
                    break
                if self._turns(self._answers([{**values, place: middle}])[0]):
                    new = values[place] = middle
                else:
                    old = middle
            if not is_whole:
                values[place] = self._short(values, place)
        row = self._with(values)
        size = sum(self._size(place, value) for place, value in values.items())
        return Flip(values=values, row=row, score=float(self._ask([row])[0]), size=size)

    def _short(self, values: dict[int, Any], place: int) -> float:
        """A number with as few digits as turn the decision, hardly further away: one that can be said and typed."""
        given, old = values[place], self._row[place]
        most, away = _FURTHER * abs(given - old), math.ceil if given > old else math.floor
        rounded = [round(away(given * 10.0**digits) / 10.0**digits, max(digits, 0)) for digits in range(-9, 13)]
        tried = [value for value in rounded if abs(value - given) <= most]
        scores = self._answers([{**values, place: value} for value in tried])
        found: float = next((v for v, score in zip(tried, scores, strict=True) if self._turns(score)), given)
        return found

    def _turns(self, score: float) -> bool:
        return math.isfinite(score) and (score >= self._threshold) != (self._before >= self._threshold)

    def _answers(self, tried: Sequence[dict[int, Any]]) -> list[float]:
        found: list[float] = self._ask([self._with(given) for given in tried]).tolist() if tried else []
        return found

    def _with(self, values: dict[int, Any]) -> list[Any]:
        return [values.get(place, value) for place, value in enumerate(self._row)]

    def _size(self, place: int, value: Any) -> float:
        column, old = self._columns[place], self._row[place]
        if self._fields[place].type in _NUMBERS and old is not None and value is not None:
            low, high = min(old, value), max(old, value)
            return sum(1 for one in column if one is not None and low <= one <= high) / len(column)
        return 1.0 - sum(1 for one in column if one == value) / len(column)

    def _values(self, place: int, most: int) -> list[Any]:
        """Values that rows have, other than the row's own: of numbers those that lie evenly, of others the most frequent."""
        column = [value for value in self._columns[place] if value is not None and value != self._row[place]]
        if self._fields[place].type not in _NUMBERS:
            return [value for value, _ in Counter(column).most_common(most)]
        ranked = sorted(column)
        if len(ranked) <= most:
            return sorted(set(ranked))
        return sorted({ranked[round(share * (len(ranked) - 1))] for share in np.linspace(0, 1, most)})
