"""Linear models as one sum: a row alone is answered as by the steps, or left to them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from pipeline_corpus import CORPUS, fitted

from slipway.errors import InvalidInput
from slipway.models.compiled import program as steps
from slipway.models.compiled.compiling import compile_estimator
from slipway.models.compiled.folding import folded
from slipway.models.compiled.program import Array, Program, decode_program
from slipway.models.compiled.running import Compiled
from slipway.models.model import Model

BY_NAME = {row.name: row for row in CORPUS}
FOLDED = [
    "logistic, one-hot", "logistic, categories", "logistic, nullable", "logistic, unknown refused", "logistic, indicators",
    "logistic, pca", "logistic, svd of one-hot", "logistic, selected",
]  # fmt: skip
STEPS = ["logistic, float32", "logistic, polynomial", "logistic, bins", "hist, one-hot", "decision tree"]
UNUSUAL: list[Any] = [
    None, float("nan"), float("inf"), 1e308, -1e200, 2**60, 2**53 + 1, True, 1.0, 7, -0.0, 5e-324, "", "UA", "ZZ", " AA", [], b"x",
]  # fmt: skip


def program_of(model: Model) -> Program:
    return compile_estimator(model._format, model.estimator, model.task, model.signature.inputs, model.state.layout)


def answer(compiled: Compiled, row: list[Any]) -> float | str | None:
    try:
        found = compiled.rows([row])
    except InvalidInput as refusal:
        return refusal.what
    return None if found is None else float(found[0])


@pytest.mark.parametrize("name", [*FOLDED[:4], *(pytest.param(name, marks=pytest.mark.full) for name in FOLDED[4:])])
def test_a_row_alone_gets_the_answer_of_the_steps(name: str) -> None:
    model = fitted(BY_NAME[name])
    program = program_of(model)
    ask = folded(program)
    assert ask is not None
    names = [field.name for field in model.signature.inputs]
    plain, short = Compiled(program, names), Compiled(msgspec.structs.replace(program, folded=True), names)
    known = [case.row for case in model.state.cases if not case.column]
    rows = [*known[:60], *([*known[0][:i], value, *known[0][i + 1 :]] for i in range(len(names)) for value in UNUSUAL)]
    taken = 0
    for row in rows:
        try:
            taken += ask(row) is not None
        except TypeError:
            raise AssertionError(f"{row} was not looked at before it was looked up") from None
        wanted, found = answer(plain, row), answer(short, row)
        if isinstance(wanted, float):
            assert found == pytest.approx(wanted, rel=1e-10, abs=1e-10), row
        else:
            assert found == wanted, row
    assert taken >= 40


@pytest.mark.parametrize("name", STEPS)
def test_what_is_no_sum_is_not_folded(name: str) -> None:
    assert folded(program_of(fitted(BY_NAME[name]))) is None


def test_a_sum_is_used_only_where_it_was_proven() -> None:
    model = fitted(BY_NAME["logistic, one-hot"])
    made = model.compiled()
    assert made.data is not None
    kept = decode_program(made.data)
    assert kept is not None
    assert kept.folded


def test_a_sum_that_rounds_too_much_is_left_to_the_steps() -> None:
    """Terms of 1e30 that cancel each other: another order is another answer."""
    matrix = steps.Matrix(1, Array.of([[1e30], [-1e30], [1.0]]), Array.of([0.0]))
    program = Program(
        inputs=3,
        steps=(steps.Numbers((0, 1, 2), ("float",) * 3, (steps.WHOLE,) * 3), steps.Check(0, False), matrix),
        score=2,
    )
    ask = folded(program)
    assert ask is not None
    assert ask([1.0, 1.0, 3.0]) == 3.0  # in the same order it is the same
    huge = msgspec.structs.replace(program, steps=(*program.steps[:2], steps.Matrix(1, Array.of([[1e70], [0.0], [1.0]]), Array.of([0.0]))))  # fmt: skip
    assert folded(huge) is None


def test_a_null_that_the_steps_decline_is_declined_though_nothing_uses_it() -> None:
    numbers = steps.Numbers((0, 1), ("float", "float"), (steps.WHOLE,) * 2)
    program = Program(
        inputs=2,
        steps=(
            numbers,
            steps.Check(0, False),
            steps.Pick(0, (0,)),
            steps.Matrix(2, Array.of([[2.0]]), Array.of([1.0])),
        ),
        score=3,
    )
    ask = folded(program)
    assert ask is not None
    assert ask([1.0, 1.0]) == 3.0
    assert ask([1.0, None]) is None
    lenient = msgspec.structs.replace(program, steps=(numbers, steps.Check(0, True), *program.steps[2:]))
    assert Compiled(lenient, ["a", "b"]).rows([[1.0, None]]) == np.array([3.0])
    ask = folded(lenient)
    assert ask is not None
    assert ask([1.0, None]) == 3.0
    assert ask([1.0, "1"]) is None
