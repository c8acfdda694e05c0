"""Trees behind look-ups, asked by the look-up's row: a one-hot encoded text is one question then, and not one a category."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from slipway.models.compiled import program as steps
from slipway.models.compiled.forests import Looked, is_looked_up
from slipway.models.compiled.program import Array, Forest, Program

__all__ = ["Fused", "fused", "source_of"]


class Fused(NamedTuple):
    """A program's one forest, given rows of tables where they are known.

    Args:
        number: The forest's step.
        forest: The same trees; the columns of `blocks` come first, then those of `looked`.
        blocks: The steps whose arrays hold its other columns.
        tables: The steps of the look-ups, one for each of `looked`.
        looked: What they hold.
        needless: Steps whose arrays nobody reads any more.
    """

    number: int
    forest: Forest
    blocks: tuple[int, ...]
    tables: tuple[int, ...]
    looked: tuple[Looked, ...]
    needless: frozenset[int]


def fused(program: Program) -> Fused | None:
    """The forest of a program put together with the look-ups before it; None where there is nothing to gain."""
    found = [(number, step) for number, step in enumerate(program.steps) if isinstance(step, Forest)]
    if len(found) != 1 or not is_looked_up(found[0][1]):
        return None
    number, forest = found[0]
    left, features = forest.left.numpy(), forest.features.numpy()
    used = np.unique(features[left != np.arange(len(left))]).tolist()
    sources = {column: source_of(program, forest.of, column) for column in used}
    tables = sorted({step for step, _ in sources.values() if isinstance(program.steps[step], steps.Table)})
    blocks = sorted({step for step, _ in sources.values()} - set(tables))
    if not blocks:
        return None
    starts, width = {}, 0
    for step in (*blocks, *tables):
        starts[step] = width
        width += steps.width_of(program, step)
    places = np.zeros(max(used) + 1, dtype=np.int64)
    for column, (step, inside) in sources.items():
        places[column] = starts[step] + inside
    moved = np.where(left != np.arange(len(left)), places[np.minimum(features, max(used))], 0)
    looked = []
    for step in tables:
        columns = sorted(places[column] for column in used if sources[column][0] == step)
        rows = program.steps[step].rows.numpy()  # type: ignore[union-attr]  # it is a table
        looked.append(Looked(tuple(int(one) for one in columns), rows[:, [int(one) - starts[step] for one in columns]]))
    return Fused(
        number,
        msgspec.structs.replace(forest, features=Array.of(moved, "<i4")),
        tuple(blocks),
        tuple(tables),
        tuple(looked),
        _needless(program, number, blocks, tables),
    )


def source_of(program: Program, number: int, column: int) -> tuple[int, int]:
    """The step that makes a column, and its place there, through steps that only put columns beside each other."""
    while True:
        step = program.steps[number]
        if isinstance(step, steps.Pick):
            number, column = step.of, step.columns[column]
        elif isinstance(step, steps.Join):
            for each in step.of:
                width = steps.width_of(program, each)
                if column < width:
                    number = each
                    break
                column -= width
        else:
            return number, column


def _needless(program: Program, forest: int, blocks: list[int], tables: list[int]) -> frozenset[int]:
    read, needless = {program.score, *blocks}, set()
    for number in reversed(range(len(program.steps))):
        step = program.steps[number]
        plain = isinstance(step, steps.Join | steps.Pick) or number in tables
        if number not in read and plain:
            needless.add(number)  # look-ups of the forest's are done by the forest
        elif number != forest and hasattr(step, "of"):
            read |= set(step.of) if isinstance(step.of, tuple) else {step.of}
    return frozenset(needless)
