"""A linear model and all that comes before it as one table: what each input adds to the answer.

Filling in, scaling, looking up and summing with weights make of one input's value a number that does not depend on the
other inputs. So a row costs one multiplication a number and one look-up a text, with no array at all. Sums are rounded
otherwise than in the estimator; whether that shows is for the proof to say. What is not usual in a row (another type, a
number beyond all measure, a null that is not filled in, a text that is refused) is left to the steps themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from slipway.models.compiled import program as steps
from slipway.models.compiled.program import Program, Step

__all__ = ["Folded", "folded"]

Folded = Callable[[Sequence[Any]], "float | None"]
"""From a row to its score; None where the steps themselves must be run."""

_MOST = 1e100  # of a number in a row
_FACTOR = 1e60  # what numbers are multiplied and added with at most: nothing becomes infinite on the way
_CELLS = 200_000  # in all tables


class _Line(NamedTuple):
    """`(value - centre) * slope + offset` of a number; `null` for a missing one, NaN where that is declined."""

    centre: float
    slope: float
    offset: float
    null: float

    def to(self, other: _Line, weight: float) -> _Line:
        """This plus a multiple of another one."""
        slope = weight * other.slope
        if self.slope == 0:
            return _Line(other.centre, slope, self.offset + weight * other.offset, self.null + weight * other.null)
        offset = self.offset + weight * other.offset + slope * (self.centre - other.centre)
        return _Line(self.centre, self.slope + slope, offset, self.null + weight * other.null)


class _Look(NamedTuple):
    """A number for each row of a table."""

    values: tuple[float, ...]


class _Column(NamedTuple):
    """One column of an array: a constant and what each step that reads an input adds, by the step and its place there."""

    constant: float
    parts: Mapping[tuple[int, int], _Line | _Look]


class _Number(NamedTuple):
    """What a number adds: `(value - centre) * slope`, or `null`; whether it is whole, and its limits as a whole one."""

    input: int
    centre: float
    slope: float
    null: float
    is_whole: bool
    limits: tuple[int, int]


class _Text(NamedTuple):
    """What a text, or true and false, adds; NaN for what is declined."""

    input: int
    kind: type
    known: Mapping[Any, float]
    other: float


class _Unfoldable(Exception):
    """A step is not linear in what each input adds."""


def folded(program: Program) -> Folded | None:
    """The program for one row at once, None where it is not such a sum."""
    try:
        return _Folding(program).made()
    except _Unfoldable:
        return None


class _Asking:
    """Answers one row."""

    def __init__(
        self,
        constant: float,
        numbers: Sequence[_Number],
        texts: Sequence[_Text],
        tail: Sequence[Callable[[float], float]],
    ) -> None:
        self._constant, self._tail = constant, tuple(tail)
        self._numbers = list(numbers)
        self._texts = [(one.input, one.kind, one.known.get, one.other) for one in texts]

    def __call__(self, row: Sequence[Any]) -> float | None:
        total = self._constant
        for place, centre, slope, null, is_whole, (low, high) in self._numbers:
            value = row[place]
            kind = type(value)
            if kind is float and not is_whole:
                if not -_MOST < value < _MOST:
                    return None
                total += (value - centre) * slope
            elif value is None:
                total += null
            elif kind is int and low <= value <= high:
                total += (value - centre) * slope
            else:
                return None
        for place, wanted, look, other in self._texts:
            value = row[place]
            if value is not None and type(value) is not wanted:
                return None
            total += look(value, other)
        if not -_MOST < total < _MOST:  # NaN, for what is declined, among them
            return None
        for change in self._tail:
            total = change(total)
        return total if -_MOST < total < _MOST else None


class _Folding:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._arrays: list[list[_Column] | None] = []
        self._tails: dict[int, Callable[[float], float]] = {}
        self._declined: dict[tuple[int, int], set[int]] = {}

    def made(self) -> Folded:
        for number, step in enumerate(self._program.steps):
            self._arrays.append(self._columns(number, step))
        tail: list[Callable[[float], float]] = []
        number = self._program.score
        while True:
            step = self._program.steps[number]
            found = _SCALARS.get(type(step))
            made = found(step) if found is not None and self._arrays[number] is None else None
            if made is None:
                break
            tail.append(made)
            number = step.of  # type: ignore[union-attr,assignment]  # such steps read one array
        column = self._arrays[number]
        if column is None or len(column) != 1:
            raise _Unfoldable
        return _Asking(*self._entries(column[0]), tail[::-1])

    def _entries(self, column: _Column) -> tuple[float, list[_Number], list[_Text]]:
        """What each input adds, also the ones that add nothing: their values must fit all the same."""
        constant, numbers, texts = column.constant, list[_Number](), list[_Text]()
        for number, step in enumerate(self._program.steps):
            if isinstance(step, steps.Numbers):
                for place, (kind, limits) in enumerate(zip(step.kinds, step.ranges, strict=True)):
                    part = column.parts.get((number, place), _Line(0.0, 0.0, 0.0, 0.0))
                    assert isinstance(part, _Line)
                    constant += part.offset
                    null = math.nan if (number, place) in self._declined else part.null - part.offset
                    if kind == "bool":
                        ends = [(value - part.centre) * part.slope for value in (0.0, 1.0)]
                        texts.append(
                            _Text(step.inputs[place], bool, {False: ends[0], True: ends[1], None: null}, math.nan)
                        )
                    else:
                        numbers.append(
                            _Number(step.inputs[place], part.centre, part.slope, null, kind == "int", limits)
                        )
            elif isinstance(step, steps.Table):
                if step.kind not in ("text", "bool"):
                    raise _Unfoldable
                look = column.parts.get((number, 0), _Look((0.0,) * (len(step.keys) + 2)))
                assert isinstance(look, _Look)
                values = list(look.values)
                refused = {len(step.keys) + i for i, answers in enumerate((step.null, step.other)) if not answers}
                for row in self._declined.get((number, 0), set()) | refused:
                    values[row] = math.nan
                known: dict[Any, float] = dict(zip(step.keys, values, strict=False))
                kind_of_key = str if step.kind == "text" else bool
                texts.append(_Text(step.input, kind_of_key, {**known, None: values[-2]}, values[-1]))
        return constant, numbers, texts

    def _columns(self, number: int, step: Step) -> list[_Column] | None:
        """The columns of a step's array; None for one behind the sum."""
        if isinstance(step, steps.Numbers):
            if step.single or "single" in step.kinds:
                raise _Unfoldable
            return [
                _Column(0.0, {(number, place): _Line(0.0, 1.0, 0.0, math.nan)}) for place in range(len(step.inputs))
            ]
        if isinstance(step, steps.Table):
            rows = step.rows.numpy()
            if rows.dtype != float or rows.size > _CELLS:
                raise _Unfoldable
            if not rows.shape[1]:
                return []
            return [_Column(0.0, {(number, 0): _Look(tuple(column))}) for column in rows.T.tolist()]
        before = self._before(step)
        if before is None:
            return None
        change = _CHANGES.get(type(step))
        if change is not None:
            return [_bounded(column) for column in change(self, step, before)]
        if type(step) in _SCALARS and len(before) == 1:
            return None
        raise _Unfoldable

    def _before(self, step: Step) -> list[_Column] | None:
        if isinstance(step, steps.Join):
            parts = [self._arrays[number] for number in step.of]
            if any(part is None for part in parts):
                raise _Unfoldable
            return [column for part in parts for column in part or ()]
        if isinstance(step, steps.Blend):
            raise _Unfoldable
        return self._arrays[step.of]  # type: ignore[union-attr]  # every other step reads one array

    def refuse_nulls(self, columns: Sequence[_Column]) -> None:
        """A missing number that is not filled in by now is declined."""
        for column in columns:
            for key, part in column.parts.items():
                values = (part.null,) if isinstance(part, _Line) else part.values
                self._declined.setdefault(key, set()).update(i for i, value in enumerate(values) if math.isnan(value))
        self._declined = {key: rows for key, rows in self._declined.items() if rows}


