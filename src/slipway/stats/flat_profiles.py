"""Profiles over one reference as rows of whole numbers: what differs between them is counts, and they add up.

A profile's whole numbers, in the order of its fields, less those of a profile of no rows, are its counts; whatever belongs
to the reference is the same in both and becomes 0. So merging is the addition of rows, exact in any order and quick for
thousands of them, and a stored hour does not repeat its reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from slipway.errors import InvalidInput
from slipway.stats.profiles import Profile, profile

__all__ = ["Flat"]

Counts = NDArray[np.int64]


class Flat:
    """How the profiles over one reference are laid out as rows of counts.

    Args:
        reference: The profile that says edges and categories.
    """

    def __init__(self, reference: Profile) -> None:
        nothing: dict[str, Any] = {
            column.name: np.empty(0) if column.is_numeric else [] for column in reference.columns
        }
        self.reference = reference
        self._empty = profile(nothing, reference)
        self._base = np.array(_numbers(self._empty), dtype=np.int64)
        self.width = self._base.size
        self.places: dict[tuple[int, str], range] = {}
        """Where the counts of a field of a column are, by the column's position and the field's name."""
        self.pairs: list[range] = []
        """Where those of each pair of columns are."""
        self.rows = 0
        """Where the number of rows is."""
        at = 0
        for name in self._empty.__struct_fields__:
            value = getattr(self._empty, name)
            if name == "rows":
                self.rows = at
            if name == "pairs":
                ends = list(accumulate((len(_numbers(pair)) for pair in value), initial=at))
                self.pairs = [range(begin, end) for begin, end in pairwise(ends)]
            if name != "columns":
                at += len(_numbers(value))
                continue
            for position, column in enumerate(value):
                for field in column.__struct_fields__:
                    size = len(_numbers(getattr(column, field)))
                    self.places[position, field] = range(at, at + size)
                    at += size

    def counts(self, found: Profile) -> Counts:
        """A profile as a row of counts, int64 of shape `(width,)`.

        Raises:
            InvalidInput: It was not counted over this reference.
        """
        numbers = np.array(_numbers(found), dtype=np.int64)
        if numbers.size != self.width or len(found.columns) != len(self.reference.columns):
            raise InvalidInput(
                "A profile does not fit the reference over which it was to be counted.",
                why=f"It has {numbers.size} numbers, and profiles over the reference have {self.width}.",
                fix="Profile the rows over that reference.",
            )
        return numbers - self._base

    def profile(self, counts: Sequence[int] | Counts) -> Profile:
        """The profile that a row of counts, or a sum of such rows, stands for."""
        numbers = iter((self._base + np.asarray(counts, dtype=np.int64)).tolist())
        made: Profile = _with(self._empty, numbers)
        return made


def _numbers(value: Any) -> list[int]:
    """The whole numbers of a value, in order."""
    found: list[int] = []
    _gather(value, found)
    return found


def _gather(value: Any, found: list[int]) -> None:
    kind = type(value)
    if kind is int:
        found.append(value)
    elif kind is tuple:
        if value and type(value[0]) is int:  # of one kind throughout
            found += value
        else:
            for one in value:
                _gather(one, found)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            _gather(getattr(value, name), found)


def _with(value: Any, numbers: Iterator[int]) -> Any:
    """The same value with other whole numbers."""
    if type(value) is int:
        return next(numbers)
    if isinstance(value, tuple):
        return tuple(_with(one, numbers) for one in value)
    if isinstance(value, msgspec.Struct):
        return type(value)(**{name: _with(getattr(value, name), numbers) for name in value.__struct_fields__})
    return value
