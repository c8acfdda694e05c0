"""What a program's arrays are made of: the inputs behind each column, and the way from its trees to the answer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from slipway.models.compiled import program as steps
from slipway.models.compiled.program import Program, Step

__all__ = ["Way", "inputs_of", "way_to_score"]

_Owners = list[frozenset[int]]


class Way(NamedTuple):
    """The score is `link(factor * x + offset)` of a step's one column `x`.

    Args:
        factor: What it is multiplied with.
        offset: What is added then.
        link: A link's kind, None where there is none.
    """

    factor: float
    offset: float
    link: str | None


def inputs_of(program: Program, number: int) -> _Owners:
    """The inputs that each column of a step's array may depend on."""
    found: list[_Owners] = []
    for step in program.steps[: number + 1]:
        found.append(_owners(step, found))
    return found[number]


def _owners(step: Step, found: list[_Owners]) -> _Owners:
    if isinstance(step, steps.Numbers):
        return [frozenset({place}) for place in step.inputs]
    if isinstance(step, steps.Table):
        return [frozenset({step.input})] * step.rows.shape[1]
    if isinstance(step, steps.Join):
        return [owner for each in step.of for owner in found[each]]
    if isinstance(step, steps.Blend):
        return [frozenset().union(*(owner for each in step.of for owner in found[each]))]
    before = found[step.of]
    if isinstance(step, steps.Pick | steps.Missing):
        return [before[column] for column in step.columns]
    if isinstance(step, steps.Lookup):
        return [owner for owner, rows in zip(before, step.rows, strict=True) for _ in range(rows.shape[1])]
    if isinstance(step, steps.Products):
        return [frozenset().union(*(before[column] for column in columns)) for columns in step.columns]
    if isinstance(step, steps.Matrix):
        weighs = step.weights.numpy() != 0
        return [frozenset().union(*(before[row] for row in np.flatnonzero(column))) for column in weighs.T]
    if isinstance(step, steps.Forest | steps.Gaussian):
        return [frozenset().union(*before)]
    return before  # column by column


def way_to_score(program: Program, number: int) -> Way | None:
    """How the score is made of a step's column; None where that is more than a number times it, a sum and a link."""
    factor, offset, link, at = 1.0, 0.0, None, program.score
    while at != number:
        step = program.steps[at]
        if isinstance(step, steps.Link) and at == program.score:
            link, at = step.kind, step.of
            continue
        if isinstance(step, steps.Arithmetic) and step.values.shape == (1,):
            (value,) = step.values.numpy().tolist()
            times, plus = {
                "add": (1.0, value),
                "subtract": (1.0, -value),
                "multiply": (value, 0.0),
                "divide": (1.0 / value, 0.0),
            }[step.kind]
            at = step.of
        elif isinstance(step, steps.Blend) and len(step.of) == 1:
            times, plus, at = step.weights[0], 0.0, step.of[0]
        else:
            return None
        factor, offset = factor * times, offset + factor * plus
    return Way(factor, offset, link)