def _bounded(column: _Column) -> _Column:
    numbers = [column.constant]
    for part in column.parts.values():
        numbers += part[:3] if isinstance(part, _Line) else [value for value in part.values if value == value]
    if not all(abs(number) < _FACTOR for number in numbers):
        raise _Unfoldable
    return column


def _shifted(column: _Column, by: float) -> _Column:
    """The column plus a number: kept inside where only one number was read so far, which rounds as the steps do."""
    if len(column.parts) == 1 and column.constant == 0:
        ((key, part),) = column.parts.items()
        if isinstance(part, _Line):
            is_plain = part.slope == 1 and part.offset == 0
            moved = part._replace(centre=part.centre - by) if is_plain else part._replace(offset=part.offset + by)
            return _Column(0.0, {key: moved._replace(null=part.null + by)})
    return column._replace(constant=column.constant + by)


def _scaled(column: _Column, by: float) -> _Column:
    parts: dict[tuple[int, int], _Line | _Look] = {}
    for key, part in column.parts.items():
        if isinstance(part, _Line):
            parts[key] = _Line(part.centre, part.slope * by, part.offset * by, part.null * by)
        else:
            parts[key] = _Look(tuple(value * by for value in part.values))
    return _Column(column.constant * by, parts)


def _arithmetic(folding: _Folding, step: steps.Arithmetic, before: list[_Column]) -> list[_Column]:
    values = step.values.numpy().tolist()
    if step.kind in ("divide", "multiply"):
        if step.kind == "divide" and 0 in values:
            raise _Unfoldable
        factors = [1 / value for value in values] if step.kind == "divide" else values
        return [_scaled(column, factor) for column, factor in zip(before, factors, strict=True)]
    sign = -1 if step.kind == "subtract" else 1
    return [_shifted(column, sign * value) for column, value in zip(before, values, strict=True)]


