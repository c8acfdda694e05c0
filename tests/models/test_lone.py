"""A row alone is answered as among others, to the last bit, also beside every threshold; and left to the steps where it must."""

import math
from typing import Any

import numpy as np
import pytest

from slipway.errors import InvalidInput
from slipway.models.compiled import program as steps
from slipway.models.compiled.program import Array, Forest, Program, Step
from slipway.models.compiled.running import Compiled

TEXTS = ("a", "b", "c")
NAMES = ("x", "y", "n", "flag", "text")
USUAL = [0.5, -1.25, 3, True, "b"]


def forest(of: int, width: int, trees: int, *, flush: float = 0.0, start: float = 0.125) -> Forest:
    """Trees of three levels on random columns and thresholds; every second node sends NaN to the left."""
    lot, size = np.random.default_rng(trees), 15
    inner, each = np.arange(7), np.arange(trees)[:, None] * size
    left = np.concatenate([2 * inner + 1, np.arange(7, size)])
    right = np.concatenate([2 * inner + 2, np.arange(7, size)])
    is_leaf = np.arange(size) >= 7
    count = trees * size
    return Forest(
        of=of,
        features=Array.of(lot.integers(0, width, count), "<i4"),
        thresholds=Array.of(np.where(np.tile(is_leaf, trees), np.inf, lot.normal(0, 1, count)), "<f8"),
        left=Array.of((each + left).ravel(), "<i4"),
        right=Array.of((each + right).ravel(), "<i4"),
        null_left=Array.of(lot.random(count) < 0.5, "|b1"),
        values=Array.of(np.where(np.tile(is_leaf, trees), lot.normal(0, 0.1, count), 0.0), "<f8"),
        roots=Array.of(each.ravel(), "<i4"),
        sets=Array.of(np.zeros((0, 0)), "|b1"),
        set_of=Array.of(np.full(count, -1), "<i4"),
        start=start,
        flush=flush,
    )


def made(*, trees: int = 20, filled: bool = True, scale: float = 0.37, single: bool = False, **more: float) -> Program:
    """Numbers of each kind filled in and scaled, a text made one-hot, and trees behind them."""
    whole = (-(2**53), 2**53)
    kinds: Any = ("float", "single" if single else "float", "int", "bool")
    columns: list[Step] = [steps.Numbers((0, 1, 2, 3), kinds, (whole, (-(2**24), 2**24), whole, whole))]
    if filled:
        columns.append(steps.Check(0, nan=True))
        columns.append(steps.Fill(1, Array.of([0.3, -0.2, 2.0, 0.0])))
    columns.append(steps.Arithmetic(len(columns) - 1, "subtract", Array.of([0.1, 0.2, 2.5, 0.3])))
    columns.append(steps.Arithmetic(len(columns) - 1, "divide", Array.of([1.7, 0.9, 3.0, scale])))
    if single:
        columns.append(steps.Cast(len(columns) - 1))
    hot = np.concatenate([np.eye(3), np.zeros((2, 3))])
    numbers = len(columns) - 1
    columns.append(steps.Table(4, "text", TEXTS, Array.of(hot), other=False))
    columns.append(steps.Join((numbers, len(columns) - 1)))
    columns.append(forest(len(columns) - 1, 7, trees, **more))
    columns.append(steps.Link(len(columns) - 1, "expit"))
    return Program(inputs=5, steps=tuple(columns), score=len(columns) - 1)


def beside(program: Program) -> list[float]:
    """Values whose column comes out near a threshold, and their neighbours."""
    found = [0.0, -0.0, 5e-324, -1e-36, 1e29, -1e29]
    (trees,) = (step for step in program.steps if isinstance(step, Forest))
    thresholds = trees.thresholds.numpy()
    for edge in thresholds[np.isfinite(thresholds)].tolist()[:150]:
        for low, wide in ((0.1, 1.7), (0.2, 0.9), (2.5, 3.0)):
            near = edge * wide + low
            for _ in range(3):
                near = math.nextafter(near, -math.inf)
            for _ in range(7):
                found.append(near)
                near = math.nextafter(near, math.inf)
    return found


@pytest.mark.parametrize(
    "sizes",
    [{}, {"trees": 140}, {"filled": False}, {"single": True}, {"start": 0.0, "flush": 1e-2}],
    ids=["scaled", "two tables", "nulls", "float32", "flushed"],
)
def test_a_row_alone_is_answered_as_among_others(sizes: dict[str, Any]) -> None:
    program = made(**sizes)
    compiled, lot = Compiled(program, NAMES), np.random.default_rng(1)
    values, rows = beside(program), list[list[Any]]()
    for value in values:
        whole = int(lot.integers(-6, 8))
        rows += [
            [value, 0.5, whole, True, "a"],
            [0.5, value, whole, None, None],
            [None, value, None, False, lot.choice(TEXTS).item()],
            [whole, None, whole, True, "c"],
        ]
    alone = [compiled.alone(row) for row in rows]
    together = compiled.rows(rows)
    assert together is not None
    assert alone == together.tolist()
    assert len(set(alone)) > 50


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, math.nan),
        (0, math.inf),
        (0, 1e31),
        (0, "x"),
        (0, True),
        (1, 2**60),
        (2, 1.5),
        (2, 2**60),
        (3, 1),
        (4, 7),
        (4, "d"),
    ],
)
def test_what_is_not_usual_is_left_to_the_steps(place: int, value: Any) -> None:
    compiled = Compiled(made(), NAMES)
    assert compiled.alone(USUAL) is not None
    row = list(USUAL)
    row[place] = value
    assert compiled.alone(row) is None
    assert compiled.alone(USUAL[:-1]) is None


def test_a_refused_text_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="'text'"):
        Compiled(made(), NAMES).rows([[*USUAL[:4], "d"]])


def test_steps_that_turn_values_around_are_run_themselves() -> None:
    compiled = Compiled(made(scale=-0.37), NAMES)
    assert compiled.alone(USUAL) is None
    assert compiled.rows([USUAL]) is not None
