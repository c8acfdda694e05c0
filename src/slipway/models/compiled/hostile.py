"""Rows on which a compiled estimator is tried: those of training with what goes wrong in requests, column by column."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slipway.models.compiled import program as steps
from slipway.models.compiled.program import Program, width_of
from slipway.records.schema import Field

__all__ = ["Tried", "rows_to_try"]

_MIXED = 400
_THRESHOLDS = 24
_CATEGORIES = 24
_TRACED = 200
_BASES = 3
_NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 7, 0.0, -0.0, 0.5, -2.5, 1e308, -1e308, 1e39, 3.4e38, -3.4e38, 5e-324, -5e-324, 1e-40, 1e-36, 2**24 + 1,
    2**31, -(2**31) - 1, 2**53, 2**53 + 1, -(2**63), 2**63 - 1, float("nan"), float("inf"), float("-inf"), True, False,
)  # fmt: skip
_TEXTS: tuple[Any, ...] = (
    "", " ", "slipway: never seen", "nan", "None", "NaN", "<NA>", "0", "1.0", "x" * 10_000, "é\u0301", "\x00", "true",
)  # fmt: skip


class Tried(NamedTuple):
    """A row to try: what is special about it, in which input ("" for several), and its values."""

    name: str
    column: str
    row: list[Any]


def rows_to_try(
    fields: Sequence[Field], known: Sequence[Sequence[Any]], program: Program, categories: Mapping[int, Sequence[Any]]
) -> list[Tried]:
    """Rows made of known ones, always the same for the same model.

    Args:
        fields: The model's inputs.
        known: Rows of training, at least one.
        program: Its thresholds and categories are tried from both sides.
        categories: Values that encoders know, by the input's position.
    """
    lot = random.Random(0)
    thresholds = _thresholds(program)
    edges = [
        list(_edges(field, [row[i] for row in known], thresholds.get(i, ()), categories.get(i, ()), lot))
        for i, field in enumerate(fields)
    ]
    found = []
    bases = [known[index] for index in sorted(lot.sample(range(len(known)), min(_BASES, len(known))))]
    for index, field in enumerate(fields):
        for number, value in enumerate(edges[index]):
            base = bases[number % len(bases)]
            name = f"{field.name} is {_shown(value)}"
            found.append(Tried(name, field.name, [*base[:index], value, *base[index + 1 :]]))
    for number in range(_MIXED):
        share = lot.choice((0.0, 0.1, 0.5))
        row = [
            lot.choice(edges[index]) if lot.random() < share and edges[index] else lot.choice(known)[index]
            for index in range(len(fields))
        ]
        found.append(Tried(f"mixed row {number}", "", row))
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:30]}... ({len(text)} characters)"


def _edges(
    field: Field, held: Sequence[Any], thresholds: Sequence[float], categories: Sequence[Any], lot: random.Random
) -> Iterator[Any]:
    yield None
    if field.type in ("category", "string"):
        yield from _TEXTS
        texts = sorted({str(value) for value in (*categories, *field.categories) if isinstance(value, str)})
        for text in lot.sample(texts, min(_CATEGORIES, len(texts))):
            yield text
            yield from (f" {text}", f"{text} ", text.upper(), text[:-1])[: lot.randint(0, 4)]
        yield 3
        return
    if field.type == "bool":
        yield from (True, False, 0, 1, 2, 1.0, "true", float("nan"))
        return
    yield from _NUMBERS
    yield "1"
    present = [value for value in held if isinstance(value, int | float) and value == value]
    if present:
        low, high = min(present), max(present)
        yield from (low, high, low - 1, high + 1, round((low + high) / 2), 10 * high + 1)
    numbers = sorted({float(value) for value in categories if isinstance(value, int | float)})
    for number in lot.sample(numbers, min(_CATEGORIES, len(numbers))):
        yield from _beside(number, field)
    for number in lot.sample(sorted(thresholds), min(_THRESHOLDS, len(thresholds))):
        yield from _beside(number, field)


def _beside(number: float, field: Field) -> Iterator[Any]:
    """A number, its neighbours in both precisions, and as the whole numbers around it."""
    if field.type == "int":
        yield from (int(np.floor(number)), int(np.ceil(number)), int(np.floor(number)) + 1)
        return
    with np.errstate(all="ignore"):
        near = np.float32(number)
        singles = (near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf)))
        yield from (number, float(np.nextafter(number, np.inf)), float(np.nextafter(number, -np.inf)))
        yield from (float(single) for single in singles if np.isfinite(single))
        if np.isfinite(singles[1]):
            # Half way between two of float32: here rounding itself decides on which side of a threshold a value is.
            yield from ((float(near) + float(single)) / 2 for single in singles[1:])


def _thresholds(program: Program) -> dict[int, list[float]]:
    """For each input the values at which a tree or a bin turns, as far as they can be traced back to it."""
    found: dict[int, set[float]] = {}
    for step in program.steps:
        for column, values in _turns(step):
            place, traced = _back(program, step.of, column, values)  # type: ignore[union-attr,arg-type]  # a forest, or bins
            found.setdefault(place, set()).update(traced.tolist())
    return {place: sorted(value for value in values if np.isfinite(value)) for place, values in found.items()}


def _turns(step: steps.Step) -> Iterator[tuple[int, NDArray[Any]]]:
    """The columns that a step compares, and some of the values that it compares them with."""
    if isinstance(step, steps.Bins):
        yield from enumerate(edges.numpy() for edges in step.edges)
    if isinstance(step, steps.Forest):
        left = step.left.numpy()
        inner = np.flatnonzero(left != np.arange(len(left)))
        features, thresholds = step.features.numpy()[inner], step.thresholds.numpy()[inner]
        for column in np.unique(features).tolist():
            values = np.unique(thresholds[features == column])
            yield column, values[:: len(values) // _TRACED + 1]


_UNDO = {
    "add": lambda x, v: x - v,
    "subtract": lambda x, v: x + v,
    "multiply": lambda x, v: x / v if v else x,
    "divide": lambda x, v: x * v,
}


def _back(program: Program, number: int, column: int, values: NDArray[Any]) -> tuple[int, NDArray[Any]]:
    """The input that a column of a step comes from, and what it must be for the column to have some values; -1 for none."""
    while True:
        step = program.steps[number]
        if isinstance(step, steps.Numbers):
            return step.inputs[column], values
        if isinstance(step, steps.Join):
            for each in step.of:
                width = width_of(program, each)
                if column < width:
                    number = each
                    break
                column -= width
            continue
        if isinstance(step, steps.Pick):
            column = step.columns[column]
        elif isinstance(step, steps.Arithmetic):
            with np.errstate(all="ignore"):
                values = _UNDO[step.kind](values, float(step.values.numpy()[column]))
        elif not isinstance(step, steps.Check | steps.Cast | steps.Fill):
            return -1, values
        number = step.of