def _filled(folding: _Folding, step: steps.Fill, before: list[_Column]) -> list[_Column]:
    found = []
    for column, value in zip(before, step.values.numpy().tolist(), strict=True):
        key, part = _one_number(column, step.missing)
        found.append(_Column(0.0, {key: part._replace(null=value)}))
    return found


def _told(folding: _Folding, step: steps.Missing, before: list[_Column]) -> list[_Column]:
    keys = [_one_number(before[place], step.missing)[0] for place in step.columns]
    return [_Column(0.0, {key: _Line(0.0, 0.0, 0.0, 1.0)}) for key in keys]


def _one_number(column: _Column, missing: float | None) -> tuple[tuple[int, int], _Line]:
    """The number that a column is, missing as NaN."""
    if missing is None and len(column.parts) == 1 and column.constant == 0:
        ((key, part),) = column.parts.items()
        if isinstance(part, _Line) and math.isnan(part.null):
            return key, part
    raise _Unfoldable


def _checked(folding: _Folding, step: steps.Check, before: list[_Column]) -> list[_Column]:
    if not step.nan:
        folding.refuse_nulls(before)
    return before


def _matrix(folding: _Folding, step: steps.Matrix, before: list[_Column]) -> list[_Column]:
    if step.weights.dtype != "<f8":
        raise _Unfoldable
    weights, offset = step.weights.numpy(), step.offset.numpy()
    folding.refuse_nulls(before)
    if weights.shape[1] * sum(len(column.parts) for column in before) > _CELLS:
        raise _Unfoldable
    return [_summed(before, weights[:, place].tolist(), float(offset[place])) for place in range(weights.shape[1])]


def _summed(columns: Sequence[_Column], weights: Sequence[float], offset: float) -> _Column:
    constant, parts = offset, dict[tuple[int, int], _Line | _Look]()
    for column, weight in zip(columns, weights, strict=True):
        constant += column.constant * weight
        for key, part in column.parts.items():
            held = parts.get(key)
            if isinstance(part, _Line):
                start = held if isinstance(held, _Line) else _Line(0.0, 0.0, 0.0, 0.0)
                parts[key] = start.to(part, weight)
            else:
                old = held.values if isinstance(held, _Look) else (0.0,) * len(part.values)
                parts[key] = _Look(tuple(one + weight * value for one, value in zip(old, part.values, strict=True)))
    return _Column(constant, parts)


_CHANGES: Mapping[type[Step], Callable[[_Folding, Any, list[_Column]], list[_Column]]] = {
    steps.Arithmetic: _arithmetic,
    steps.Fill: _filled,
    steps.Missing: _told,
    steps.Check: _checked,
    steps.Matrix: _matrix,
    steps.Join: lambda folding, step, before: before,
    steps.Pick: lambda folding, step, before: [before[column] for column in step.columns],
}


def _expit(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value)) if value > -_LEAST else 0.0


_LEAST = 700.0
_LINKS: Mapping[str, Callable[[float], float]] = {
    "expit": _expit,
    "exp": lambda value: math.exp(value) if value < _LEAST else math.inf,
    "relu": lambda value: max(value, 0.0),
}


def _scalar_arithmetic(step: steps.Arithmetic) -> Callable[[float], float]:
    (value,) = step.values.numpy().tolist()
    return {
        "add": lambda x: x + value,
        "subtract": lambda x: x - value,
        "multiply": lambda x: x * value,
        "divide": lambda x: x / value,
    }[step.kind]


_SCALARS: Mapping[type[Step], Callable[[Any], Callable[[float], float] | None]] = {
    steps.Link: lambda step: _LINKS.get(step.kind),
    steps.Clip: lambda step: lambda value: min(max(value, step.low), step.high),
    steps.Arithmetic: _scalar_arithmetic,
}
