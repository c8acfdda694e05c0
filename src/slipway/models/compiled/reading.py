"""Values out of rows: each is one that the program surely understands, or the row is not for it."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slipway.models.compiled import program as steps

__all__ = ["Declined", "Given", "Refused", "Run", "cell_of", "index_of", "indexer", "numbers", "table"]

_Floats = NDArray[Any]
_Rows = Sequence[Sequence[Any]]
_Column = Sequence[Any]
_NAN = float("nan")
_AS_SINGLE = struct.Struct("<f")
_TEXTS = {str, type(None)}


class Given(NamedTuple):
    """The rows of a request, and where they are many its columns, else none."""

    rows: _Rows
    columns: Sequence[_Column]


Run = Callable[[Given, list[_Floats]], _Floats]


class Declined(Exception):
    """A row is not for the program."""


class Refused(Exception):
    """The estimator's encoder refuses a value: it was asked when the program was made."""

    def __init__(self, place: int, value: Any) -> None:
        super().__init__()
        self.place, self.value = place, value


def _float(value: Any, low: int, high: int) -> float:
    kind = type(value)
    if kind is float:
        return value  # type: ignore[no-any-return]  # the check above is the proof
    if value is None:
        return _NAN
    if kind is int and low <= value <= high:
        return float(value)
    raise Declined


def _rounded(value: Any, low: int, high: int) -> float:
    number = _float(value, low, high)
    try:
        rounded: float = _AS_SINGLE.unpack(_AS_SINGLE.pack(number))[0]
    except OverflowError:
        raise Declined from None
    return rounded


def _int(value: Any, low: int, high: int) -> float:
    kind = type(value)
    if kind is int and low <= value <= high:
        return float(value)
    if value is None or (kind is float and value != value):
        return _NAN
    if kind is float and low <= value <= high and value.is_integer():
        return value  # type: ignore[no-any-return]  # the check above is the proof
    raise Declined


def _bool(value: Any, low: int, high: int) -> float:
    if value is True:
        return 1.0
    if value is False:
        return 0.0
    if value is None:
        return _NAN
    raise Declined


_CELLS: Mapping[str, Callable[[Any, int, int], float]] = {
    "float": _float,
    "single": _rounded,
    "int": _int,
    "bool": _bool,
}
_EXACT = {
    "float": {float, type(None)},
    "single": {float, type(None)},
    "int": {int, type(None)},
    "bool": {bool, type(None)},
}


def numbers(step: steps.Numbers) -> Run:
    """What reads columns of numbers."""
    columns = list(zip(step.inputs, step.kinds, step.ranges, strict=True))
    cells = [(place, _CELLS[kind], low, high) for place, kind, (low, high) in columns]
    floats = [index for index, kind in enumerate(step.kinds) if kind == "float"]
    others = [index for index, kind in enumerate(step.kinds) if kind != "float"]

    def run(given: Given, arrays: list[_Floats]) -> _Floats:
        rows, held = given
        if not held:
            found = np.array([[cell(row[place], low, high) for place, cell, low, high in cells] for row in rows])
        else:
            found = np.empty((len(rows), len(cells)))
            together = [held[step.inputs[index]] for index in floats]
            one_by_one: Sequence[int] = others
            if set(map(type, chain.from_iterable(together))) <= _EXACT["float"]:
                found[:, floats] = np.array(together, dtype=np.float64).reshape(len(floats), len(rows)).T
            else:
                one_by_one = range(len(columns))
            for index in one_by_one:
                place, kind, (low, high) = columns[index]
                found[:, index] = _column(held[place], kind, low, high)
        # Every number is one of float32 by now.
        return found.astype(np.float32) if step.single else found

    return run


def _column(values: _Column, kind: str, low: int, high: int) -> Any:
    if set(map(type, values)) <= _EXACT[kind]:
        try:
            found = np.array(values, dtype=np.float64)
        except OverflowError:
            raise Declined from None
        if kind == "single":
            return _single(found)
        if kind != "int" or not ((found < low) | (found > high)).any():
            return found
    cell = _CELLS[kind]
    return [cell(value, low, high) for value in values]


def _single(found: _Floats) -> _Floats:
    rounded = found.astype(np.float32)
    if (np.isinf(rounded) & np.isfinite(found)).any():
        raise Declined
    return rounded


_Index = Callable[[Given], list[int]]


def cell_of(kind: str) -> Callable[[Any, int, int], float]:
    """What makes a float of a value of a column's kind, given its limits as a whole number."""
    return _CELLS[kind]


def index_of(step: steps.Table) -> Callable[[Any], int]:
    """A function to the row of a table that holds for a value of its input, -1 where the encoder refuses it."""
    low, high = step.range
    known, null, other = _rows_of(step)
    if step.kind == "text":
        texts = {**known, None: null}

        def text(value: Any) -> int:
            if value is not None and type(value) is not str:
                raise Declined
            return texts.get(value, other)

        return text
    cell = _CELLS[step.kind]

    def number(value: Any) -> int:
        if value is None:
            return null
        found = cell(value, low, high)
        if not math.isfinite(found):
            raise Declined
        return known.get(found, other)

    return number


def _rows_of(step: steps.Table) -> tuple[dict[Any, int], int, int]:
    """The rows of a table by value, of null and of others, -1 where they are refused."""
    # Numbers are looked up as floats; -0.0 and 0.0 are one key.
    known: dict[Any, int] = {(key if step.kind == "text" else float(key)): index for index, key in enumerate(step.keys)}
    return known, len(step.keys) if step.null else -1, len(step.keys) + 1 if step.other else -1


def indexer(step: steps.Table) -> _Index:
    """A function to the rows of a table that hold for the values of its input."""
    place, one = step.input, index_of(step)
    known, null, other = _rows_of(step)
    texts = {**known, None: null}

    def run(given: Given) -> list[int]:
        rows, columns = given
        if columns and step.kind == "text" and set(map(type, columns[place])) <= _TEXTS:
            found = [texts.get(value, other) for value in columns[place]]
        else:
            found = [one(row[place]) for row in rows]
        if min(found) < 0:
            raise Refused(place, rows[found.index(-1)][place])
        return found

    return run


def table(step: steps.Table) -> Run:
    """What looks one column up."""
    index, rows_of = indexer(step), step.rows.numpy()

    def run(given: Given, arrays: list[_Floats]) -> _Floats:
        found = index(given)
        return rows_of[found[0] : found[0] + 1] if len(found) == 1 else rows_of.take(found, axis=0)

    return run
