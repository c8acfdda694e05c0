"""Trees asked for a row alone, with no array before the trees' own table.

What lies between an input and the trees (filling in, scaling, rounding to float32) never turns two of its values around:
the greater stays the greater or becomes equal. So for each threshold there is a greatest value of the input that still
goes left, and the rank of the input among these is the rank of what the steps would make of it among the thresholds. They
are found when the model is loaded, by asking the steps themselves, to the last bit. A row then costs a search a number, a
look-up a text, and a dozen calls of NumPy for all trees. What is not usual in a row is left to the steps.
"""

from __future__ import annotations

import math
import operator
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slipway.models.compiled import program as steps
from slipway.models.compiled.forests import Group, Question, Trees
from slipway.models.compiled.fusing import Fused, source_of
from slipway.models.compiled.program import Program, Step
from slipway.models.compiled.reading import Declined, Given, Run, cell_of, index_of

__all__ = ["Lone", "lone"]

Lone = Callable[[Sequence[Any]], "float | None"]
"""From a row to its score; None where the steps themselves must be run."""

_MOST = 1e30  # of a number in a row: within float32, and so for all that is made of it
_CELLS = 400_000  # values that are asked at once while thresholds are looked for
_LEAST = 700.0  # beyond, exp leaves what floats hold
_NOTHING = Given((), ())
_Floats = NDArray[Any]
_ORDERLY = (
    steps.Numbers, steps.Check, steps.Fill, steps.Missing, steps.Arithmetic, steps.Cast, steps.Clip, steps.Join, steps.Pick,
    steps.Table,
)  # fmt: skip
_Ranked = tuple[int, bool, int, int, Sequence[float], int, int]
"""An input's place, whether it is whole, its limits as a whole number, its edges, the first of its rows, and that of null."""
_Looked = tuple[int, Callable[[Any], int], int]
"""An input's place, which row of a table holds for a value, and the table's first row among all."""


class _NotAlone(Exception):
    """A step turns values around, or mixes inputs."""


def lone(program: Program, together: Fused, trees: Trees, run_of: Callable[[Step], Run]) -> Lone | None:
    """A program of one forest for a row alone, None where its steps must be run.

    Args:
        program: The program.
        together: Its forest, and what comes before it.
        trees: The same, ready to be asked.
        run_of: Makes a step callable.
    """
    if trees.groups is None:
        return None
    try:
        return _Finding(program, together, trees.groups, run_of).made(trees.start, trees.flush)
    except (_NotAlone, Declined):
        return None


class _Finding:
    """Finds where the thresholds lie among a row's own values."""

    def __init__(
        self, program: Program, together: Fused, groups: Sequence[Group], run_of: Callable[[Step], Run]
    ) -> None:
        self._program, self._together, self._groups = program, together, groups
        behind = _behind(program, together.number)
        known = [
            number for number, step in enumerate(program.steps) if isinstance(step, _ORDERLY) and number not in behind
        ]
        if len(known) + len(behind) + 1 != len(program.steps):
            raise _NotAlone
        self._tail = [_scalar(program.steps[number]) for number in behind]
        self._runs = [(number, run_of(program.steps[number])) for number in known]
        for number in known:
            step = program.steps[number]
            if isinstance(step, steps.Arithmetic) and not _keeps_order(step):
                raise _NotAlone
            if isinstance(step, steps.Fill | steps.Missing) and step.missing is not None:
                raise _NotAlone
        # The forest's columns are those of its blocks, one after the other.
        self._sources = [
            _place_of(program, block, column)
            for block in together.blocks
            for column in range(steps.width_of(program, block))
        ]

    def made(self, start: float, flush: float) -> Lone:
        """What answers a row; raises _NotAlone or Declined where nothing can."""
        self._flush = flush
        ends = self._columns(np.array([[-_MOST] * self._program.inputs, [_MOST] * self._program.inputs]))
        if not np.isfinite(ends).all():
            raise _NotAlone
        numbers = {
            place: (kind, limits)
            for step in self._program.steps
            if isinstance(step, steps.Numbers)
            for place, kind, limits in zip(step.inputs, step.kinds, step.ranges, strict=True)
        }
        edges, groups = self._edges(), list[tuple[Group, list[_Ranked], list[_Looked]]]()
        for group in self._groups:
            ranked, looked = list[_Ranked](), list[_Looked]()
            for question in group.questions:
                place = self._sources[question.column]
                kind, (low, high) = numbers[place]
                null, mine = self._null_row(question, place), edges[id(question)]
                if kind == "bool":
                    looked.append((place, _of_bool(mine, question.start, null), 0))
                else:
                    ranked.append((place, kind == "int", low, high, mine, question.start, null))
            for each, first in group.starts:
                table = self._program.steps[self._together.tables[each]]
                assert isinstance(table, steps.Table)
                looked.append((table.input, index_of(table), first))
            if not ranked and not looked:
                raise _NotAlone
            groups.append((group, ranked, looked))
        asked = {one[0] for _, ranked, _ in groups for one in ranked}
        asked |= {one[0] for _, _, looked in groups for one in looked}
        return _Asking(self._program.inputs, groups, self._idle(asked), start, self._tail)

    def _idle(self, asked: set[int]) -> list[tuple[int, Callable[[Any], Any]]]:
        """What else is read: it changes nothing, and must fit all the same."""
        found: list[tuple[int, Callable[[Any], Any]]] = []
        for step in self._program.steps:
            if isinstance(step, steps.Numbers):
                for place, kind, (low, high) in zip(step.inputs, step.kinds, step.ranges, strict=True):
                    if place not in asked:
                        found.append((place, _usual(kind, low, high, has_null=not math.isnan(self._null(place)[0]))))
            elif isinstance(step, steps.Table) and step.input not in asked:
                found.append((step.input, index_of(step)))
        return found

    def _columns(self, values: _Floats) -> _Floats:
        """The forest's columns of rows of numbers, by the steps themselves; texts are any."""
        arrays: list[_Floats] = [values] * len(self._program.steps)
        with np.errstate(all="ignore"):
            for number, run in self._runs:
                step = self._program.steps[number]
                if isinstance(step, steps.Numbers):
                    arrays[number] = _read(step, values)
                elif isinstance(step, steps.Table):
                    arrays[number] = step.rows.numpy()[:1].repeat(len(values), axis=0)
                else:
                    arrays[number] = run(_NOTHING, arrays)
        found = np.concatenate([arrays[block] for block in self._together.blocks], axis=1).astype(np.float64)
        return np.where(np.abs(found) <= self._flush, 0.0, found) if self._flush else found

    def _null(self, place: int) -> _Floats:
        """The forest's columns where one number is missing; NaN everywhere where that is declined."""
        row = np.zeros((1, self._program.inputs))
        row[0, place] = np.nan
        try:
            return np.append(0.0, self._columns(row)[0])
        except Declined:
            return np.full(len(self._sources) + 1, np.nan)

    def _null_row(self, question: Question, place: int) -> int:
        """The row of the table for a missing number, -1 where it is declined."""
        found = self._null(place)
        return -1 if math.isnan(found[0]) else question.row(float(found[question.column + 1]))

    def _edges(self) -> dict[int, list[float]]:
        """For each question the greatest values of its input that are not above its edges, ascending."""
        layers: list[dict[int, Question]] = []
        for question in (question for group in self._groups for question in group.questions):
            place = self._sources[question.column]
            if question.codes or place < 0:
                raise _NotAlone
            layer = next((layer for layer in layers if place not in layer), None)
            if layer is None:
                layers.append(layer := {})
            layer[place] = question
        found: dict[int, list[float]] = {}
        for layer in layers:
            for question, values in zip(layer.values(), self._searched(layer), strict=True):
                found[id(question)] = values
        return found

    def _searched(self, layer: Mapping[int, Question]) -> list[list[float]]:
        """A search by halves among all floats, for all edges of some inputs at once."""
        most = max(len(question.edges) for question in layer.values())
        if most * self._program.inputs > _CELLS:
            raise _NotAlone
        places, columns = list(layer), [question.column for question in layer.values()]
        edges = np.full((most, len(layer)), np.inf)
        for at, question in enumerate(layer.values()):
            edges[: len(question.edges), at] = question.edges

        def is_left(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
            values = np.zeros((most, self._program.inputs))
            values[:, places] = _float_at(keys)
            left: NDArray[np.bool_] = self._columns(values)[:, columns] <= edges
            return left

        low, high = (np.full(edges.shape, _key_of(end)) for end in (-_MOST, _MOST))
        never, always = ~is_left(low), is_left(high)
        while (high - 1 > low).any():
            middle = (low >> 1) + (high >> 1) + (low & high & 1)
            left = is_left(middle)
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        found = np.where(never, -np.inf, np.where(always, np.inf, _float_at(low)))
        return [found[: len(question.edges), at].tolist() for at, question in enumerate(layer.values())]


class _Asking:
    """Answers one row."""

    def __init__(
        self,
        inputs: int,
        groups: Sequence[tuple[Group, Sequence[_Ranked], Sequence[_Looked]]],
        idle: Sequence[tuple[int, Callable[[Any], Any]]],
        start: float,
        tail: Sequence[Callable[[float], float | None]],
    ) -> None:
        self._inputs, self._groups, self._idle = inputs, groups, idle
        self._start, self._tail = start, tail

    def __call__(self, row: Sequence[Any]) -> float | None:
        if len(row) != self._inputs:
            return None
        try:
            for place, check in self._idle:
                check(row[place])
            parts = [group.values_of(_chosen(row, ranked, looked)) for group, ranked, looked in self._groups]
        except Declined:
            return None
        values = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if self._start:
            values[0] += self._start
        total: float | None = values.cumsum().item(-1)
        for change in self._tail:
            total = change(total)  # type: ignore[arg-type]  # what is None is returned
            if total is None:
                return None
        return total if total is not None and -math.inf < total < math.inf else None


def _chosen(row: Sequence[Any], ranked: Sequence[_Ranked], looked: Sequence[_Looked]) -> list[int]:
    """The rows of a group's table that hold for a row."""
    chosen = []
    for place, is_whole, low, high, edges, start, null in ranked:
        value = row[place]
        kind = type(value)
        if kind is float and not is_whole:
            if not -_MOST < value < _MOST:
                raise Declined
            chosen.append(start + bisect_left(edges, value))
        elif value is None:
            if null < 0:
                raise Declined
            chosen.append(null)
        elif kind is int and low <= value <= high:
            chosen.append(start + bisect_left(edges, value))
        else:
            raise Declined
    for place, index, first in looked:
        at = index(row[place])
        if at < 0:  # the steps say how it is refused
            raise Declined
        chosen.append(first + at)
    return chosen


def _usual(kind: str, low: int, high: int, *, has_null: bool) -> Callable[[Any], Any]:
    cell = cell_of(kind)

    def check(value: Any) -> None:
        number = cell(value, low, high)
        if not -_MOST < number < _MOST and (has_null is False or value is not None):
            raise Declined

    return check


def _of_bool(edges: Sequence[float], start: int, null: int) -> Callable[[Any], int]:
    known = {place: start + bisect_left(edges, place) for place in (False, True)}

    def index(value: Any) -> int:
        return null if value is None else known[value] if type(value) is bool else -1

    return index


def _read(step: steps.Numbers, values: _Floats) -> _Floats:
    """What is read of rows of numbers, rounded where the step rounds."""
    found = values[:, step.inputs]
    singles = [at for at, kind in enumerate(step.kinds) if kind == "single"]
    found[:, singles] = found[:, singles].astype(np.float32)
    return found.astype(np.float32) if step.single else found


def _keeps_order(step: steps.Arithmetic) -> bool:
    values = step.values.numpy()
    return bool(np.isfinite(values).all() and (step.kind in ("add", "subtract") or (values > 0).all()))


def _place_of(program: Program, number: int, column: int) -> int:
    """The place of the one input that a column is made of, -1 for a text's."""
    while True:
        number, column = source_of(program, number, column)
        step = program.steps[number]
        if isinstance(step, steps.Numbers):
            return step.inputs[column]
        if isinstance(step, steps.Table):
            return -1
        if isinstance(step, steps.Missing):
            column = step.columns[column]
        number = step.of  # type: ignore[assignment]  # all that is left reads one array


def _behind(program: Program, forest: int) -> list[int]:
    """The steps from the forest's sum to the score."""
    found: list[int] = []
    number = program.score
    while number != forest:
        step = program.steps[number]
        if not isinstance(step, steps.Link | steps.Arithmetic | steps.Clip):
            raise _NotAlone
        found.append(number)
        number = step.of
    return found[::-1]


def _scalar(step: Step) -> Callable[[float], float | None]:
    if isinstance(step, steps.Link) and step.kind == "expit":
        return _expit
    if isinstance(step, steps.Clip):
        low, high = step.low, step.high
        return lambda value: min(max(value, low), high)
    if isinstance(step, steps.Arithmetic):
        (by,) = step.values.numpy().tolist()
        operate = getattr(operator, _OPERATORS[step.kind])
        return lambda value: operate(value, by)
    raise _NotAlone


_OPERATORS = {"add": "add", "subtract": "sub", "multiply": "mul", "divide": "truediv"}


def _expit(value: float) -> float | None:
    return 1.0 / (1.0 + math.exp(-value)) if value > -_LEAST else None


def _key_of(value: float) -> int:
    """The place of a float among all of them, 0 for 0."""
    bits = int(np.array(value).view(np.int64))
    return bits if bits >= 0 else -(bits & _ABSOLUTE)


_ABSOLUTE = 2**63 - 1


def _float_at(keys: NDArray[np.int64]) -> _Floats:
    found = np.abs(keys).view(np.float64)
    return np.where(keys < 0, -found, found)
